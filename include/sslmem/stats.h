/* Statistics: plain functions of arrays of doubles.
 *
 *     struct sm_ttest t;
 *     sm_ttest_welch(&t, a, a_count, b, b_count);
 *     printf("t = %g, p = %g\n", t.t, t.p_two_sided);
 *
 * Every function is compared with SciPy to 1e-10. NaN where a number is undefined (documented per
 * function). Owner, threads: no state. */
#ifndef SSLMEM_STATS_H
#define SSLMEM_STATS_H

#include <stddef.h>

double sm_mean(const double *x, size_t count);     /* NaN for none */
double sm_variance(const double *x, size_t count); /* divisor n - 1, two passes; NaN below two */

struct sm_ttest {
    double difference; /* mean(a) - mean(b) */
    double t, df;
    double p_two_sided;
    double p_greater; /* alternative: mean(a) > mean(b) */
    double cohen_d;   /* difference over the pooled standard deviation */
};

/* Two-sample t-tests; NaN throughout when either sample has fewer than two values or both are
 * constant. */
void sm_ttest_student(struct sm_ttest *out, const double *a, size_t a_count, const double *b,
                      size_t b_count); /* pooled variance, as the published script */
void sm_ttest_welch(struct sm_ttest *out, const double *a, size_t a_count, const double *b,
                    size_t b_count);

/* Regularised incomplete beta I_x(a, b), a, b > 0, 0 <= x <= 1. */
double sm_beta_inc(double a, double b, double x);

/* Conformal p-value (1 + #{ref >= x})/(n + 1) of x against a sorted reference; 1 for an empty one.
 */
double sm_conformal_p(const double *sorted_ref, size_t count, double x);
/* Share of the sorted reference below x, ties half, in percent; NaN for an empty one. */
double sm_percentile_rank(const double *sorted_ref, size_t count, double x);

/* Jackknife of a statistic of pairwise values: theta = mean of d[i][j], i < j, over K items.
 * d [K, K], the upper triangle is read. se = sqrt((K-1)/K sum_k (theta_(k) - mean theta_(.))^2).
 * NaN below three items for pairs (a deleted pair must remain), below two for anchors. */
void sm_jackknife_pairs(double *theta, double *se, const double *d, size_t k);
/* The same for theta = mean of d[i]. */
void sm_jackknife_mean(double *theta, double *se, const double *d, size_t k);

#endif
