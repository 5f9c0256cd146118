/* The section of the report that comes before the results: are the cohorts alike but for
 * membership? */
#include <math.h>

#include "core/audit/controls.h"
#include "core/audit/page.h"

static const char prose_alone[] =
    "<p>A signal of f tells members from others only if the cohorts are alike in all else. These "
    "checks can refute that, not prove it.</p>\n";
static const char prose[] =
    "<p>A difference shows memorization only between cohorts that are alike in all else. These "
    "checks can refute that, not prove it.</p>\n";

static void put_check(struct sm_page *p, bool bad, const struct sm_auc *auc, const char *words)
{
    const char *pen = bad ? "failed" : "held", *sign = bad ? "✗" : "✓";
    bool measured = !auc || isfinite(auc->auc);
    bool open = !bad && measured && auc && sm_auc_is_open(auc);
    sm_put(&p->out, "<li><span class=\"%s\">%s</span> ", measured && !open ? pen : "unjudged",
           open       ? "?"
           : measured ? sign
                      : "–");
    sm_put(&p->out, bad ? "<strong>" : "");
    sm_page_sentence(p, words);
    sm_put(&p->out, bad ? "</strong>" : "");
    sm_put(&p->out, "</li>\n");
}

static void put_pixels(struct sm_page *p, const struct sm_audit_controls *c)
{
    for (int i = 0; i < SM_BLINDS; i++)
        put_check(p, c->blind[i].separates, &c->blind[i].auc, c->blind[i].words);
    if (c->has_duplicates)
        put_check(p, c->duplicates.share > SM_DUPLICATES_SHARE, NULL, c->duplicates.words);
}

void sm_page_controls(struct sm_page *p)
{
    const struct sm_audit_controls *c = &p->summary->controls;
    sm_page_heading(p, "controls", "Are the cohorts alike but for membership?");
    sm_put(&p->out, "%s", p->summary->outsider.alone ? prose_alone : prose);
    if (c->note)
        sm_put(&p->out, "<p><strong>%s</strong></p>\n", c->note);
    if (!c->on)
        return;
    sm_put(&p->out, "<ul class=\"flags\">\n");
    for (int i = 0; i < SM_CONTROLS; i++)
        put_check(p, c->control[i].differs, &c->control[i].auc, c->control[i].words);
    if (c->has_pixels)
        put_pixels(p, c);
    sm_put(&p->out, "</ul>\n");
}
