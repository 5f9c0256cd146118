/* Statistics: functions of arrays of doubles, at most O(n log n), for up to 2^31 values.
 *
 *     struct sm_ttest t;
 *     sm_ttest_welch(&t, a, a_count, b, b_count);
 *     printf("t = %g, p = %g\n", t.t, t.p_two_sided);
 *
 * Tests compare every function with SciPy or scikit-learn to 1e-10. An undefined number is NaN;
 * each function documents when. The inputs must not contain NaN.
 *
 * Owner:   the caller owns all arrays and structs.
 * Threads: no state. Errors: SM_NOMEM. */
#ifndef SSLMEM_STATS_H
#define SSLMEM_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

double sm_mean(const double *x, size_t count);     /* mean; NaN if count is 0 */
double sm_variance(const double *x, size_t count); /* with divisor n - 1; NaN if count < 2 */

struct sm_ttest {
    double difference; /* mean(a) - mean(b) */
    double t, df;
    double p_two_sided;
    double p_greater; /* one-sided p for the alternative mean(a) > mean(b) */
    double cohen_d;   /* difference divided by the pooled standard deviation */
    double hedges_g;  /* cohen_d without small-sample bias (gamma form); NaN for two values */
    double low, high; /* 95 % confidence interval of the difference */
};

/* Two-sample t-tests: Student's with the pooled variance, as in the published script, and Welch's.
 * All numbers are NaN if a sample has fewer than two values or is constant, because an estimated
 * variance of 0 would treat its mean as known exactly. */
void sm_ttest_student(struct sm_ttest *out, const double *a, size_t a_count, const double *b,
                      size_t b_count);
void sm_ttest_welch(struct sm_ttest *out, const double *a, size_t a_count, const double *b,
                    size_t b_count);
/* Tests the mean of x against 0; cohen_d is the mean divided by the standard deviation. All numbers
 * are NaN for fewer than two values or constant ones. For a paired test, pass the differences. */
void sm_ttest_one(struct sm_ttest *out, const double *x, size_t count);

/* Mann-Whitney test of a against b; `u` is the U of a, ties count half. p is exact if no two values
 * are equal and at least one side has at most SM_MWU_EXACT_MAX values. Otherwise p is the normal
 * approximation with tie and continuity correction (SciPy's method="auto"). All numbers are NaN if
 * a side is empty. */
#define SM_MWU_EXACT_MAX 8
struct sm_mwu {
    double u;
    double p_two_sided, p_greater;
};
enum sm_code sm_mann_whitney(struct sm_mwu *out, const double *a, size_t a_count, const double *b,
                             size_t b_count, struct sm_err *err);

/* Sorts x in place, ascending, as sm_quantile, sm_percentile_rank and sm_conformal_p need it. */
void sm_sort(double *x, size_t count);
/* Returns quantile q of a sorted sample, type 7 (NumPy's "linear"); NaN if empty or q not in [0,
 * 1]. */
double sm_quantile(const double *sorted, size_t count, double q);
/* Counts the values of x in `bins_count` bins of equal width over [low, high] with NumPy's edges;
 * the last bin includes `high`. Ignores other values. If low is high, only the last bin counts. */
void sm_histogram(int64_t *bins, size_t bins_count, double low, double high, const double *x,
                  size_t count);

/* --- membership test: the score separates members from others; a higher score means member --- */

/* One point of an ROC curve: the test says "member" if score >= threshold. The first point has
 * threshold +infinity; then follow all distinct scores from the highest down (scikit-learn's
 * roc_curve(drop_intermediate=False)). The rate of an empty side is NaN. */
struct sm_roc_point {
    double threshold;
    size_t false_positives, true_positives;
    double fpr, tpr;
};
struct sm_roc {
    struct sm_roc_point *points; /* [count], owned; sm_roc_release frees it */
    size_t count;
};
enum sm_code sm_roc_make(struct sm_roc *out, const double *members, size_t members_count,
                         const double *others, size_t others_count, struct sm_err *err);
void sm_roc_release(struct sm_roc *roc);
/* Removes points halfway between their neighbours, as drop_intermediate=True does, to draw the same
 * line with far fewer points. sm_tpr_at needs all points: call it before. */
void sm_roc_thin(struct sm_roc *roc);

struct sm_interval {
    double low, high;
};
/* AUC (ties count half) with 95 % intervals; all numbers are NaN if a side is empty.
 *   delong     Wald interval from the variance of the placements (DeLong et al. 1988; fast form of
 *              Sun and Xu 2014), clipped to [0, 1]; `se` and `p_two_sided` use the same variance
 *   bootstrap  percentiles of `resamples` stratified samples drawn from `seed`; NaN without width,
 *              as of 0 resamples or 1
 *   newcombe   score interval from the variance that an AUC implies (Newcombe 2006, method 5)
 *   interval   at each end the wider of delong and newcombe; newcombe alone if delong is NaN
 * se, delong, bootstrap and p_two_sided are NaN if one side lies wholly above the other or all
 * scores are equal, because their variance is then 0, and if a side has one value, because it is
 * then unknown. sm_mann_whitney has a p-value for these cases. `enough` is true if both sides have
 * at least SM_AUC_SIDE_MIN values: one value of n can move the AUC by 1/n, and for a smaller n that
 * is more than the distance of usual limits from 1/2. */
