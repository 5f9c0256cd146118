/* Sections of the report that show numbers: each has an explanation, a chart and a table. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "core/audit/page.h"
#include "core/audit/prose.h"
#include "core/audit/record.h"

#define SHOWN 12 /* images shown as most, and as least memorized */

/* --- what was measured --- */

/* Rows of the tables of cohorts, and which encoder saw the images of each. */
static const struct {
    enum sm_cohort cohort;
    const char *f, *g, *what;
} seen[SM_COHORTS] = {
    {SM_COHORT_CANDIDATE, "yes", "no", "asked about: does f remember them?"},
    {SM_COHORT_EXTERNAL, "no", "no", "seen by neither encoder"},
    {SM_COHORT_SHARED, "yes", "yes", "seen by both encoders"},
    {SM_COHORT_INDEPENDENT, "no", "yes", "seen by g alone"},
};

void sm_page_measured(struct sm_page *p)
{
    sm_page_heading(p, "measured", "What was measured, and on what");
    sm_put(&p->out, "%s", sm_prose_method);
    sm_page_table(p, (const char *const[]){"Cohort", "Seen by f", "Seen by g", "What it is for",
                                           "#Scored", "#Failed", NULL});
    for (int i = 0; i < SM_COHORTS; i++) {
        const struct sm_audit_cohort *c = &p->summary->cohorts[seen[i].cohort];
        bool reference = seen[i].cohort == p->summary->reference;
        sm_page_row(p);
        sm_page_td(p, "");
        sm_page_cohort(p, seen[i].cohort);
        sm_page_td(p, "");
        sm_put(&p->out, "%s", seen[i].f);
        sm_page_td(p, "");
        sm_put(&p->out, "%s", seen[i].g);
        sm_page_td(p, "");
        sm_put(&p->out, "<span>%s%s</span>", seen[i].what,
               reference ? "; <b>the reference of this audit</b>" : "");
        sm_page_count_cell(p, (double)c->n);
        sm_page_count_cell(p, (double)c->failed);
    }
    sm_page_table_end(p);
}

/* --- cohorts --- */

void sm_page_cohorts(struct sm_page *p)
{
    const struct sm_audit_normalization *norm = &p->summary->normalization;
    sm_page_heading(p, "cohorts", "Scores of the cohorts");
    sm_page_explain(p, sm_prose_cohorts, sm_chart_cohorts);
    sm_page_table(p, (const char *const[]){"Cohort", "#Mean m", "#95&nbsp;% interval", "#SD",
                                           "#Middle 90&nbsp;% of the images", "#Normalised mean",
                                           "#p against 0", NULL});
    for (int i = 0; i < SM_COHORTS; i++) {
        const struct sm_audit_cohort *c = &p->summary->cohorts[seen[i].cohort];
        const struct sm_ttest *zero = &c->against_zero;
        sm_page_row(p);
        sm_page_td(p, "");
        sm_page_cohort(p, seen[i].cohort);
        sm_page_cell(p, c->mean, 1, "");
        sm_page_interval_cell(p, zero->low, zero->high, 1, "");
        sm_page_cell(p, c->sd, 1, "");
        sm_page_interval_cell(p, c->quantiles[SM_Q_5].value, c->quantiles[SM_Q_95].value, 1, "");
        sm_page_cell(p, c->normalized_mean, 1, "");
        sm_page_p_cell(p, zero->p_two_sided);
    }
    sm_page_table_end(p);
    sm_put(&p->out,
           "<p class=\"note\">Normalised as in the paper: m divided by the range of m over %s "
           "(divisor ",
           norm->population);
    sm_page_value(p, norm->divisor, 1, "");
    sm_put(&p->out, ").</p>\n");
}

/* --- contrasts --- */

static void put_contrast(struct sm_page *p, const struct sm_audit_contrast *c)
{
    sm_page_row(p);
    sm_page_td(p, "");
    sm_page_sentence(p, c->words);
    if (c->caution[0]) {
        sm_put(&p->out, "<br><span class=\"note\">");
        sm_page_sentence(p, c->caution);
        sm_put(&p->out, "</span>");
    }
    sm_page_cell(p, c->student.cohen_d, 1, "");
    sm_page_p_cell(p, c->student.p_two_sided);
    sm_page_p_cell(p, c->mann_whitney.p_two_sided);
}

void sm_page_contrasts(struct sm_page *p)
{
    sm_page_heading(p, "differences", "Do the cohorts differ?");
    sm_page_explain(p, sm_prose_contrasts, sm_chart_contrasts);
    sm_page_table(p, (const char *const[]){"In words (Welch's test)", "#Cohen's d", "#p, Student",
                                           "#p, Mann-Whitney", NULL});
    for (int i = 0; i < SM_CONTRASTS; i++)
        put_contrast(p, &p->summary->contrasts[i]);
    sm_page_table_end(p);
}

