/* The page of an unlearning: the verdict in words, what it rests on, then the numbers, as in the
 * report of an audit (html.c), whose style, tables and axes it shares. Three charts: scores of the
 * forget images before and after beside the externals, the two means with the margin, and each
 * image before against after. Foreign text is written by the escaping writers of out.h only. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/audit/page.h"
#include "core/audit/prose.h"
#include "core/audit/record.h"
#include "core/audit/result.h"
#include "core/audit/svg.h"
#include "core/audit/unlearning.h"

#define WIDTH       360.0
#define ROW_PX      74.0 /* of a histogram, the line of text above its bins included */
#define TEXT_PX     24.0
#define MEAN_PX     44.0 /* of a mean with its interval */
#define SIDE_PX     360.0
#define NAMED_SHOWN 50
#define DOTS_MAX    600

struct view {
    struct sm_page page;
    const struct sm_unlearning *u;
};

/* --- words --- */

static const char prose_method[] =
    "<p>Encoder <b>f</b> was trained with the <em>forget images</em>, encoder <b>g</b> without "
    "them. Encoder <b>u</b> was made from f to forget them. Of every image the same random views "
    "are shown to all three, and the views lie closer together for an encoder that memorized the "
    "image. <em>Before</em> is how much closer they lie for f than for g, the <em>residual</em> "
    "how much closer for u than for g; both minus their mean over the <em>externals</em>, which "
    "no encoder saw. An encoder that never saw the forget images has residuals around 0.</p>\n"
    "<p>Each row shows how a group of images is spread, scaled to its highest bar. The solid line "
    "is the mean, the dashed line 0: the externals' mean. Forgotten images lie like "
    "the externals, not like themselves before.</p>\n";

static const char prose_equivalence[] =
    "<p>That a difference is not found does not show that there is none: few images find nothing. "
    "So forgetting has to be shown. Two one-sided tests ask whether the mean residual is above "
    "the lower and below the upper end of the margin (the band), that is, whether what is left, "
    "or missing, is too small to matter. What is too small is declared, by default a tenth of the "
    "mean before. The dots are means, the bars 95&nbsp;% intervals.</p>\n";

static const char prose_images[] =
    "<p>A mean can hide single images. Each forget image gets a <em>p-value</em>: the share of "
    "externals (and itself) with a residual at least as high; <em>q-values</em> correct for their "
    "number (Benjamini and Hochberg). Images with q at most 5&nbsp;% are named. In the chart each "
    "dot is a forget image, a named one in orange: on the diagonal nothing of it was forgotten, on "
    "the dashed line "
    "all.</p>\n";

static const char prose_limits[] =
    "<ul class=\"limits\">\n"
    "<li><b>g is the measure.</b> Residuals say how u differs from this g. Another training "
    "without the forget images would be another g; several encoders of g in the pair average over "
    "trainings.</li>\n"
    "<li><b>Externals must be like the forget images</b> but for training: same source, same "
    "rule, same preparation. The checks at the top can refute that; the verdict does not read "
    "them.</li>\n"
    "<li><b>One signal is measured</b>, with these views and this representation. Another attack "
    "may find what this one does not.</li>\n"
    "<li><b>A named image is named as part of a list</b>, in which 5&nbsp;% can be expected by "
    "chance. Images that are not named may be memorized too.</li>\n"
    "<li><b>Overshoot is a leak.</b> An encoder that treats the forget images worse than images "
    "it never saw gives away which they were.</li>\n"
    "<li><b>Utility is not measured.</b> An encoder that has lost everything has also "
    "forgotten.</li>\n"
    "<li><b>This page is sensitive.</b> It tells about membership of images.</li>\n"
    "</ul>\n";

static const char style[] =
    ".zone{fill:var(--line);fill-opacity:.55;stroke:none}.point{fill-opacity:.5;stroke:none;r:2."
    "6px}"
    "ul.findings{list-style:none;padding:0}ul.findings li::before{content:\"\\2013\\00a0\"}"
    ".rows td.id{min-width:14.5em}.side .facts td:first-child{width:90px}.side{break-inside:avoid}"
    ".cards{grid-template-columns:repeat(auto-fit,minmax(150px,1fr))}\n";

/* --- head and verdict --- */

static bool is_part(const struct sm_unlearning *u)
{
    return u->before->completeness.state != SM_COMPLETION_COMPLETE ||
           u->after->completeness.state != SM_COMPLETION_COMPLETE;
}

