/* Statistics of images that are measured twice: how much of a difference is left, and is the rest
 * equivalent to none?
 *
 *     struct sm_pairs a = {residual, before, n}, b = {residual_of_others, before_of_others, k};
 *     struct sm_ratio left;
 *     sm_fieller(&left, &a, &b);
 *     struct sm_tost test;
 *     sm_tost_welch(&test, &a, &b, (struct sm_margin){.share = .1});
 *
 * The contrast of x is the mean of x in group a minus the mean of x in group b, so the offset that
 * x has in both groups cancels and the spread of both counts. Without a group b (NULL) it is the
 * mean of x in group a.
 *
 * Tests compare every function with SciPy to 1e-9. An undefined number is NaN. The inputs must not
 * contain NaN.
 *
 * Owner:   the caller owns all arrays and structs. Threads: no state. Errors: none. */
#ifndef SSLMEM_EQUIVALENCE_H
#define SSLMEM_EQUIVALENCE_H

#include "sslmem/stats.h"

/* Two measurements of each image of a group. */
struct sm_pairs {
    const double *x, *y; /* [count] */
    size_t count;
};

/* The ratio of the contrast of x to that of y, with Fieller's 95 % interval (Fieller, JRSS B 16,
 * 1954): all r for which the contrast of x - r y is not told from 0 by a t-test. The test has
 * min(count) - 1 degrees of freedom, the lower bound of Welch's, because Welch's depend on r. `low`
 * and `high` are NaN where the set has no two ends, because the contrast of y is not told from 0,
 * and where it has no width. All numbers are NaN if a group has fewer than two images; `value` also
 * unless the contrast of y is above 0. */
struct sm_ratio {
    double value, low, high;
    double x, y; /* the contrasts */
    double df;
};
void sm_fieller(struct sm_ratio *out, const struct sm_pairs *a, const struct sm_pairs *b);

/* The half-width of the region of equivalence: `delta`, in the unit of x, plus `share` times the
 * contrast of y. */
struct sm_margin {
    double delta, share;
};
/* Two one-sided Welch tests (Schuirmann 1987) that the contrast of x lies within plus and minus the
 * margin. A share of the contrast of y is estimated too: the tests are of x + share y and x - share
 * y, so its error counts. p_above: against a contrast at or below the lower end; p_below: against
 * one at or above the upper end; p: the larger. Equivalence is shown at level alpha if p <= alpha.
 * All p are NaN unless the margin is above 0, if a group has fewer than two images, and where
 * nothing varies. */
struct sm_tost {
    double margin; /* with the contrast of y as it was measured */
    double p_above, p_below, p;
};
void sm_tost_welch(struct sm_tost *out, const struct sm_pairs *a, const struct sm_pairs *b,
                   struct sm_margin margin);

/* How far an AUC is from guessing, in either direction: |auc - 1/2|, and the least and the largest
 * distance of its interval from 1/2. */
struct sm_auc_deviation {
    double value, low, high;
};
void sm_auc_deviation(struct sm_auc_deviation *out, const struct sm_auc *auc);

#endif
