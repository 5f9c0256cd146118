/* Alignment: distances between the representations of an image's views.
 *
 *     struct sm_reps reps = {data, views, rows, dim};
 *     sm_align_pairs(d, &reps, SM_NORMALIZE_VECTOR, SM_DISTANCE_L2, scale);
 *
 * A representation [rows, dim] (rows: tokens or map positions) is one vector of rows * dim numbers.
 * It is normalised first, as a whole or row by row; a zero vector stays zero.
 *
 *     l2       |u - v|                          l1       sum |u_i - v_i|
 *     cosine   1 - u.v / (|u| |v|)              angular  acos(u.v / (|u| |v|)) / pi
 *
 * Cosine and angular distances use the whole vector, row-normalised or not. A zero vector is
 * orthogonal to every vector, as in PyTorch. Equal representations have distance exactly 0 under
 * all four; zero vectors under the last two are the exception.
 *
 * Views can be added later: the distances of new views come after all earlier ones in d, and
 * `first` is the first new view.
 *
 * Sums are in double. Owner: the caller owns all arrays. Threads: no shared state. */
#ifndef CORE_SCORE_ALIGN_H
#define CORE_SCORE_ALIGN_H

#include <stddef.h>

#include "sslmem/recipe.h"

struct sm_reps {
    const float *data; /* [views, rows, dim] */
    size_t views, rows, dim;
    size_t first; /* views before it were aligned by an earlier call with the same d and scale */
};

/* Computes the distances of all pairs of views i < j: d[j (j - 1) / 2 + i]. `scale` [views, rows]
 * is work space, which a later call with new views reads. */
void sm_align_pairs(double *d, const struct sm_reps *reps, enum sm_normalize normalize,
                    enum sm_distance distance, double *scale);

/* Computes the distance of each view from 1 on to the anchor, view 0: d [views - 1]. `scale` is as
 * in sm_align_pairs. */
void sm_align_anchor(double *d, const struct sm_reps *reps, enum sm_normalize normalize,
                     enum sm_distance distance, double *scale);

#endif
