/* Means, t-tests, ranks, quantiles and what lies below them, against SciPy, NumPy and mpmath. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/stats/special.h"
#include "sslmem/reliability.h"
#include "tests/unit/core/stats/vectors.h"

static void beta_inc_matches_the_exact_series(void **state)
{
    (void)state;
    json_t *cases = load("beta_inc"), *c;
    size_t i;
    json_array_foreach(cases, i, c)
    {
        double got = sm_beta_inc(field(c, "a"), field(c, "b"), field(c, "x"));
        check("I_x(a, b)", got, field(c, "value"), 1e-11, 1e-300);
    }
    json_decref(cases);
    assert_true(isnan(sm_beta_inc(0, 1, .5)));
    assert_true(isnan(sm_beta_inc(1, 1, 1.5)));
    assert_true(isnan(sm_beta_inc(1, 1, NAN)));
}

static void student_tails_are_right_relatively(void **state)
{
    (void)state;
    json_t *cases = load("student"), *c;
    size_t i;
    double smallest = 1;
    json_array_foreach(cases, i, c)
    {
        double p = sm_student_two_sided(field(c, "t"), field(c, "df"));
        check("p", p, field(c, "p"), 1e-11, 0);
        smallest = fmin(smallest, p);
    }
    json_decref(cases);
    assert_true(smallest < 1e-200);
    assert_true(sm_student_two_sided(INFINITY, 5) == 0);
    assert_true(isnan(sm_student_two_sided(1, 0)));
}

static void check_ttest(const struct sm_ttest *got, const json_t *want)
{
    check("difference", got->difference, field(want, "difference"), 1e-10, 1e-15);
    check("t", got->t, field(want, "t"), 1e-10, 1e-15);
    check("df", got->df, field(want, "df"), 1e-10, 0);
    check("p two-sided", got->p_two_sided, field(want, "p_two_sided"), 1e-10, 0);
    check("p greater", got->p_greater, field(want, "p_greater"), 1e-10, 0);
    check("d", got->cohen_d, field(want, "cohen_d"), 1e-10, 1e-15);
    check("g", got->hedges_g, field(want, "hedges_g"), 1e-10, 1e-15);
    check("low", got->low, field(want, "low"), 1e-10, 1e-15);
    check("high", got->high, field(want, "high"), 1e-10, 1e-15);
}

static void ttests_match_scipy(void **state)
{
    (void)state;
    json_t *cases = load("ttest"), *c;
    size_t i, a_count, b_count;
    json_array_foreach(cases, i, c)
    {
        double *a = numbers(json_object_get(c, "a"), &a_count);
        double *b = numbers(json_object_get(c, "b"), &b_count);
        struct sm_ttest t;
        check("mean", sm_mean(a, a_count), field(c, "mean"), 1e-14, 1e-16);
        check("variance", sm_variance(a, a_count), field(c, "variance"), 1e-12, 1e-30);
        sm_ttest_student(&t, a, a_count, b, b_count);
        check_ttest(&t, json_object_get(c, "student"));
        sm_ttest_welch(&t, a, a_count, b, b_count);
        check_ttest(&t, json_object_get(c, "welch"));
        free(a);
        free(b);
    }
    json_decref(cases);
}

static void ttest_of_one_sample_matches_scipy(void **state)
{
    (void)state;
    json_t *cases = load("ttest_one"), *c;
    size_t i;
    json_array_foreach(cases, i, c)
    {
        struct vector x = values(c, "x");
        struct sm_ttest t;
        sm_ttest_one(&t, x.x, x.count);
        check_ttest(&t, json_object_get(c, "one"));
        free(x.x);
    }
    json_decref(cases);
}

/* A variance that overflows leaves no degrees of freedom; the answer is undefined, and it comes. */
static void no_degrees_of_freedom_have_no_quantile(void **state)
{
    (void)state;
    const double none[] = {NAN, INFINITY, -INFINITY, 0, -1};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_true(isnan(sm_student_quantile(0.05, none[i])));
        assert_true(isnan(sm_beta_inc(none[i], 0.5, 0.3)));
        assert_true(isnan(sm_beta_inc(0.5, none[i], 0.3)));
        assert_true(isnan(sm_beta_quantile(2, none[i], 0.3)));
    }
    assert_true(isnan(sm_student_quantile(NAN, 5)));
}

