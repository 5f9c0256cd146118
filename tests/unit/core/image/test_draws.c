/* Drawn parameters have the distributions of torchvision's get_params: two-sample
 * Kolmogorov-Smirnov tests of 5,000 of our draws against 5,000 of theirs, and a chi-square test of
 * the order of colour ops. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sslmem/views.h"
#include "tests/unit/core/image/golden.h"

#define COLUMNS_MAX 12
#define P_MIN       1e-3

struct context {
    json_t *json; /* draws.json */
    struct sm_file bin;
    size_t count;
    const json_t *names;
    float *ours[COLUMNS_MAX]; /* sorted */
    json_t *orders;
};

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static const float *theirs(const struct context *c, size_t column)
{
    return (const float *)(const void *)c->bin.bytes + column * c->count;
}

/* Takes one record of drawn parameters into the columns. */
static void take(struct context *c, const json_t *drawn, size_t view)
{
    for (size_t i = 0; i < json_array_size(c->names); i++) {
        const char *name = json_string_value(json_array_get(c->names, i));
        const json_t *value = NULL;
        for (size_t op = 0; !value && op < json_array_size(drawn); op++)
            value = json_object_get(json_array_get(drawn, op), name);
        assert_non_null(value);
        c->ours[i][view] = (float)json_number_value(value);
    }
    char key[5] = "";
    const json_t *order = json_object_get(json_array_get(drawn, 1), "order");
    assert_int_equal(json_array_size(order), 4);
    for (size_t i = 0; i < 4; i++)
        key[i] = json_string_value(json_array_get(order, i))[0];
    json_int_t seen = json_integer_value(json_object_get(c->orders, key));
    json_object_set_new(c->orders, key, json_integer(seen + 1));
}

static int setup(void **state)
{
    static struct context c;
    static const char ops[] =
        "[{\"op\":\"random_resized_crop\",\"size\":2},"
        "{\"op\":\"color_jitter\",\"brightness\":0.8,\"contrast\":0.8,\"saturation\":0.8,"
        "\"hue\":0.2},{\"op\":\"gaussian_blur\",\"sigma\":[0.1,2.0]}]";
    static const uint8_t digest[32] = {42};
    struct sm_augment augment;
    struct sm_image image, out;
    c.json = golden_json(GOLDEN "draws.json");
    c.bin = golden_file(GOLDEN "draws.bin");
    c.count = (size_t)golden_int(c.json, "count");
    c.names = json_object_get(c.json, "columns");
    c.orders = json_object();
    for (size_t i = 0; i < json_array_size(c.names); i++)
        c.ours[i] = calloc(c.count, sizeof(float));
    json_t *list = json_loads(ops, 0, NULL);
    assert_int_equal(sm_augment_parse(&augment, list, 32, "", NULL), SM_OK);
    assert_int_equal(
        sm_image_alloc(&image, golden_int(c.json, "width"), golden_int(c.json, "height"), NULL),
        SM_OK);
    for (size_t view = 0; view < c.count; view++) {
        json_t *drawn = json_array();
        struct sm_stream_key key = {5, digest, (uint32_t)view};
        assert_int_equal(sm_view_render(&out, &image, &augment, &key, drawn, NULL), SM_OK);
        take(&c, drawn, view);
        json_decref(drawn);
        sm_image_release(&out);
    }
    for (size_t i = 0; i < json_array_size(c.names); i++)
        qsort(c.ours[i], c.count, sizeof(float), ascending);
    json_decref(list);
    sm_image_release(&image);
    *state = &c;
    return 0;
}

static int teardown(void **state)
{
    struct context *c = *state;
    for (size_t i = 0; i < COLUMNS_MAX; i++)
        free(c->ours[i]);
    json_decref(c->orders);
    json_decref(c->json);
    sm_file_release(&c->bin);
    return 0;
}

/* Asymptotic p-value with Stephens' correction; ties make it conservative. Both samples sorted. */
static double ks_p(const float *a, const float *b, size_t n)
{
    double distance = 0, root = sqrt((double)n / 2), p = 0;
    for (size_t i = 0, j = 0; i < n && j < n;) {
        float value = a[i] < b[j] ? a[i] : b[j];
        while (i < n && a[i] == value)
            i++;
        while (j < n && b[j] == value)
            j++;
        distance = fmax(distance, fabs((double)i - (double)j) / (double)n);
    }
    double lambda = (root + 0.12 + 0.11 / root) * distance;
    if (lambda < 0.2)
        return 1;
    for (int k = 1; k <= 100; k++)
        p += (k % 2 ? 2 : -2) * exp(-2.0 * k * k * lambda * lambda);
    return p;
}

static void test_parameters(void **state)
{
    const struct context *c = *state;
    assert_int_equal(json_array_size(c->names), 9);
    assert_true(c->count >= 5000);
    for (size_t i = 0; i < json_array_size(c->names); i++) {
        double p = ks_p(c->ours[i], theirs(c, i), c->count);
        print_message("%-10s p = %.3f\n", json_string_value(json_array_get(c->names, i)), p);
        assert_true(p > P_MIN);
    }
}

/* The test itself must be able to say no: a range narrower by a tenth is seen. */
static void test_detects_a_wrong_range(void **state)
{
    const struct context *c = *state;
    const size_t brightness = 4;
    float *narrow = calloc(c->count, sizeof *narrow);
    for (size_t i = 0; i < c->count; i++)
        narrow[i] = 1 + (c->ours[brightness][i] - 1) * 0.9f;
    assert_true(ks_p(narrow, theirs(c, brightness), c->count) < P_MIN);
    free(narrow);
}

static void test_order(void **state)
{
    const struct context *c = *state;
    const json_t *expected = json_object_get(c->json, "orders");
    double chi2 = 0;
    const char *key;
    json_t *value;
    assert_int_equal(json_object_size(expected), 24);
    assert_int_equal(json_object_size(c->orders), 24);
    json_object_foreach(c->orders, key, value)
    {
        double a = json_number_value(value);
        double b = json_number_value(json_object_get(expected, key));
        chi2 += (a - b) * (a - b) / (a + b);
    }
    print_message("order      chi2 = %.1f of 23\n", chi2);
    assert_true(chi2 < 49.73); /* p = 1e-3 at 23 degrees of freedom */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_detects_a_wrong_range),
        cmocka_unit_test(test_order),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
