/* Contrasts between the cohorts of one audit: the tests of the paper's table, each with a sentence.
 *
 * In each pair memorization makes the first cohort score higher. The sentence rests on Welch's
 * test, which does not assume equal variances; the paper's published script computes Student's. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "core/audit/out.h"
#include "core/audit/result.h"
#include "sslmem/stats.h"

#define SIGNIFICANT 0.05
#define SMALL_N     30

static const struct {
    const char *key;
    enum sm_cohort a, b;
} pairs[SM_CONTRASTS] = {
    [SM_AGAINST_EXTERNAL] = {"candidate_external", SM_COHORT_CANDIDATE, SM_COHORT_EXTERNAL},
    [SM_AGAINST_INDEPENDENT] = {"candidate_independent", SM_COHORT_CANDIDATE,
                                SM_COHORT_INDEPENDENT},
    {"candidate_shared", SM_COHORT_CANDIDATE, SM_COHORT_SHARED},
    {"shared_external", SM_COHORT_SHARED, SM_COHORT_EXTERNAL},
    {"shared_independent", SM_COHORT_SHARED, SM_COHORT_INDEPENDENT},
    {"external_independent", SM_COHORT_EXTERNAL, SM_COHORT_INDEPENDENT},
};

const char *sm_p_words(char out[SM_WORD_BYTES], double p)
{
    if (p < 1e-300)
        snprintf(out, SM_WORD_BYTES, "p < 1e-300");
    else
        snprintf(out, SM_WORD_BYTES, "p = %s", SM_TWO(p));
    return out;
}

static void put_words(char out[SM_WORDS_BYTES], const char *a, const char *b,
                      const struct sm_ttest *welch, double difference)
{
    char p[SM_WORD_BYTES];
    const char *verdict = difference > 0 ? "score higher than" : "score lower than";
    if (!isfinite(welch->p_two_sided)) {
        snprintf(out, SM_WORDS_BYTES,
                 "%s and %s cannot be compared: one side has too few scores, or all its scores are "
                 "equal",
                 a, b);
        return;
    }
    if (welch->p_two_sided >= SIGNIFICANT)
        verdict = "cannot be told by their mean from";
    snprintf(out, SM_WORDS_BYTES, "%s %s %s; difference %s, 95 %% interval %s to %s; Welch %s", a,
             verdict, b, SM_THREE(difference), SM_THREE(welch->low), SM_THREE(welch->high),
             sm_p_words(p, welch->p_two_sided));
}

static void put_caution(struct sm_audit_contrast *out)
{
    int64_t n = out->n_a < out->n_b ? out->n_a : out->n_b;
    if (n < SMALL_N)
        snprintf(out->caution, sizeof out->caution,
                 "the smaller cohort has %" PRId64 " score%s, below %d: read the interval "
                 "before the p-value",
                 n, n == 1 ? "" : "s", SMALL_N);
}

static enum sm_code fill_contrast(struct sm_audit_contrast *out, const struct sm_sample *a,
                                  const struct sm_sample *b, struct sm_err *err)
{
    out->n_a = (int64_t)a->count;
    out->n_b = (int64_t)b->count;
    out->difference = sm_mean(a->m, a->count) - sm_mean(b->m, b->count);
    sm_ttest_student(&out->student, a->m, a->count, b->m, b->count);
    sm_ttest_welch(&out->welch, a->m, a->count, b->m, b->count);
    put_words(out->words, sm_cohort_plural(out->a), sm_cohort_plural(out->b), &out->welch,
              out->difference);
    put_caution(out);
    return sm_mann_whitney(&out->mann_whitney, a->m, a->count, b->m, b->count, err);
}

enum sm_code sm_part_contrasts(struct sm_audit_result *result, const struct sm_audit *audit,
                               struct sm_err *err)
{
    enum sm_code code = SM_OK;
    (void)audit;
    for (size_t i = 0; code == SM_OK && i < SM_CONTRASTS; i++) {
        struct sm_audit_contrast *contrast = &result->summary.contrasts[i];
        contrast->key = pairs[i].key;
        contrast->a = pairs[i].a;
        contrast->b = pairs[i].b;
        code = fill_contrast(contrast, &result->samples.of[pairs[i].a],
                             &result->samples.of[pairs[i].b], err);
    }
    return code;
}
