/* A bootstrap sample of a set of yes and no is a binomial count. So each set needs one table of the
 * binomial distribution, and a sample one uniform number and a search: O(n + resamples log n). */
#include "core/stats/share.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/rng.h"

#define STREAM 0x73686172u /* separates these draws from others of the same seed */

enum { SUSPECTS, MEMBERS, OTHERS, SETS };

/* Returns the logarithm of n over k. */
static double log_choose(double n, double k)
{
    int sign;
    return lgamma_r(n + 1, &sign) - lgamma_r(k + 1, &sign) - lgamma_r(n - k + 1, &sign);
}

/* Fills table[k] with the probability of at most k positives, k from 0 to count. */
static void tabulate(double *table, const struct sm_share_count *set)
{
    double n = (double)set->count, p = (double)set->positives / n, sum = 0;
    for (size_t k = 0; k <= set->count; k++) {
        if (set->positives == 0 || set->positives == set->count)
            sum = k >= set->positives ? 1 : 0;
        else
            sum += exp(log_choose(n, (double)k) + (double)k * log(p) + (n - (double)k) * log1p(-p));
        table[k] = sum;
    }
}

/* Returns the share of positives in bootstrap sample `number` of a set. */
static double resample(const double *table, size_t count, size_t number, int set, uint64_t seed)
{
    uint32_t words[4];
    uint64_t n = number;
    sm_philox(words, (uint32_t[2]){(uint32_t)seed, (uint32_t)(seed >> 32)},
              (uint32_t[4]){(uint32_t)n, (uint32_t)(n >> 32), (uint32_t)set, STREAM});
    double unit = sm_unit(words[0], words[1]);
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table[middle] > unit)
            high = middle;
        else
            low = middle + 1;
    }
    return (double)low / (double)count;
}

static double share_of(const double rates[SETS])
{
    double contrast = rates[MEMBERS] - rates[OTHERS];
    return contrast >= SM_SHARE_CONTRAST_MIN ? (rates[SUSPECTS] - rates[OTHERS]) / contrast : NAN;
}

/* Writes the defined shares of the samples and returns their number. */
static size_t resample_all(double *shares, double *const tables[SETS],
                           const struct sm_share_count *const sets[SETS], size_t resamples,
                           uint64_t seed)
{
    size_t known = 0;
    for (size_t i = 0; i < resamples; i++) {
        double rates[SETS];
        for (int s = 0; s < SETS; s++)
            rates[s] = resample(tables[s], sets[s]->count, i, s, seed);
        shares[known] = share_of(rates);
        known += isfinite(shares[known]);
    }
    return known;
}

static enum sm_code bootstrap(struct sm_interval *out,
                              const struct sm_share_count *const sets[SETS], size_t resamples,
                              uint64_t seed, struct sm_err *err)
{
    double *tables[SETS], *shares = calloc(resamples + 1, sizeof *shares);
    enum sm_code code = shares ? SM_OK : SM_NOMEM;
    for (int s = 0; s < SETS; s++) {
        tables[s] = calloc(sets[s]->count + 1, sizeof **tables);
        code = tables[s] ? code : SM_NOMEM;
    }
    if (code == SM_OK) {
        for (int s = 0; s < SETS; s++)
            tabulate(tables[s], sets[s]);
        size_t known = resample_all(shares, tables, sets, resamples, seed);
        sm_sort(shares, known);
        double low = sm_quantile(shares, known, .025), high = sm_quantile(shares, known, .975);
        if ((resamples - known) * 40 <= resamples && low < high)
            *out = (struct sm_interval){low, high};
    } else {
        sm_err_set(err, code, "out of memory for %zu bootstrap samples of a share", resamples);
    }
    for (int s = 0; s < SETS; s++)
        free(tables[s]);
    free(shares);
    return code;
}

enum sm_code sm_used_share(struct sm_used_share *out, const struct sm_share_counts *counts,
                           size_t resamples, uint64_t seed, struct sm_err *err)
{
    const struct sm_share_count *const sets[SETS] = {&counts->suspects, &counts->members,
                                                     &counts->others};
    double rates[SETS]; /* an empty set gives 0/0, NaN */
    for (int s = 0; s < SETS; s++)
        rates[s] = (double)sets[s]->positives / (double)sets[s]->count;
    *out = (struct sm_used_share){.positive_share = rates[SUSPECTS],
                                  .tpr = rates[MEMBERS],
                                  .fpr = rates[OTHERS],
                                  .share = share_of(rates),
                                  .interval = {NAN, NAN}};
    return isfinite(out->share) ? bootstrap(&out->interval, sets, resamples, seed, err) : SM_OK;
}
