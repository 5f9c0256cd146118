/* Statistics: plain functions of arrays of doubles, O(n log n) at most, for up to 2^31 values.
 *
 *     struct sm_ttest t;
 *     sm_ttest_welch(&t, a, a_count, b, b_count);
 *     printf("t = %g, p = %g\n", t.t, t.p_two_sided);
 *
 * Every function is compared with SciPy or scikit-learn to 1e-10. NaN where a number is undefined
 * (documented per function); NaN among the inputs is the caller's mistake. Errors: SM_NOMEM alone.
 * Owner, threads: no state. */
#ifndef SSLMEM_STATS_H
#define SSLMEM_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

double sm_mean(const double *x, size_t count);     /* NaN for none */
double sm_variance(const double *x, size_t count); /* divisor n - 1, two passes; NaN below two */

struct sm_ttest {
    double difference; /* mean(a) - mean(b) */
    double t, df;
    double p_two_sided;
    double p_greater; /* alternative: mean(a) > mean(b) */
    double cohen_d;   /* difference over the pooled standard deviation */
    double hedges_g;  /* cohen_d without its small-sample bias, gamma form; NaN for two values */
    double low, high; /* 95 % confidence interval of the difference */
};

/* Two-sample t-tests; NaN throughout when either sample has fewer than two values or is constant: a
 * variance estimated as 0 claims to know that mean exactly. */
void sm_ttest_student(struct sm_ttest *out, const double *a, size_t a_count, const double *b,
                      size_t b_count); /* pooled variance, as the published script */
void sm_ttest_welch(struct sm_ttest *out, const double *a, size_t a_count, const double *b,
                    size_t b_count);
/* Mean of x against 0; cohen_d is mean over standard deviation. NaN below two values or for
 * constant ones. A paired test is this one on differences. */
void sm_ttest_one(struct sm_ttest *out, const double *x, size_t count);

/* Mann-Whitney U of a against b: U of a (ties half). p is exact where no two values are equal and
 * either side has at most SM_MWU_EXACT_MAX, else by the normal approximation with tie and
 * continuity correction (SciPy's method="auto"). NaN when a side is empty. */
#define SM_MWU_EXACT_MAX 8
struct sm_mwu {
    double u;
    double p_two_sided, p_greater;
};
enum sm_code sm_mann_whitney(struct sm_mwu *out, const double *a, size_t a_count, const double *b,
                             size_t b_count, struct sm_err *err);

/* Ascending, in place: what quantiles, ranks and conformal p-values want. */
void sm_sort(double *x, size_t count);
/* Quantile of a sorted sample, type 7 (NumPy's "linear"); NaN for none and for q outside [0, 1]. */
double sm_quantile(const double *sorted, size_t count, double q);
/* Counts of `x` in `bins_count` equal bins over [low, high], the last one closed; outside: ignored.
 * Edges as NumPy's. Where low is high, only the last bin has room. */
void sm_histogram(int64_t *bins, size_t bins_count, double low, double high, const double *x,
                  size_t count);

/* --- a score as a membership test: members against non-members, higher means member --- */

/* One threshold: score >= threshold says "member". The first point has threshold +infinity, then
 * comes every distinct score from the highest (scikit-learn's roc_curve(drop_intermediate=False)).
 * The rate over an empty side is NaN. */
struct sm_roc_point {
    double threshold;
    size_t false_positives, true_positives;
    double fpr, tpr;
};
struct sm_roc {
    struct sm_roc_point *points;
    size_t count;
};
enum sm_code sm_roc_make(struct sm_roc *out, const double *members, size_t members_count,
                         const double *others, size_t others_count, struct sm_err *err);
void sm_roc_release(struct sm_roc *roc);
/* Leaves out points halfway between their neighbours, as drop_intermediate=True: the same line with
 * far fewer points, for drawing. sm_tpr_at needs them all. */
void sm_roc_thin(struct sm_roc *roc);

struct sm_interval {
    double low, high;
};
/* AUC (ties half) and its 95 % intervals; all NaN where a side is empty.
 *   delong     Wald interval from the variance of the placements (DeLong et al. 1988; fast form of
 *              Sun and Xu 2014), clipped to [0, 1], with its se and the p-value against 1/2
 *   bootstrap  percentiles of `resamples` stratified samples drawn from `seed` (0 resamples: NaN)
 *   newcombe   score interval from the variance that an AUC implies (Newcombe 2006, method 5)
 *   interval   the wider of delong and newcombe at each end; newcombe where delong is NaN
 * DeLong's variance and the bootstrap's are 0 when one side lies wholly above the other or all
 * scores are equal, and unknown where a side has one value: se, delong, bootstrap and p are NaN
 * then (sm_mann_whitney has a p). `enough`: both sides have at least SM_AUC_SIDE_MIN values. One
 * value of n can move the AUC by 1/n: with fewer by more than usual limits are from 1/2. */