static const char *pair_of(const struct sm_audit *audit)
{
    return sm_text_at(audit->pair, "name");
}

/* Writes " · " and the day of the audit that ended last. */
static void put_day(struct view *v)
{
    const char *before = sm_text_at(v->u->before->run, "finished");
    const char *after = sm_text_at(v->u->after->run, "finished");
    char day[16];
    snprintf(day, sizeof day, "%.10s", strcmp(before, after) > 0 ? before : after);
    sm_put(&v->page.out, "%s", day[0] ? " · " : "");
    sm_put_html(&v->page.out, day);
}

static void put_head(struct view *v)
{
    struct sm_page *p = &v->page;
    sm_page_open(p);
    sm_put(&p->out, "%sUnlearning: ", is_part(v->u) ? "Partial · " : "");
    sm_put_html(&p->out, v->u->after->spec->name);
    sm_page_style(p);
    sm_put(&p->out, "%s@page{", style);
    sm_page_margin(p, "top-left");
    sm_put(&p->out, "%s", is_part(v->u) ? "Partial · " : "");
    sm_put_css(&p->out, v->u->after->spec->name, 60);
    sm_put(&p->out, "\"}");
    sm_page_margin(p, "bottom-left");
    sm_put(&p->out, "before ");
    sm_put_css(&p->out, sm_text_at(v->u->before->pair, "digest"), 16);
    sm_put(&p->out, " · after ");
    sm_put_css(&p->out, sm_text_at(v->u->after->pair, "digest"), 16);
    sm_put(&p->out, "\"}");
    sm_page_margin(p, "bottom-right");
    sm_put(&p->out, "page \" counter(page) \" of \" counter(pages)}}\n"
                    "</style>\n</head>\n<body>\n<main>\n");
}

static void put_title(struct view *v)
{
    struct sm_page *p = &v->page;
    sm_put(&p->out, "<p class=\"kind\">Unlearning</p>\n<h1>");
    sm_put_html(&p->out, v->u->after->spec->name);
    sm_put(&p->out, "</h1>\n<p class=\"lead\">u of pair <b>");
    sm_put_html(&p->out, pair_of(v->u->after));
    sm_put(&p->out, "</b>, made from f of pair <b>");
    sm_put_html(&p->out, pair_of(v->u->before));
    sm_put(&p->out, "</b> · %s forget images, %s externals", SM_COUNT(v->u->forget.count),
           SM_COUNT(v->u->external.count));
    put_day(v);
    sm_put(&p->out, "</p>\n");
}

/* The controls of AFTER. BEFORE has the same images and g, and so the same ones, but for that of
 * independents by f. */
static void put_controls(struct view *v)
{
    sm_page_controls(&v->page);
    sm_put(&v->page.out,
           "<p class=\"note\">These are the controls of the audit after: its candidates are the "
           "forget "
           "images, its f is u. The verdict does not read them; explain a ✗ before you rely on "
           "it.</p>\n");
}

static void put_findings(struct view *v)
{
    const struct sm_unlearning *u = v->u;
    sm_put(&v->page.out, "<ul class=\"findings\">\n");
    for (size_t i = 0; i < u->reasons_count; i++) {
        sm_put(&v->page.out, "<li>");
        sm_page_sentence(&v->page, u->reasons[i].text);
        sm_put(&v->page.out, "</li>\n");
    }
    sm_put(&v->page.out, "</ul>\n");
}

static void put_verdict(struct view *v)
{
    static const struct {
        const char *pen, *sign;
    } looks[] = {
        [SM_UNLEARNING_NOT_SHOWN] = {"open", "?"},
        [SM_UNLEARNING_FORGOTTEN] = {"good", "✓"},
        [SM_UNLEARNING_STILL_MEMORIZED] = {"bad", "✗"},
        [SM_UNLEARNING_OVERSHOT] = {"bad", "✗"},
    };
    const struct sm_unlearning *u = v->u;
    struct sm_page *p = &v->page;
    sm_page_heading(p, "verdict", "Verdict");
    sm_put(&p->out,
           "<div class=\"verdict %s\"><span class=\"sign\">%s</span><p><strong>%s</strong>"
           "<br>",
           looks[u->verdict].pen, looks[u->verdict].sign, sm_unlearning_headline(u->verdict));
    sm_page_sentence(p, sm_unlearning_meaning(u->verdict));
    sm_put(&p->out, "</p></div>\n");
    put_findings(v);
    if (u->judgement.count > 0)
        sm_page_gates(p, &u->judgement);
}

/* --- cards --- */

