/* Two samples as one sorted list of distinct values with their counts: all that depends on order
 * alone (Mann-Whitney, ROC, AUC) is read off it.
 * Owner: sm_pool fills, sm_pooled_release frees. Threads: no state. */
#ifndef CORE_STATS_POOLED_H
#define CORE_STATS_POOLED_H

#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

struct sm_tied {
    double value;
    size_t a, b; /* how many of either sample have it */
};
struct sm_pooled {
    struct sm_tied *groups; /* ascending */
    size_t count;
    size_t a_count, b_count;
};
enum sm_code sm_pool(struct sm_pooled *out, const double *a, size_t a_count, const double *b,
                     size_t b_count, struct sm_err *err);
void sm_pooled_release(struct sm_pooled *pooled);

/* Twice Mann-Whitney's U of a: pairs with a above b count two, ties one. Exact. */
uint64_t sm_pooled_twice_u(const struct sm_pooled *pooled);

#endif