#define SM_AUC_SIDE_MIN 10
struct sm_auc {
    double auc, se;
    struct sm_interval interval, delong, newcombe, bootstrap;
    double p_two_sided; /* of (auc - 1/2)/se, normal */
    bool enough;
};
enum sm_code sm_auc_make(struct sm_auc *out, const double *members, size_t members_count,
                         const double *others, size_t others_count, size_t resamples, uint64_t seed,
                         struct sm_err *err);
/* Largest TPR over thresholds whose FPR is at most `fpr`, the highest threshold that has it, and
 * the 95 % Clopper-Pearson interval of that TPR; NaN when a side is empty. `enough` tells whether
 * 1/others_count <= fpr (fpr 0: always). */
struct sm_tpr {
    double fpr; /* as asked for */
    double tpr, threshold;
    struct sm_interval interval;
    bool enough;
};
void sm_tpr_at(struct sm_tpr *out, const struct sm_roc *roc, double fpr, size_t members_count,
               size_t others_count);
/* max(TPR - FPR) over the curve; NaN when a side is empty. */
double sm_roc_advantage(const struct sm_roc *roc);
/* Two-sided Clopper-Pearson interval of `successes` in `count`, 0 < confidence < 1; [0, 1] for
 * count 0. */
struct sm_interval sm_clopper_pearson(size_t successes, size_t count, double confidence);
/* Lower bound, at `confidence`, on the epsilon of (epsilon, delta)-DP under which a membership test
 * could have these counts at one threshold fixed beforehand: ln of (lower bound of TPR - delta)
 * over the upper bound of FPR, one-sided Clopper-Pearson at (1 - confidence)/2 each, and the same
 * for TNR over FNR; never below 0. Holds only where members were inserted at random. (Jagielski et
 * al., NeurIPS 2020.) */
double sm_epsilon_lower(size_t true_positives, size_t members_count, size_t false_positives,
                        size_t others_count, double delta, double confidence);

/* --- agreement of paired values --- */

struct sm_correlation {
    double r;
    double p_two_sided;
};
/* NaN for constant x or y and below two (p: three) pairs. Kendall: tau-b, p by the normal
 * approximation with ties as SciPy's method="asymptotic". Spearman: midranks, p by t. */
void sm_pearson(struct sm_correlation *out, const double *x, const double *y, size_t count);
enum sm_code sm_spearman(struct sm_correlation *out, const double *x, const double *y, size_t count,
                         struct sm_err *err);
enum sm_code sm_kendall(struct sm_correlation *out, const double *x, const double *y, size_t count,
                        struct sm_err *err);
/* Indices of x from highest to lowest; equal values by index. */
enum sm_code sm_order_descending(size_t *order, const double *x, size_t count, struct sm_err *err);

/* Benjamini-Hochberg q-values of `count` p-values (SciPy's false_discovery_control, statsmodels'
 * fdr_bh). `q` may be `p`. */
enum sm_code sm_bh_q(double *q, const double *p, size_t count, struct sm_err *err);

/* Regularised incomplete beta I_x(a, b), a, b > 0, 0 <= x <= 1. */
double sm_beta_inc(double a, double b, double x);

/* Conformal p-value (1 + #{ref >= x})/(n + 1) of x against a sorted reference; 1 for an empty one.
 */
double sm_conformal_p(const double *sorted_ref, size_t count, double x);
/* Share of the sorted reference below x, ties half, in percent; NaN for an empty one. */
double sm_percentile_rank(const double *sorted_ref, size_t count, double x);
/* The same two among the others of the reference, without its member of value `own`: for x measured
 * on that member. */
double sm_conformal_p_without(const double *sorted_ref, size_t count, double own, double x);
double sm_percentile_rank_without(const double *sorted_ref, size_t count, double own, double x);

/* A mean over K items drawn independently, and what its value may be off. NaN where undefined. */
struct sm_jackknife {
    double theta;
    double se;      /* root of the variance estimate without the jackknife's bias */
    double wide_se; /* sqrt((K-1)/K sum_k (theta_(k) - mean theta_(.))^2): for the interval */
    double df;      /* of wide_se: K - 1 */
};
/* theta = mean of d[i][j], i < j: a U-statistic of second order. d [K, K], the upper triangle is
 * read. Undefined but for theta below four items, where the bias cannot be told from the variance;
 * theta below two. */
void sm_jackknife_pairs(struct sm_jackknife *out, const double *d, size_t k);
/* theta = mean of d[i]; both standard errors are that of a mean. Undefined below two items. */
void sm_jackknife_mean(struct sm_jackknife *out, const double *d, size_t k);
/* 95 % interval of a value whose error is a sum of independent parts, each with its standard error
 * and degrees of freedom: Student's t at Satterthwaite's df. NaN when the sum is 0 or NaN. */
struct sm_interval sm_interval_of(double value, const double *se, const double *df, size_t parts);

#endif
