/* Cohorts against each other: the tests of the paper's table, and what they say in a sentence.
 *
 * The order of each pair is the one in which memorization would show: the first scores higher. The
 * sentence rests on Welch's test, which does not assume equal variances; Student's is what the
 * published script computes. */
#include <math.h>
#include <stdio.h>

#include "core/audit/out.h"
#include "core/audit/result.h"
#include "core/base/json.h"
#include "sslmem/stats.h"

#define SIGNIFICANT 0.05
#define SMALL_N     30

static const struct {
    enum sm_cohort a, b;
} pairs[] = {
    {SM_COHORT_CANDIDATE, SM_COHORT_EXTERNAL}, {SM_COHORT_CANDIDATE, SM_COHORT_INDEPENDENT},
    {SM_COHORT_CANDIDATE, SM_COHORT_SHARED},   {SM_COHORT_SHARED, SM_COHORT_EXTERNAL},
    {SM_COHORT_SHARED, SM_COHORT_INDEPENDENT}, {SM_COHORT_EXTERNAL, SM_COHORT_INDEPENDENT},
};

const char *sm_p_words(char out[SM_WORD_BYTES], double p)
{
    if (p < 1e-300)
        snprintf(out, SM_WORD_BYTES, "p < 1e-300");
    else
        snprintf(out, SM_WORD_BYTES, "p = %s", SM_TWO(p));
    return out;
}

static void put_words(char *out, size_t out_size, const char *a, const char *b,
                      const struct sm_ttest *welch, double difference)
{
    char p[SM_WORD_BYTES];
    const char *verdict = difference > 0 ? "score higher than" : "score lower than";
    if (!isfinite(welch->p_two_sided)) {
        snprintf(out, out_size,
                 "%s and %s cannot be compared: one side has too few scores, or all its scores are "
                 "equal",
                 a, b);
        return;
    }
    if (welch->p_two_sided >= SIGNIFICANT)
        verdict = "cannot be told by their mean from";
    snprintf(out, out_size, "%s %s %s; difference %s, 95 %% interval %s to %s; Welch %s", a,
             verdict, b, SM_THREE(difference), SM_THREE(welch->low), SM_THREE(welch->high),
             sm_p_words(p, welch->p_two_sided));
}

static json_t *caution_json(size_t a_count, size_t b_count)
{
    char text[120];
    size_t n = a_count < b_count ? a_count : b_count;
    if (n >= SMALL_N)
        return json_null();
    snprintf(text, sizeof text,
             "the smaller cohort has %zu score%s, below %d: read the interval "
             "before the p-value",
             n, n == 1 ? "" : "s", SMALL_N);
    return json_string(text);
}

static json_t *ttest_json(const struct sm_ttest *t)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "t", sm_json_number(t->t), "df",
                     sm_json_number(t->df), "p_two_sided", sm_json_number(t->p_two_sided),
                     "p_greater", sm_json_number(t->p_greater), "low", sm_json_number(t->low),
                     "high", sm_json_number(t->high));
}

static json_t *mwu_json(const struct sm_mwu *u)
{
    return json_pack("{s:o, s:o, s:o}", "u", sm_json_number(u->u), "p_two_sided",
                     sm_json_number(u->p_two_sided), "p_greater", sm_json_number(u->p_greater));
}

static json_t *comparison_json(const struct sm_samples *samples, enum sm_cohort a_cohort,
                               enum sm_cohort b_cohort, struct sm_err *err)
{
    const struct sm_sample *a = &samples->of[a_cohort], *b = &samples->of[b_cohort];
    struct sm_ttest student, welch;
    struct sm_mwu mwu;
    char words[300];
    double difference = sm_mean(a->m, a->count) - sm_mean(b->m, b->count);
    sm_ttest_student(&student, a->m, a->count, b->m, b->count);
    sm_ttest_welch(&welch, a->m, a->count, b->m, b->count);
    if (sm_mann_whitney(&mwu, a->m, a->count, b->m, b->count, err) != SM_OK)
        return NULL;
    put_words(words, sizeof words, sm_cohort_plural(a_cohort), sm_cohort_plural(b_cohort), &welch,
              difference);
    return json_pack("{s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:s?, s:o, s:o, s:o, s:o, s:o, s:s, s:o}",
                     "a", sm_cohort_name(a_cohort), "b", sm_cohort_name(b_cohort), "n_a",
                     (json_int_t)a->count, "n_b", (json_int_t)b->count, "difference",
                     sm_json_number(difference), "low", sm_json_number(welch.low), "high",
                     sm_json_number(welch.high), "interval_method",
                     sm_interval_method(welch.low, "welch"), "cohen_d",
                     sm_json_number(student.cohen_d), "hedges_g", sm_json_number(student.hedges_g),
                     "student", ttest_json(&student), "welch", ttest_json(&welch), "mann_whitney",
                     mwu_json(&mwu), "words", words, "caution", caution_json(a->count, b->count));
}

json_t *sm_comparisons_json(const struct sm_samples *samples, struct sm_err *err)
{
    json_t *out = json_object();
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char key[40];
        snprintf(key, sizeof key, "%s_%s", sm_cohort_name(pairs[i].a), sm_cohort_name(pairs[i].b));
        if (json_object_set_new(out, key, comparison_json(samples, pairs[i].a, pairs[i].b, err)) !=
            0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}
