/* Correlation of paired values: Pearson's r, Spearman's rho, Kendall's tau-b. */
#include <math.h>
#include <stdlib.h>

#include "core/stats/sort.h"
#include "core/stats/special.h"
#include "sslmem/stats.h"

void sm_pearson(struct sm_correlation *out, const double *x, const double *y, size_t count)
{
    double x_mean = sm_mean(x, count), y_mean = sm_mean(y, count);
    double xx = 0, yy = 0, xy = 0;
    *out = (struct sm_correlation){NAN, NAN};
    for (size_t i = 0; i < count; i++) {
        double dx = x[i] - x_mean, dy = y[i] - y_mean;
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    if (!(xx > 0 && yy > 0))
        return;
    /* avoids rounding by sqrt: equal ranks give exactly r = 1 and p = 0 */
    double norm = xx == yy ? xx : sqrt(xx) * sqrt(yy);
    out->r = fmax(-1, fmin(1, xy / norm));
    out->p_two_sided = sm_correlation_two_sided(out->r, (double)count - 2);
}

static enum sm_code midranks(double *ranks, const double *x, size_t count, struct sm_err *err)
{
    struct sm_keyed *items = sm_keyed_new(x, count, err);
    if (!items)
        return SM_NOMEM;
    sm_keyed_sort(items, count);
    sm_midranks(ranks, items, count);
    free(items);
    return SM_OK;
}

enum sm_code sm_spearman(struct sm_correlation *out, const double *x, const double *y, size_t count,
                         struct sm_err *err)
{
    *out = (struct sm_correlation){NAN, NAN};
    double *ranks = calloc(count ? count : 1, 2 * sizeof *ranks);
    if (!ranks)
        return sm_err_set(err, SM_NOMEM, "out of memory for %zu ranks", count);
    enum sm_code code = midranks(ranks, x, count, err);
    if (code == SM_OK)
        code = midranks(ranks + count, y, count, err);
    if (code == SM_OK)
        sm_pearson(out, ranks, ranks + count, count);
    free(ranks);
    return code;
}

/* Sums over groups of t tied values, for the variance of Kendall's S. */
struct ties {
    double pairs;   /* sum of t (t - 1) / 2 */
    double triples; /* sum of t (t - 1) (t - 2) */
    double spread;  /* sum of t (t - 1) (2 t + 5) */
};

static void add_group(struct ties *ties, size_t size)
{
    double t = (double)size;
    ties->pairs += t * (t - 1) / 2;
    ties->triples += t * (t - 1) * (t - 2);
    ties->spread += t * (t - 1) * (2 * t + 5);
}

static struct ties ties_of(const struct sm_keyed *sorted, size_t count)
{
    struct ties ties = {0};
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && sorted[end].key == sorted[i].key;)
            end++;
        add_group(&ties, end - i);
    }
    return ties;
}

/* Returns the number of pairs that are equal in both x and y. `by_x` is sorted by x, then by y. */
static double tied_in_both(const struct sm_keyed *by_x, const double *y, size_t count)
{
    struct ties ties = {0};
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i + 1;
             end < count && by_x[end].key == by_x[i].key && y[by_x[end].index] == y[by_x[i].index];)
            end++;
        add_group(&ties, end - i);
    }
    return ties.pairs;
}

/* Computes tau-b and p as SciPy's kendalltau(method="asymptotic"). `s` is the number of concordant
 * pairs minus that of discordant pairs. */
static void kendall_finish(struct sm_correlation *out, double n, double s, const struct ties *x,
                           const struct ties *y)
{
    double all = n * (n - 1) / 2, m = n * (n - 1);
    if (x->pairs == all || y->pairs == all)
        return;
    out->r = fmax(-1, fmin(1, s / sqrt((all - x->pairs) * (all - y->pairs))));
    if (n < 3)
        return;
    double variance = (m * (2 * n + 5) - x->spread - y->spread) / 18 + 2 * x->pairs * y->pairs / m +
                      x->triples * y->triples / (9 * m * (n - 2));
    out->p_two_sided = 2 * sm_normal_upper(fabs(s) / sqrt(variance));
}

/* Knight's method (1966): in the order of x, with ties in the order of y, the discordant pairs are
 * the inversions of y. */
enum sm_code sm_kendall(struct sm_correlation *out, const double *x, const double *y, size_t count,
                        struct sm_err *err)
{
    *out = (struct sm_correlation){NAN, NAN};
    struct sm_keyed *by_y = sm_keyed_new(y, count, err);
    struct sm_keyed *by_x = by_y ? sm_keyed_new(x, count, err) : NULL;
    enum sm_code code = by_x ? SM_OK : SM_NOMEM;
    if (by_x && count >= 2) {
        sm_keyed_sort(by_y, count);
        for (size_t i = 0; i < count; i++)
            by_x[i] = (struct sm_keyed){x[by_y[i].index], by_y[i].index};
        sm_keyed_sort(by_x, count);
        struct ties x_ties = ties_of(by_x, count);
        double both = tied_in_both(by_x, y, count);
        for (size_t i = 0; i < count; i++)
            by_y[i].key = y[by_x[i].index];
        double discordant = (double)sm_keyed_sort(by_y, count), n = (double)count;
        struct ties y_ties = ties_of(by_y, count);
        double s = n * (n - 1) / 2 - x_ties.pairs - y_ties.pairs + both - 2 * discordant;
        kendall_finish(out, n, s, &x_ties, &y_ties);
    }
    free(by_x);
    free(by_y);
    return code;
}