#define SM_AUC_SIDE_MIN 10
struct sm_auc {
    double auc, se;
    struct sm_interval interval, delong, newcombe, bootstrap;
    double p_two_sided; /* p-value of (auc - 1/2)/se under the normal distribution */
    bool enough;
};
enum sm_code sm_auc_make(struct sm_auc *out, const double *members, size_t members_count,
                         const double *others, size_t others_count, size_t resamples, uint64_t seed,
                         struct sm_err *err);
/* The largest TPR of all thresholds with an FPR of at most `fpr`, the highest threshold with that
 * TPR, and the TPR's 95 % Clopper-Pearson interval; NaN if a side is empty. `enough` is true if
 * 1/others_count <= fpr or fpr is 0. */
struct sm_tpr {
    double fpr; /* the argument `fpr` of sm_tpr_at */
    double tpr, threshold;
    struct sm_interval interval;
    bool enough;
};
void sm_tpr_at(struct sm_tpr *out, const struct sm_roc *roc, double fpr, size_t members_count,
               size_t others_count);
/* Returns max(TPR - FPR) over the curve; NaN if a side is empty. */
double sm_roc_advantage(const struct sm_roc *roc);
/* Returns the two-sided Clopper-Pearson interval of the proportion successes/count,
 * 0 < confidence < 1; [0, 1] if count is 0. */
struct sm_interval sm_clopper_pearson(size_t successes, size_t count, double confidence);
/* Returns a lower bound, at `confidence`, on the epsilon of (epsilon, delta)-differential privacy,
 * given the counts of a membership test at one threshold fixed beforehand (Jagielski et al.,
 * NeurIPS 2020). The bound is the larger of ln((TPR - delta)/FPR) and ln((TNR - delta)/FNR), at
 * least 0. Numerators take the lower and denominators the upper one-sided Clopper-Pearson bound of
 * the rate, each at (1 - confidence)/2. It holds only if members were inserted at random. */
double sm_epsilon_lower(size_t true_positives, size_t members_count, size_t false_positives,
                        size_t others_count, double delta, double confidence);

/* --- correlation and other functions --- */

struct sm_correlation {
    double r;
    double p_two_sided;
};
/* Correlations of pairs (x[i], y[i]). r is NaN if x or y is constant or count < 2, p also if count
 * is 2. Kendall's is tau-b, with p by the normal approximation with ties (SciPy's
 * method="asymptotic"). Spearman's uses midranks; its p and Pearson's use Student's t. */
void sm_pearson(struct sm_correlation *out, const double *x, const double *y, size_t count);
enum sm_code sm_spearman(struct sm_correlation *out, const double *x, const double *y, size_t count,
                         struct sm_err *err);
enum sm_code sm_kendall(struct sm_correlation *out, const double *x, const double *y, size_t count,
                        struct sm_err *err);
/* Writes the indices of x from the highest value to the lowest; equal values by index. */
enum sm_code sm_order_descending(size_t *order, const double *x, size_t count, struct sm_err *err);

/* Computes the Benjamini-Hochberg q-values of `count` p-values (SciPy's false_discovery_control,
 * statsmodels' fdr_bh). `q` and `p` may be the same array. */
enum sm_code sm_bh_q(double *q, const double *p, size_t count, struct sm_err *err);

/* Returns the regularised incomplete beta function I_x(a, b) for a, b > 0 and 0 <= x <= 1. */
double sm_beta_inc(double a, double b, double x);

/* Returns the conformal p-value (1 + #{ref >= x})/(n + 1) of x against a sorted reference of n =
 * count values; 1 if it is empty. */
double sm_conformal_p(const double *sorted_ref, size_t count, double x);
/* Returns the percentage of a sorted reference below x, ties count half; NaN if it is empty. */
double sm_percentile_rank(const double *sorted_ref, size_t count, double x);
/* The same two numbers against the reference without one of its members, whose value is `own`. Use
 * them if x was measured on that member. */
double sm_conformal_p_without(const double *sorted_ref, size_t count, double own, double x);
double sm_percentile_rank_without(const double *sorted_ref, size_t count, double own, double x);

/* A mean over K items that were drawn independently, with its standard errors; NaN if undefined. */
struct sm_jackknife {
    double theta;
    double se;      /* standard error, corrected for the jackknife's bias */
    double wide_se; /* jackknife standard error for sm_interval_of, uncorrected:
                       sqrt((K-1)/K sum_k (theta_(k) - mean theta_(.))^2) */
    double df;      /* degrees of freedom of wide_se: K - 1 */
};
/* theta is the mean of d[i][j] over i < j, a U-statistic of second order. Reads the upper triangle
 * of d [k, k]. theta is NaN for fewer than two items, the others for fewer than four, because the
 * bias cannot be separated from the variance there. */
void sm_jackknife_pairs(struct sm_jackknife *out, const double *d, size_t k);
/* theta is the mean of d [k]; se and wide_se are both the standard error of a mean. All but theta
 * are NaN for fewer than two items. */
void sm_jackknife_mean(struct sm_jackknife *out, const double *d, size_t k);
/* Returns the 95 % interval of a value whose error is the sum of independent parts, each with its
 * standard error and degrees of freedom: Student's t with Satterthwaite's df. NaN if the sum is 0
 * or NaN. */
struct sm_interval sm_interval_of(double value, const double *se, const double *df, size_t parts);

#endif
