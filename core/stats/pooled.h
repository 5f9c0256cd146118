/* Two samples pooled into one sorted list of distinct values with their counts. Everything that
 * depends on order only (Mann-Whitney, ROC, AUC) is computed from this list.
 * Owner: sm_pool allocates, sm_pooled_release frees. Threads: no shared state. Errors: SM_NOMEM. */
#ifndef CORE_STATS_POOLED_H
#define CORE_STATS_POOLED_H

#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

struct sm_tied {
    double value;
    size_t a, b; /* number of values of each sample that are equal to `value` */
};
struct sm_pooled {
    struct sm_tied *groups; /* [count], ascending by value */
    size_t count;
    size_t a_count, b_count;
};
enum sm_code sm_pool(struct sm_pooled *out, const double *a, size_t a_count, const double *b,
                     size_t b_count, struct sm_err *err);
void sm_pooled_release(struct sm_pooled *pooled);

/* Returns exactly twice Mann-Whitney's U of sample a: 2 for each pair with a above b, 1 for a
 * tie. */
uint64_t sm_pooled_twice_u(const struct sm_pooled *pooled);

#endif
