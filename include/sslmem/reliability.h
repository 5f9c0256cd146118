/* Reliability: what part of the spread of scores is a property of the images, and what part is
 * noise of the views that were drawn.
 *
 *     struct sm_reliability r;
 *     sm_reliability_make(&r, m, se, count, 2000, seed, &err);
 *     double views = sm_views_needed(r.value, 10, .8);      // of a recipe with 10 views
 *
 * Scores whose standard error is NaN or infinite are left out of every number here.
 *
 * Owner:   the caller owns all arrays and structs.
 * Threads: no state. Errors: SM_NOMEM. */
#ifndef SSLMEM_RELIABILITY_H
#define SSLMEM_RELIABILITY_H

#include "sslmem/stats.h"

/* Scores m with standard errors se [count]; numbers are NaN where undefined.
 *   noise     mean of se^2
 *   variance  of m, divisor n - 1; NaN for fewer than two scores
 *   value     1 - noise/variance, clipped to [0, 1]: the expected correlation of m under two seeds
 *             of the recipe, if se^2 is an unbiased estimate of the variance over views. NaN
 *             without spread
 *   interval  95 % percentiles of `value` over `resamples` samples of images, drawn from `seed`. A
 *             sample without spread counts as 0. NaN without width: no noise at all, or all
 *             samples clipped at the same end */
struct sm_reliability {
    size_t count; /* scores that have a standard error */
    double noise, variance, value;
    struct sm_interval interval;
};
enum sm_code sm_reliability_make(struct sm_reliability *out, const double *m, const double *se,
                                 size_t count, size_t resamples, uint64_t seed, struct sm_err *err);

/* Returns the number of views that would give the reliability `wanted`, where `views` give
 * `reliability`: views (1/reliability - 1)/(1/wanted - 1), rounded up (Spearman 1910, Brown 1910).
 * NaN if reliability is 0 or undefined: no number of views can be told. 0 if it is 1. */
double sm_views_needed(double reliability, double views, double wanted);

/* What scores are shrunk towards: their mean, by tau2 = max(0, variance - noise), the variance of
 * what the scores would be without noise (empirical Bayes: Efron and Morris 1975). Both are NaN for
 * fewer than two scores. */
struct sm_shrinkage {
    size_t count;
    double mean, tau2;
};
void sm_shrinkage_make(struct sm_shrinkage *out, const double *m, const double *se, size_t count);
/* Returns mean + tau2/(tau2 + se^2) (m - mean); m itself if se is 0. NaN if m has no standard error
 * or the shrinkage is undefined. */
double sm_shrunken(const struct sm_shrinkage *shrinkage, double m, double se);

#endif
