/* Each cohort on its own: moments, quantiles, a histogram on edges that all cohorts share, the
 * paper's normalised mean, and the test of its mean against 0. */
#include <math.h>
#include <stdio.h>

#include "core/audit/out.h"
#include "core/audit/result.h"
#include "sslmem/stats.h"

static const double quantiles[SM_QS] = {
    [SM_Q_0] = 0,    [SM_Q_1] = .01,  [SM_Q_5] = .05,  [SM_Q_25] = .25, [SM_Q_50] = .5,
    [SM_Q_75] = .75, [SM_Q_95] = .95, [SM_Q_99] = .99, [SM_Q_100] = 1,
};

static void put_zero_words(char out[SM_WORDS_BYTES], enum sm_cohort cohort,
                           const struct sm_ttest *t)
{
    char p[SM_WORD_BYTES];
    if (!isfinite(t->p_two_sided))
        snprintf(out, SM_WORDS_BYTES, "the mean of %s cannot be tested against 0",
                 sm_cohort_plural(cohort));
    else
        snprintf(out, SM_WORDS_BYTES, "the mean of %s is %s, 95 %% interval %s to %s; against 0 %s",
                 sm_cohort_plural(cohort), SM_THREE(t->difference), SM_THREE(t->low),
                 SM_THREE(t->high), sm_p_words(p, t->p_two_sided));
}

static void fill_cohort(struct sm_audit_cohort *out, const struct sm_samples *samples,
                        enum sm_cohort cohort)
{
    const struct sm_sample *sample = &samples->of[cohort];
    out->key = sm_cohort_name(cohort);
    out->n = (int64_t)sample->scored;
    out->failed = (int64_t)sample->failed;
    out->mean = sm_mean(sample->m, sample->count);
    out->sd = sqrt(sm_variance(sample->m, sample->count));
    out->se = out->sd / sqrt((double)sample->count);
    out->normalized_mean = out->mean / sm_divisor(samples);
    for (int i = 0; i < SM_QS; i++) {
        out->quantiles[i].q = quantiles[i];
        out->quantiles[i].value = sm_quantile(sample->sorted, sample->count, quantiles[i]);
    }
    out->has_histogram = samples->max > samples->min;
    if (out->has_histogram)
        sm_histogram(out->histogram, SM_COHORT_BINS, samples->min, samples->max, sample->m,
                     sample->count);
    sm_ttest_one(&out->against_zero, sample->m, sample->count);
    put_zero_words(out->against_zero_words, cohort, &out->against_zero);
}

enum sm_code sm_part_cohorts(struct sm_audit_result *result, const struct sm_audit *audit,
                             struct sm_err *err)
{
    const struct sm_samples *samples = &result->samples;
    struct sm_audit_summary *summary = &result->summary;
    (void)audit;
    (void)err;
    summary->has_edges = samples->max > samples->min;
    if (summary->has_edges)
        summary->edges = (struct sm_audit_edges){samples->min, samples->max, SM_COHORT_BINS};
    for (int c = 0; c < SM_COHORTS; c++)
        fill_cohort(&summary->cohorts[c], samples, (enum sm_cohort)c);
    return SM_OK;
}
