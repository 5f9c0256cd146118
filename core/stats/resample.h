/* The random indices of a bootstrap: Philox words from counter 0 on, for one resample of a sample.
 *
 *     struct sm_draws draws = sm_draws_of(seed, number, SM_RESAMPLE_MEMBERS);
 *     for (size_t i = 0; i < count; i += 4)
 *         sm_draw_four(index, &draws, count);
 *
 * Threads: no shared state. */
#ifndef CORE_STATS_RESAMPLE_H
#define CORE_STATS_RESAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/rng.h"

/* What is resampled; a word of the counter, so that each has draws of its own. */
enum sm_resample { SM_RESAMPLE_MEMBERS, SM_RESAMPLE_OTHERS, SM_RESAMPLE_IMAGES };

struct sm_draws {
    uint32_t key[2];
    uint32_t counter[4];
};

static inline struct sm_draws sm_draws_of(uint64_t seed, size_t number, enum sm_resample of)
{
    uint64_t n = number;
    return (struct sm_draws){{(uint32_t)seed, (uint32_t)(seed >> 32)},
                             {0, (uint32_t)n, (uint32_t)(n >> 32), (uint32_t)of}};
}

/* Draws four indices below `count`. An index is the upper half of the product of a 32-bit word and
 * the count. The relative error of its probability is at most count / 2^32. */
static inline void sm_draw_four(size_t index[4], struct sm_draws *draws, size_t count)
{
    uint32_t words[4];
    sm_philox(words, draws->key, draws->counter);
    draws->counter[0]++;
    for (int i = 0; i < 4; i++)
        index[i] = (size_t)((uint64_t)words[i] * count >> 32);
}

#endif
