/* Pixel features against Pillow, SciPy and NumPy (tests/golden/make_controls.py), their packed form,
 * and the rule for near-duplicates. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "sslmem/pixels.h"

static double value(const json_t *node, const char *name)
{
    return json_number_value(json_object_get(node, name));
}

/* As `features` in make_controls.py. */
static uint8_t level_at(int x, int y, int c, int kind)
{
    int v = (x * x * 7 + y * 13 + x * y * 3 + c * 50 + (x / 3) * (y / 5) * 17) % 256;
    return (uint8_t)(kind == 0 ? v : kind == 1 ? 200 : 120 + v % 3);
}

static struct sm_image made(int width, int height, bool grey, int kind)
{
    struct sm_image image;
    struct sm_err err;
    assert_int_equal(sm_image_alloc(&image, width, height, &err), SM_OK);
    for (int i = 0; i < width * height * 3; i++)
        image.rgb[i] = level_at(i / 3 % width, i / 3 / width, grey ? 0 : i % 3, kind);
    return image;
}

static void check_levels(const uint8_t *got, const json_t *want, const char *what)
{
    for (size_t i = 0; i < json_array_size(want); i++)
        if (got[i] != json_integer_value(json_array_get(want, i)))
            fail_msg("%s %zu is %d", what, i, got[i]);
}

static void features_match_pillow_and_scipy(void **state)
{
    (void)state;
    json_t *cases = json_load_file("tests/golden/image/features.json", 0, NULL), *c;
    size_t i;
    assert_non_null(cases);
    json_array_foreach(cases, i, c)
    {
        int width = (int)value(c, "width"), height = (int)value(c, "height");
        struct sm_image image =
            made(width, height, json_is_true(json_object_get(c, "grey")), (int)value(c, "kind"));
        struct sm_pixels got;
        struct sm_err err;
        char hash[17];
        assert_int_equal(sm_pixels_measure(&got, &image, "image/png", 1000, &err), SM_OK);
        snprintf(hash, sizeof hash, "%016llx", (unsigned long long)got.hash);
        assert_string_equal(hash, json_string_value(json_object_get(c, "hash")));
        check_levels(got.luminance, json_object_get(c, "luminance"), "luminance");
        check_levels(got.rows, json_object_get(c, "rows"), "row");
        check_levels(got.columns, json_object_get(c, "columns"), "column");
        for (size_t k = 0; k < 3; k++) {
            double mean = json_number_value(json_array_get(json_object_get(c, "mean"), k));
            double sd = json_number_value(json_array_get(json_object_get(c, "sd"), k));
            assert_true(fabs(got.mean[k] - mean) < 1e-6 && fabs(got.sd[k] - sd) < 1e-6);
        }
        assert_true(fabs(got.bytes_per_pixel - 1000.0 / (width * height)) < 1e-9);
        assert_int_equal(got.format, SM_PIXELS_PNG);
        sm_image_release(&image);
    }
    assert_int_equal(i, 9);
    json_decref(cases);
}

static struct sm_pixels measured(const struct sm_image *image)
{
    struct sm_pixels out;
    struct sm_err err;
    assert_int_equal(sm_pixels_measure(&out, image, "image/jpeg", 700, &err), SM_OK);
    return out;
}

static void packed_form_reads_back(void **state)
{
    static const int sizes[][2] = {{28, 28}, {32, 32}, {1, 1}, {33, 20}, {300, 2}, {5, 3}};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct sm_image image = made(sizes[i][0], sizes[i][1], false, 0);
        struct sm_pixels pixels = measured(&image), read;
        uint8_t packed[SM_PIXELS_BYTES_MAX + 1], again[SM_PIXELS_BYTES_MAX];
        size_t count = sm_pixels_pack(packed, &pixels);
        assert_true(count <= SM_PIXELS_BYTES_MAX);
        assert_true(sm_pixels_unpack(&read, packed, count));
        assert_int_equal(read.hash, pixels.hash);
        assert_true(fabs(read.mean[1] - pixels.mean[1]) <= 1.0 / 512);
        assert_memory_equal(read.rows, pixels.rows, sizeof read.rows);
        assert_memory_equal(read.columns, pixels.columns, sizeof read.columns);
        assert_int_equal(sm_pixels_pack(again, &read), count);
        assert_memory_equal(again, packed, count);
        for (size_t short_count = 0; short_count < count; short_count++)
            assert_false(sm_pixels_unpack(&read, packed, short_count));
        packed[count] = 0;
        assert_false(sm_pixels_unpack(&read, packed, count + 1));
        sm_image_release(&image);
    }
}

