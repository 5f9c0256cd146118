/* Merge sort, starting from runs of one item. An item of the right run that moves ahead passes all
 * items left in the left run; the sum of their numbers is the number of inversions. */
#include "core/stats/sort.h"

#include <stdlib.h>
#include <string.h>

#include "sslmem/stats.h"

struct sm_keyed *sm_keyed_new(const double *x, size_t count, struct sm_err *err)
{
    struct sm_keyed *items = calloc(count ? count : 1, 2 * sizeof *items);
    if (!items)
        sm_err_set(err, SM_NOMEM, "out of memory to sort %zu values", count);
    for (size_t i = 0; items && i < count; i++)
        items[i] = (struct sm_keyed){x[i], i};
    return items;
}

/* Merges from[0, middle) and from[middle, count) into `to`; returns the inversions between them. */
static uint64_t merge(struct sm_keyed *to, const struct sm_keyed *from, size_t middle, size_t count)
{
    uint64_t inversions = 0;
    size_t left = 0, right = middle;
    for (size_t i = 0; i < count; i++) {
        if (right == count || (left < middle && from[left].key <= from[right].key)) {
            to[i] = from[left++];
        } else {
            to[i] = from[right++];
            inversions += middle - left;
        }
    }
    return inversions;
}

uint64_t sm_keyed_sort(struct sm_keyed *items, size_t count)
{
    struct sm_keyed *from = items, *to = items + count;
    uint64_t inversions = 0;
    for (size_t run = 1; run < count; run *= 2) {
        for (size_t at = 0; at < count; at += 2 * run) {
            size_t left = count - at, both = left < 2 * run ? left : 2 * run;
            inversions += merge(to + at, from + at, both < run ? both : run, both);
        }
        struct sm_keyed *swap = from;
        from = to;
        to = swap;
    }
    if (from != items)
        memcpy(items, from, count * sizeof *items);
    return inversions;
}

void sm_midranks(double *ranks, const struct sm_keyed *items, size_t count)
{
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && items[end].key == items[i].key;)
            end++;
        for (size_t j = i; j < end; j++)
            ranks[items[j].index] = ((double)i + 1 + (double)end) / 2;
    }
}

enum sm_code sm_order_descending(size_t *order, const double *x, size_t count, struct sm_err *err)
{
    struct sm_keyed *items = sm_keyed_new(x, count, err);
    if (!items)
        return SM_NOMEM;
    for (size_t i = 0; i < count; i++)
        /* the sort is stable, so equal values stay ordered by index */
        items[i].key = -items[i].key;
    sm_keyed_sort(items, count);
    for (size_t i = 0; i < count; i++)
        order[i] = items[i].index;
    free(items);
    return SM_OK;
}
