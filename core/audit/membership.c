/* The score as a membership test: candidates, which f was trained on, against images that it was
 * not.
 *
 * The summary keeps at most SM_ROC_POINTS_MAX points of the curve: half of them spread evenly, half
 * evenly in the logarithm of their place, because the corner of few false alarms is what matters
 * for privacy. Every number is computed on the whole curve.
 *
 * Epsilon. A bound needs a threshold that was fixed before the images were counted: a seeded half
 * of both cohorts chooses the threshold with the best bound, the other half is counted. The bound
 * is stated against externals only: g was trained on independents, so the score tells these apart
 * even if f reveals nothing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/audit/draw.h"
#include "core/audit/out.h"
#include "core/audit/result.h"

#define DELTA      1e-5
#define CONFIDENCE .95

static const double rates[SM_FPRS] = {
    [SM_FPR_10] = .1, [SM_FPR_1] = .01, [SM_FPR_01] = .001, [SM_FPR_0] = 0};

/* Thins the curve to SM_ROC_POINTS_MAX points and keeps its ends. A point stays when an evenly or a
 * logarithmically spaced mark falls on its place. */
static void thin(struct sm_roc *roc)
{
    size_t last = roc->count - 1, half = SM_ROC_POINTS_MAX / 2, even = 0, fine = 0, kept = 0;
    if (roc->count <= SM_ROC_POINTS_MAX)
        return;
    for (size_t i = 0; i < roc->count; i++) {
        bool keep = false;
        for (; even < half && even * last / (half - 1) <= i; even++)
            keep = true;
        for (; fine < half && pow((double)last, (double)fine / (double)half) <= (double)i; fine++)
            keep = true;
        if (keep)
            roc->points[kept++] = roc->points[i];
    }
    roc->count = kept;
}

static const char *auc_method(const struct sm_auc *auc)
{
    bool both = isfinite(auc->delong.low);
    return sm_interval_method(auc->interval.low, both ? "delong_or_newcombe" : "newcombe");
}

/* Keeps the curve; thins `roc`. */
static void fill_curve(struct sm_audit_membership *out, struct sm_roc *roc)
{
    sm_roc_thin(roc);
    out->roc_points_total = (int64_t)roc->count;
    thin(roc);
    out->roc_count = roc->count;
    memcpy(out->roc, roc->points, roc->count * sizeof *roc->points);
}

/* Copies the scores in a seeded random order, so the first half is a random half. */
static enum sm_code shuffle(double **out, const struct sm_sample *sample, uint64_t seed,
                            enum sm_draw purpose, struct sm_err *err)
{
    size_t *order = NULL;
    enum sm_code code = sm_draw_order(&order, sample->count, sample->count, seed, purpose, err);
    *out = code == SM_OK ? calloc(sample->count + 1, sizeof **out) : NULL;
    if (code == SM_OK && !*out)
        code = sm_err_set(err, SM_NOMEM, "out of memory for %zu scores", sample->count);
    for (size_t i = 0; code == SM_OK && i < sample->count; i++)
        (*out)[i] = sample->m[order[i]];
    free(order);
    return code;
}

/* Chooses the threshold of the curve with the best bound; +infinity if none gives a bound. */
static enum sm_code choose_threshold(double *out, const double *members, size_t members_count,
                                     const double *others, size_t others_count, struct sm_err *err)
{
    struct sm_roc roc;
    double best = 0;
    *out = INFINITY;
    enum sm_code code = sm_roc_make(&roc, members, members_count, others, others_count, err);
    if (code != SM_OK)
        return code;
    thin(&roc);
    for (size_t i = 0; i < roc.count; i++) {
        double epsilon =
            sm_epsilon_lower(roc.points[i].true_positives, members_count,
                             roc.points[i].false_positives, others_count, DELTA, CONFIDENCE);
        if (epsilon > best) {
            best = epsilon;
            *out = roc.points[i].threshold;
        }
    }
    sm_roc_release(&roc);
    return SM_OK;
}

static size_t count_from(const double *x, size_t count, double threshold)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += x[i] >= threshold;
    return n;
}

static const char *const epsilon_note =
    "Holds where each candidate was put into the training of f by an independent fair chance, the "
    "externals being those left out. The threshold was chosen on a half of both cohorts that the "
    "seed draws, and counted on the other half. Images of one training are taken as independent "
    "trials.";

