/* The sections of the report that show numbers: an explanation, a chart, a table. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/audit/charts.h"
#include "core/audit/page.h"
#include "core/audit/prose.h"
#include "core/audit/record.h"

#define SHOWN 12 /* most and least memorized images */

/* --- what was measured --- */

/* Who saw the images of a cohort. */
static const struct {
    const char *name, *f, *g, *what;
} seen[] = {
    {"candidate", "yes", "no", "asked about: does f remember them?"},
    {"external", "no", "no", "seen by neither encoder"},
    {"shared", "yes", "yes", "seen by both encoders"},
    {"independent", "no", "yes", "seen by g alone"},
};

void sm_page_measured(struct sm_page *p)
{
    const char *reference = sm_text_at(p->summary, "reference");
    sm_page_heading(p, "measured", "What was measured, and on what");
    sm_put(&p->out, "%s", sm_prose_method);
    sm_page_table(p, (const char *const[]){"Cohort", "Seen by f", "Seen by g", "What it is for",
                                           "#Scored", "#Failed", NULL});
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
        const json_t *c = json_object_get(json_object_get(p->summary, "cohorts"), seen[i].name);
        sm_page_row(p);
        sm_page_td(p, "");
        sm_page_cohort(p, seen[i].name);
        sm_page_td(p, "");
        sm_put(&p->out, "%s", seen[i].f);
        sm_page_td(p, "");
        sm_put(&p->out, "%s", seen[i].g);
        sm_page_td(p, "");
        sm_put(&p->out, "<span>%s%s</span>", seen[i].what,
               strcmp(seen[i].name, reference) == 0 ? "; <b>the reference of this audit</b>" : "");
        sm_page_count_cell(p, sm_number_at(c, "n"));
        sm_page_count_cell(p, sm_number_at(c, "failed"));
    }
    sm_page_table_end(p);
}

/* --- cohorts --- */

void sm_page_cohorts(struct sm_page *p)
{
    const json_t *norm = json_object_get(p->summary, "normalization");
    sm_page_heading(p, "cohorts", "Scores of the cohorts");
    sm_page_explain(p, sm_prose_cohorts, sm_chart_cohorts);
    sm_page_table(p, (const char *const[]){"Cohort", "#Mean m", "#95&nbsp;% interval", "#SD",
                                           "#Middle 90&nbsp;% of the images", "#Normalised mean",
                                           "#p against 0", NULL});
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
        const json_t *c = json_object_get(json_object_get(p->summary, "cohorts"), seen[i].name);
        const json_t *zero = json_object_get(c, "against_zero"),
                     *q = json_object_get(c, "quantiles");
        sm_page_row(p);
        sm_page_td(p, "");
        sm_page_cohort(p, seen[i].name);
        sm_page_cell(p, sm_number_at(c, "mean"), 1, "");
        sm_page_interval_cell(p, sm_number_at(zero, "low"), sm_number_at(zero, "high"), 1, "");
        sm_page_cell(p, sm_number_at(c, "sd"), 1, "");
        sm_page_interval_cell(p, sm_number_at(json_array_get(q, 2), "value"),
                              sm_number_at(json_array_get(q, 6), "value"), 1, "");
        sm_page_cell(p, sm_number_at(c, "normalized_mean"), 1, "");
        sm_page_p_cell(p, sm_number_at(zero, "p_two_sided"));
    }
    sm_page_table_end(p);
    sm_put(&p->out,
           "<p class=\"note\">Normalised as in the paper: m divided by the range of m over %s "
           "(divisor ",
           sm_text_at(norm, "population"));
    sm_page_value(p, sm_number_at(norm, "divisor"), 1, "");
    sm_put(&p->out, ").</p>\n");
}

/* --- tests --- */

static void put_contrast(struct sm_page *p, const json_t *c)
{
    const char *caution = sm_text_at(c, "caution");
    sm_page_row(p);
    sm_page_td(p, "");
    sm_page_sentence(p, sm_text_at(c, "words"));
    if (caution[0]) {
        sm_put(&p->out, "<br><span class=\"note\">");
        sm_page_sentence(p, caution);
        sm_put(&p->out, "</span>");
    }
    sm_page_cell(p, sm_number_at(c, "cohen_d"), 1, "");
    sm_page_p_cell(p, sm_number_at(json_object_get(c, "student"), "p_two_sided"));
    sm_page_p_cell(p, sm_number_at(json_object_get(c, "mann_whitney"), "p_two_sided"));
}

