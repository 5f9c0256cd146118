/* A score as a membership test: U, the curve, the area below it, bounds. Against SciPy and
 * scikit-learn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/stats/share.h"
#include "sslmem/stats.h"
#include "tests/unit/asserts.h"
#include "tests/unit/core/stats/vectors.h"

static struct sm_err err;

static void mann_whitney_matches_scipy(void **state)
{
    (void)state;
    json_t *cases = load("mann_whitney"), *c;
    size_t i;
    double smallest = 1;
    json_array_foreach(cases, i, c)
    {
        struct vector a = values(c, "a"), b = values(c, "b");
        struct sm_mwu got;
        assert_ok(sm_mann_whitney(&got, a.x, a.count, b.x, b.count, &err));
        check("U", got.u, field(c, "u"), 0, 0);
        check("p two-sided", got.p_two_sided, field(c, "p_two_sided"), 1e-10, 0);
        check("p greater", got.p_greater, field(c, "p_greater"), 1e-10, 0);
        smallest = fmin(smallest, got.p_two_sided);
        free(a.x);
        free(b.x);
    }
    json_decref(cases);
    assert_true(smallest < 1e-300);
}

static void mann_whitney_is_exact_to_eight_a_side(void **state)
{
    (void)state;
    double a[9], b[9];
    struct sm_mwu eight, nine;
    for (int i = 0; i < 9; i++) {
        a[i] = i + .5;
        b[i] = i - 100;
    }
    assert_ok(sm_mann_whitney(&eight, a, 8, b, 9, &err));
    check("2/C(17, 8)", eight.p_two_sided, 2.0 / 24310, 1e-14, 0);
    assert_ok(sm_mann_whitney(&nine, a, 9, b, 9, &err));
    assert_true(nine.p_two_sided > 4 * 2.0 / 48620); /* C(18, 9): the exact one is far below */
}

/* The variance of what is all tied is 0, and not what rounding leaves of cubes. */
static void mann_whitney_of_equal_values_says_nothing(void **state)
{
    (void)state;
    size_t count = 165146;
    double *x = calloc(count, sizeof *x);
    struct sm_mwu got;
    assert_ok(sm_mann_whitney(&got, x, count, x, count, &err));
    assert_true(got.p_two_sided == 1 && got.p_greater == 1);
    free(x);
}

static void check_curve(const struct sm_roc *roc, const json_t *want)
{
    const json_t *thresholds = json_array_get(want, 0), *fpr = json_array_get(want, 1);
    assert_int_equal(roc->count, json_array_size(thresholds));
    assert_true(roc->points[0].threshold == INFINITY);
    for (size_t i = 0; i < roc->count; i++) {
        const struct sm_roc_point *p = &roc->points[i];
        if (i > 0)
            check("threshold", p->threshold, at(thresholds, i), 0, 0);
        check("fpr", p->fpr, at(fpr, i), 0, 0);
        check("tpr", p->tpr, at(json_array_get(want, 2), i), 0, 0);
    }
}

static void check_tprs(const struct sm_roc *roc, const json_t *list, size_t members_count,
                       size_t others_count)
{
    size_t i;
    json_t *want;
    json_array_foreach(list, i, want)
    {
        struct sm_tpr got;
        sm_tpr_at(&got, roc, field(want, "fpr"), members_count, others_count);
        check("asked fpr", got.fpr, field(want, "fpr"), 0, 0);
        check("tpr", got.tpr, field(want, "tpr"), 0, 0);
        if (got.threshold != INFINITY) /* the first point, which JSON cannot name */
            check("threshold", got.threshold, field(want, "threshold"), 0, 0);
        else
            assert_true(got.tpr == 0);
        check("low", got.interval.low, field(want, "low"), 1e-10, 0);
        check("high", got.interval.high, field(want, "high"), 1e-10, 0);
        assert_true(got.enough == json_is_true(json_object_get(want, "enough")));
    }
}

static void curves_match_scikit_learn(void **state)
{
    (void)state;
    json_t *cases = load("roc"), *c;
    size_t i;
    json_array_foreach(cases, i, c)
    {
        struct vector a = values(c, "a"), b = values(c, "b");
        struct sm_roc roc;
        assert_ok(sm_roc_make(&roc, a.x, a.count, b.x, b.count, &err));
        check_curve(&roc, json_object_get(c, "full"));
        assert_int_equal(roc.points[roc.count - 1].true_positives, a.count);
        assert_int_equal(roc.points[roc.count - 1].false_positives, b.count);
        check("advantage", sm_roc_advantage(&roc), field(c, "advantage"), 1e-14, 1e-16);
        check_tprs(&roc, json_object_get(c, "tpr"), a.count, b.count);
        sm_roc_thin(&roc);
        check_curve(&roc, json_object_get(c, "thin"));
        check("thinned", sm_roc_advantage(&roc), field(c, "advantage"), 1e-14, 1e-16);
        sm_roc_release(&roc);
        assert_true(!roc.points && roc.count == 0);
        free(a.x);
        free(b.x);
    }
    json_decref(cases);
}