static void impossible_packed_forms_are_refused(void **state)
{
    struct sm_image image = made(40, 50, false, 0);
    struct sm_pixels pixels = measured(&image), read;
    uint8_t packed[SM_PIXELS_BYTES_MAX];
    size_t count = sm_pixels_pack(packed, &pixels);
    const struct {
        size_t at;
        uint8_t bytes[4];
        size_t bytes_count;
    } faults[] = {
        {0, {2}, 1},           {1, {SM_PIXELS_FORMATS}, 1},          {2, {0, 0}, 2},
        {4, {0, 0}, 2},        {6, {0, 0, 0xc0, 0x7f}, 4} /* NaN */, {6, {0, 0, 0, 0xc0}, 4},
        {2, {20, 0, 20, 0}, 4}};
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        uint8_t wrong[SM_PIXELS_BYTES_MAX];
        memcpy(wrong, packed, count);
        memcpy(wrong + faults[i].at, faults[i].bytes, faults[i].bytes_count);
        if (sm_pixels_unpack(&read, wrong, count))
            fail_msg("fault %zu was read", i);
    }
    sm_image_release(&image);
}

static struct sm_image cropped(const struct sm_image *image, int left, int top, int right,
                               int bottom)
{
    struct sm_image out;
    struct sm_err err;
    int width = image->width_px - left - right, height = image->height_px - top - bottom;
    assert_int_equal(sm_image_alloc(&out, width, height, &err), SM_OK);
    for (int y = 0; y < height; y++)
        memcpy(out.rgb + (size_t)(y * width * 3),
               image->rgb + (size_t)(((y + top) * image->width_px + left) * 3), (size_t)width * 3);
    return out;
}

static bool near(const struct sm_image *a, const struct sm_image *b)
{
    struct sm_pixels p = measured(a), q = measured(b);
    bool is_near = sm_pixels_near(&p, &q);
    assert_int_equal(is_near, sm_pixels_near(&q, &p));
    return is_near;
}

/* A disc that touches no edge. */
static struct sm_image disc(int side, double x, double y, double radius)
{
    struct sm_image image = made(side, side, true, 1);
    for (int i = 0; i < side * side; i++) {
        double dx = i % side - x, dy = i / side - y;
        memset(image.rgb + 3 * (size_t)i, dx * dx + dy * dy < radius * radius ? 200 : 20, 3);
    }
    return image;
}

static void crops_are_near_and_other_pictures_are_not(void **state)
{
    (void)state;
    for (int side = 28; side <= 112; side += 84) {
        struct sm_image a = disc(side, side * .4, side * .5, side * .25);
        struct sm_image all = cropped(&a, 1, 1, 1, 1), corner = cropped(&a, 1, 1, 0, 0);
        struct sm_image other = disc(side, side * .6, side * .5, side * .25);
        assert_true(near(&a, &a));
        assert_true(near(&a, &all));
        assert_true(side > SM_PIXELS_PROFILE_MAX || near(&a, &corner));
        assert_false(near(&a, &other));
        sm_image_release(&a);
        sm_image_release(&all);
        sm_image_release(&corner);
        sm_image_release(&other);
    }
}

/* Flat images are near if they have one level; a faint pattern is not drowned by the tolerance. */
static void flat_and_tiny_images_are_compared_too(void **state)
{
    (void)state;
    for (int side = 1; side <= 64; side *= 4) {
        struct sm_image a = made(side, side, true, 1), b = made(side, side, true, 1);
        memset(b.rgb, 90, (size_t)(side * side * 3));
        assert_true(near(&a, &a));
        assert_false(near(&a, &b));
        sm_image_release(&a);
        sm_image_release(&b);
    }
    struct sm_image one = made(1, 1, true, 1), wide = made(4, 1, true, 1),
                    tall = made(1, 4, true, 1);
    assert_false(near(&one, &wide));
    assert_false(near(&wide, &tall));
    sm_image_release(&one);
    sm_image_release(&wide);
    sm_image_release(&tall);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features_match_pillow_and_scipy),
        cmocka_unit_test(packed_form_reads_back),
        cmocka_unit_test(impossible_packed_forms_are_refused),
        cmocka_unit_test(crops_are_near_and_other_pictures_are_not),
        cmocka_unit_test(flat_and_tiny_images_are_compared_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