/* --- membership --- */

static void put_rates(struct sm_page *p, const struct sm_audit_membership *test)
{
    for (int i = 0; i < SM_FPRS; i++) {
        const struct sm_tpr *rate = &test->tpr_at_fpr[i];
        sm_page_row(p);
        sm_page_td(p, "");
        sm_page_cohort(p, test->others);
        sm_page_td(p, "");
        sm_put(&p->out, "%g&nbsp;%%", 100 * rate->fpr); /* a chosen level, not a measured number */
        sm_page_cell(p, rate->tpr, 100, "&nbsp;%");
        sm_page_interval_cell(p, rate->interval.low, rate->interval.high, 100, "&nbsp;%");
        sm_page_td(p, "");
        sm_put(&p->out, "%s", rate->enough ? "" : "<span class=\"note\">too few others</span>");
    }
}

static void put_epsilon(struct sm_page *p, const struct sm_audit_epsilon *e)
{
    sm_put(&p->out,
           "<br>Privacy loss: epsilon is at least <b>%s</b> (delta %g, 95&nbsp;%% "
           "confidence; %s of %s members and %s of %s others were above the "
           "threshold). <span class=\"note\">%s</span>",
           SM_THREE(e->lower), e->delta, SM_COUNT(e->true_positives), SM_COUNT(e->members_counted),
           SM_COUNT(e->false_positives), SM_COUNT(e->others_counted), e->note);
}

static void put_test(struct sm_page *p, const struct sm_audit_membership *test)
{
    sm_put(&p->out, "<li>");
    sm_page_sentence(p, test->words);
    sm_put(&p->out, " (Bootstrap interval: ");
    sm_page_interval(p, test->auc.bootstrap.low, test->auc.bootstrap.high, 1, "");
    sm_put(&p->out, "; p against guessing: ");
    sm_page_p(p, test->auc.p_two_sided);
    sm_put(&p->out, "; advantage: ");
    sm_page_value(p, test->advantage, 1, "");
    sm_put(&p->out, ".)");
    if (test->has_epsilon)
        put_epsilon(p, &test->epsilon);
    sm_put(&p->out, "</li>\n");
}

void sm_page_membership(struct sm_page *p)
{
    const struct sm_audit_membership *tests = p->summary->membership;
    sm_page_heading(p, "membership", "The score as a membership test");
    sm_put(&p->out, "%s<figure class=\"side\">\n", sm_prose_membership);
    sm_chart_roc(&p->out, p->summary, false);
    sm_chart_roc(&p->out, p->summary, true);
    sm_put(&p->out, "</figure>\n<ul>\n");
    for (int i = 0; i < SM_AGAINST; i++)
        put_test(p, &tests[i]);
    sm_put(&p->out, "</ul>\n");
    sm_page_table(p,
                  (const char *const[]){"Candidates against", "#False alarms at most",
                                        "#Candidates found", "#95&nbsp;% interval", "Note", NULL});
    for (int i = 0; i < SM_AGAINST; i++)
        put_rates(p, &tests[i]);
    sm_page_table_end(p);
}

/* --- classes and groups --- */

static void put_label(struct sm_page *p, const struct sm_audit_label *row)
{
    sm_page_row(p);
    sm_page_td(p, "label");
    sm_put_html(&p->out, row->label);
    sm_page_count_cell(p, (double)row->n);
    sm_page_count_cell(p, (double)row->reference_n);
    sm_page_cell(p, row->mean, 1, "");
    sm_page_cell(p, row->difference, 1, "");
    sm_page_interval_cell(p, row->welch.low, row->welch.high, 1, "");
    sm_page_p_cell(p, row->q_value);
    sm_page_count_cell(p, (double)row->listed);
}

static void put_labels(struct sm_page *p, const struct sm_audit_labels *labels, const char *id,
                       const char *title, const char *prose)
{
    if (labels->shown == 0)
        return;
    sm_page_heading(p, id, title);
    sm_put(&p->out, "%s", prose);
    sm_page_table(p, (const char *const[]){"Label", "#Candidates", "#Reference", "#Mean m",
                                           "#Difference", "#95&nbsp;% interval", "#q",
                                           "#Listed at FDR&nbsp;5&nbsp;%", NULL});
    for (size_t i = 0; i < labels->shown; i++)
        put_label(p, &labels->rows[i]);
    sm_page_table_end(p);
    if (labels->count > (int64_t)labels->shown)
        sm_put(&p->out,
               "<p class=\"note\">The %zu labels with most candidates, of %" PRId64
               "; the q-values are of all.</p>\n",
               labels->shown, labels->count);
}

void sm_page_labels(struct sm_page *p)
{
    put_labels(p, &p->summary->classes, "classes", "By class", sm_prose_classes);
    put_labels(p, &p->summary->groups, "groups", "By group", sm_prose_groups);
}