static void curve_of_nothing_is_one_point(void **state)
{
    (void)state;
    struct sm_roc roc;
    struct sm_tpr tpr;
    assert_ok(sm_roc_make(&roc, NULL, 0, NULL, 0, &err));
    assert_int_equal(roc.count, 1);
    assert_true(isnan(roc.points[0].fpr) && isnan(roc.points[0].tpr));
    assert_true(isnan(sm_roc_advantage(&roc)));
    sm_tpr_at(&tpr, &roc, .01, 0, 0);
    assert_true(isnan(tpr.tpr) && isnan(tpr.threshold) && isnan(tpr.interval.low) && !tpr.enough);
    sm_roc_release(&roc);
}

static void check_interval(const char *name, struct sm_interval got, const json_t *c,
                           double absolute)
{
    const json_t *want = json_object_get(c, name);
    check(name, got.low, at(want, 0), 1e-10, absolute);
    check(name, got.high, at(want, 1), 1e-10, absolute);
}

/* Wald's interval would be the point, however small the sides are. */
static void auc_at_its_bounds_has_an_interval_with_width(void **state)
{
    (void)state;
    static const struct {
        size_t members, others;
        bool enough;
    } sizes[] = {{1, 1, false},  {2, 4, false},  {4, 10, false},
                 {10, 9, false}, {10, 10, true}, {30, 40, true}};
    double low[40], high[40], equal[40] = {0};
    for (int i = 0; i < 40; i++) {
        low[i] = i;
        high[i] = 100 + i;
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t m = sizes[i].members, n = sizes[i].others;
        struct sm_auc one, zero, tied;
        assert_ok(sm_auc_make(&one, high, m, low, n, 100, 1, &err));
        assert_ok(sm_auc_make(&zero, low, m, high, n, 100, 1, &err));
        assert_ok(sm_auc_make(&tied, equal, m, equal, n, 100, 1, &err));
        assert_true(one.auc == 1 && one.interval.high == 1 && one.interval.low < .95);
        assert_true(zero.auc == 0 && zero.interval.low == 0 && zero.interval.high > .05);
        check("mirrored", zero.interval.high, 1 - one.interval.low, 1e-12, 0);
        assert_true(tied.auc == .5 && tied.interval.low < .4 && tied.interval.high > .6);
        assert_true(isnan(one.se) && isnan(one.delong.low) && isnan(one.bootstrap.low));
        assert_true(isnan(tied.se) && isnan(tied.delong.high) && isnan(tied.bootstrap.high));
        assert_true(one.enough == sizes[i].enough && zero.enough == sizes[i].enough);
    }
    /* (1 - L)^2 = z^2 L (1 - L) at one a side: L = 1/(1 + z^2). */
    struct sm_auc one;
    assert_ok(sm_auc_make(&one, high, 1, low, 1, 0, 0, &err));
    check("one a side", one.interval.low, 1 / (1 + 1.959963984540054 * 1.959963984540054), 1e-12,
          0);
}

static void auc_matches_its_definitions(void **state)
{
    (void)state;
    json_t *cases = load("auc"), *c;
    size_t i;
    double smallest = 1;
    json_array_foreach(cases, i, c)
    {
        struct vector a = values(c, "a"), b = values(c, "b");
        const json_t *boot = json_object_get(c, "bootstrap");
        size_t resamples = (size_t)field(c, "resamples");
        uint64_t seed = (uint64_t)field(c, "seed");
        struct sm_auc got, none;
        assert_ok(sm_auc_make(&got, a.x, a.count, b.x, b.count, resamples, seed, &err));
        check("auc", got.auc, field(c, "auc"), 1e-12, 0);
        check("se", got.se, field(c, "se"), 1e-10, 1e-16);
        check_interval("delong", got.delong, c, 1e-16);
        check_interval("newcombe", got.newcombe, c, 1e-14);
        check_interval("interval", got.interval, c, 1e-14);
        assert_true(got.enough == json_is_true(json_object_get(c, "enough")));
        check("p", got.p_two_sided, field(c, "p_two_sided"), 1e-10, 0);
        check("bootstrap's low", got.bootstrap.low, at(boot, 0), 1e-12, 1e-16);
        check("bootstrap's high", got.bootstrap.high, at(boot, 1), 1e-12, 0);
        assert_ok(sm_auc_make(&none, a.x, a.count, b.x, b.count, 0, seed, &err));
        check("auc alone", none.auc, got.auc, 0, 0);
        assert_true(isnan(none.bootstrap.low) && isnan(none.bootstrap.high));
        smallest = fmin(smallest, got.p_two_sided);
        free(a.x);
        free(b.x);
    }
    json_decref(cases);
    assert_true(smallest < 1e-100);
}

