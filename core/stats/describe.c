/* Mean and variance. Both work on differences from the first value: a constant sample then has
 * exactly that mean and variance 0, which the t-tests and the "all equal" cases rely on. */
#include <math.h>

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
        rest += d; /* zero but for the rounding of the mean */
    }
    return (squares - rest * rest / (double)count) / (double)(count - 1);
}
