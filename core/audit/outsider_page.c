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
        {"alignment", "f alone: 1 − A<sub>f</sub>, how tightly it holds the views together"},
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
        if (p->summary->membership[i].others == outsider->others)
            put_row(p, "both encoders: m", &p->summary->membership[i]);
    for (size_t i = 0; i < outsider->count; i++)
        put_row(p, title_of(outsider->signals[i].key), &outsider->signals[i]);
    sm_page_table_end(p);
}

void sm_page_outsider(struct sm_page *p)
{
    const struct sm_audit_outsider *outsider = &p->summary->outsider;
    sm_page_heading(p, "outsider", "What someone with f alone could learn");
    sm_put(&p->out, "%s", sm_prose_outsider);
    if (outsider->count > 0) {
        sm_put(&p->out, "<ul>\n");
        for (size_t i = 0; i < outsider->count; i++) {
            sm_put(&p->out, "<li>");
            sm_page_sentence(p, outsider->signals[i].words);
            sm_put(&p->out, "</li>\n");
        }
        sm_put(&p->out, "</ul>\n");
        put_table(p, outsider);
    }
    if (outsider->missing[0]) {
        sm_put(&p->out, "<p class=\"note\">");
        sm_page_sentence(p, outsider->missing);
        sm_put(&p->out, "</p>\n");
    }
}
