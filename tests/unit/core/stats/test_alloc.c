/* Statistics with every allocation failing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>

#include "sslmem/controls.h"
#include "sslmem/reliability.h"
#include "tests/unit/alloc.h"

#define COUNT 40

/* Without ties, so that Mann-Whitney's exact distribution is built as well. */
static double a[COUNT], b[COUNT];

static int fill(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        a[i] = i * 7 % COUNT;
        b[i] = i * 11 % COUNT - 3.5;
    }
    return 0;
}

static enum sm_code mann_whitney(double *result, void *context, struct sm_err *err)
{
    struct sm_mwu out;
    (void)context;
    enum sm_code code = sm_mann_whitney(&out, a, 8, b, COUNT, err);
    *result = out.p_two_sided;
    return code;
}

static enum sm_code roc(double *result, void *context, struct sm_err *err)
{
    struct sm_roc out;
    (void)context;
    enum sm_code code = sm_roc_make(&out, a, COUNT, b, COUNT, err);
    if (code != SM_OK)
        assert_true(!out.points && out.count == 0);
    *result = sm_roc_advantage(&out);
    sm_roc_release(&out);
    return code;
}

static enum sm_code auc(double *result, void *context, struct sm_err *err)
{
    struct sm_auc out;
    (void)context;
    enum sm_code code = sm_auc_make(&out, a, COUNT, b, COUNT, 50, 1, err);
    *result = out.bootstrap.high;
    return code;
}

static enum sm_code spearman(double *result, void *context, struct sm_err *err)
{
    struct sm_correlation out;
    (void)context;
    enum sm_code code = sm_spearman(&out, a, b, COUNT, err);
    *result = out.r;
    return code;
}

static enum sm_code kendall(double *result, void *context, struct sm_err *err)
{
    struct sm_correlation out;
    (void)context;
    enum sm_code code = sm_kendall(&out, a, b, COUNT, err);
    *result = out.r;
    return code;
}

static enum sm_code order(double *result, void *context, struct sm_err *err)
{
    size_t out[COUNT] = {0};
    (void)context;
    enum sm_code code = sm_order_descending(out, a, COUNT, err);
    *result = (double)out[0];
    return code;
}

static enum sm_code q_values(double *result, void *context, struct sm_err *err)
{
    double p[COUNT];
    (void)context;
    for (int i = 0; i < COUNT; i++)
        p[i] = (a[i] + 1) / 1000;
    enum sm_code code = sm_bh_q(p, p, COUNT, err);
    *result = p[1];
    return code;
}

static enum sm_code reliability(double *result, void *context, struct sm_err *err)
{
    struct sm_reliability out;
    static double se[COUNT];
    (void)context;
    enum sm_code code = sm_reliability_make(&out, a, se, COUNT, 50, 1, err);
    *result = out.value;
    return code;
}

static enum sm_code blind(double *result, void *context, struct sm_err *err)
{
    struct sm_blind out;
    bool is_member[COUNT];
    uint8_t fold[COUNT];
    (void)context;
    for (int i = 0; i < COUNT; i++) {
        is_member[i] = i % 2;
        fold[i] = (uint8_t)(i / 2 % SM_BLIND_FOLDS);
    }
    struct sm_blind_rows rows = {a, is_member, fold, COUNT, 1};
    enum sm_code code = sm_blind_make(&out, NULL, &rows, 1, err);
    *result = out.p_value;
    return code;
}

static void count_pair(void *arg, size_t i, size_t j)
{
    *(double *)arg += (double)(i + j);
}

static enum sm_code hamming(double *result, void *context, struct sm_err *err)
{
    uint64_t codes[COUNT];
    bool complete;
    (void)context;
    for (int i = 0; i < COUNT; i++)
        codes[i] = (uint64_t)i % 9;
    *result = 0;
    return sm_hamming_search(&complete, codes, COUNT, 2, UINT64_MAX, count_pair, result, err);
}

static void every_function_survives(void **state)
{
    (void)state;
    assert_int_equal(every_allocation_may_fail(mann_whitney, NULL, "Mann-Whitney"), 4);
    assert_int_equal(every_allocation_may_fail(roc, NULL, "ROC"), 4);
    assert_int_equal(every_allocation_may_fail(auc, NULL, "AUC"), 7);
    assert_int_equal(every_allocation_may_fail(spearman, NULL, "Spearman"), 3);
    assert_int_equal(every_allocation_may_fail(kendall, NULL, "Kendall"), 2);
    assert_int_equal(every_allocation_may_fail(order, NULL, "order"), 1);
    assert_int_equal(every_allocation_may_fail(q_values, NULL, "q-values"), 1);
    assert_int_equal(every_allocation_may_fail(reliability, NULL, "reliability"), 2);
    assert_true(every_allocation_may_fail(blind, NULL, "blind classifier") >= 20);
    assert_int_equal(every_allocation_may_fail(hamming, NULL, "Hamming search"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_function_survives)};
    return cmocka_run_group_tests_name("statistics without memory", tests, fill, NULL);
}