static enum sm_code bound_epsilon(struct sm_audit_epsilon *out, const struct sm_sample *a,
                                  const struct sm_sample *b, uint64_t seed, struct sm_err *err)
{
    double *members = NULL, *others = NULL;
    size_t a_half = a->count / 2, b_half = b->count / 2;
    size_t n_a = a->count - a_half, n_b = b->count - b_half;
    enum sm_code code = shuffle(&members, a, seed, SM_DRAW_HALF_MEMBERS, err);
    if (code == SM_OK)
        code = shuffle(&others, b, seed, SM_DRAW_HALF_OTHERS, err);
    if (code == SM_OK)
        code = choose_threshold(&out->threshold, members, a_half, others, b_half, err);
    if (code == SM_OK) {
        size_t tp = count_from(members + a_half, n_a, out->threshold);
        size_t fp = count_from(others + b_half, n_b, out->threshold);
        out->lower = sm_epsilon_lower(tp, n_a, fp, n_b, DELTA, CONFIDENCE);
        out->delta = DELTA;
        out->confidence = CONFIDENCE;
        out->true_positives = (int64_t)tp;
        out->members_counted = (int64_t)n_a;
        out->false_positives = (int64_t)fp;
        out->others_counted = (int64_t)n_b;
        out->note = epsilon_note;
    }
    free(members);
    free(others);
    return code;
}

static void put_words(char out[SM_WORDS_BYTES], enum sm_cohort others, const struct sm_auc *auc)
{
    if (!isfinite(auc->auc))
        snprintf(out, SM_WORDS_BYTES, "candidates and %s cannot be told apart: one side is empty",
                 sm_cohort_plural(others));
    else
        snprintf(
            out, SM_WORDS_BYTES,
            "a candidate drawn at random scores higher than one of the %s drawn at random with "
            "probability %s, 95 %% interval %s to %s; 0.5 is guessing%s",
            sm_cohort_plural(others), SM_THREE(auc->auc), SM_THREE(auc->interval.low),
            SM_THREE(auc->interval.high),
            auc->enough ? "" : "; one image can move this by more than 0.1");
}

enum sm_code sm_membership_test(struct sm_audit_membership *out,
                                const struct sm_membership_values *v, int32_t resamples,
                                uint64_t seed, struct sm_err *err)
{
    struct sm_roc roc;
    bool defined = v->members_count > 0 && v->others_count > 0;
    enum sm_code code =
        sm_roc_make(&roc, v->members, v->members_count, v->others, v->others_count, err);
    if (code != SM_OK)
        return code;
    for (int i = 0; i < SM_FPRS; i++) {
        struct sm_tpr *tpr = &out->tpr_at_fpr[i];
        sm_tpr_at(tpr, &roc, rates[i], v->members_count, v->others_count);
        tpr->enough = tpr->enough && defined;
    }
    out->has_roc = defined;
    if (defined) {
        out->advantage = sm_roc_advantage(&roc);
        fill_curve(out, &roc);
    }
    sm_roc_release(&roc);
    code = sm_auc_make(&out->auc, v->members, v->members_count, v->others, v->others_count,
                       (size_t)resamples, seed, err);
    out->members = SM_COHORT_CANDIDATE;
    out->n_members = (int64_t)v->members_count;
    out->n_others = (int64_t)v->others_count;
    out->auc_method = auc_method(&out->auc);
    out->resamples = resamples;
    return code;
}

static enum sm_code fill_test(struct sm_audit_membership *out, const struct sm_sample *a,
                              const struct sm_sample *b, const struct sm_audit_spec *spec,
                              struct sm_err *err)
{
    const struct sm_membership_values values = {a->m, b->m, a->count, b->count};
    enum sm_code code = sm_membership_test(out, &values, spec->resamples, spec->seed, err);
    put_words(out->words, out->others, &out->auc);
    out->has_epsilon = spec->inserted_at_random && out->others == SM_COHORT_EXTERNAL &&
                       a->count > 1 && b->count > 1;
    if (code == SM_OK && out->has_epsilon)
        code = bound_epsilon(&out->epsilon, a, b, spec->seed, err);
    return code;
}

enum sm_code sm_part_membership(struct sm_audit_result *result, const struct sm_audit *audit,
                                struct sm_err *err)
{
    static const struct {
        const char *key;
        enum sm_cohort others;
    } tests[SM_AGAINST] = {
        [SM_AGAINST_EXTERNAL] = {"candidate_external", SM_COHORT_EXTERNAL},
        [SM_AGAINST_INDEPENDENT] = {"candidate_independent", SM_COHORT_INDEPENDENT},
    };
    const struct sm_sample *candidates = &result->samples.of[SM_COHORT_CANDIDATE];
    enum sm_code code = SM_OK;
    for (int i = 0; code == SM_OK && i < SM_AGAINST; i++) {
        struct sm_audit_membership *test = &result->summary.membership[i];
        const struct sm_sample *others = &result->samples.of[tests[i].others];
        test->key = tests[i].key;
        test->others = tests[i].others;
        test->is_reference = tests[i].others == audit->spec->reference;
        code = fill_test(test, candidates, others, audit->spec, err);
    }
    return code;
}
