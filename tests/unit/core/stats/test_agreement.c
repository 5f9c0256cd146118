/* Agreement of paired values, orders and q-values, against SciPy and NumPy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/stats/sort.h"
#include "sslmem/stats.h"
#include "tests/unit/asserts.h"
#include "tests/unit/core/stats/vectors.h"

static struct sm_err err;

/* Of independent values r is the rest of what cancels: there it has 1e-14 absolutely. */
static void check_correlation(const char *what, const struct sm_correlation *got,
                              const json_t *want)
{
    check(what, got->r, at(want, 0), 1e-10, 1e-14);
    check(what, got->p_two_sided, at(want, 1), 1e-10, 0);
}

static void correlations_match_scipy(void **state)
{
    (void)state;
    json_t *cases = load("correlation"), *c;
    size_t i;
    double smallest = 1;
    json_array_foreach(cases, i, c)
    {
        struct vector x = values(c, "x"), y = values(c, "y");
        struct sm_correlation got, turned;
        sm_pearson(&got, x.x, y.x, x.count);
        check_correlation("Pearson", &got, json_object_get(c, "pearson"));
        assert_ok(sm_spearman(&got, x.x, y.x, x.count, &err));
        check_correlation("Spearman", &got, json_object_get(c, "spearman"));
        assert_ok(sm_kendall(&got, x.x, y.x, x.count, &err));
        check_correlation("Kendall", &got, json_object_get(c, "kendall"));
        smallest = fmin(smallest, got.p_two_sided > 0 ? got.p_two_sided : 1);
        assert_ok(sm_kendall(&turned, y.x, x.x, x.count, &err));
        check("Kendall turned round", turned.r, got.r, 1e-14, 0);
        free(x.x);
        free(y.x);
    }
    json_decref(cases);
    assert_true(smallest < 1e-200);
}

/* Products of counts pass 2^63 from some thousands on; tau-b of x with itself is 1 whatever ties. */
static void kendall_of_a_million(void **state)
{
    (void)state;
    size_t count = 1000000;
    double *x = calloc(count, sizeof *x), *y = calloc(count, sizeof *y);
    struct sm_correlation got;
    for (size_t i = 0; i < count; i++) {
        x[i] = (double)(i * 2654435761 % 4294967296 / 1000000000);
        y[i] = -x[i];
    }
    assert_ok(sm_kendall(&got, x, y, count, &err));
    check("tau", got.r, -1, 1e-14, 0);
    assert_true(got.p_two_sided == 0);
    free(x);
    free(y);
}

static void orders_match_numpy(void **state)
{
    (void)state;
    json_t *cases = load("order"), *c;
    size_t i;
    json_array_foreach(cases, i, c)
    {
        struct vector x = values(c, "x"), want = values(c, "order");
        size_t order[64];
        assert_true(x.count <= 64);
        assert_ok(sm_order_descending(order, x.x, x.count, &err));
        for (size_t j = 0; j < x.count; j++)
            assert_int_equal(order[j], (size_t)want.x[j]);
        free(x.x);
        free(want.x);
    }
    json_decref(cases);
}

static void sort_counts_inversions(void **state)
{
    (void)state;
    for (size_t count = 0; count < 70; count++) {
        double x[70] = {0};
        uint64_t inversions = 0;
        for (size_t i = 0; i < count; i++)
            x[i] = (double)(i * i * 31 % 23);
        for (size_t i = 0; i < count; i++)
            for (size_t j = 0; j < i; j++)
                inversions += x[j] > x[i];
        struct sm_keyed *items = sm_keyed_new(x, count, &err);
        assert_int_equal(sm_keyed_sort(items, count), inversions);
        for (size_t i = 1; i < count; i++)
            assert_true(items[i - 1].key < items[i].key ||
                        (items[i - 1].key == items[i].key && items[i - 1].index < items[i].index));
        free(items);
    }
}

static void q_values_match_the_definition(void **state)
{
    (void)state;
    json_t *cases = load("q_value"), *c;
    size_t i;
    json_array_foreach(cases, i, c)
    {
        struct vector p = values(c, "p"), want = values(c, "q");
        double q[100];
        assert_true(p.count <= 100);
        assert_ok(sm_bh_q(q, p.x, p.count, &err));
        for (size_t j = 0; j < p.count; j++)
            check("q", q[j], want.x[j], 1e-14, 0);
        assert_ok(sm_bh_q(p.x, p.x, p.count, &err));
        assert_true(p.count == 0 || memcmp(p.x, q, p.count * sizeof *q) == 0);
        free(p.x);
        free(want.x);
    }
    json_decref(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(correlations_match_scipy),
        cmocka_unit_test(kendall_of_a_million),
        cmocka_unit_test(orders_match_numpy),
        cmocka_unit_test(sort_counts_inversions),
        cmocka_unit_test(q_values_match_the_definition),
    };
    return cmocka_run_group_tests_name("agreement", tests, NULL, NULL);
}
