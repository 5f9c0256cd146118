/* Statistics against SciPy, NumPy and mpmath: vectors of tests/golden/make_stats.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/stats/special.h"
#include "sslmem/stats.h"

static json_t *load(const char *name)
{
    char path[128];
    json_error_t error;
    snprintf(path, sizeof path, "tests/golden/stats/%s.json", name);
    json_t *cases = json_load_file(path, 0, &error);
    if (!cases)
        fail_msg("%s: %s", path, error.text);
    assert_true(json_array_size(cases) > 0);
    return cases;
}

/* null stands for NaN. */
static double number(const json_t *node)
{
    return json_is_number(node) ? json_number_value(node) : NAN;
}

static double field(const json_t *node, const char *name)
{
    return number(json_object_get(node, name));
}

/* NULL for an empty list, as callers may pass. */
static double *numbers(const json_t *list, size_t *count)
{
    *count = json_array_size(list);
    double *out = *count ? calloc(*count, sizeof *out) : NULL;
    for (size_t i = 0; i < *count; i++)
        out[i] = number(json_array_get(list, i));
    return out;
}

/* Equal to `relative` of the expected value, or to `absolute`; NaN equals NaN only. */
static void check(const char *what, double got, double want, double relative, double absolute)
{
    if (isnan(want) ? isnan(got) : fabs(got - want) <= relative * fabs(want) + absolute)
        return;
    fail_msg("%s is %.17g, must be %.17g", what, got, want);
}

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
        const json_t *pairs = json_object_get(c, "pairs"), *mean = json_object_get(c, "mean");
        double theta, se;
        sm_jackknife_pairs(&theta, &se, d, k);
        check("theta of pairs", theta, number(json_array_get(pairs, 0)), 1e-13, 0);
        check("se of pairs", se, number(json_array_get(pairs, 1)), 1e-10, 1e-15);
        sm_jackknife_mean(&theta, &se, row, k);
        check("theta of anchor", theta, number(json_array_get(mean, 0)), 1e-13, 0);
        check("se of anchor", se, number(json_array_get(mean, 1)), 1e-10, 1e-15);
        free(d);
        free(row);
    }
    json_decref(cases);
}

static void jackknife_reads_the_upper_triangle_only(void **state)
{
    (void)state;
    double d[9] = {NAN, .3, .3, NAN, NAN, .3, NAN, NAN, NAN}, theta, se;
    sm_jackknife_pairs(&theta, &se, d, 3);
    assert_true(theta == .3 && se == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beta_inc_matches_the_exact_series),
        cmocka_unit_test(student_tails_are_right_relatively),
        cmocka_unit_test(ttests_match_scipy),
        cmocka_unit_test(constant_samples_have_no_variance_at_all),
        cmocka_unit_test(ranks_match_scipy),
        cmocka_unit_test(jackknife_matches_leaving_each_out),
        cmocka_unit_test(jackknife_reads_the_upper_triangle_only),
    };
    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