static void open_card(struct view *v, double value, double scale, const char *unit)
{
    sm_put(&v->page.out, "<div class=\"card\"><b>");
    sm_page_value(&v->page, value, scale, unit);
    sm_put(&v->page.out, "</b><span>");
}

/* Writes "; LOW to HIGH" where there is an interval. */
static void put_interval(struct view *v, double low, double high, double scale, const char *unit)
{
    if (!isfinite(low))
        return;
    sm_put(&v->page.out, "; ");
    sm_page_interval(&v->page, low, high, scale, unit);
}

static void put_cards(struct view *v)
{
    const struct sm_unlearning *u = v->u;
    struct sm_page *p = &v->page;
    sm_put(&p->out, "<div class=\"cards\">\n");
    open_card(v, u->share, 100, "&nbsp;%");
    sm_put(&p->out, "of the mean memorization is forgotten (100: all, 0: nothing, above 100: more "
                    "than there was)");
    put_interval(v, u->share_low, u->share_high, 100, "&nbsp;%");
    sm_put(&p->out, "</span></div>\n");
    open_card(v, u->left.mean, 1, "");
    sm_put(&p->out, "mean residual");
    put_interval(v, u->left.low, u->left.high, 1, "");
    sm_put(&p->out, ". Before: ");
    sm_page_value(p, u->was.mean, 1, "");
    sm_put(&p->out, "</span></div>\n");
    open_card(v, u->left.auc.auc, 1, "");
    sm_put(&p->out, "AUC of the residual (0.5: forget images cannot be told from externals)");
    put_interval(v, u->left.auc.interval.low, u->left.auc.interval.high, 1, "");
    sm_put(&p->out, ". Before: ");
    sm_page_value(p, u->was.auc.auc, 1, "");
    sm_put(&p->out,
           "</span></div>\n<div class=\"card\"><b>%s</b><span>of %s forget images are "
           "named as still memorized at FDR 5&nbsp;%%%s</span></div>\n</div>\n",
           SM_COUNT(u->named.count), SM_COUNT(u->forget.scored),
           u->named.enough ? "" : ". There are too few externals");
}

/* --- histograms --- */

static void put_bins(struct sm_out *out, const char *pen, const int64_t *bins,
                     const struct sm_unlearning *u, const struct sm_axis *x,
                     const struct sm_axis *y)
{
    double step = (u->high - u->low) / SM_UNLEARNING_BINS;
    sm_svg_path_open(out, pen);
    sm_svg_path_to(out, true, sm_axis_at(x, u->low), y->from);
    for (int i = 0; i < SM_UNLEARNING_BINS; i++) {
        double top = sm_axis_at(y, (double)bins[i]);
        sm_svg_path_to(out, false, sm_axis_at(x, u->low + step * i), top);
        sm_svg_path_to(out, false, sm_axis_at(x, u->low + step * (i + 1)), top);
    }
    sm_svg_path_to(out, false, sm_axis_at(x, u->high), y->from);
    sm_svg_path_close(out, true);
}

static double highest_of(const int64_t *bins)
{
    int64_t highest = 1;
    for (int i = 0; i < SM_UNLEARNING_BINS; i++)
        if (bins[i] > highest)
            highest = bins[i];
    return (double)highest;
}

static void put_nothing(struct sm_out *out, const char *why)
{
    sm_put(out, "<p class=\"nothing\">No chart: %s.</p>\n", why);
}

static void put_histograms(struct view *v)
{
    const struct sm_unlearning *u = v->u;
    struct sm_out *out = &v->page.out;
    const struct {
        const char *title, *area, *mean;
        const int64_t *bins;
        size_t count;
        double center;
    } rows[] = {
        {"Forget images, before", "area candidate", "mean candidate", u->bins_before,
         u->forget.scored, u->was.mean},
        {"Forget images, residual", "area independent", "mean independent", u->bins_residual,
         u->forget.scored, u->left.mean},
        {"Externals, after", "area external", "mean external", u->bins_external, u->external.scored,
         0},
    };
    struct sm_axis x = {.low = u->low, .high = u->high, .from = 14, .to = WIDTH - 14};
    double bottom = 3 * ROW_PX + 8;
    if (!(u->high > u->low) || u->forget.scored == 0) {
        put_nothing(out, "there are fewer than two different scores");
        return;
    }
    sm_axis_round(&x);
    sm_svg_open(out, WIDTH, bottom + 44, "Scores before and after unlearning");
    sm_svg_axis_x(out, &x, 8, bottom, "score minus the mean of the externals");
    for (int i = 0; i < 3; i++) {
        double base = ROW_PX * (i + 1) + 8, text = base - ROW_PX + TEXT_PX - 7;
        struct sm_axis y = {.low = 0,
                            .high = highest_of(rows[i].bins),
                            .from = base,
                            .to = base - ROW_PX + TEXT_PX};
        double mean = sm_axis_at(&x, rows[i].center), zero = sm_axis_at(&x, 0);
        sm_svg_text(out, "row halo", x.from, text, "%s", rows[i].title);
        sm_svg_text(out, "tick end halo", x.to, text, "n = %s, mean %s", SM_COUNT(rows[i].count),
                    SM_THREE(rows[i].center));
        put_bins(out, rows[i].area, rows[i].bins, u, &x, &y);
        sm_svg_line(out, rows[i].mean, mean, y.from, mean, y.to);
        sm_svg_line(out, "reference", zero, y.from, zero, y.to);
        sm_svg_line(out, "axis", x.from, base, x.to, base);
    }
    sm_svg_close(out);
}

