/* Mean, variance, quantiles and histograms. Mean and variance work on differences from the first
 * value. So a constant sample has exactly that mean and variance 0, which the t-tests and the
 * checks for "all equal" rely on. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sslmem/stats.h"

double sm_mean(const double *x, size_t count)
{
    if (count == 0)
        return NAN;
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += x[i] - x[0];
    return x[0] + sum / (double)count;
}

double sm_variance(const double *x, size_t count)
{
    if (count < 2)
        return NAN;
    double mean = sm_mean(x, count);
    double squares = 0, rest = 0;
    for (size_t i = 0; i < count; i++) {
        double d = x[i] - mean;
        squares += d * d;
        rest += d; /* not 0 only because the mean is rounded */
    }
    return (squares - rest * rest / (double)count) / (double)(count - 1);
}

static int ascending(const void *a, const void *b)
{
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

void sm_sort(double *x, size_t count)
{
    qsort(x, count, sizeof *x, ascending);
}

double sm_quantile(const double *sorted, size_t count, double q)
{
    if (count == 0 || !(q >= 0 && q <= 1))
        return NAN;
    double place = (double)(count - 1) * q;
    size_t at = (size_t)place;
    if (at + 1 >= count)
        return sorted[count - 1];
    double share = place - (double)at, step = sorted[at + 1] - sorted[at];
    /* Interpolates from the nearer end, so that the upper neighbour is reached exactly and results
     * never decrease as q grows. */
    return share < 0.5 ? sorted[at] + step * share : sorted[at + 1] - step * (1 - share);
}

/* Returns the bin of x. Rounding may put a value near an edge into the neighbouring bin, so the
 * edges decide, as computed here. */
static size_t bin_of(double x, size_t bins_count, double low, double high)
{
    double n = (double)bins_count, width = (high - low) / n;
    size_t bin = (size_t)((x - low) / (high - low) * n);
    if (bin >= bins_count)
        bin = bins_count - 1;
    if (bin > 0 && x < low + (double)bin * width)
        bin--;
    else if (bin + 1 < bins_count && x >= low + (double)(bin + 1) * width)
        bin++;
    return bin;
}

void sm_histogram(int64_t *bins, size_t bins_count, double low, double high, const double *x,
                  size_t count)
{
    for (size_t i = 0; i < bins_count; i++)
        bins[i] = 0;
    if (bins_count == 0)
        return;
    for (size_t i = 0; i < count; i++) {
        if (!(x[i] >= low && x[i] <= high))
            continue;
        size_t bin = low < high ? bin_of(x[i], bins_count, low, high) : bins_count - 1;
        bins[bin]++;
    }
}
