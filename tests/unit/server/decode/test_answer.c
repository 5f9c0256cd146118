/* Answers: every field at its limit and one past it; what a good one becomes. */
#include "tests/unit/asserts.h"

#include <stdlib.h>
#include <string.h>

#include "server/decode/answer.h"

static const struct sm_decode_request request = {.id = 7, .bytes_count = 100};
static const struct sm_decode_answer good = {
    .id = 7, .code = SM_OK, .width_px = 3, .height_px = 2, .orientation = 6};
static struct sm_err err;

static bool sound(const struct sm_decode_answer *answer)
{
    return sm_decode_answer_is_sound(answer, sizeof *answer, &request);
}

static void sizes_and_ids(void **state)
{
    (void)state;
    struct sm_decode_answer a = good;
    assert_true(sound(&a));
    assert_false(sm_decode_answer_is_sound(&a, sizeof a - 1, &request));
    assert_false(sm_decode_answer_is_sound(&a, sizeof a + 1, &request));
    a.id = 6;
    assert_false(sound(&a));
}

static void pixels_within_the_limits(void **state)
{
    (void)state;
    static const struct {
        int32_t width, height;
        bool sound;
    } rows[] = {
        {1, 1, true},          {8192, 1, true},
        {1, 8192, true},       {8192, 4882, true},
        {8192, 4883, false}, /* 40,001,536 pixels */
        {8193, 1, false},      {1, 8193, false},
        {0, 5, false},         {5, 0, false},
        {-1, 5, false},        {5, -1, false},
        {-8192, -8192, false}, {65536, 65536, false},
        {INT32_MIN, 2, false}, {INT32_MAX, INT32_MAX, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sm_decode_answer a = good;
        a.width_px = rows[i].width;
        a.height_px = rows[i].height;
        assert_int_equal(sound(&a), rows[i].sound);
    }
}

static void codes_texts_orientations(void **state)
{
    (void)state;
    for (int code = -1; code <= SM_INTERNAL + 1; code++) {
        struct sm_decode_answer a = {.id = 7, .code = code, .text = "why"};
        bool has =
            code == SM_UNSUPPORTED || code == SM_CORRUPT || code == SM_LIMIT || code == SM_NOMEM;
        assert_int_equal(sound(&a), has);
        a.text[0] = '\0';
        assert_false(sound(&a)); /* a failure says why */
    }
    for (int orientation = -1; orientation <= 10; orientation++) {
        struct sm_decode_answer a = good;
        a.orientation = orientation;
        assert_int_equal(sound(&a), orientation >= 1 && orientation <= 8);
    }
    struct sm_decode_answer odd = good;
    odd.exif_unreadable = 2;
    assert_false(sound(&odd));
    odd.exif_unreadable = 1;
    assert_true(sound(&odd));
    odd.decoder_warnings = -1;
    assert_false(sound(&odd));
    struct sm_decode_answer endless = {.id = 7, .code = SM_CORRUPT};
    memset(endless.text, 'x', sizeof endless.text);
    assert_false(sound(&endless));
    endless.text[sizeof endless.text - 1] = '\0';
    assert_true(sound(&endless));
}

static void hellos(void **state)
{
    (void)state;
    for (int code = -1; code <= SM_INTERNAL + 1; code++) {
        struct sm_decode_hello h = {.code = code, .text = "why"};
        bool has = code == SM_OK || code == SM_UNSUPPORTED || code == SM_IO || code == SM_NOMEM;
        assert_int_equal(sm_hello_is_sound(&h, sizeof h), has);
        assert_false(sm_hello_is_sound(&h, sizeof h - 1));
        h.text[0] = '\0';
        assert_int_equal(sm_hello_is_sound(&h, sizeof h), code == SM_OK);
        memset(h.text, 'x', sizeof h.text);
        assert_false(sm_hello_is_sound(&h, sizeof h));
    }
}

static void every_orientation_has_its_size(void **state)
{
    (void)state;
    static const uint8_t pixels[18] = {1,  2,  3,  4,  5,  6,  7,  8,  9,
                                       10, 11, 12, 13, 14, 15, 16, 17, 18};
    for (int apply = 0; apply <= 1; apply++) {
        for (int orientation = 1; orientation <= 8; orientation++) {
            struct sm_decode_request asked = {7, 100, (uint32_t)apply};
            struct sm_decode_answer a = good;
            struct sm_image image;
            struct sm_image_info info;
            a.orientation = orientation;
            a.exif_unreadable = 1;
            a.decoder_warnings = 5;
            assert_ok(sm_decode_answer_take(&image, &a, &asked, pixels, &info, &err));
            bool turned = apply && orientation >= 5;
            assert_int_equal(image.width_px, turned ? 2 : 3);
            assert_int_equal(image.height_px, turned ? 3 : 2);
            assert_memory_equal(image.rgb, pixels, sizeof pixels);
            assert_int_equal(info.width_px, 3);
            assert_int_equal(info.height_px, 2);
            assert_int_equal(info.orientation, orientation);
            assert_int_equal(info.oriented, apply && orientation != 1);
            assert_true(info.exif_unreadable && info.decoder_warnings == 5);
            sm_image_release(&image);
        }
    }
}

static void failures_keep_code_and_text(void **state)
{
    (void)state;
    struct sm_image image = {.width_px = 1};
    struct sm_decode_answer a = {.id = 7, .code = SM_CORRUPT, .text = "two \x1b[2J\n lines %s"};
    assert_fails(sm_decode_answer_take(&image, &a, &request, NULL, NULL, &err), SM_CORRUPT,
                 "two \\x1b[2J\\x0a lines %s", "");
    assert_null(image.rgb);
    assert_int_equal(image.width_px, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_and_ids),
        cmocka_unit_test(pixels_within_the_limits),
        cmocka_unit_test(codes_texts_orientations),
        cmocka_unit_test(hellos),
        cmocka_unit_test(every_orientation_has_its_size),
        cmocka_unit_test(failures_keep_code_and_text),
    };
    return cmocka_run_group_tests_name("answer", tests, NULL, NULL);
}