static void student_quantiles_are_right(void **state)
{
    (void)state;
    json_t *cases = load("student_quantile"), *c;
    size_t i;
    json_array_foreach(cases, i, c)
    {
        double df = field(c, "df"), p = field(c, "p");
        check("t", sm_student_quantile(p, df), field(c, "t"), 1e-10, 0);
        check("factor", sm_hedges_factor(df), field(c, "hedges"), 1e-13, 0);
    }
    json_decref(cases);
}

/* The tails are compared with exact ones above, so what must hold here is the way back. */
static void quantiles_invert_their_tails(void **state)
{
    (void)state;
    static const double shapes[] = {.5, 1, 1.5, 3, 40.5, 1e3, 1e6};
    static const double tails[] = {1e-300, 1e-100, 1e-12, 1e-3, .025, .5, .975};
    for (size_t i = 0; i < 7 * 7 * 7; i++) {
        double a = shapes[i % 7], b = shapes[i / 7 % 7], p = tails[i / 49];
        double x = sm_beta_quantile(a, b, p), close = 1e-10 + 1e-13 * (a + b); /* a tail is x^a */
        if (x > 1e-300 && x < 1 - 1e-6) /* nearer to 1 the doubles are too far apart */
            check("lower tail", sm_beta_inc(a, b, x), p, close, 0);
        double t = sm_student_quantile(p, a);
        if (t < 1e100)
            check("tail of t", sm_student_two_sided(t, a), p, close, 0);
        x = sm_beta_upper_quantile(a, b, p);
        assert_true(x >= sm_beta_quantile(a, b, p) || p >= .5);
        if (x < 1 - 1e-6)
            check("upper tail", sm_beta_inc(b, a, 1 - x), p, 1e-6, 0);
    }
}

static void constant_samples_have_no_variance_at_all(void **state)
{
    (void)state;
    double x[7] = {.1, .1, .1, .1, .1, .1, .1};
    assert_true(sm_mean(x, 7) == .1);
    assert_true(sm_variance(x, 7) == 0);
    assert_true(isnan(sm_mean(NULL, 0)));
    assert_true(isnan(sm_variance(x, 1)));
}

static void ranks_match_scipy(void **state)
{
    (void)state;
    json_t *cases = load("rank"), *c;
    size_t i, count, x_count;
    json_array_foreach(cases, i, c)
    {
        double *ref = numbers(json_object_get(c, "ref"), &count);
        double *x = numbers(json_object_get(c, "x"), &x_count);
        for (size_t j = 0; j < x_count; j++) {
            check("percentile", sm_percentile_rank(ref, count, x[j]),
                  number(json_array_get(json_object_get(c, "percentile"), j)), 1e-12, 0);
            check("conformal p", sm_conformal_p(ref, count, x[j]),
                  number(json_array_get(json_object_get(c, "p"), j)), 1e-14, 0);
        }
        for (size_t k = 0; k < json_array_size(json_object_get(c, "p_without")); k++) {
            double own = ref[k ? count - 1 : 0];
            const json_t *percentiles = json_array_get(json_object_get(c, "percentile_without"), k);
            const json_t *p = json_array_get(json_object_get(c, "p_without"), k);
            for (size_t j = 0; j < x_count; j++) {
                check("percentile among the others",
                      sm_percentile_rank_without(ref, count, own, x[j]), at(percentiles, j), 1e-12,
                      0);
                check("conformal p among the others", sm_conformal_p_without(ref, count, own, x[j]),
                      at(p, j), 1e-14, 0);
            }
        }
        free(ref);
        free(x);
    }
    json_decref(cases);
    assert_true(isnan(sm_conformal_p((double[]){1}, 1, NAN)));
    assert_true(isnan(sm_percentile_rank((double[]){1}, 1, NAN)));
}

