/* Reliability and shrinkage of scores with known standard errors.
 *
 * A score is a true value plus noise of the drawn views, whose variance is se^2. The variance of
 * the scores is then that of the true values plus the mean of se^2; the share of the first is the
 * reliability of classical test theory (Lord and Novick 1968, chapter 3), with the noise taken from
 * the views and not from a second measurement. */
#include "sslmem/reliability.h"

#include <math.h>
#include <stdlib.h>

#include "core/stats/resample.h"

struct scored {
    double from_mean, noise; /* m minus the mean of all scores; se^2 */
};

/* Moments of the scores that have a standard error. */
static struct sm_reliability moments(double *mean, const double *m, const double *se, size_t count)
{
    struct sm_reliability out = {0, NAN, NAN, NAN, {NAN, NAN}};
    double first = 0, sum = 0, noise = 0, squares = 0, rest = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(se[i]))
            continue;
        first = out.count++ == 0 ? m[i] : first; /* differences from it: equal scores give 0 */
        sum += m[i] - first;
        noise += se[i] * se[i];
    }
    double n = (double)out.count;
    *mean = out.count > 0 ? first + sum / n : NAN;
    for (size_t i = 0; i < count; i++) {
        double d = isfinite(se[i]) ? m[i] - *mean : 0;
        squares += d * d;
        rest += d;
    }
    if (out.count > 0)
        out.noise = noise / n;
    if (out.count > 1)
        out.variance = (squares - rest * rest / n) / (n - 1);
    return out;
}

static double share_of_images(double noise, double variance)
{
    double share = 1 - noise / variance;
    return isnan(share) ? NAN : fmax(0, fmin(1, share));
}

static double resample(const struct scored *scored, size_t count, uint64_t seed, size_t number)
{
    struct sm_draws draws = sm_draws_of(seed, number, SM_RESAMPLE_IMAGES);
    double n = (double)count, sum = 0, squares = 0, noise = 0;
    size_t index[4];
    for (size_t i = 0; i < count; i += 4) {
        sm_draw_four(index, &draws, count);
        for (size_t j = 0; j < 4 && i + j < count; j++) {
            const struct scored *s = &scored[index[j]];
            sum += s->from_mean;
            squares += s->from_mean * s->from_mean;
            noise += s->noise;
        }
    }
    double variance = (squares - sum * sum / n) / (n - 1);
    return variance > 0 ? share_of_images(noise / n, variance) : 0;
}

static void bootstrap(struct sm_interval *out, double *values, size_t resamples,
                      const struct scored *scored, size_t count, uint64_t seed)
{
    for (size_t i = 0; i < resamples; i++)
        values[i] = resample(scored, count, seed, i);
    sm_sort(values, resamples);
    double low = sm_quantile(values, resamples, 0.025);
    double high = sm_quantile(values, resamples, 0.975);
    if (low < high)
        *out = (struct sm_interval){low, high};
}

enum sm_code sm_reliability_make(struct sm_reliability *out, const double *m, const double *se,
                                 size_t count, size_t resamples, uint64_t seed, struct sm_err *err)
{
    double mean;
    size_t kept = 0;
    *out = moments(&mean, m, se, count);
    if (out->variance > 0 && isfinite(out->variance))
        out->value = share_of_images(out->noise, out->variance);
    if (!isfinite(out->value) || resamples == 0)
        return SM_OK;
    struct scored *scored = calloc(out->count, sizeof *scored);
    double *values = calloc(resamples, sizeof *values);
    enum sm_code code = SM_OK;
    if (scored && values) {
        for (size_t i = 0; i < count; i++)
            if (isfinite(se[i]))
                scored[kept++] = (struct scored){m[i] - mean, se[i] * se[i]};
        bootstrap(&out->interval, values, resamples, scored, kept, seed);
    } else {
        code = sm_err_set(err, SM_NOMEM, "out of memory for %zu bootstrap samples of %zu scores",
                          resamples, out->count);
    }
    free(scored);
    free(values);
    return code;
}

double sm_views_needed(double reliability, double views, double wanted)
{
    double needed = views * (1 / reliability - 1) / (1 / wanted - 1);
    return isfinite(needed) ? ceil(needed - 1e-9) : NAN;
}

void sm_shrinkage_make(struct sm_shrinkage *out, const double *m, const double *se, size_t count)
{
    double mean;
    struct sm_reliability moment = moments(&mean, m, se, count);
    *out = (struct sm_shrinkage){moment.count, NAN, NAN};
    if (!isfinite(moment.variance) || !isfinite(moment.noise))
        return;
    out->mean = mean;
    out->tau2 = fmax(0, moment.variance - moment.noise);
}

double sm_shrunken(const struct sm_shrinkage *shrinkage, double m, double se)
{
    double tau2 = shrinkage->tau2, noise = se * se;
    if (noise == 0 && isfinite(shrinkage->mean))
        return m;
    return shrinkage->mean + tau2 / (tau2 + noise) * (m - shrinkage->mean);
}
