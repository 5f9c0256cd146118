/* From the distances of every encoder to the numbers of a score.
 *
 *     struct sm_distances d = {SM_COMPARE_PAIRS, views, {{of_f}, {of_g}}, {1, 1}};
 *     sm_combine(&score, &d);
 *
 * Threads: no state. Errors: none. */
#ifndef CORE_SCORE_COMBINE_H
#define CORE_SCORE_COMBINE_H

#include "core/score/pair.h"

/* As sm_align_pairs and sm_align_anchor lay them out (core/score/align.h). */
struct sm_distances {
    enum sm_compare compare;
    size_t views;
    const double *of[SM_SIDES][SM_ENCODERS_MAX];
    int encoders_count[SM_SIDES];
};

/* How many distances `views` views have, and the most of all recipes. */
size_t sm_distances_count(enum sm_compare compare, size_t views);
#define SM_DISTANCES_MAX (SM_VIEWS_MAX * (SM_VIEWS_MAX - 1) / 2)

/* Fills f, g, m, m_se, m_low, m_high and ratio. */
void sm_combine(struct sm_score *out, const struct sm_distances *distances);

/* Sets the score beside the pair's reference cohort, when that is of the same recipe. */
void sm_compare_with_reference(struct sm_score *score, const struct sm_pair *pair);

#endif