static void jackknife_matches_leaving_each_out(void **state)
{
    (void)state;
    json_t *cases = load("jackknife"), *c;
    size_t i, count;
    json_array_foreach(cases, i, c)
    {
        size_t k = (size_t)field(c, "k");
        double *d = numbers(json_object_get(c, "d"), &count);
        double *row = numbers(json_object_get(c, "row"), &count);
        const json_t *mean = json_object_get(c, "mean");
        struct sm_jackknife got;
        sm_jackknife_pairs(&got, d, k);
        check("theta of pairs", got.theta, field(c, "pairs"), 1e-13, 0);
        check("se of pairs", got.se, field(c, "pairs_se"), 1e-10, 1e-15);
        check("jackknife of pairs", got.wide_se, field(c, "pairs_wide_se"), 1e-10, 1e-15);
        check("df of pairs", got.df, k > 3 ? (double)k - 1 : NAN, 0, 0);
        sm_jackknife_mean(&got, row, k);
        check("theta of anchor", got.theta, number(json_array_get(mean, 0)), 1e-13, 0);
        check("se of anchor", got.se, number(json_array_get(mean, 1)), 1e-10, 1e-15);
        assert_true(isnan(got.se) ? isnan(got.wide_se) : got.se == got.wide_se);
        check("df of anchor", got.df, k > 1 ? (double)k - 1 : NAN, 0, 0);
        free(d);
        free(row);
    }
    json_decref(cases);
}

static void jackknife_reads_the_upper_triangle_only(void **state)
{
    (void)state;
    double d[16] = {NAN, .3, .3, .3, NAN, NAN, .3, .3, NAN, NAN, NAN, .3, NAN, NAN, NAN, NAN};
    struct sm_jackknife got;
    sm_jackknife_pairs(&got, d, 4);
    assert_true(got.theta == .3 && got.se == 0 && got.wide_se == 0);
}

static void intervals_add_their_parts(void **state)
{
    (void)state;
    double t_9 = 2.2621571627982055, t_4 = 2.7764451051977944;
    struct sm_interval i = sm_interval_of(1, (double[]){.5}, (double[]){9}, 1);
    check("low", i.low, 1 - t_9 * .5, 1e-12, 0);
    check("high", i.high, 1 + t_9 * .5, 1e-12, 0);
    /* Two equal parts of 2 degrees of freedom have 4; one that is 0 has no say. */
    i = sm_interval_of(0, (double[]){.3, 0, .3}, (double[]){2, 0, 2}, 3);
    check("high", i.high, t_4 * .3 * sqrt(2), 1e-12, 0);
    i = sm_interval_of(0, (double[]){1e-170}, (double[]){4}, 1);
    assert_true(isnan(i.low) && isnan(i.high)); /* its square is 0 */
    i = sm_interval_of(0, (double[]){0}, (double[]){4}, 1);
    assert_true(isnan(i.low) && isnan(i.high));
    i = sm_interval_of(0, (double[]){NAN, .1}, (double[]){NAN, 2}, 2);
    assert_true(isnan(i.low) && isnan(i.high));
}

static void check_shrunken(const json_t *c, const struct sm_shrinkage *shrinkage,
                           const struct vector *m, const struct vector *se)
{
    check("mean", shrinkage->mean, field(c, "mean"), 1e-12, 1e-15);
    check("tau2", shrinkage->tau2, field(c, "tau2"), 1e-10, 1e-18);
    for (size_t i = 0; i < m->count; i++)
        check("shrunken", sm_shrunken(shrinkage, m->x[i], se->x[i]),
              number(json_array_get(json_object_get(c, "shrunken"), i)), 1e-10, 1e-15);
}