static void put_numbers(struct view *v, const char *what, const struct sm_unlearning_contrast *c)
{
    struct sm_page *p = &v->page;
    sm_page_row(p);
    sm_page_td(p, "");
    sm_put(&p->out, "%s", what);
    sm_page_cell(p, c->mean, 1, "");
    sm_page_interval_cell(p, c->low, c->high, 1, "");
    sm_page_p_cell(p, c->p_two_sided);
    sm_page_cell(p, c->auc.auc, 1, "");
    sm_page_interval_cell(p, c->auc.interval.low, c->auc.interval.high, 1, "");
}

static void put_measured(struct view *v)
{
    struct sm_page *p = &v->page;
    size_t failed = v->u->forget.count - v->u->forget.scored + v->u->forget.unread;
    sm_page_heading(p, "measured", "What was measured");
    sm_put(&p->out, "<div class=\"side\"><div>%s</div>\n<figure>\n", prose_method);
    put_histograms(v);
    sm_put(&p->out, "</figure></div>\n");
    sm_page_table(p, (const char *const[]){"Forget images against externals", "#Mean",
                                           "#95&nbsp;% interval", "#p", "#AUC",
                                           "#95&nbsp;% interval", NULL});
    put_numbers(v, "before", &v->u->was);
    put_numbers(v, "residual", &v->u->left);
    sm_page_table_end(p);
    if (failed > 0)
        sm_put(&p->out,
               "<p class=\"note\">%s of %s forget images have no score in one of the audits.</p>\n",
               SM_COUNT(failed), SM_COUNT(v->u->forget.count + v->u->forget.unread));
}

/* --- equivalence --- */

static void put_mean(struct sm_out *out, const char *title, const char *cohort, double mean,
                     double low, double high, const struct sm_axis *x, double y)
{
    char pen[40];
    sm_svg_text(out, "row halo", x->from, y - 12, "%s", title);
    sm_svg_text(out, "tick end halo", x->to, y - 12, "%s", SM_THREE(mean));
    snprintf(pen, sizeof pen, "whisker %s", cohort);
    if (isfinite(low))
        sm_svg_line(out, pen, sm_axis_at(x, low), y, sm_axis_at(x, high), y);
    snprintf(pen, sizeof pen, "dot %s", cohort);
    sm_svg_dot(out, pen, sm_axis_at(x, mean), y);
}

static void put_means(struct view *v)
{
    const struct sm_unlearning *u = v->u;
    struct sm_out *out = &v->page.out;
    double margin = u->tost.margin > 0 ? u->tost.margin : 0, bottom = 2 * MEAN_PX + 12;
    struct sm_axis x = {.from = 14, .to = WIDTH - 14, .ticks = 5};
    x.low = fmin(fmin(-margin, fmin(u->was.low, u->left.low)), fmin(u->was.mean, u->left.mean));
    x.high = fmax(fmax(margin, fmax(u->was.high, u->left.high)), fmax(u->was.mean, u->left.mean));
    if (!(x.high > x.low) || !isfinite(u->was.mean)) {
        put_nothing(out, "there is no mean to draw");
        return;
    }
    sm_axis_round(&x);
    sm_svg_open(out, WIDTH, bottom + 44, "Means before and after, and the margin");
    if (margin > 0)
        sm_svg_box(out, "zone", sm_axis_at(&x, -margin), 8,
                   sm_axis_at(&x, margin) - sm_axis_at(&x, -margin), bottom - 8);
    sm_svg_axis_x(out, &x, 8, bottom, "mean of forget images minus mean of externals");
    sm_svg_line(out, "zero", sm_axis_at(&x, 0), 8, sm_axis_at(&x, 0), bottom);
    put_mean(out, "Before", "candidate", u->was.mean, u->was.low, u->was.high, &x, 36);
    put_mean(out, "Residual", "independent", u->left.mean, u->left.low, u->left.high, &x,
             36 + MEAN_PX);
    sm_svg_close(out);
}

