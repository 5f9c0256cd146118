/* The section about someone with f alone, beside what both encoders show. */
#include <string.h>

#include "core/audit/page.h"
#include "core/audit/prose.h"

/* Returns the name of a signal for readers. */
static const char *title_of(const char *key)
{
    static const struct {
        const char *key, *title;
    } titles[] = {
        {"alignment", "f alone: 1 − A<sub>f</sub>"},
        {"norm_1", "f alone: 1-norm of its output"},
        {"norm_2", "f alone: 2-norm"},
        {"norm_max", "f alone: max-norm"},
    };
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++)
        if (strcmp(titles[i].key, key) == 0)
            return titles[i].title;
    return key;
}

static void put_row(struct sm_page *p, const char *who, const struct sm_audit_membership *test)
{
    sm_page_row(p);
    sm_page_td(p, "");
    sm_put(&p->out, "<span>%s</span>", who);
    sm_page_cell(p, test->auc.auc, 1, "");
    sm_page_interval_cell(p, test->auc.interval.low, test->auc.interval.high, 1, "");
    for (int i = 0; i < SM_FPRS; i++)
        sm_page_cell(p, test->tpr_at_fpr[i].tpr, 100, "&nbsp;%");
}

static void put_table(struct sm_page *p, const struct sm_audit_outsider *outsider)
{
    sm_page_table(p, (const char *const[]){"Who", "#AUC", "#95&nbsp;% interval",
                                           "#Found at 10&nbsp;% false alarms", "#At 1&nbsp;%",
                                           "#At 0.1&nbsp;%", "#Without one", NULL});
    for (int i = 0; i < SM_AGAINST; i++)
        if (!outsider->alone && p->summary->membership[i].others == outsider->others)
            put_row(p, "both encoders: m", &p->summary->membership[i]);
    for (size_t i = 0; i < outsider->count; i++)
        put_row(p, title_of(outsider->signals[i].key), &outsider->signals[i]);
    sm_page_table_end(p);
}

static void put_sentences(struct sm_page *p, const struct sm_audit_outsider *outsider)
{
    sm_put(&p->out, "<ul>\n");
    for (size_t i = 0; i < outsider->count; i++) {
        sm_put(&p->out, "<li>");
        sm_page_sentence(p, outsider->signals[i].words);
        sm_put(&p->out, "</li>\n");
    }
    sm_put(&p->out, "</ul>\n");
}

void sm_page_outsider(struct sm_page *p)
{
    const struct sm_audit_outsider *outsider = &p->summary->outsider;
    sm_page_heading(p, "outsider", "What someone with f alone could learn");
    sm_put(&p->out, "%s", outsider->alone ? sm_prose_outsider_alone : sm_prose_outsider);
    if (outsider->alone) {
        sm_put(&p->out, "<figure class=\"side\">\n");
        sm_chart_roc(&p->out, p->summary, false);
        sm_chart_roc(&p->out, p->summary, true);
        sm_put(&p->out, "</figure>\n");
    }
    if (outsider->count > 0 && !outsider->alone) /* sm_page_alone_short has them */
        put_sentences(p, outsider);
    if (outsider->count > 0)
        put_table(p, outsider);
    if (outsider->alone || !outsider->used.note) {
        sm_put(&p->out, "<p>");
        sm_page_sentence(p, outsider->used.words);
        sm_put(&p->out, "</p>\n");
    }
    if (outsider->missing[0]) {
        sm_put(&p->out, "<p class=\"note\">");
        sm_page_sentence(p, outsider->missing);
        sm_put(&p->out, "</p>\n");
    }
}

/* --- the page of a pair without g --- */

void sm_page_alone_short(struct sm_page *p)
{
    sm_put(&p->out, "%s", sm_prose_alone);
    put_sentences(p, &p->summary->outsider);
}

void sm_page_alone_measured(struct sm_page *p)
{
    static const struct {
        enum sm_cohort cohort;
        const char *seen;
    } rows[SM_COHORTS] = {{SM_COHORT_CANDIDATE, "supposed: what is asked"},
                          {SM_COHORT_EXTERNAL, "no"},
                          {SM_COHORT_SHARED, "yes"},
                          {SM_COHORT_INDEPENDENT, "no"}};
    sm_page_heading(p, "measured", "What was measured, and on what");
    sm_put(&p->out, "%s", sm_prose_method_alone);
    sm_page_table(p, (const char *const[]){"Cohort", "Seen by f", "#Measured", "#Failed", NULL});
    for (int i = 0; i < SM_COHORTS; i++) {
        const struct sm_audit_cohort *c = &p->summary->cohorts[rows[i].cohort];
        sm_page_row(p);
        sm_page_td(p, "");
        sm_page_cohort(p, rows[i].cohort);
        sm_page_td(p, "");
        sm_put(&p->out, "%s", rows[i].seen);
        sm_page_count_cell(p, (double)c->n);
        sm_page_count_cell(p, (double)c->failed);
    }
    sm_page_table_end(p);
}
