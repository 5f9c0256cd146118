/* The section of the report about the noise of the scores. */
#include "core/audit/page.h"
#include "core/audit/prose.h"

void sm_page_reliability(struct sm_page *p)
{
    const struct sm_audit_reliability *all = &p->summary->reliability;
    sm_put(&p->out, "%s", sm_prose_reliability);
    sm_page_table(p, (const char *const[]){"Cohort", "#Noise, part of the variance", "#Reliability",
                                           "#95&nbsp;% interval", "#Views for .8", "#Views for .9",
                                           NULL});
    for (int c = 0; c < SM_COHORTS; c++) {
        const struct sm_audit_reliability_row *row = &all->cohorts[c];
        if (p->summary->cohorts[c].n == 0)
            continue;
        sm_page_row(p);
        sm_page_td(p, "");
        sm_page_cohort(p, (enum sm_cohort)c);
        sm_page_cell(p, 1 - row->of.value, 100, "&nbsp;%");
        sm_page_cell(p, row->of.value, 1, "");
        sm_page_interval_cell(p, row->of.interval.low, row->of.interval.high, 1, "");
        for (int i = 0; i < SM_RELIABLES; i++)
            sm_page_count_cell(p, row->needed[i].views);
    }
    sm_page_table_end(p);
    if (all->note) {
        sm_put(&p->out, "<p class=\"note\">");
        sm_page_sentence(p, all->note);
        sm_put(&p->out, "</p>\n");
    }
}