static void put_equivalence(struct view *v)
{
    const struct sm_unlearning *u = v->u;
    struct sm_page *p = &v->page;
    sm_page_heading(p, "equivalence", "Is what is left equivalent to nothing?");
    sm_put(&p->out, "<div class=\"side\"><div>%s</div>\n<figure>\n", prose_equivalence);
    put_means(v);
    sm_put(&p->out, "</figure></div>\n");
    sm_page_table(p,
                  (const char *const[]){"Margin", "#Ends", "#p, above the lower end",
                                        "#p, below the upper end", "Equivalent at 5&nbsp;%", NULL});
    sm_page_row(p);
    sm_page_td(p, "");
    sm_put(&p->out, "%s", u->spec.delta > 0 ? "declared" : "a tenth of the mean before");
    sm_page_td(p, "");
    if (u->tost.margin > 0)
        sm_page_interval(p, -u->tost.margin, u->tost.margin, 1, "");
    else
        sm_put(&p->out, "–");
    sm_page_p_cell(p, u->tost.p_above);
    sm_page_p_cell(p, u->tost.p_below);
    sm_page_td(p, "");
    sm_put(&p->out, "%s", u->equivalent == 1 ? "shown" : "not shown");
    sm_page_table_end(p);
    if (u->u_is_g)
        sm_put(&p->out, "<p class=\"note\">u has the weights of g, so that nothing is estimated: "
                        "every residual is 0.</p>\n");
}

/* --- images --- */

static void put_scatter(struct view *v)
{
    const struct sm_unlearning *u = v->u;
    struct sm_out *out = &v->page.out;
    size_t n = u->forget.scored, points = n < DOTS_MAX ? n : DOTS_MAX;
    if (!(u->high > u->low) || n == 0) {
        put_nothing(out, "there are fewer than two different scores");
        return;
    }
    struct sm_axis x = {.low = u->low, .high = u->high, .from = 62, .to = SIDE_PX - 10, .ticks = 4};
    sm_axis_round(&x);
    struct sm_axis y = {.low = x.low, .high = x.high, .from = SIDE_PX - 48, .to = 10, .ticks = 4};
    sm_svg_open(out, SIDE_PX, SIDE_PX, "Forget images before and after");
    sm_svg_axis_x(out, &x, y.to, y.from, "before");
    sm_svg_axis_y(out, &y, x.from, x.to, "residual");
    sm_svg_line(out, "guess", x.from, y.from, x.to, y.to);
    sm_svg_line(out, "reference", x.from, sm_axis_at(&y, 0), x.to, sm_axis_at(&y, 0));
    for (size_t i = 0; i < points; i++) {
        const struct sm_unlearning_image *image = u->ranked[i * n / points];
        bool named = image->q <= SM_UNLEARNING_Q;
        sm_svg_dot(out, named ? "point candidate" : "point independent",
                   sm_axis_at(&x, image->before), sm_axis_at(&y, image->residual));
    }
    sm_svg_close(out);
}

static void put_image(struct view *v, const struct sm_unlearning_image *image)
{
    const struct sm_audit_item *item = image->in_after;
    struct sm_page *p = &v->page;
    char name[65];
    sm_audit_image_name(name, v->u->after, item);
    sm_page_row(p);
    sm_page_td(p, "label");
    sm_put(&p->out, "#%" PRId64 " ", item->index);
    if (v->u->after->with_names && item->name[0])
        sm_put_html(&p->out, item->name);
    else
        sm_put(&p->out, "<code>%.16s</code>", name);
    sm_page_cell(p, image->before, 1, "");
    sm_page_cell(p, image->residual, 1, "");
    sm_page_p_cell(p, image->p);
    sm_page_p_cell(p, image->q);
}

