/* The score as a membership test: candidates, which f saw, against images that f did not see.
 *
 * The curve is stored with at most POINTS_MAX points: half of them spread evenly, half evenly in
 * the logarithm of their place, because the part that matters for privacy is the corner of few
 * false alarms. Every number is computed on the whole curve.
 *
 * Epsilon. A bound needs a threshold that was fixed before the images were seen: a seeded half of
 * both cohorts chooses the threshold with the best bound, the other half is counted. It is stated
 * against externals alone. Independents are what g was trained on, so there the score tells them
 * apart without any help of f, and would bound nothing that f gives away. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/audit/draw.h"
#include "core/audit/out.h"
#include "core/audit/result.h"
#include "core/base/json.h"
#include "sslmem/stats.h"

#define POINTS_MAX 512
#define DELTA      1e-5
#define CONFIDENCE .95

static const double rates[] = {.1, .01, .001, 0};

/* Thins to POINTS_MAX, the ends kept. Place i of n is kept when an evenly or a logarithmically
 * spaced mark falls on it. */
static void thin(struct sm_roc *roc)
{
    size_t last = roc->count - 1, half = POINTS_MAX / 2, even = 0, fine = 0, kept = 0;
    if (roc->count <= POINTS_MAX)
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

static json_t *interval_json(struct sm_interval interval)
{
    return json_pack("[o, o]", sm_json_number(interval.low), sm_json_number(interval.high));
}

static const char *auc_method(const struct sm_auc *auc)
{
    bool both = isfinite(auc->delong.low);
    return sm_interval_method(auc->interval.low, both ? "delong_or_newcombe" : "newcombe");
}

static json_t *auc_json(const struct sm_auc *auc, const struct sm_audit_spec *spec)
{
    return json_pack(
        "{s:o, s:o, s:o, s:s?, s:b, s:o, s:o, s:o, s:i, s:o}", "value", sm_json_number(auc->auc),
        "se", sm_json_number(auc->se), "interval", interval_json(auc->interval), "interval_method",
        auc_method(auc), "enough", (int)auc->enough, "delong", interval_json(auc->delong),
        "newcombe", interval_json(auc->newcombe), "bootstrap", interval_json(auc->bootstrap),
        "resamples", (int)spec->resamples, "p_two_sided", sm_json_number(auc->p_two_sided));
}

static json_t *rates_json(const struct sm_roc *roc, size_t members, size_t others)
{
    json_t *out = json_array();
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        struct sm_tpr tpr;
        sm_tpr_at(&tpr, roc, rates[i], members, others);
        json_array_append_new(
            out, json_pack("{s:f, s:o, s:o, s:o, s:s?, s:b}", "fpr", tpr.fpr, "tpr",
                           sm_json_number(tpr.tpr), "threshold", sm_json_number(tpr.threshold),
                           "interval", interval_json(tpr.interval), "interval_method",
                           sm_interval_method(tpr.interval.low, "clopper_pearson"), "enough",
                           (int)(tpr.enough && members > 0 && others > 0)));
    }
    return out;
}

/* [[fpr, tpr, threshold] …]; the first threshold is infinite and stands as null. */
static json_t *curve_json(struct sm_roc *roc, bool defined)
{
    if (!defined)
        return json_null();
    size_t total = roc->count;
    json_t *points = json_array();
    thin(roc);
    for (size_t i = 0; i < roc->count; i++)
        json_array_append_new(points, json_pack("[f, f, o]", roc->points[i].fpr, roc->points[i].tpr,
                                                sm_json_number(roc->points[i].threshold)));
    return json_pack("{s:I, s:o}", "points_total", (json_int_t)total, "points", points);
}

/* A seeded half of a sample stands first. */
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

/* The threshold of the curve whose counts give the best bound; +infinity when none gives any. */
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

