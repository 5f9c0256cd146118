/* The receiver operating characteristic (ROC) of a score. It starts at threshold +infinity and has
 * one point for each distinct value, from the highest down. A point counts all scores at or above
 * its value. */
#include <math.h>
#include <stdlib.h>

#include "core/stats/pooled.h"
#include "sslmem/stats.h"

static struct sm_roc_point point_at(double threshold, size_t false_positives, size_t true_positives,
                                    const struct sm_pooled *pooled)
{
    return (struct sm_roc_point){
        .threshold = threshold,
        .false_positives = false_positives,
        .true_positives = true_positives,
        /* an empty side gives 0/0, the documented NaN */
        .fpr = (double)false_positives / (double)pooled->b_count,
        .tpr = (double)true_positives / (double)pooled->a_count,
    };
}

enum sm_code sm_roc_make(struct sm_roc *out, const double *members, size_t members_count,
                         const double *others, size_t others_count, struct sm_err *err)
{
    struct sm_pooled pooled;
    *out = (struct sm_roc){0};
    enum sm_code code = sm_pool(&pooled, members, members_count, others, others_count, err);
    if (code != SM_OK)
        return code;
    out->points = calloc(pooled.count + 1, sizeof *out->points);
    if (out->points) {
        size_t fp = 0, tp = 0;
        out->points[out->count++] = point_at(INFINITY, fp, tp, &pooled);
        for (size_t i = pooled.count; i-- > 0;) {
            fp += pooled.groups[i].b;
            tp += pooled.groups[i].a;
            out->points[out->count++] = point_at(pooled.groups[i].value, fp, tp, &pooled);
        }
    } else {
        code = sm_err_set(err, SM_NOMEM, "out of memory for a curve of %zu points", pooled.count);
    }
    sm_pooled_release(&pooled);
    return code;
}

void sm_roc_release(struct sm_roc *roc)
{
    free(roc->points);
    *roc = (struct sm_roc){0};
}

/* Returns true if the step to the point equals the step from it, so that it lies halfway. */
static bool midway(const struct sm_roc_point *p)
{
    return p[0].false_positives - p[-1].false_positives ==
               p[1].false_positives - p[0].false_positives &&
           p[0].true_positives - p[-1].true_positives == p[1].true_positives - p[0].true_positives;
}

void sm_roc_thin(struct sm_roc *roc)
{
    if (roc->count < 4)
        return;
    struct sm_roc_point *points = roc->points;
    /* Kept points overwrite the start of the array, so the window holds copies of the last
     * points. */
    struct sm_roc_point window[3] = {points[1], points[2]};
    size_t kept = 2; /* always kept: the points at infinity and at the highest value */
    for (size_t i = 3; i < roc->count; i++) {
        window[2] = points[i];
        if (!midway(&window[1]))
            points[kept++] = window[1];
        window[0] = window[1];
        window[1] = window[2];
    }
    points[kept++] = window[1];
    roc->count = kept;
}

void sm_tpr_at(struct sm_tpr *out, const struct sm_roc *roc, double fpr, size_t members_count,
               size_t others_count)
{
    const struct sm_roc_point *best = NULL;
    *out = (struct sm_tpr){.fpr = fpr, .tpr = NAN, .threshold = NAN, .interval = {NAN, NAN}};
    out->enough = fpr == 0 || 1 / (double)others_count <= fpr;
    for (size_t i = 0; i < roc->count && roc->points[i].fpr <= fpr; i++)
        if (!best || roc->points[i].tpr > best->tpr)
            best = &roc->points[i];
    if (!best || members_count == 0)
        return;
    out->tpr = best->tpr;
    out->threshold = best->threshold;
    out->interval = sm_clopper_pearson(best->true_positives, members_count, 0.95);
}

double sm_roc_advantage(const struct sm_roc *roc)
{
    double advantage = NAN;
    for (size_t i = 0; i < roc->count; i++)
        /* fmax ignores a NaN, also the first one */
        advantage = fmax(advantage, roc->points[i].tpr - roc->points[i].fpr);
    return advantage;
}
