/* Fieller's interval, equivalence tests, and the distance of an AUC from guessing.
 *
 * Both groups enter by the moments of their pairs: the variance of x - r y follows from them for
 * every r, so one pass serves the interval and both tests. */
#include "sslmem/equivalence.h"

#include <math.h>

#include "core/stats/special.h"

/* Of the means of a group: squared standard errors and their covariance. */
struct moments {
    double count;
    double x, y;
    double var_x, var_y, cov;
};

static struct moments describe(const struct sm_pairs *p)
{
    struct moments m = {.count = p ? (double)p->count : 0};
    if (!p)
        return m;
    m.x = sm_mean(p->x, p->count);
    m.y = sm_mean(p->y, p->count);
    m.var_x = sm_variance(p->x, p->count) / m.count;
    m.var_y = sm_variance(p->y, p->count) / m.count;
    for (size_t i = 0; i < p->count; i++)
        m.cov += (p->x[i] - m.x) * (p->y[i] - m.y);
    m.cov /= (m.count - 1) * m.count;
    return m;
}

static bool is_enough(const struct sm_pairs *a, const struct sm_pairs *b)
{
    return a->count >= 2 && (!b || b->count >= 2);
}

/* --- Fieller --- */

/* Solves (x - r y)^2 = t^2 (var_x - 2 r cov + r^2 var_y) for r. */
static void solve(struct sm_ratio *out, const struct moments *a, const struct moments *b)
{
    double t = sm_student_quantile(0.05, out->df), t2 = t * t;
    double square = out->y * out->y - t2 * (a->var_y + b->var_y);
    double half = out->x * out->y - t2 * (a->cov + b->cov);
    double rest = out->x * out->x - t2 * (a->var_x + b->var_x);
    double root = sqrt(fmax(0, half * half - square * rest));
    if (!(square > 0) || !(out->y > 0) || !(root > 0))
        return;
    out->low = (half - root) / square;
    out->high = (half + root) / square;
}

/* Returns whether x is y times one number, so that the interval would have no width. */
static bool is_multiple(const struct sm_pairs *a, const struct sm_pairs *b, double ratio)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->x[i] != ratio * a->y[i])
            return false;
    for (size_t i = 0; b && i < b->count; i++)
        if (b->x[i] != ratio * b->y[i])
            return false;
    return true;
}

void sm_fieller(struct sm_ratio *out, const struct sm_pairs *a, const struct sm_pairs *b)
{
    *out = (struct sm_ratio){NAN, NAN, NAN, NAN, NAN, NAN};
    if (!is_enough(a, b))
        return;
    struct moments of_a = describe(a), of_b = describe(b);
    out->x = of_a.x - of_b.x;
    out->y = of_a.y - of_b.y;
    out->df = (b ? fmin(of_a.count, of_b.count) : of_a.count) - 1;
    if (out->y > 0)
        out->value = out->x / out->y;
    if (!is_multiple(a, b, 0) && !is_multiple(a, b, 1))
        solve(out, &of_a, &of_b);
}

/* --- equivalence --- */

static double variance_of(const struct moments *m, double r)
{
    return fmax(0, m->var_x + r * (2 * m->cov + r * m->var_y));
}

/* Returns the p-value against a contrast of x + share y + delta of 0 or less, or with `below` 0 or
 * more; NaN where it does not vary. */
static double one_sided(const struct moments *a, const struct moments *b, double delta,
                        double share, bool below)
{
    double va = variance_of(a, share), vb = variance_of(b, share);
    double shift = a->x - b->x + share * (a->y - b->y) + delta;
    double rest = b->count > 0 ? vb * vb / (b->count - 1) : 0;
    double df = (va + vb) * (va + vb) / (va * va / (a->count - 1) + rest);
    double t = (below ? -shift : shift) / sqrt(va + vb);
    if (!(va + vb > 0))
        return NAN;
    double two_sided = sm_student_two_sided(t, df);
    return t > 0 ? two_sided / 2 : 1 - two_sided / 2;
}

void sm_tost_welch(struct sm_tost *out, const struct sm_pairs *a, const struct sm_pairs *b,
                   struct sm_margin margin)
{
    *out = (struct sm_tost){NAN, NAN, NAN, NAN};
    if (!is_enough(a, b))
        return;
    struct moments of_a = describe(a), of_b = describe(b);
    out->margin = margin.delta + margin.share * (of_a.y - of_b.y);
    if (!(out->margin > 0))
        return;
    out->p_above = one_sided(&of_a, &of_b, margin.delta, margin.share, false);
    out->p_below = one_sided(&of_a, &of_b, -margin.delta, -margin.share, true);
    out->p = out->p_above > out->p_below ? out->p_above : out->p_below;
}

/* --- AUC --- */

void sm_auc_deviation(struct sm_auc_deviation *out, const struct sm_auc *auc)
{
    double above = auc->interval.low - 0.5, below = 0.5 - auc->interval.high;
    *out = (struct sm_auc_deviation){NAN, NAN, NAN};
    if (isnan(auc->auc))
        return;
    out->value = fabs(auc->auc - 0.5);
    out->low = fmax(0, fmax(above, below));
    out->high = fmax(-above, -below);
}
