/* Pools two samples: sorts them together and makes one group of each distinct value. */
#include "core/stats/pooled.h"

#include <stdlib.h>
#include <string.h>

#include "core/stats/sort.h"

static void group(struct sm_pooled *out, const struct sm_keyed *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || items[i].key != items[i - 1].key)
            out->groups[out->count++] = (struct sm_tied){.value = items[i].key};
        struct sm_tied *last = &out->groups[out->count - 1];
        if (items[i].index < out->a_count)
            last->a++;
        else
            last->b++;
    }
}

enum sm_code sm_pool(struct sm_pooled *out, const double *a, size_t a_count, const double *b,
                     size_t b_count, struct sm_err *err)
{
    size_t count = a_count + b_count;
    *out = (struct sm_pooled){.a_count = a_count, .b_count = b_count};
    double *both = calloc(count ? count : 1, sizeof *both);
    out->groups = calloc(count ? count : 1, sizeof *out->groups);
    enum sm_code code = SM_OK;
    struct sm_keyed *items = NULL;
    if (!both || !out->groups) {
        code = sm_err_set(err, SM_NOMEM, "out of memory to pool %zu values", count);
    } else {
        if (a_count)
            memcpy(both, a, a_count * sizeof *both);
        if (b_count)
            memcpy(both + a_count, b, b_count * sizeof *both);
        items = sm_keyed_new(both, count, err);
        code = items ? SM_OK : SM_NOMEM;
    }
    if (code == SM_OK) {
        sm_keyed_sort(items, count);
        group(out, items, count);
    } else {
        sm_pooled_release(out);
    }
    free(items);
    free(both);
    return code;
}

void sm_pooled_release(struct sm_pooled *pooled)
{
    free(pooled->groups);
    *pooled = (struct sm_pooled){0};
}

uint64_t sm_pooled_twice_u(const struct sm_pooled *pooled)
{
    uint64_t twice_u = 0, below = 0;
    for (size_t i = 0; i < pooled->count; i++) {
        const struct sm_tied *g = &pooled->groups[i];
        twice_u += g->a * (2 * below + g->b);
        below += g->b;
    }
    return twice_u;
}
