/* How much of the candidates was used to train f: evidence about the set, from 1 - A_f of images.
 *
 * A threshold that is judged by the images that chose it looks better than it is. So a seeded half
 * of the known members (shared images) and of the others chooses the threshold with the largest
 * TPR - FPR, and the other halves are counted. Where the candidates are known to be used, as in an
 * audit of a pair, the share should be 1: then it tests the method. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/audit/draw.h"
#include "core/audit/out.h"
#include "core/audit/result.h"

/* 1 - A_f of a cohort; the first `half` images choose the threshold. */
struct signal {
    double *x;
    size_t half, count;
};

/* Reads the signal in a seeded random order. */
static enum sm_code read_signal(struct signal *out, const struct sm_sample *sample,
                                const struct sm_audit *audit, enum sm_draw purpose,
                                struct sm_err *err)
{
    size_t *order = NULL, n = sample->scored;
    enum sm_code code = sm_draw_order(&order, n, n, audit->spec->seed, purpose, err);
    *out = (struct signal){.x = calloc(n + 1, sizeof *out->x), .half = n / 2, .count = n};
    if (code == SM_OK && !out->x)
        code = sm_err_set(err, SM_NOMEM, "out of memory for the signals of %zu images", n);
    for (size_t i = 0; code == SM_OK && i < n; i++)
        out->x[i] = 1 - audit->items[sample->item[order[i]]].f;
    free(order);
    return code;
}

static enum sm_code choose_threshold(double *out, const struct signal *members,
                                     const struct signal *others, struct sm_err *err)
{
    struct sm_roc roc;
    double best = -1;
    enum sm_code code = sm_roc_make(&roc, members->x, members->half, others->x, others->half, err);
    for (size_t i = 0; code == SM_OK && i < roc.count; i++) {
        double contrast = roc.points[i].tpr - roc.points[i].fpr;
        if (contrast > best) {
            best = contrast;
            *out = roc.points[i].threshold;
        }
    }
    if (code == SM_OK)
        sm_roc_release(&roc);
    return code;
}

static struct sm_share_count count_from(const struct signal *signal, size_t first, double threshold)
{
    struct sm_share_count out = {0, signal->count - first};
    for (size_t i = first; i < signal->count; i++)
        out.positives += signal->x[i] >= threshold;
    return out;
}

static void put_words(struct sm_audit_used *out, enum sm_cohort others)
{
    const struct sm_used_share *of = &out->of;
    if (out->note)
        snprintf(out->words, sizeof out->words,
                 "how much of the candidates was used to train f cannot be said: %s", out->note);
    else
        snprintf(out->words, sizeof out->words,
                 "by 1 - A_f alone, a share of %s of the candidates was used to train f, 95 %% "
                 "interval %s to %s; the threshold calls %s of the shared images, %s of the %s and "
                 "%s of the candidates "
                 "members",
                 SM_THREE(of->share), SM_THREE(of->interval.low), SM_THREE(of->interval.high),
                 SM_THREE(of->tpr), SM_THREE(of->fpr), sm_cohort_plural(others),
                 SM_THREE(of->positive_share));
}

static enum sm_code count(struct sm_audit_used *out, const struct signal *suspects,
                          const struct signal *members, const struct signal *others,
                          const struct sm_audit_spec *spec, struct sm_err *err)
{
    enum sm_code code = choose_threshold(&out->threshold, members, others, err);
    if (code != SM_OK)
        return code;
    const struct sm_share_counts counts = {count_from(suspects, 0, out->threshold),
                                           count_from(members, members->half, out->threshold),
                                           count_from(others, others->half, out->threshold)};
    out->suspects = (int64_t)counts.suspects.count;
    out->members = (int64_t)counts.members.count;
    out->others = (int64_t)counts.others.count;
    code = sm_used_share(&out->of, &counts, (size_t)spec->resamples, spec->seed, err);
    if (code == SM_OK && isfinite(out->of.share) && !isfinite(out->of.interval.low))
        out->note = "the images are too few, or the rates too even, for an interval of the share";
    else if (code == SM_OK && !isfinite(out->of.share))
        out->note = "1 - A_f does not tell shared images from images that f did not see (TPR - FPR "
                    "is below .05)";
    return code;
}

enum sm_code sm_part_used(struct sm_audit_result *result, const struct sm_audit *audit,
                          struct sm_err *err)
{
    const struct sm_sample *of = result->samples.of;
    struct sm_audit_outsider *outsider = &result->summary.outsider;
    struct sm_audit_used *out = &outsider->used;
    const struct sm_sample *suspects = &of[SM_COHORT_CANDIDATE], *members = &of[SM_COHORT_SHARED];
    const struct sm_sample *others = &of[outsider->others];
    struct signal s = {0}, m = {0}, o = {0};
    enum sm_code code = SM_OK;
    out->resamples = audit->spec->resamples;
    if (suspects->scored == 0 || members->scored < 2 || others->scored < 2)
        out->note = "it takes candidates, shared images, which f is known to have seen, and images "
                    "that it did not see";
    else if (outsider->missing[0] && !outsider->alone)
        out->note = "not every score holds the alignment of f";
    else {
        if ((code = read_signal(&s, suspects, audit, SM_DRAW_CONTROL, err)) == SM_OK &&
            (code = read_signal(&m, members, audit, SM_DRAW_SHARE_MEMBERS, err)) == SM_OK &&
            (code = read_signal(&o, others, audit, SM_DRAW_SHARE_OTHERS, err)) == SM_OK)
            code = count(out, &s, &m, &o, audit->spec, err);
        free(s.x);
        free(m.x);
        free(o.x);
    }
    put_words(out, outsider->others);
    return code;
}