static json_t *epsilon_json(const struct sm_samples *samples, const struct sm_audit_spec *spec,
                            enum sm_cohort others_cohort, struct sm_err *err)
{
    const struct sm_sample *a = &samples->of[SM_COHORT_CANDIDATE], *b = &samples->of[others_cohort];
    double *members = NULL, *others = NULL, threshold;
    json_t *out = NULL;
    if (!spec->inserted_at_random || others_cohort != SM_COHORT_EXTERNAL || a->count < 2 ||
        b->count < 2)
        return json_null();
    size_t a_half = a->count / 2, b_half = b->count / 2;
    size_t n_a = a->count - a_half, n_b = b->count - b_half;
    if (shuffle(&members, a, spec->seed, SM_DRAW_HALF_MEMBERS, err) == SM_OK &&
        shuffle(&others, b, spec->seed, SM_DRAW_HALF_OTHERS, err) == SM_OK &&
        choose_threshold(&threshold, members, a_half, others, b_half, err) == SM_OK) {
        size_t tp = count_from(members + a_half, n_a, threshold);
        size_t fp = count_from(others + b_half, n_b, threshold);
        out = json_pack("{s:o, s:f, s:f, s:o, s:I, s:I, s:I, s:I, s:s}", "lower",
                        sm_json_number(sm_epsilon_lower(tp, n_a, fp, n_b, DELTA, CONFIDENCE)),
                        "delta", DELTA, "confidence", CONFIDENCE, "threshold",
                        sm_json_number(threshold), "true_positives", (json_int_t)tp,
                        "members_counted", (json_int_t)n_a, "false_positives", (json_int_t)fp,
                        "others_counted", (json_int_t)n_b, "note", epsilon_note);
    }
    free(members);
    free(others);
    return out;
}

static void put_words(char *out, size_t out_size, enum sm_cohort others, const struct sm_auc *auc)
{
    if (!isfinite(auc->auc))
        snprintf(out, out_size, "candidates and %s cannot be told apart: one side is empty",
                 sm_cohort_plural(others));
    else
        snprintf(
            out, out_size,
            "a candidate drawn at random scores higher than one of the %s drawn at random with "
            "probability %s, 95 %% interval %s to %s; 0.5 is guessing%s",
            sm_cohort_plural(others), SM_THREE(auc->auc), SM_THREE(auc->interval.low),
            SM_THREE(auc->interval.high),
            auc->enough ? "" : "; one image can move this by more than 0.1");
}

static json_t *test_json(const struct sm_samples *samples, const struct sm_audit_spec *spec,
                         enum sm_cohort others, struct sm_err *err)
{
    const struct sm_sample *a = &samples->of[SM_COHORT_CANDIDATE], *b = &samples->of[others];
    struct sm_roc roc;
    struct sm_auc auc;
    char words[280];
    json_t *out = NULL;
    bool defined = a->count > 0 && b->count > 0;
    if (sm_roc_make(&roc, a->m, a->count, b->m, b->count, err) != SM_OK)
        return NULL;
    if (sm_auc_make(&auc, a->m, a->count, b->m, b->count, (size_t)spec->resamples, spec->seed,
                    err) == SM_OK) {
        double advantage = sm_roc_advantage(&roc);
        json_t *at = rates_json(&roc, a->count, b->count);
        sm_roc_thin(&roc);
        put_words(words, sizeof words, others, &auc);
        out = json_pack("{s:s, s:s, s:b, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:s}", "members",
                        sm_cohort_name(SM_COHORT_CANDIDATE), "others", sm_cohort_name(others),
                        "is_reference", (int)(others == spec->reference), "n_members",
                        (json_int_t)a->count, "n_others", (json_int_t)b->count, "auc",
                        auc_json(&auc, spec), "tpr_at_fpr", at, "advantage",
                        sm_json_number(defined ? advantage : NAN), "epsilon",
                        epsilon_json(samples, spec, others, err), "roc", curve_json(&roc, defined),
                        "words", words);
    }
    sm_roc_release(&roc);
    return out;
}

json_t *sm_membership_json(const struct sm_samples *samples, const struct sm_audit_spec *spec,
                           struct sm_err *err)
{
    json_t *external = test_json(samples, spec, SM_COHORT_EXTERNAL, err);
    json_t *independent = external ? test_json(samples, spec, SM_COHORT_INDEPENDENT, err) : NULL;
    return json_pack("{s:o, s:o}", "candidate_external", external, "candidate_independent",
                     independent);
}
