/* Every pixel op, and chains of them, against Pillow and torchvision: the same bits. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/sha256.h"
#include "core/image/ops.h"
#include "core/image/resize.h"
#include "sslmem/views.h"
#include "tests/unit/core/image/golden.h"

struct context {
    json_t *json;
    struct sm_file bin;
};

static int setup(void **state)
{
    static struct context context;
    context.json = golden_json(GOLDEN "ops.json");
    context.bin = golden_file(GOLDEN "ops.bin");
    *state = &context;
    return 0;
}

static int teardown(void **state)
{
    struct context *context = *state;
    json_decref(context->json);
    sm_file_release(&context->bin);
    return 0;
}

static struct sm_image load(const struct context *context, const char *name)
{
    const json_t *row = json_object_get(json_object_get(context->json, "images"), name);
    struct sm_image image;
    assert_int_equal(
        sm_image_alloc(&image, golden_int(row, "width"), golden_int(row, "height"), NULL), SM_OK);
    memcpy(image.rgb, context->bin.bytes + golden_int(row, "offset"),
           (size_t)image.width_px * image.height_px * 3);
    return image;
}

static double number(const json_t *step, size_t i)
{
    return json_number_value(json_array_get(step, i));
}

static int whole(const json_t *step, size_t i)
{
    return (int)json_integer_value(json_array_get(step, i));
}

static enum sm_interpolation method(const json_t *step, size_t i)
{
    return strcmp(json_string_value(json_array_get(step, i)), "bicubic") == 0 ? SM_BICUBIC
                                                                              : SM_BILINEAR;
}

static const struct {
    const char *name;
    void (*apply)(struct sm_image *, double);
} factors[] = {{"brightness", sm_ops_brightness},
               {"contrast", sm_ops_contrast},
               {"saturation", sm_ops_saturation},
               {"hue", sm_ops_hue}};

static enum sm_code resize_to(struct sm_image *out, const struct sm_image *image, int64_t width_px,
                              int64_t height_px, enum sm_interpolation interpolation,
                              struct sm_err *err)
{
    return sm_resize(out, image, &(struct sm_resize_to){width_px, height_px, interpolation, NULL},
                     err);
}

static void apply_step(struct sm_image *image, const json_t *step)
{
    const char *name = json_string_value(json_array_get(step, 0));
    struct sm_image out = {0};
    enum sm_code code = SM_OK;
    for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++) {
        if (strcmp(name, factors[i].name) == 0) {
            factors[i].apply(image, number(step, 1));
            return;
        }
    }
    if (strcmp(name, "crop") == 0) {
        code = sm_ops_crop(&out, image, whole(step, 1), whole(step, 2), whole(step, 3),
                           whole(step, 4), NULL);
    } else if (strcmp(name, "resize") == 0) {
        code = resize_to(&out, image, whole(step, 1), whole(step, 2), method(step, 3), NULL);
    } else if (strcmp(name, "short_side") == 0) {
        int64_t width, height;
        sm_ops_short_side(&width, &height, image, whole(step, 1));
        code = resize_to(&out, image, width, height, method(step, 2), NULL);
    } else if (strcmp(name, "center_crop") == 0) {
        code = sm_ops_center_crop(&out, image, whole(step, 1), NULL);
    } else if (strcmp(name, "pad") == 0) {
        int32_t n = whole(step, 1);
        code =
            sm_ops_pad(&out, image, (struct sm_margins){n, n, n, n}, (uint8_t)whole(step, 2), NULL);
    } else if (strcmp(name, "flip") == 0) {
        sm_ops_flip(image);
    } else if (strcmp(name, "grayscale") == 0) {
        sm_ops_grayscale(image);
    } else if (strcmp(name, "solarize") == 0) {
        sm_ops_solarize(image, whole(step, 1));
    } else if (strcmp(name, "blur") == 0) {
        code = sm_ops_gaussian_blur(image, number(step, 1), NULL, NULL);
    } else {
        fail_msg("no op is called %s", name);
    }
    assert_int_equal(code, SM_OK);
    if (out.rgb) {
        sm_image_release(image);
        *image = out;
    }
}

static void test_ops_equal_pillow(void **state)
{
    const struct context *context = *state;
    const json_t *cases = json_object_get(context->json, "cases");
    size_t different = 0;
    assert_true(json_array_size(cases) > 1000);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *row = json_array_get(cases, i), *steps = json_object_get(row, "steps");
        struct sm_image image = load(context, golden_text(row, "image"));
        for (size_t k = 0; k < json_array_size(steps); k++)
            apply_step(&image, json_array_get(steps, k));
        char hex[SM_SHA256_HEX];
        sm_sha256_hex(hex, image.rgb, (size_t)image.width_px * image.height_px * 3);
        if (image.width_px != golden_int(row, "width") ||
            image.height_px != golden_int(row, "height") ||
            strcmp(hex, golden_text(row, "sha256")) != 0) {
            char *text = json_dumps(row, JSON_COMPACT);
            print_error("differs: %s\n", text);
            free(text);
            different++;
        }
        sm_image_release(&image);
    }
    assert_int_equal(different, 0);
}

static void test_tensor_equals_torchvision(void **state)
{
    const struct context *context = *state;
    const json_t *rows = json_object_get(context->json, "tensors");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        struct sm_image image = load(context, golden_text(row, "image"));
        size_t count = (size_t)image.width_px * image.height_px * 3;
        float mean[3], std[3], *tensor = calloc(count, sizeof *tensor);
        for (size_t c = 0; c < 3; c++) {
            mean[c] = (float)number(json_object_get(row, "mean"), c);
            std[c] = (float)number(json_object_get(row, "std"), c);
        }
        sm_view_tensor(tensor, &image, mean, std);
        assert_memory_equal(tensor, context->bin.bytes + golden_int(row, "offset"),
                            count * sizeof *tensor);
        free(tensor);
        sm_image_release(&image);
    }
}

static void test_resize_refuses_huge_results(void **state)
{
    (void)state;
    struct sm_image line, out;
    struct sm_err err = {0};
    int64_t width, height;
    assert_int_equal(sm_image_alloc(&line, 1, 8192, &err), SM_OK);
    sm_ops_short_side(&width, &height, &line, 2048);
    assert_int_equal(height, 2048 * 8192);
    assert_int_equal(resize_to(&out, &line, width, height, SM_BILINEAR, &err), SM_LIMIT);
    assert_string_equal(err.text, "resize to 2048x16777216 pixels, sides may be 1 to 8192");
    assert_null(out.rgb);
    assert_int_equal(resize_to(&out, &line, 0, 1, SM_BILINEAR, &err), SM_LIMIT);
    assert_int_equal(resize_to(&out, &line, 8192, 8192, SM_BILINEAR, &err), SM_LIMIT);
    sm_image_release(&line);
}

/* Processor time of one saturation of noise, the best of several. */
static double saturation_ns(struct sm_image *image, double factor)
{
    double best = 0;
    for (int repeat = 0; repeat < 7; repeat++) {
        struct timespec from, to;
        uint32_t x = 1;
        for (size_t i = 0; i < (size_t)image->width_px * (size_t)image->height_px * 3; i++) {
            x = x * 1664525 + 1013904223;
            image->rgb[i] = (uint8_t)(x >> 24);
        }
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
        sm_ops_saturation(image, factor);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
        double ns = 1e9 * (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec);
        best = repeat == 0 || ns < best ? ns : best;
    }
    return best;
}

/* A cost counts pixels, not values: clipping half of them must not take longer. With a branch for
 * each it took five times as long. */
static void test_saturation_takes_as_long_for_every_factor(void **state)
{
    (void)state;
    struct sm_image image;
    struct sm_err err = {0};
    assert_int_equal(sm_image_alloc(&image, 512, 512, &err), SM_OK);
    double usual = saturation_ns(&image, 1.0), clipped = saturation_ns(&image, 17.0);
    if (clipped > 2.5 * usual)
        fail_msg("%.0f ns with clipping, %.0f without", clipped, usual);
    sm_image_release(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ops_equal_pillow),
        cmocka_unit_test(test_tensor_equals_torchvision),
        cmocka_unit_test(test_resize_refuses_huge_results),
        cmocka_unit_test(test_saturation_takes_as_long_for_every_factor),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
