/* Decoding files of each decoder and path through it, with every allocation failing, those of
 * libjpeg too (the Makefile links it in). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>

#include "core/base/sha256.h"
#include "sslmem/pixels.h"
#include "tests/unit/alloc.h"
#include "tests/unit/core/image/golden.h"

/* *sum: tells one picture from another. */
static enum sm_code decode(double *sum, void *path, struct sm_err *err)
{
    struct sm_file file = golden_file(path);
    struct sm_image image;
    enum sm_code code = sm_image_decode(&image, file.bytes, file.bytes_count, true, NULL, err);
    *sum = 0;
    for (int i = 0; code == SM_OK && i < image.width_px * image.height_px * 3; i++)
        *sum = *sum * 1.0001 + image.rgb[i];
    sm_image_release(&image);
    sm_file_release(&file);
    return code;
}

static void each_decoder_survives(void **state)
{
    static const char *const names[] = {
        "baseline.jpg", "s2x2_prog.jpg",  "s2x2_arith.jpg",   "arith_prog.jpg",
        "ycck_420.jpg", "cmyk.jpg",       "orientation6.jpg", "no_tables.jpg",
        "rgb16.png",    "interlaced.png", "palette.png",      "empty_idat_first.png"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        snprintf(path, sizeof path, GOLDEN "files/%s", names[i]);
        assert_true(every_allocation_may_fail(decode, path, path) >= 3);
    }
}

static enum sm_code features(double *hash, void *image, struct sm_err *err)
{
    struct sm_pixels pixels;
    enum sm_code code = sm_pixels_measure(&pixels, image, "image/png", 9, err);
    *hash = (double)pixels.hash;
    return code;
}

static void pixel_features_survive(void **state)
{
    uint8_t rgb[6 * 5 * 3];
    struct sm_image image = {rgb, 6, 5};
    (void)state;
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = (uint8_t)(i * 37);
    assert_true(every_allocation_may_fail(features, &image, "pixel features") >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_decoder_survives),
                                       cmocka_unit_test(pixel_features_survive)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
