/* Position tables and RoPE angles against PyTorch: vectors of tests/golden/make_resample.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/nn/resample.h"

static json_t *load(const char *name)
{
    char path[128];
    json_error_t error;
    snprintf(path, sizeof path, "tests/golden/resample/%s.json", name);
    json_t *cases = json_load_file(path, 0, &error);
    if (!cases)
        fail_msg("%s: %s", path, error.text);
    assert_true(json_array_size(cases) > 0);
    return cases;
}

static int32_t integer(const json_t *list, size_t index)
{
    return (int32_t)json_integer_value(json_array_get(list, index));
}

static float *floats(const json_t *list, size_t count)
{
    float *out = calloc(count + 1, sizeof *out);
    assert_non_null(out);
    assert_int_equal(json_array_size(list), count);
    for (size_t i = 0; i < count; i++)
        out[i] = (float)json_number_value(json_array_get(list, i));
    return out;
}

static void check(const char *what, const float *got, const float *want, size_t count,
                  double tolerance)
{
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <= tolerance * (1 + fabs((double)want[i]))))
            fail_msg("%s: number %zu is %.9g, must be %.9g", what, i, (double)got[i],
                     (double)want[i]);
}

/* PyTorch sums in float, we do not. */
static void check_table(const json_t *c, const char *name, enum sm_pos_resize rule)
{
    const json_t *grid = json_object_get(c, "grid"), *size = json_object_get(c, "size");
    int32_t h = integer(grid, 0), w = integer(grid, 1);
    int32_t rows = integer(size, 0), cols = integer(size, 1);
    int32_t dim = (int32_t)json_integer_value(json_object_get(c, "dim"));
    size_t count = (size_t)rows * (size_t)cols * (size_t)dim;
    float *table = floats(json_object_get(c, "table"), (size_t)h * (size_t)w * (size_t)dim);
    float *want = floats(json_object_get(c, name), count), *got = calloc(count, sizeof *got);
    char what[64];
    assert_non_null(got);
    snprintf(what, sizeof what, "%s %dx%d to %dx%d", name, (int)h, (int)w, (int)rows, (int)cols);
    assert_int_equal(sm_pos_resample(got, table, h, w, dim, rows, cols, rule, NULL), SM_OK);
    check(what, got, want, count, 1e-6);
    if (h == rows && w == cols && rule != SM_POS_RESIZE_OFFSET)
        assert_memory_equal(got, table, count * sizeof *got);
    free(table);
    free(want);
    free(got);
}

static void tables_are_resampled_as_pytorch_does(void **state)
{
    (void)state;
    json_t *cases = load("pos"), *c;
    size_t i;
    json_array_foreach(cases, i, c)
    {
        check_table(c, "plain", SM_POS_RESIZE_PLAIN);
        check_table(c, "offset", SM_POS_RESIZE_OFFSET);
        check_table(c, "antialias", SM_POS_RESIZE_ANTIALIAS);
    }
    json_decref(cases);
}

static void one_number_stays_one(void **state)
{
    (void)state;
    float table[6 * 5], out[9 * 2];
    for (size_t i = 0; i < 30; i++)
        table[i] = 0.25f;
    for (int rule = SM_POS_RESIZE_PLAIN; rule <= SM_POS_RESIZE_ANTIALIAS; rule++) {
        assert_int_equal(sm_pos_resample(out, table, 6, 5, 1, 9, 2, (enum sm_pos_resize)rule, NULL),
                         SM_OK);
        for (size_t i = 0; i < 18; i++)
            assert_true(fabs((double)out[i] - 0.25) < 1e-6);
    }
}

static void sides_are_limited(void **state)
{
    (void)state;
    struct sm_err err = {0};
    float *table = calloc(SM_POS_SIDE_MAX, sizeof *table), out[2];
    assert_non_null(table);
    assert_int_equal(
        sm_pos_resample(out, table, SM_POS_SIDE_MAX, 1, 1, 2, 1, SM_POS_RESIZE_ANTIALIAS, &err),
        SM_OK);
    assert_int_equal(
        sm_pos_resample(out, table, SM_POS_SIDE_MAX + 1, 1, 1, 2, 1, SM_POS_RESIZE_PLAIN, &err),
        SM_LIMIT);
    assert_string_equal(err.text, "a position table of 4097x1, most is 4096 a side");
    assert_int_equal(sm_pos_resample(out, table, 2, 2, 1, 2, 4097, SM_POS_RESIZE_PLAIN, &err),
                     SM_LIMIT);
    assert_int_equal(sm_pos_resample(out, table, 1, 1, 2048, 1024, 1024, SM_POS_RESIZE_PLAIN, &err),
                     SM_LIMIT);
    assert_string_equal(err.text, "a position table of 1024x1024x2048 numbers, most is 2147483647");
    /* Neither table is too large, what is between them is. */
    assert_int_equal(sm_pos_resample(out, table, 4096, 1, 1024, 1, 4096, SM_POS_RESIZE_PLAIN, &err),
                     SM_LIMIT);
    assert_string_equal(err.text, "a position table of 4096x4096x1024 numbers, most is 2147483647");
    free(table);
}

static void check_rope(const json_t *c)
{
    int32_t rows = (int32_t)json_integer_value(json_object_get(c, "rows"));
    int32_t cols = (int32_t)json_integer_value(json_object_get(c, "cols"));
    int32_t head_dim = (int32_t)json_integer_value(json_object_get(c, "head_dim"));
    size_t count = (size_t)rows * (size_t)cols * (size_t)head_dim;
    float *cosines = floats(json_object_get(c, "cos"), count);
    float *sines = floats(json_object_get(c, "sin"), count);
    float *got[2] = {calloc(count, sizeof(float)), calloc(count, sizeof(float))};
    double periods[16];
    assert_true(got[0] && got[1] && head_dim / 4 <= 16);
    for (int32_t i = 0; i < head_dim / 4; i++)
        periods[i] = json_number_value(json_array_get(json_object_get(c, "periods"), (size_t)i));
    sm_rope_tables(got[0], got[1], periods, head_dim, rows, cols);
    check("cos", got[0], cosines, count, 2e-6);
    check("sin", got[1], sines, count, 2e-6);
    free(cosines);
    free(sines);
    free(got[0]);
    free(got[1]);
}

static void angles_are_those_of_dinov3(void **state)
{
    (void)state;
    json_t *cases = load("rope"), *c;
    size_t i;
    json_array_foreach(cases, i, c) check_rope(c);
    json_decref(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_resampled_as_pytorch_does),
        cmocka_unit_test(one_number_stays_one),
        cmocka_unit_test(sides_are_limited),
        cmocka_unit_test(angles_are_those_of_dinov3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
