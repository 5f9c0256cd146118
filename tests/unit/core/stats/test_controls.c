/* The blind classifier and the search for similar codes, against scikit-learn and NumPy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "sslmem/controls.h"
#include "tests/unit/core/stats/vectors.h"

static bool *bools(const json_t *list, size_t count)
{
    bool *out = calloc(count + 1, sizeof *out);
    for (size_t i = 0; i < count; i++)
        out[i] = at(list, i) != 0;
    return out;
}

static void logistic_regression_matches_scikit_learn(void **state)
{
    (void)state;
    json_t *cases = load("logistic"), *c;
    size_t i;
    json_array_foreach(cases, i, c)
    {
        struct vector x = values(c, "x"), want = values(c, "w");
        size_t features = (size_t)field(c, "features"), count = x.count / features;
        bool *y = bools(json_object_get(c, "y"), count);
        double *w = calloc(features + 1, sizeof *w);
        struct sm_err err;
        assert_int_equal(sm_logistic(w, x.x, y, count, features, &err), SM_OK);
        for (size_t j = 0; j <= features; j++)
            check("w", w[j], want.x[j], 1e-6, 1e-7);
        free(w);
        free(y);
        free(x.x);
        free(want.x);
    }
    json_decref(cases);
}

struct rows {
    struct sm_blind_rows in;
    struct vector x;
    bool *y;
    uint8_t *fold;
};

static struct rows rows_of(const json_t *c)
{
    struct rows r = {.x = values(c, "x")};
    r.in.features = (size_t)field(c, "features");
    r.in.count = r.x.count / r.in.features;
    r.in.x = r.x.x;
    r.in.is_member = r.y = bools(json_object_get(c, "y"), r.in.count);
    r.in.fold = r.fold = calloc(r.in.count, 1);
    for (size_t i = 0; i < r.in.count; i++)
        r.fold[i] = (uint8_t)at(json_object_get(c, "fold"), i);
    return r;
}

static void rows_free(struct rows *r)
{
    free(r->x.x);
    free(r->y);
    free(r->fold);
}

static void blind_scores_match_scikit_learn(void **state)
{
    (void)state;
    json_t *cases = load("blind"), *c;
    size_t i;
    json_array_foreach(cases, i, c)
    {
        struct rows r = rows_of(c);
        struct sm_blind blind;
        struct sm_err err;
        double *scores = calloc(r.in.count, sizeof *scores);
        uint64_t seed = strtoull(json_string_value(json_object_get(c, "seed")), NULL, 10);
        assert_int_equal(sm_blind_make(&blind, scores, &r.in, seed, &err), SM_OK);
        for (size_t k = 0; k < r.in.count; k++)
            check("score", scores[k], at(json_object_get(c, "scores"), k), 1e-6, 1e-6);
        check("auc", blind.auc.auc, field(c, "auc"), 1e-6, 0);
        check("p", blind.p_value, field(c, "p"), 1e-9, 0);
        free(scores);
        rows_free(&r);
    }
    json_decref(cases);
}

/* Rows without a difference: p-values are uniform, so few are small. Fixed seeds: no chance. */
static void permutation_p_values_hold_their_level(void **state)
{
    enum { RUNS = 200, COUNT = 60, FEATURES = 6 };
    static double x[COUNT * FEATURES];
    bool y[COUNT];
    uint8_t fold[COUNT];
    int small = 0, half = 0;
    (void)state;
    for (uint32_t run = 0; run < RUNS; run++) {
        struct sm_blind blind;
        struct sm_err err;
        for (uint32_t i = 0; i < COUNT * FEATURES; i++) {
            uint32_t words[4];
            sm_philox(words, (const uint32_t[2]){run, 1}, (const uint32_t[4]){i, 0, 0, 9});
            x[i] = sm_unit(words[0], words[1]) + sm_unit(words[2], words[3]);
        }
        for (int i = 0; i < COUNT; i++) {
            y[i] = i % 2;
            fold[i] = (uint8_t)(i / 2 % SM_BLIND_FOLDS);
        }
        struct sm_blind_rows rows = {x, y, fold, COUNT, FEATURES};
        assert_int_equal(sm_blind_make(&blind, NULL, &rows, run, &err), SM_OK);
        small += blind.p_value <= .05;
        half += blind.p_value <= .5;
    }
    assert_in_range(small, 3, 19); /* 10 expected, sd 3.1 */
    assert_in_range(half, 75, 125);
}