/* --- images --- */

static void put_thumbnail(struct sm_page *p, const struct sm_audit_item *item)
{
    size_t count = 0;
    void *png = p->thumbnail ? p->thumbnail(p->arg, item, &count) : NULL;
    if (!png)
        return;
    sm_put(&p->out, "<img alt=\"image %lld\" src=\"data:image/png;base64,", (long long)item->index);
    sm_put_base64(&p->out, png, count);
    sm_put(&p->out, "\">");
    free(png);
}

static void put_image(struct sm_page *p, size_t position)
{
    const struct sm_audit_item *item = &p->audit->items[position];
    const struct sm_image_stats *s = &p->result->images[position];
    sm_put(&p->out, "<figure class=\"image\">");
    put_thumbnail(p, item);
    sm_put(&p->out, "<b>#%lld</b> ", (long long)item->index);
    if (p->audit->with_names)
        sm_put_html(&p->out, sm_text_or_none(item->name));
    if (item->class_label && item->class_label[0]) {
        sm_put(&p->out, " · ");
        sm_put_html(&p->out, item->class_label);
    }
    sm_put(&p->out, "<br>m ");
    sm_page_value(p, item->m, 1, "");
    if (isfinite(item->m_se))
        sm_put(&p->out, " ± %s", SM_TWO(item->m_se));
    if (isfinite(s->shrunken)) {
        sm_put(&p->out, ", shrunken ");
        sm_page_value(p, s->shrunken, 1, "");
    }
    if (isfinite(s->p)) {
        sm_put(&p->out, "<br>centred ");
        sm_page_value(p, s->centered, 1, "");
        sm_put(&p->out, "<br>p ");
        sm_page_p(p, s->p);
        sm_put(&p->out, ", q ");
        sm_page_p(p, s->q);
    }
    sm_put(&p->out, "</figure>\n");
}

/* Shows images from the top of the ranking or from its end, and no image twice. */
static void put_shown(struct sm_page *p, const char *title, bool least)
{
    size_t n = p->result->samples.of[SM_COHORT_CANDIDATE].count;
    size_t half = least ? n / 2 : n - n / 2;
    if (half == 0)
        return;
    sm_put(&p->out, "<h3>%s</h3>\n<div class=\"images\">\n", title);
    for (size_t i = 0; i < SHOWN && i < half; i++)
        put_image(p, p->result->ranked_shrunken[least ? n - 1 - i : i]);
    sm_put(&p->out, "</div>\n");
}

static void put_levels(struct sm_page *p)
{
    const struct sm_audit_fdr *fdr = &p->summary->fdr;
    double shortest = fdr->levels[SM_FDR_5].at_least;
    sm_page_table(p, (const char *const[]){"False discovery rate", "#Candidates listed", "#Share",
                                           "#By chance among them", "#With p at most this",
                                           "#Expected by chance", NULL});
    for (int i = 0; i < SM_FDRS; i++) {
        const struct sm_audit_fdr_level *level = &fdr->levels[i];
        sm_page_row(p);
        sm_page_td(p, "");
        sm_put(&p->out, "%g&nbsp;%%%s", 100 * level->q, /* a chosen level */
               level->enough ? "" : " <span class=\"note\">the reference is too small</span>");
        sm_page_count_cell(p, level->count);
        sm_page_cell(p, level->share, 100, "&nbsp;%");
        sm_page_cell(p, level->expected_false, 1, "");
        sm_page_count_cell(p, fdr->p_levels[i].count);
        sm_page_cell(p, fdr->p_levels[i].expected, 1, "");
    }
    sm_page_table_end(p);
    sm_put(&p->out, "<p class=\"note\">The reference has %s images: no p-value can be below ",
           SM_COUNT(fdr->reference_n));
    sm_page_p(p, fdr->p_smallest);
    sm_put(&p->out, ".");
    if (isfinite(shortest))
        sm_put(&p->out,
               " The shortest list possible at FDR 5&nbsp;%% has %.0f candidates: fewer memorized "
               "ones "
               "cannot be told from chance with this reference.",
               shortest);
    sm_put(&p->out, "</p>\n");
}

void sm_page_images(struct sm_page *p)
{
    sm_page_heading(p, "images", "Which candidates stand out from the reference");
    sm_page_explain(p, sm_prose_images, sm_chart_p_values);
    put_levels(p);
    if (p->result->samples.of[SM_COHORT_CANDIDATE].count == 0)
        return;
    sm_put(&p->out,
           "<p class=\"note\">Numbers behind # are the images' places in this audit; the "
           "record and the table of images use the same. The order is that of the shrunken "
           "scores.</p>\n");
    put_shown(p, "Most memorized", false);
    put_shown(p, "Least memorized", true);
}