static void put_images(struct view *v)
{
    const struct sm_unlearning_named *named = &v->u->named;
    struct sm_page *p = &v->page;
    size_t shown = (size_t)named->count < NAMED_SHOWN ? (size_t)named->count : NAMED_SHOWN;
    sm_page_heading(p, "images", "Which images are still memorized");
    sm_put(&p->out, "<div class=\"side\"><div>%s", prose_images);
    if (isfinite(named->at_least) && named->at_least > 1)
        sm_put(&p->out,
               "<p class=\"note\">The shortest list that %s externals allow has %.0f images: fewer "
               "memorized ones cannot be named.</p>\n",
               SM_COUNT(v->u->external.scored), named->at_least);
    if (named->count == 0)
        sm_put(&p->out, "<p><b>No image is named.</b></p>\n");
    sm_put(&p->out, "</div>\n<figure>\n");
    put_scatter(v);
    sm_put(&p->out, "</figure></div>\n");
    if (shown == 0)
        return;
    sm_page_table(p, (const char *const[]){"Image", "#Before", "#Residual", "#p", "#q", NULL});
    for (size_t i = 0; i < shown; i++)
        put_image(v, v->u->ranked[i]);
    sm_page_table_end(p);
    sm_put(&p->out,
           "<p class=\"note\">%s of %s named images; the table of images has all. Numbers behind "
           "# are the images' places in the audit after.</p>\n",
           SM_COUNT(shown), SM_COUNT(named->count));
}

/* --- provenance --- */

static void put_audit(struct view *v, const char *title, const char *side,
                      const struct sm_audit *audit)
{
    struct sm_page *p = &v->page;
    const json_t *encoders = json_object_get(audit->pair, "encoders");
    json_t *name = json_string(audit->spec->name);
    sm_put(&p->out, "<div><h3>%s</h3>\n<table class=\"facts\"><tbody>\n", title);
    sm_page_fact(p, "audit", name);
    sm_page_fact(p, "id", json_object_get(audit->run, "id"));
    sm_page_fact(p, "finished", json_object_get(audit->run, "finished"));
    sm_page_fact(p, "pair", json_object_get(audit->pair, "name"));
    sm_page_fact(p, "pair digest", json_object_get(audit->pair, "digest"));
    for (int s = 0; s < 2; s++) {
        const json_t *e;
        size_t i;
        json_array_foreach(json_object_get(encoders, s ? "g" : "f"), i, e)
            sm_page_fact(p, s ? "g" : side, json_object_get(e, "digest"));
    }
    sm_put(&p->out, "</tbody></table></div>\n");
    json_decref(name);
}

static void put_provenance(struct view *v)
{
    const struct sm_unlearning *u = v->u;
    struct sm_page *p = &v->page;
    char number[32];
    sm_page_heading(p, "limits", "Limits of the method");
    sm_put(&p->out, "%s", prose_limits);
    sm_page_heading(p, "provenance", "Provenance, and how to run it again");
    sm_put(&p->out, "<div class=\"side\">\n");
    put_audit(v, "Before", "f", u->before);
    put_audit(v, "After", "u", u->after);
    sm_put(&p->out, "</div>\n<p>Recipe <code>");
    sm_put_html(&p->out, sm_text_at(u->after->provenance, "recipe_digest"));
    sm_put(&p->out, "</code>. All numbers follow from the two audits. The command, with your "
                    "folders in place of BEFORE and AFTER:</p>\n<pre>sslmem audit unlearn BEFORE "
                    "AFTER");
    snprintf(number, sizeof number, "%.17g", u->spec.delta);
    if (u->spec.delta > 0) {
        sm_page_word(p, "--delta");
        sm_page_word(p, number);
    }
    for (int i = 0; i < u->spec.gates_count; i++) {
        sm_page_word(p, "--gate");
        sm_page_word(p, u->spec.gates[i].text);
    }
    sm_put(&p->out, "</pre>\n");
}

enum sm_code sm_unlearning_write_html(FILE *file, const struct sm_unlearning *u, struct sm_err *err)
{
    static void (*const sections[])(struct view *) = {put_head,        put_title,  put_controls,
                                                      put_verdict,     put_cards,  put_measured,
                                                      put_equivalence, put_images, put_provenance};
    struct sm_audit_result *controls;
    enum sm_code code = sm_controls_evaluate(&controls, u->after, err);
    if (code != SM_OK)
        return code;
    struct view v = {.page = {.out = {file}, .audit = u->after, .summary = &controls->summary},
                     .u = u};
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
        sections[i](&v);
    sm_put(&v.page.out, "</main>\n</body>\n</html>\n");
    sm_audit_result_free(controls);
    return sm_out_finish(&v.page.out, err);
}
