/* Alignment: distances between the representations of an image's views.
 *
 *     struct sm_reps reps = {data, views, rows, dim};
 *     sm_align_pairs(d, &reps, SM_NORMALIZE_VECTOR, SM_DISTANCE_L2, scale);
 *
 * A representation [rows, dim] (rows: tokens or map positions) is one vector of rows * dim numbers,
 * after normalisation of the whole vector or of each row by itself; a zero vector stays zero.
 *
 *     l2       |u - v|                          l1       sum |u_i - v_i|
 *     cosine   1 - u.v / (|u| |v|)              angular  acos(u.v / (|u| |v|)) / pi
 *
 * Cosine and angular are taken over the whole (row-normalised or not) vector; a zero vector is
 * orthogonal to everything, as in PyTorch. Equal representations are at distance exactly 0 under
 * all four, zero vectors under the last two excepted.
 *
 * More views may come later: distances stand in an order in which they only append, and `first`
 * says which views are new.
 *
 * Sums are in double. Owner, threads: no state. */
#ifndef CORE_SCORE_ALIGN_H
#define CORE_SCORE_ALIGN_H

#include <stddef.h>

#include "sslmem/recipe.h"

struct sm_reps {
    const float *data; /* [views, rows, dim] */
    size_t views, rows, dim;
    size_t first; /* views before it were aligned by an earlier call on the same d and scale */
};

/* Distances of all pairs i < j of views: d[j (j - 1) / 2 + i]. `scale` [views, rows] is room to
 * work in. */
void sm_align_pairs(double *d, const struct sm_reps *reps, enum sm_normalize normalize,
                    enum sm_distance distance, double *scale);

/* Distance of each view 1.. to the anchor, view 0: fills d [views - 1]. */
void sm_align_anchor(double *d, const struct sm_reps *reps, enum sm_normalize normalize,
                     enum sm_distance distance, double *scale);

#endif