static void what_cannot_be_measured_is_undefined(void **state)
{
    (void)state;
    const double x[12] = {0};
    const bool one_side[12] = {false}, both[12] = {true, false, true, false, true};
    const uint8_t fold[12] = {0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 0, 1}, beyond[12] = {5};
    struct sm_blind_rows rows[] = {
        {x, one_side, fold, 12, 1}, {x, both, fold, 12, 1}, {x, both, beyond, 12, 1},
        {x, both, fold, 0, 1},      {x, both, fold, 12, 0},
    };
    double scores[12], w[2];
    struct sm_err err;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sm_blind blind;
        assert_int_equal(sm_blind_make(&blind, scores, &rows[i], 0, &err), SM_OK);
        assert_true(isnan(blind.auc.auc) && isnan(blind.p_value));
        assert_true(rows[i].count == 0 || isnan(scores[0]));
    }
    assert_int_equal(sm_logistic(w, x, one_side, 12, 1, &err), SM_OK);
    assert_true(isnan(w[0]) && isnan(w[1]));
}

/* All images equal: nothing to tell them by, and no number breaks. */
static void equal_rows_give_half(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    double x[2 * COUNT];
    bool y[COUNT];
    uint8_t fold[COUNT];
    struct sm_blind blind;
    struct sm_err err;
    for (int i = 0; i < COUNT; i++) {
        x[2 * i] = 3.3;
        x[2 * i + 1] = 1e6;
        y[i] = i % 2;
        fold[i] = (uint8_t)(i / 2 % SM_BLIND_FOLDS);
    }
    struct sm_blind_rows rows = {x, y, fold, COUNT, 2};
    assert_int_equal(sm_blind_make(&blind, NULL, &rows, 0, &err), SM_OK);
    check("auc", blind.auc.auc, .5, 1e-12, 0);
    check("p", blind.p_value, 1, 1e-12, 0);
}

struct found {
    size_t count, room;
    uint8_t *seen; /* [n, n] */
    size_t n;
};

static void find(void *arg, size_t i, size_t j)
{
    struct found *f = arg;
    assert_true(i < j && j < f->n);
    assert_int_equal(f->seen[i * f->n + j]++, 0);
    f->count++;
}

static void hamming_search_finds_every_pair_once(void **state)
{
    (void)state;
    json_t *cases = load("hamming"), *c, *pair;
    size_t i, k;
    json_array_foreach(cases, i, c)
    {
        const json_t *list = json_object_get(c, "codes"), *pairs = json_object_get(c, "pairs");
        struct found f = {.n = json_array_size(list)};
        uint64_t *codes = calloc(f.n + 1, sizeof *codes);
        struct sm_err err;
        bool complete;
        f.seen = calloc(f.n * f.n + 1, 1);
        for (size_t j = 0; j < f.n; j++)
            codes[j] = strtoull(json_string_value(json_array_get(list, j)), NULL, 16);
        assert_int_equal(sm_hamming_search(&complete, codes, f.n, (int)field(c, "bits"), UINT64_MAX,
                                           find, &f, &err),
                         SM_OK);
        assert_true(complete);
        assert_int_equal(f.count, json_array_size(pairs));
        json_array_foreach(pairs, k, pair)
            assert_int_equal(f.seen[(size_t)at(pair, 0) * f.n + (size_t)at(pair, 1)], 1);
        free(f.seen);
        free(codes);
    }
    json_decref(cases);
}

static void hamming_search_keeps_its_budget(void **state)
{
    (void)state;
    uint64_t codes[100] = {0};
    uint8_t seen[100 * 100] = {0};
    struct found f = {.n = 100, .seen = seen};
    struct sm_err err;
    bool complete;
    assert_int_equal(sm_hamming_search(&complete, codes, 100, 6, 1000, find, &f, &err), SM_OK);
    assert_false(complete);
    assert_true(f.count <= 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logistic_regression_matches_scikit_learn),
        cmocka_unit_test(blind_scores_match_scikit_learn),
        cmocka_unit_test(permutation_p_values_hold_their_level),
        cmocka_unit_test(what_cannot_be_measured_is_undefined),
        cmocka_unit_test(equal_rows_give_half),
        cmocka_unit_test(hamming_search_finds_every_pair_once),
        cmocka_unit_test(hamming_search_keeps_its_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
