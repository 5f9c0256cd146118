/* The one stable sort for ranks, orders, ROC curves and Kendall's tau.
 *
 *     struct sm_keyed *items = sm_keyed_new(x, count, err);
 *     uint64_t inversions = sm_keyed_sort(items, count);
 *     ... items[0].index is the index of the smallest x ...
 *     free(items);
 *
 * Owner: the caller frees what sm_keyed_new returns. Threads: no shared state. */
#ifndef CORE_STATS_SORT_H
#define CORE_STATS_SORT_H

#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

struct sm_keyed {
    double key;
    size_t index;
};

/* Returns an array of keys x[i] with indices i, followed by as much room again for sorting. Returns
 * NULL and sets SM_NOMEM in `err` when out of memory. */
struct sm_keyed *sm_keyed_new(const double *x, size_t count, struct sm_err *err);

/* Sorts stably, ascending by key. Returns the number of pairs that were in descending order. */
uint64_t sm_keyed_sort(struct sm_keyed *items, size_t count);

/* Writes the rank of each x[i] to ranks[i], from 1; equal values all get the mean of their ranks.
 * `items` must be sorted. */
void sm_midranks(double *ranks, const struct sm_keyed *items, size_t count);

#endif