void sm_page_contrasts(struct sm_page *p)
{
    const char *key;
    const json_t *c;
    sm_page_heading(p, "differences", "Do the cohorts differ?");
    sm_page_explain(p, sm_prose_contrasts, sm_chart_differences);
    sm_page_table(p, (const char *const[]){"In words (Welch's test)", "#Cohen's d", "#p, Student",
                                           "#p, Mann-Whitney", NULL});
    json_object_foreach((json_t *)(uintptr_t)json_object_get(p->summary, "comparisons"), key, c)
        put_contrast(p, c);
    sm_page_table_end(p);
}

/* --- membership --- */

static void put_rates(struct sm_page *p, const json_t *test)
{
    const json_t *rate;
    size_t i;
    json_array_foreach(json_object_get(test, "tpr_at_fpr"), i, rate)
    {
        bool enough = json_is_true(json_object_get(rate, "enough"));
        sm_page_row(p);
        sm_page_td(p, "");
        sm_page_cohort(p, sm_text_at(test, "others"));
        sm_page_td(p, "");
        sm_put(&p->out, "%g&nbsp;%%", 100 * sm_number_at(rate, "fpr")); /* a level, not measured */
        sm_page_cell(p, sm_number_at(rate, "tpr"), 100, "&nbsp;%");
        sm_page_td(p, "");
        sm_page_list_interval(p, json_object_get(rate, "interval"), 100, "&nbsp;%");
        sm_page_td(p, "");
        sm_put(&p->out, "%s", enough ? "" : "<span class=\"note\">too few others</span>");
    }
}

static void put_test(struct sm_page *p, const json_t *test)
{
    const json_t *auc = json_object_get(test, "auc"), *epsilon = json_object_get(test, "epsilon");
    sm_put(&p->out, "<li>");
    sm_page_sentence(p, sm_text_at(test, "words"));
    sm_put(&p->out, " (Bootstrap interval: ");
    sm_page_list_interval(p, json_object_get(auc, "bootstrap"), 1, "");
    sm_put(&p->out, "; p against guessing: ");
    sm_page_p(p, sm_number_at(auc, "p_two_sided"));
    sm_put(&p->out, "; advantage: ");
    sm_page_value(p, sm_number_at(test, "advantage"), 1, "");
    sm_put(&p->out, ".)");
    if (json_is_object(epsilon)) {
        sm_put(&p->out,
               "<br>Privacy loss: epsilon is at least <b>%s</b> (delta %g, 95&nbsp;%% "
               "confidence; %s of %s members and %s of %s others were above the "
               "threshold). <span class=\"note\">%s</span>",
               SM_THREE(sm_number_at(epsilon, "lower")), sm_number_at(epsilon, "delta"),
               SM_COUNT(sm_number_at(epsilon, "true_positives")),
               SM_COUNT(sm_number_at(epsilon, "members_counted")),
               SM_COUNT(sm_number_at(epsilon, "false_positives")),
               SM_COUNT(sm_number_at(epsilon, "others_counted")), sm_text_at(epsilon, "note"));
    }
    sm_put(&p->out, "</li>\n");
}

void sm_page_membership(struct sm_page *p)
{
    const char *key;
    const json_t *list = json_object_get(p->summary, "membership"), *test;
    sm_page_heading(p, "membership", "The score as a membership test");
    sm_put(&p->out, "%s<figure class=\"side\">\n", sm_prose_membership);
    sm_chart_roc(&p->out, p->summary, false);
    sm_chart_roc(&p->out, p->summary, true);
    sm_put(&p->out, "</figure>\n<ul>\n");
    json_object_foreach((json_t *)(uintptr_t)list, key, test) put_test(p, test);
    sm_put(&p->out, "</ul>\n");
    sm_page_table(p,
                  (const char *const[]){"Candidates against", "#False alarms at most",
                                        "#Candidates found", "#95&nbsp;% interval", "Note", NULL});
    json_object_foreach((json_t *)(uintptr_t)list, key, test) put_rates(p, test);
    sm_page_table_end(p);
}

/* --- classes and groups --- */

