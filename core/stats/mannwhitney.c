/* Mann-Whitney's U.
 *
 * The number of ways in which m values of one sample fall among n values of the other with U = k is
 * the coefficient of q^k in the Gaussian binomial
 *
 *     prod over i = 1..m of (1 - q^(n+i)) / (1 - q^i),
 *
 * which is multiplied out factor by factor. Up to the middle, k <= m n / 2, the coefficients only
 * grow, so the rounding errors of the subtractions are small against them. The other half is the
 * mirror image. Coefficients are whole numbers, exact below 2^53. */
#include <math.h>
#include <stdlib.h>

#include "core/stats/pooled.h"
#include "core/stats/special.h"
#include "sslmem/stats.h"

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Computes P(U = last) and P(U <= last) for last <= m n / 2. `ways` [last + 1] is work space,
 * zeroed by the caller. */
static void exact_tail(double *at, double *up_to, double *ways, size_t last, size_t m, size_t n)
{
    double all = 1, sum = 0;
    ways[0] = 1;
    for (size_t i = 1; i <= m; i++) {
        for (size_t k = last; k >= n + i; k--)
            ways[k] -= ways[k - (n + i)];
        for (size_t k = i; k <= last; k++)
            ways[k] += ways[k - i];
        all = all * (double)(n + i) / (double)i; /* C(n + i, i), the number of all ways */
    }
    for (size_t k = 0; k <= last; k++)
        sum += ways[k];
    *at = ways[last] / all;
    *up_to = sum / all;
}

static enum sm_code exact(struct sm_mwu *out, const struct sm_pooled *pooled, struct sm_err *err)
{
    size_t m = smaller(pooled->a_count, pooled->b_count);
    size_t n = pooled->a_count + pooled->b_count - m;
    size_t u = (size_t)out->u, last = smaller(u, m * n - u);
    double at, up_to;
    double *ways = calloc(last + 1, sizeof *ways);
    if (!ways)
        return sm_err_set(err, SM_NOMEM, "out of memory for %zu values of Mann-Whitney's U", last);
    exact_tail(&at, &up_to, ways, last, m, n);
    free(ways);
    out->p_two_sided = fmin(1, 2 * up_to);
    out->p_greater = u > last ? up_to : 1 - up_to + at;
    return SM_OK;
}

/* Computes the p-values by the normal approximation.
 *
 * The variance of U is a b/(12 n (n - 1)) times this: n^3 - n, less t^3 - t for each group of t
 * tied values. That is the sum of 3 c t (c + t) over the groups, where c is the number of values
 * before a group. Computed so, nothing cancels, and the variance is 0 if all values are tied. With
 * the continuity correction, P(U >= u) starts half a step below u. */
static void asymptotic(struct sm_mwu *out, const struct sm_pooled *pooled)
{
    double a = (double)pooled->a_count, b = (double)pooled->b_count, n = a + b;
    double sum = 0, c = 0;
    for (size_t i = 0; i < pooled->count; i++) {
        double t = (double)(pooled->groups[i].a + pooled->groups[i].b);
        sum += 3 * c * t * (c + t);
        c += t;
    }
    double sd = sqrt(a * b / 12 * (sum / (n * (n - 1))));
    double above = out->u - a * b / 2;
    out->p_greater = sm_normal_upper((above - 0.5) / sd);
    out->p_two_sided = fmin(1, 2 * sm_normal_upper((fabs(above) - 0.5) / sd));
}

enum sm_code sm_mann_whitney(struct sm_mwu *out, const double *a, size_t a_count, const double *b,
                             size_t b_count, struct sm_err *err)
{
    *out = (struct sm_mwu){NAN, NAN, NAN};
    if (a_count == 0 || b_count == 0)
        return SM_OK;
    struct sm_pooled pooled;
    enum sm_code code = sm_pool(&pooled, a, a_count, b, b_count, err);
    if (code != SM_OK)
        return code;
    out->u = (double)sm_pooled_twice_u(&pooled) / 2;
    bool ties = pooled.count < a_count + b_count;
    if (smaller(a_count, b_count) <= SM_MWU_EXACT_MAX && !ties)
        code = exact(out, &pooled, err);
    else
        asymptotic(out, &pooled);
    sm_pooled_release(&pooled);
    return code;
}