static void bootstrap_depends_on_the_whole_seed(void **state)
{
    (void)state;
    double a[40], b[40];
    struct sm_auc one, same, high;
    for (int i = 0; i < 40; i++) {
        a[i] = i * 7 % 40;
        b[i] = i * 11 % 40 - 3.5;
    }
    assert_ok(sm_auc_make(&one, a, 40, b, 40, 300, 1, &err));
    assert_ok(sm_auc_make(&same, a, 40, b, 40, 300, 1, &err));
    assert_ok(sm_auc_make(&high, a, 40, b, 40, 300, 1 + (UINT64_C(1) << 32), &err));
    assert_memory_equal(&one.bootstrap, &same.bootstrap, sizeof one.bootstrap);
    assert_true(one.auc == same.auc && one.se == same.se);
    assert_true(one.bootstrap.low != high.bootstrap.low);
}

static void clopper_pearson_matches_scipy(void **state)
{
    (void)state;
    json_t *cases = load("clopper_pearson"), *c;
    size_t i;
    json_array_foreach(cases, i, c)
    {
        size_t k = (size_t)field(c, "k"), n = (size_t)field(c, "n");
        struct sm_interval got = sm_clopper_pearson(k, n, field(c, "confidence"));
        check("low", got.low, field(c, "low"), 1e-10, 0);
        check("high", got.high, field(c, "high"), 1e-10, 0);
    }
    json_decref(cases);
}

static void epsilon_matches_its_definition(void **state)
{
    (void)state;
    json_t *cases = load("epsilon"), *c;
    size_t i;
    json_array_foreach(cases, i, c)
    {
        struct vector n = values(c, "counts");
        double got = sm_epsilon_lower((size_t)n.x[0], (size_t)n.x[1], (size_t)n.x[2],
                                      (size_t)n.x[3], field(c, "delta"), field(c, "confidence"));
        check("epsilon", got, field(c, "epsilon"), 1e-10, 0);
        free(n.x);
    }
    json_decref(cases);
}

static struct sm_share_count count_at(const json_t *sets, size_t i)
{
    const json_t *set = json_array_get(sets, i);
    return (struct sm_share_count){(size_t)at(set, 0), (size_t)at(set, 1)};
}

static void used_share_matches_scipy(void **state)
{
    (void)state;
    json_t *cases = load("used_share"), *c;
    size_t i;
    json_array_foreach(cases, i, c)
    {
        const json_t *sets = json_object_get(c, "sets"), *want = json_object_get(c, "interval");
        const struct sm_share_counts counts = {count_at(sets, 0), count_at(sets, 1),
                                               count_at(sets, 2)};
        struct sm_used_share got;
        assert_ok(sm_used_share(&got, &counts, (size_t)field(c, "resamples"),
                                (uint64_t)field(c, "seed"), &err));
        check("positives", got.positive_share, field(c, "positive_share"), 1e-14, 0);
        check("TPR", got.tpr, field(c, "tpr"), 1e-14, 0);
        check("FPR", got.fpr, field(c, "fpr"), 1e-14, 0);
        check("share", got.share, field(c, "share"), 1e-10, 0);
        check("low", got.interval.low, at(want, 0), 1e-10, 0);
        check("high", got.interval.high, at(want, 1), 1e-10, 0);
        assert_ok(sm_used_share(&got, &counts, 0, 1, &err));
        assert_true(isnan(got.interval.low) && isnan(got.interval.high));
    }
    json_decref(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mann_whitney_matches_scipy),
        cmocka_unit_test(mann_whitney_is_exact_to_eight_a_side),
        cmocka_unit_test(mann_whitney_of_equal_values_says_nothing),
        cmocka_unit_test(curves_match_scikit_learn),
        cmocka_unit_test(curve_of_nothing_is_one_point),
        cmocka_unit_test(auc_matches_its_definitions),
        cmocka_unit_test(auc_at_its_bounds_has_an_interval_with_width),
        cmocka_unit_test(bootstrap_depends_on_the_whole_seed),
        cmocka_unit_test(clopper_pearson_matches_scipy),
        cmocka_unit_test(epsilon_matches_its_definition),
        cmocka_unit_test(used_share_matches_scipy),
    };
    return cmocka_run_group_tests_name("membership", tests, NULL, NULL);
}
