/* Combines the distances of every encoder into the numbers of a score.
 *
 *     struct sm_distances d = {SM_COMPARE_PAIRS, views, {{of_f}, {of_g}}, {1, 1}};
 *     sm_combine(&score, &d);
 *
 * Threads: no shared state. Errors: none. */
#ifndef CORE_SCORE_COMBINE_H
#define CORE_SCORE_COMBINE_H

#include "core/score/pair.h"

/* Distances in the order of sm_align_pairs or sm_align_anchor (core/score/align.h). */
struct sm_distances {
    enum sm_compare compare;
    size_t views;
    const double *of[SM_SIDES][SM_ENCODERS_MAX];
    int encoders_count[SM_SIDES];
};

/* Returns the number of distances of `views` views. SM_DISTANCES_MAX is the most of any recipe. */
size_t sm_distances_count(enum sm_compare compare, size_t views);
#define SM_DISTANCES_MAX (SM_VIEWS_MAX * (SM_VIEWS_MAX - 1) / 2)

/* Fills f, g, m, m_se, m_low, m_high and ratio of `out`; of distances without g, f alone. */
void sm_combine(struct sm_score *out, const struct sm_distances *distances);

/* Compares the score with the pair's reference cohort, if that was measured with the score's
 * recipe, and fills the score's members about it. Otherwise sets has_reference to false. */
void sm_compare_with_reference(struct sm_score *score, const struct sm_pair *pair);

#endif
