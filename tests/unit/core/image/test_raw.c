/* Raw images: the documented bytes, their pixels, and each way in which they can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
// cmocka.h needs the headers above
#include <cmocka.h>

#include "sslmem/image.h"

/* 1 pixel high, 2 wide, RGB. */
static const uint8_t colour[] = {0x93, 'S', 'M', 'R', 'A', 'W', '\r', '\n', 1, 0, 0, 0, 2,
                                 0,    0,   0,   3,   0,   0,   0,    10,   2, 3, 4, 5, 6};

static enum sm_code decode(struct sm_image *out, const uint8_t *bytes, size_t count,
                           struct sm_err *err)
{
    /* an exact copy, so that a sanitizer sees a read past the end */
    uint8_t *copy = malloc(count);
    struct sm_image_info info;
    memcpy(copy, bytes, count);
    enum sm_code code = sm_image_decode(out, copy, count, true, &info, err);
    free(copy);
    if (code == SM_OK) {
        assert_string_equal(info.media_type, SM_IMAGE_RAW_TYPE);
        assert_string_equal(sm_image_decoder(info.media_type), "raw-1");
        assert_int_equal(info.orientation, 1);
    }
    return code;
}

static void test_pixels(void **state)
{
    struct sm_image image;
    struct sm_err err;
    uint8_t grey[22], header[SM_IMAGE_RAW_HEADER_BYTES];
    int32_t width, height;
    (void)state;
    sm_image_raw_header(header, 1, 2, 3);
    assert_memory_equal(header, colour, sizeof header);
    assert_true(sm_image_declared_size(&width, &height, colour, sizeof colour));
    assert_int_equal(width, 2);
    assert_int_equal(height, 1);
    assert_int_equal(SM_OK, decode(&image, colour, sizeof colour, &err));
    assert_int_equal(image.width_px, 2);
    assert_int_equal(image.height_px, 1);
    assert_memory_equal(image.rgb, colour + 20, 6);
    sm_image_release(&image);
    sm_image_raw_header(grey, 2, 1, 1);
    grey[20] = 7;
    grey[21] = 9;
    assert_int_equal(SM_OK, decode(&image, grey, sizeof grey, &err));
    assert_memory_equal(image.rgb, ((uint8_t[]){7, 7, 7, 9, 9, 9}), 6);
    sm_image_release(&image);
}

static void test_refused(void **state)
{
    static const struct {
        uint32_t height, width, channels;
        size_t count;
        enum sm_code code;
        const char *text;
    } rows[] = {
        {1, 2, 3, 19, SM_CORRUPT, "raw image of 19 bytes, its header alone has 20"},
        {1, 2, 3, 25, SM_CORRUPT, "raw image has 5 bytes of pixels, its size needs 6"},
        {1, 2, 3, 27, SM_CORRUPT, "raw image has 7 bytes of pixels, its size needs 6"},
        {1, 2, 2, 24, SM_UNSUPPORTED, "raw image has 2 channels, must be 1 or 3"},
        {0, 2, 3, 20, SM_CORRUPT, "image of 2x0 pixels has no area"},
        {1, 8193, 1, 8213, SM_LIMIT, "image of 8193x1 pixels, the limit is 8192 per side"},
        {0xffffffff, 0xffffffff, 3, 20, SM_LIMIT,
         "image of 4294967295x4294967295 pixels, the limit is 8192 per side"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static uint8_t bytes[16384];
        struct sm_image image;
        struct sm_err err = {0};
        sm_image_raw_header(bytes, rows[i].height, rows[i].width, rows[i].channels);
        assert_int_equal(rows[i].code, decode(&image, bytes, rows[i].count, &err));
        assert_string_equal(err.text, rows[i].text);
        assert_null(image.rgb);
    }
    static uint8_t side[8192 + 20];
    struct sm_image image;
    struct sm_err err;
    sm_image_raw_header(side, 1, 8192, 1);
    assert_int_equal(SM_OK, decode(&image, side, sizeof side, &err));
    sm_image_release(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pixels),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
