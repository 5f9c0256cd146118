/* Correction of p-values for many tests at once. */
#include <math.h>
#include <stdlib.h>

#include "core/stats/sort.h"
#include "sslmem/stats.h"

enum sm_code sm_bh_q(double *q, const double *p, size_t count, struct sm_err *err)
{
    /* copies p, because q may be the same array */
    struct sm_keyed *items = sm_keyed_new(p, count, err);
    if (!items)
        return SM_NOMEM;
    sm_keyed_sort(items, count);
    double least = 1;
    for (size_t i = count; i-- > 0;) {
        least = fmin(least, items[i].key * ((double)count / ((double)i + 1)));
        q[items[i].index] = least;
    }
    free(items);
    return SM_OK;
}
