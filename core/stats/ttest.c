/* t-tests: Student's with the pooled variance, Welch's with Satterthwaite's degrees of freedom, and
 * the test of one sample. */
#include <math.h>
#include <stdbool.h>

#include "core/stats/special.h"
#include "sslmem/stats.h"

static const struct sm_ttest undefined = {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};

struct samples {
    double difference;
    double var_a, var_b, pooled;
    double a_count, b_count;
};

/* Describes both samples. If a test is undefined, returns false and every number of `out` is
 * NaN. */
static bool describe(struct samples *s, struct sm_ttest *out, const double *a, size_t a_count,
                     const double *b, size_t b_count)
{
    *out = undefined;
    if (a_count < 2 || b_count < 2)
        return false;
    s->a_count = (double)a_count;
    s->b_count = (double)b_count;
    s->difference = sm_mean(a, a_count) - sm_mean(b, b_count);
    s->var_a = sm_variance(a, a_count);
    s->var_b = sm_variance(b, b_count);
    s->pooled =
        ((s->a_count - 1) * s->var_a + (s->b_count - 1) * s->var_b) / (s->a_count + s->b_count - 2);
    return s->var_a > 0 && s->var_b > 0;
}

/* Fills the test. `sd` is the standard deviation of single values and has `sd_df` degrees of
 * freedom; Welch's test has fewer (`df`). */
static void finish(struct sm_ttest *out, double difference, double se, double df, double sd,
                   double sd_df)
{
    double half_width = sm_student_quantile(0.05, df) * se;
    out->difference = difference;
    out->t = difference / se;
    out->df = df;
    out->p_two_sided = sm_student_two_sided(out->t, df);
    out->p_greater = out->t > 0 ? out->p_two_sided / 2 : 1 - out->p_two_sided / 2;
    out->cohen_d = difference / sd;
    out->hedges_g = out->cohen_d * sm_hedges_factor(sd_df);
    out->low = difference - half_width;
    out->high = difference + half_width;
}

void sm_ttest_student(struct sm_ttest *out, const double *a, size_t a_count, const double *b,
                      size_t b_count)
{
    struct samples s;
    if (!describe(&s, out, a, a_count, b, b_count))
        return;
    double se = sqrt(s.pooled * (1 / s.a_count + 1 / s.b_count));
    double df = s.a_count + s.b_count - 2;
    finish(out, s.difference, se, df, sqrt(s.pooled), df);
}

void sm_ttest_welch(struct sm_ttest *out, const double *a, size_t a_count, const double *b,
                    size_t b_count)
{
    struct samples s;
    if (!describe(&s, out, a, a_count, b, b_count))
        return;
    double va = s.var_a / s.a_count, vb = s.var_b / s.b_count;
    double df = (va + vb) * (va + vb) / (va * va / (s.a_count - 1) + vb * vb / (s.b_count - 1));
    finish(out, s.difference, sqrt(va + vb), df, sqrt(s.pooled), s.a_count + s.b_count - 2);
}

void sm_ttest_one(struct sm_ttest *out, const double *x, size_t count)
{
    double variance = sm_variance(x, count), n = (double)count;
    *out = undefined;
    if (variance > 0) /* a NaN variance fails this test, too */
        finish(out, sm_mean(x, count), sqrt(variance / n), n - 1, sqrt(variance), n - 1);
}
