/* What describes one cohort: moments, quantiles, histogram on the edges that all cohorts share, the
 * paper's normalised mean, and the test of its mean against 0. */
#include <math.h>
#include <stdio.h>

#include "core/audit/out.h"
#include "core/audit/result.h"
#include "core/base/json.h"
#include "sslmem/stats.h"

#define BINS 40

static const double quantiles[] = {0, .01, .05, .25, .5, .75, .95, .99, 1};
#define QUANTILES_COUNT (sizeof quantiles / sizeof *quantiles)

static bool has_range(const struct sm_samples *samples)
{
    return samples->max > samples->min;
}

json_t *sm_histogram_json(const struct sm_samples *samples)
{
    if (!has_range(samples))
        return json_null();
    return json_pack("{s:f, s:f, s:i}", "low", samples->min, "high", samples->max, "bins", BINS);
}

static json_t *counts_json(const struct sm_samples *samples, const struct sm_sample *sample)
{
    int64_t bins[BINS];
    if (!has_range(samples))
        return json_null();
    sm_histogram(bins, BINS, samples->min, samples->max, sample->m, sample->count);
    json_t *out = json_array();
    for (int i = 0; i < BINS; i++)
        json_array_append_new(out, json_integer(bins[i]));
    return out;
}

static json_t *quantiles_json(const struct sm_sample *sample)
{
    json_t *out = json_array();
    for (size_t i = 0; i < QUANTILES_COUNT; i++) {
        double value = sm_quantile(sample->sorted, sample->count, quantiles[i]);
        json_array_append_new(
            out, json_pack("{s:f, s:o}", "q", quantiles[i], "value", sm_json_number(value)));
    }
    return out;
}

static void zero_words(char *out, size_t out_size, enum sm_cohort cohort, const struct sm_ttest *t)
{
    char p[SM_WORD_BYTES];
    if (!isfinite(t->p_two_sided))
        snprintf(out, out_size, "the mean of %s cannot be tested against 0",
                 sm_cohort_plural(cohort));
    else
        snprintf(out, out_size, "the mean of %s is %s, 95 %% interval %s to %s; against 0 %s",
                 sm_cohort_plural(cohort), SM_THREE(t->difference), SM_THREE(t->low),
                 SM_THREE(t->high), sm_p_words(p, t->p_two_sided));
}

static json_t *against_zero_json(const struct sm_sample *sample, enum sm_cohort cohort)
{
    struct sm_ttest t;
    char words[200];
    sm_ttest_one(&t, sample->m, sample->count);
    zero_words(words, sizeof words, cohort, &t);
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s?, s:s}", "t", sm_json_number(t.t),
                     "df", sm_json_number(t.df), "p_two_sided", sm_json_number(t.p_two_sided),
                     "p_greater", sm_json_number(t.p_greater), "cohen_d", sm_json_number(t.cohen_d),
                     "low", sm_json_number(t.low), "high", sm_json_number(t.high),
                     "interval_method", sm_interval_method(t.low, "student"), "words", words);
}

static json_t *cohort_json(const struct sm_samples *samples, enum sm_cohort cohort)
{
    const struct sm_sample *sample = &samples->of[cohort];
    double mean = sm_mean(sample->m, sample->count);
    double sd = sqrt(sm_variance(sample->m, sample->count));
    return json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "n",
                     (json_int_t)sample->count, "failed", (json_int_t)sample->failed, "mean",
                     sm_json_number(mean), "sd", sm_json_number(sd), "se",
                     sm_json_number(sd / sqrt((double)sample->count)), "normalized_mean",
                     sm_json_number(mean / sm_divisor(samples)), "quantiles",
                     quantiles_json(sample), "histogram", counts_json(samples, sample),
                     "against_zero", against_zero_json(sample, cohort));
}

json_t *sm_cohorts_json(const struct sm_samples *samples)
{
    json_t *out = json_object();
    for (int c = 0; c < SM_COHORTS; c++)
        if (json_object_set_new(out, sm_cohort_name((enum sm_cohort)c),
                                cohort_json(samples, (enum sm_cohort)c)) != 0) {
            json_decref(out);
            return NULL;
        }
    return out;
}
