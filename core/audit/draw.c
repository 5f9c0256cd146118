/* Shuffles from the front (Fisher and Yates), one Philox block per draw: step i chooses among the
 * entries from i on. */
#include "core/audit/draw.h"

#include <stdlib.h>

#include "core/base/rng.h"

#define STREAM 0x61756469u /* separates these draws from views of the same seed */

static size_t choose(size_t from, size_t count, uint64_t seed, enum sm_draw purpose)
{
    uint32_t r[4];
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t counter[4] = {(uint32_t)from, (uint32_t)((uint64_t)from >> 32),
                                 (uint32_t)purpose, STREAM};
    sm_philox(r, key, counter);
    return from + (size_t)(sm_unit(r[0], r[1]) * (double)(count - from));
}

enum sm_code sm_draw_order(size_t **out, size_t wanted, size_t count, uint64_t seed,
                           enum sm_draw purpose, struct sm_err *err)
{
    size_t *order = calloc(count + 1, sizeof *order);
    *out = order;
    if (!order)
        return sm_err_set(err, SM_NOMEM, "out of memory for an order of %zu images", count);
    for (size_t i = 0; i < count; i++)
        order[i] = i;
    for (size_t i = 0; i < wanted; i++) {
        size_t j = choose(i, count, seed, purpose), drawn = order[j];
        order[j] = order[i];
        order[i] = drawn;
    }
    return SM_OK;
}
