/* The rank of a value in a sorted reference: two binary searches count the values below it and
 * those at or below it. */
#include <math.h>
#include <stdbool.h>

#include "sslmem/stats.h"

/* Returns how many of the sorted values are below x or, with `ties`, at or below x. */
static size_t count_below(const double *sorted, size_t count, double x, bool ties)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (sorted[mid] < x || (ties && sorted[mid] == x))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

double sm_conformal_p(const double *sorted_ref, size_t count, double x)
{
    if (isnan(x))
        return NAN;
    size_t at_or_above = count - count_below(sorted_ref, count, x, false);
    return (1 + (double)at_or_above) / ((double)count + 1);
}

double sm_percentile_rank(const double *sorted_ref, size_t count, double x)
{
    if (count == 0 || isnan(x))
        return NAN;
    size_t below = count_below(sorted_ref, count, x, false);
    size_t at_or_below = count_below(sorted_ref, count, x, true);
    return 50 * ((double)below + (double)at_or_below) / (double)count;
}

double sm_conformal_p_without(const double *sorted_ref, size_t count, double own, double x)
{
    if (isnan(x))
        return NAN;
    size_t at_or_above = count - count_below(sorted_ref, count, x, false) - (own >= x);
    return (1 + (double)at_or_above) / (double)count;
}

double sm_percentile_rank_without(const double *sorted_ref, size_t count, double own, double x)
{
    if (count < 2 || isnan(x))
        return NAN;
    size_t below = count_below(sorted_ref, count, x, false) - (own < x);
    size_t at_or_below = count_below(sorted_ref, count, x, true) - (own <= x);
    return 50 * ((double)below + (double)at_or_below) / (double)(count - 1);
}
