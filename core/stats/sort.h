/* One stable sort behind ranks, orders, curves and Kendall's tau.
 *
 *     struct sm_keyed *items = sm_keyed_new(x, count, err);
 *     uint64_t inversions = sm_keyed_sort(items, count);
 *     ... items[0].index is where the least of x is ...
 *     free(items);
 *
 * Owner: what sm_keyed_new returns is the caller's. Threads: no state. */
#ifndef CORE_STATS_SORT_H
#define CORE_STATS_SORT_H

#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

struct sm_keyed {
    double key;
    size_t index;
};

/* Keys x[i] with indices i, and as much room again for sorting. NULL: `err` says SM_NOMEM. */
struct sm_keyed *sm_keyed_new(const double *x, size_t count, struct sm_err *err);

/* Ascending by key, equal keys in their order. Returns how many pairs stood in descending order. */
uint64_t sm_keyed_sort(struct sm_keyed *items, size_t count);

/* Ranks from 1, equal values at the mean of theirs; `items` are sorted. */
void sm_midranks(double *ranks, const struct sm_keyed *items, size_t count);

#endif
