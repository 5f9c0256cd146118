/* Jackknife standard errors in closed form.
 *
 * Leaving item k out of the mean over pairs leaves (T - R_k) / C(K-1, 2), T the sum over pairs and
 * R_k the sum over pairs with k. The mean of these over k is theta itself, and
 *
 *     theta_(k) - theta = 2/(K-2) * (theta - R_k/(K-1)),
 *
 * so O(K^2) gives everything. For a plain mean theta_(k) - theta = (theta - d_k)/(K-1). Sums are
 * taken of differences from the first value: equal distances then give exactly that theta and se 0.
 */
#include <math.h>

#include "sslmem/stats.h"

void sm_jackknife_pairs(double *theta, double *se, const double *d, size_t k)
{
    *theta = *se = NAN;
    if (k < 2)
        return;
    double n = (double)k, base = d[1], sum = 0;
    for (size_t i = 0; i < k; i++)
        for (size_t j = i + 1; j < k; j++)
            sum += d[i * k + j] - base;
    double above_base = sum / (n * (n - 1) / 2);
    *theta = base + above_base;
    if (k < 3)
        return;

    double squares = 0;
    for (size_t i = 0; i < k; i++) {
        double row = 0;
        for (size_t j = 0; j < i; j++)
            row += d[j * k + i] - base;
        for (size_t j = i + 1; j < k; j++)
            row += d[i * k + j] - base;
        double change = 2 / (n - 2) * (above_base - row / (n - 1));
        squares += change * change;
    }
    *se = sqrt((n - 1) / n * squares);
}

void sm_jackknife_mean(double *theta, double *se, const double *d, size_t k)
{
    *theta = sm_mean(d, k);
    *se = k < 2 ? NAN : sqrt(sm_variance(d, k) / (double)k);
}
