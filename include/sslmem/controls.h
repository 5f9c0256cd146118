/* Statistics of the controls: a classifier that sees no model, and a search for similar codes.
 *
 * Arrays are row-major. Undefined numbers are NaN. Tests compare with scikit-learn to 1e-6.
 *
 * Owner:   the caller owns all arrays and structs.
 * Threads: no state. Errors: SM_NOMEM. */
#ifndef SSLMEM_CONTROLS_H
#define SSLMEM_CONTROLS_H

#include "sslmem/stats.h"

/* Logistic regression with an L2 penalty: minimises
 *     mean_i log(1 + exp(-s_i (x_i w + b))) + lambda/2 |w|^2,   s_i = 1 for members, else -1,
 * lambda = 1/count, which is scikit-learn's LogisticRegression(C=1). The intercept b has no
 * penalty. x [count, features], in units that make the penalty fair: standardise first. w
 * [features + 1], b last. Newton's method until the step is below 1e-10; it may stop earlier only
 * where doubles allow no further descent. NaN unless there are members and others. */
enum sm_code sm_logistic(double *w, const double *x, const bool *is_member, size_t count,
                         size_t features, struct sm_err *err);

#define SM_BLIND_FOLDS        5
#define SM_BLIND_PERMUTATIONS 199

/* Rows to tell members from others by. A fold is 0 to SM_BLIND_FOLDS - 1; rows of one image must
 * have one fold. */
struct sm_blind_rows {
    const double *x; /* [count, features] */
    const bool *is_member;
    const uint8_t *fold;
    size_t count, features;
};
struct sm_blind {
    struct sm_auc auc; /* of the scores of rows that the fit did not see; without bootstrap */
    double p_value;    /* P(AUC this high) if members and others are exchangeable */
};
/* Fits sm_logistic on four folds, standardised by their means and standard deviations, scores the
 * fifth, and so on; `scores` [count] receives x w + b (NULL: not wanted).
 *
 * p_value: (1 + #{permutations with an AUC at least as high}) / (SM_BLIND_PERMUTATIONS + 1).
 * Membership is permuted within folds by Philox from `seed`. A fit for each permutation would cost
 * a hundred times the fit itself, so the test uses another classifier for data and permutations
 * alike: the first Newton step of the same regression from w = 0, a ridge regression whose matrix
 * does not depend on the membership. So the test is exact, and its AUC differs a little from
 * `auc`.
 *
 * All numbers are NaN if a fold, or the rest without it, lacks members or others. Cost, in
 * multiplications: about count * features * (4 features + 2 SM_BLIND_PERMUTATIONS). */
enum sm_code sm_blind_make(struct sm_blind *out, double *scores, const struct sm_blind_rows *rows,
                           uint64_t seed, struct sm_err *err);

/* Calls `on_pair` for all i < j whose codes differ in at most `bits` bits (1 to 31), each once. Two
 * such codes agree in at least one of bits + 1 bands, so only codes with an equal band are
 * compared. Stops after `budget` comparisons and sets `complete` to false. At most 2^32 - 1
 * codes. */
typedef void sm_hamming_pair(void *arg, size_t i, size_t j);
enum sm_code sm_hamming_search(bool *complete, const uint64_t *codes, size_t count, int bits,
                               uint64_t budget, sm_hamming_pair *on_pair, void *arg,
                               struct sm_err *err);

#endif