static void reliability_matches_numpy(void **state)
{
    (void)state;
    json_t *cases = load("reliability"), *c;
    size_t i;
    json_array_foreach(cases, i, c)
    {
        struct vector m = values(c, "m"), se = values(c, "se");
        const json_t *interval = json_object_get(c, "interval"),
                     *views = json_object_get(c, "views");
        struct sm_reliability got;
        struct sm_shrinkage shrinkage;
        struct sm_err err;
        assert_int_equal(sm_reliability_make(&got, m.x, se.x, m.count,
                                             (size_t)field(c, "resamples"),
                                             (uint64_t)field(c, "seed"), &err),
                         SM_OK);
        assert_int_equal(got.count, (size_t)field(c, "count"));
        check("noise", got.noise, field(c, "noise"), 1e-12, 0);
        if (isfinite(got.variance)) /* of the largest scores it is infinite */
            check("variance", got.variance, field(c, "variance"), 1e-10, 0);
        check("reliability", got.value, field(c, "value"), 1e-10, 1e-13);
        check("low", got.interval.low, at(interval, 0), 1e-9, 1e-12);
        check("high", got.interval.high, at(interval, 1), 1e-9, 1e-12);
        check("views for .8", sm_views_needed(got.value, 10, .8), at(views, 0), 0, 0);
        check("views for .9", sm_views_needed(got.value, 10, .9), at(views, 1), 0, 0);
        sm_shrinkage_make(&shrinkage, m.x, se.x, m.count);
        assert_int_equal(shrinkage.count, got.count);
        check_shrunken(c, &shrinkage, &m, &se);
        free(m.x);
        free(se.x);
    }
    json_decref(cases);
}

static void quantiles_match_numpy(void **state)
{
    (void)state;
    json_t *cases = load("quantile"), *c;
    size_t i;
    json_array_foreach(cases, i, c)
    {
        struct vector x = values(c, "x"), q = values(c, "q"), want = values(c, "value");
        for (size_t j = 0; j < q.count; j++)
            check("quantile", sm_quantile(x.x, x.count, q.x[j]), want.x[j], 0, 0);
        free(x.x);
        free(q.x);
        free(want.x);
    }
    json_decref(cases);
    assert_true(isnan(sm_quantile((double[]){1, 2}, 2, 1.01)));
    assert_true(isnan(sm_quantile((double[]){1, 2}, 2, NAN)));
}

static void histograms_match_numpy(void **state)
{
    (void)state;
    json_t *cases = load("histogram"), *c;
    size_t i;
    json_array_foreach(cases, i, c)
    {
        struct vector x = values(c, "x"), want = values(c, "bins");
        int64_t bins[64];
        memset(bins, 1, sizeof bins);
        sm_histogram(bins, want.count, field(c, "low"), field(c, "high"), x.x, x.count);
        for (size_t j = 0; j < want.count; j++)
            assert_int_equal(bins[j], (int64_t)want.x[j]);
        free(x.x);
        free(want.x);
    }
    json_decref(cases);
}

static void histogram_of_no_width_has_one_bin(void **state)
{
    (void)state;
    int64_t bins[3];
    sm_histogram(bins, 3, .5, .5, (double[]){.5, .5, .4, NAN}, 4);
    assert_true(bins[0] == 0 && bins[1] == 0 && bins[2] == 2);
    sm_histogram(bins, 3, 1, 0, (double[]){.5}, 1);
    assert_true(bins[0] == 0 && bins[1] == 0 && bins[2] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beta_inc_matches_the_exact_series),
        cmocka_unit_test(student_tails_are_right_relatively),
        cmocka_unit_test(ttests_match_scipy),
        cmocka_unit_test(ttest_of_one_sample_matches_scipy),
        cmocka_unit_test(no_degrees_of_freedom_have_no_quantile),
        cmocka_unit_test(student_quantiles_are_right),
        cmocka_unit_test(quantiles_invert_their_tails),
        cmocka_unit_test(constant_samples_have_no_variance_at_all),
        cmocka_unit_test(ranks_match_scipy),
        cmocka_unit_test(jackknife_matches_leaving_each_out),
        cmocka_unit_test(jackknife_reads_the_upper_triangle_only),
        cmocka_unit_test(intervals_add_their_parts),
        cmocka_unit_test(reliability_matches_numpy),
        cmocka_unit_test(quantiles_match_numpy),
        cmocka_unit_test(histograms_match_numpy),
        cmocka_unit_test(histogram_of_no_width_has_one_bin),
    };
    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