static void put_label(struct sm_page *p, const json_t *row)
{
    sm_page_row(p);
    sm_page_td(p, "label");
    sm_put_html(&p->out, sm_text_at(row, "label"));
    sm_page_count_cell(p, sm_number_at(row, "n"));
    sm_page_count_cell(p, sm_number_at(row, "reference_n"));
    sm_page_cell(p, sm_number_at(row, "mean"), 1, "");
    sm_page_cell(p, sm_number_at(row, "difference"), 1, "");
    sm_page_interval_cell(p, sm_number_at(row, "low"), sm_number_at(row, "high"), 1, "");
    sm_page_p_cell(p, sm_number_at(row, "q_value"));
    sm_page_count_cell(p, sm_number_at(row, "listed"));
}

static void put_labels(struct sm_page *p, const char *key, const char *title, const char *prose)
{
    const json_t *table = json_object_get(p->summary, key), *row;
    const json_t *rows = json_object_get(table, "rows");
    size_t i;
    if (json_array_size(rows) == 0)
        return;
    sm_page_heading(p, key, title);
    sm_put(&p->out, "%s", prose);
    sm_page_table(p, (const char *const[]){"Label", "#Candidates", "#Reference", "#Mean m",
                                           "#Difference", "#95&nbsp;% interval", "#q",
                                           "#Listed at FDR&nbsp;5&nbsp;%", NULL});
    json_array_foreach(rows, i, row) put_label(p, row);
    sm_page_table_end(p);
    if (sm_number_at(table, "count") > (double)json_array_size(rows))
        sm_put(&p->out,
               "<p class=\"note\">The %zu labels with most candidates, of %.0f; the q-values are "
               "of all.</p>\n",
               json_array_size(rows), sm_number_at(table, "count"));
}

void sm_page_labels(struct sm_page *p)
{
    put_labels(p, "classes", "By class", sm_prose_classes);
    put_labels(p, "groups", "By group", sm_prose_groups);
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

/* From the top of the ranking or from its end; of few candidates no one is shown twice. */
static void put_shown(struct sm_page *p, const char *title, bool least)
{
    size_t n = p->result->samples.of[SM_COHORT_CANDIDATE].count;
    size_t half = least ? n / 2 : n - n / 2;
    if (half == 0)
        return;
    sm_put(&p->out, "<h3>%s</h3>\n<div class=\"images\">\n", title);
    for (size_t i = 0; i < SHOWN && i < half; i++)
        put_image(p, p->result->ranked[least ? n - 1 - i : i]);
    sm_put(&p->out, "</div>\n");
}

static void put_levels(struct sm_page *p)
{
    const json_t *fdr = json_object_get(p->summary, "fdr"), *level;
    double shortest = sm_number_at(json_array_get(json_object_get(fdr, "levels"), 1), "at_least");
    size_t i;
    sm_page_table(p, (const char *const[]){"False discovery rate", "#Candidates listed", "#Share",
                                           "#By chance among them", "#With p at most this",
                                           "#Expected by chance", NULL});
    json_array_foreach(json_object_get(fdr, "levels"), i, level)
    {
        const json_t *by_p = json_array_get(json_object_get(fdr, "p_levels"), i);
        sm_page_row(p);
        sm_page_td(p, "");
        sm_put(&p->out, "%g&nbsp;%%%s", 100 * sm_number_at(level, "q"), /* a level, not measured */
               json_is_true(json_object_get(level, "enough"))
                   ? ""
                   : " <span class=\"note\">the reference is too small</span>");
        sm_page_count_cell(p, sm_number_at(level, "count"));
        sm_page_cell(p, sm_number_at(level, "share"), 100, "&nbsp;%");
        sm_page_cell(p, sm_number_at(level, "expected_false"), 1, "");
        sm_page_count_cell(p, sm_number_at(by_p, "count"));
        sm_page_cell(p, sm_number_at(by_p, "expected"), 1, "");
    }
    sm_page_table_end(p);
    sm_put(&p->out, "<p class=\"note\">The reference has %s images: no p-value can be below ",
           SM_COUNT(sm_number_at(fdr, "reference_n")));
    sm_page_p(p, sm_number_at(fdr, "p_smallest"));
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
    sm_put(&p->out, "<p class=\"note\">Numbers behind # are the images' places in this audit; the "
                    "record and the table of images use the same.</p>\n");
    put_shown(p, "Most memorized", false);
    put_shown(p, "Least memorized", true);
}
