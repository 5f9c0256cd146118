/* Decoding: right pixels from good files; the exact verdict and text for each bad one; no prefix
 * passes. */
#include <stdlib.h>
#include <string.h>

#include <dirent.h>

#include "core/image/exif.h"
#include "tests/unit/core/image/golden.h"

/* What one file gives. An empty text: it decodes. */
struct verdict {
    const char *file;
    enum sm_code code;
    const char *text;
};

static const struct verdict verdicts[] = {
    {"empty.jpg", SM_UNSUPPORTED, "neither a JPEG nor a PNG: 0 bytes"},
    {"text.png", SM_UNSUPPORTED, "neither a JPEG nor a PNG: 28 bytes"},
    {"gif.png", SM_UNSUPPORTED, "neither a JPEG nor a PNG: 1226 bytes"},
    {"ycck.jpg", SM_OK, ""},
    {"dc_overflow.jpg", SM_OK, ""},
    {"cmyk_no_marker.jpg", SM_UNSUPPORTED,
     "JPEG has 4 components and no Adobe marker that tells CMYK from YCCK"},
    {"huge.png", SM_LIMIT, "image of 60000x60000 pixels, the limit is 8192 per side"},
    {"huge.jpg", SM_LIMIT, "image of 60000x60000 pixels, the limit is 8192 per side"},
    {"pixels.png", SM_LIMIT, "image of 64000000 pixels, the limit is 40000000"},
    {"zero.png", SM_CORRUPT, "image of 0x4 pixels has no area"},
    {"no_height.jpg", SM_UNSUPPORTED, "JPEG gives its height after the first scan"},
    {"bits12.jpg", SM_UNSUPPORTED, "JPEG has 12 bits per sample, only 8 are read"},
    {"arithmetic.jpg", SM_UNSUPPORTED, "JPEG is arithmetic coded"},
    {"lossless.jpg", SM_UNSUPPORTED, "JPEG is lossless"},
    {"no_eoi.jpg", SM_CORRUPT, "JPEG ends at byte 775 without an end marker"},
    {"cut_scan.jpg", SM_CORRUPT, "JPEG scan 1 has 1 bytes, needs at least 3"},
    {"cut_header.jpg", SM_CORRUPT, "JPEG segment 0xc0 at byte 160 has 17 bytes, file has 5"},
    {"stray.jpg", SM_CORRUPT, "JPEG marker 0x02 before byte 179 is out of place"},
    {"huffman_overflow.jpg", SM_CORRUPT,
     "JPEG Huffman table 0 has 4080 symbols, segment 4097 bytes"},
    {"no_huffman.jpg", SM_CORRUPT, "JPEG scan uses DC table 0, which is not defined"},
    {"bad_component.jpg", SM_CORRUPT, "JPEG scan names component 119, frame has none such"},
    {"no_iend.png", SM_CORRUPT, "PNG ends at byte 891 without an IEND chunk"},
    {"cut.png", SM_CORRUPT, "PNG chunk IDAT at byte 33 has 846 bytes, file has 15"},
    {"bad_crc.png", SM_CORRUPT, "PNG chunk IHDR at byte 8 has CRC 830028c2, data has 834628c2"},
    {"bad_idat_crc.png", SM_CORRUPT,
     "PNG chunk IDAT at byte 33 has CRC b42b0086, data has b42b9f86"},
    {"bad_depth.png", SM_CORRUPT, "PNG colour type 2 does not exist with bit depth 4"},
    {"no_palette.png", SM_CORRUPT, "PNG pixels refer to a palette, file has none"},
    {"no_idat.png", SM_CORRUPT, "PNG has no IDAT chunk"},
    {"critical.png", SM_UNSUPPORTED, "PNG critical chunk CgBI is not known"},
    {"no_pixels.png", SM_CORRUPT, "image data is broken: not enough pixels"},
    {"bad_deflate.png", SM_CORRUPT, "image data is broken: bad block type"},
    {"bomb.png", SM_CORRUPT, "PNG data inflates past 65544 bytes"},
    {"two_ihdr.png", SM_CORRUPT, "PNG has two IHDR chunks"},
};

static struct sm_file open_file(const char *name)
{
    char path[200];
    snprintf(path, sizeof path, GOLDEN "files/%s", name);
    return golden_file(path);
}

static void test_verdicts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++) {
        const struct verdict *v = &verdicts[i];
        struct sm_file file = open_file(v->file);
        struct sm_image image;
        struct sm_image_info info;
        struct sm_err err = {0};
        enum sm_code code =
            sm_image_decode(&image, file.bytes, file.bytes_count, false, &info, &err);
        if (code != v->code || strcmp(err.text, v->text) != 0)
            fail_msg("%s: %s: %s", v->file, sm_code_name(code), err.text);
        assert_true((image.rgb != NULL) == (code == SM_OK));
        assert_true((info.media_type != NULL) == (code == SM_OK));
        sm_image_release(&image);
        sm_image_release(&image);
        sm_file_release(&file);
    }
}

static void test_pixels_equal_pillow(void **state)
{
    (void)state;
    json_t *json = golden_json(GOLDEN "files.json");
    struct sm_file bin = golden_file(GOLDEN "files.bin");
    const json_t *rows = json_object_get(json, "files");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        struct sm_file file = open_file(golden_text(row, "file"));
        struct sm_image image;
        struct sm_err err = {0};
        if (sm_image_decode(&image, file.bytes, file.bytes_count,
                            json_is_true(json_object_get(row, "upright")), NULL, &err) != SM_OK)
            fail_msg("%s: %s", golden_text(row, "file"), err.text);
        assert_int_equal(image.width_px, golden_int(row, "width"));
        assert_int_equal(image.height_px, golden_int(row, "height"));
        size_t count = (size_t)image.width_px * image.height_px * 3;
        const uint8_t *expected = bin.bytes + golden_int(row, "offset");
        int64_t difference = 0;
        for (size_t k = 0; k < count; k++)
            difference += abs(image.rgb[k] - expected[k]);
        /* PNG is lossless; JPEG decoders round their own way, by less than one level on average. */
        double mean = (double)difference / (double)count;
        if (mean > (json_is_true(json_object_get(row, "exact")) ? 0 : 1))
            fail_msg("%s differs by %g per value", golden_text(row, "file"), mean);
        sm_image_release(&image);
        sm_file_release(&file);
    }
    json_decref(json);
    sm_file_release(&bin);
}

static void test_no_prefix_passes(void **state)
{
    (void)state;
    static const char *const names[] = {"baseline.jpg",     "progressive.jpg", "restart.jpg",
                                        "orientation6.jpg", "rgb.png",         "palette.png"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct sm_file file = open_file(names[i]);
        for (size_t n = 0; n < file.bytes_count; n++) {
            struct sm_image image;
            struct sm_err err = {0};
            /* A copy of its own size, so that a sanitizer sees one byte too far. */
            uint8_t *prefix = malloc(n + (n == 0));
            memcpy(prefix, file.bytes, n);
            enum sm_code code = sm_image_decode(&image, prefix, n, false, NULL, &err);
            if (code != SM_CORRUPT && code != SM_UNSUPPORTED)
                fail_msg("%zu of %zu bytes of %s pass", n, file.bytes_count, names[i]);
            free(prefix);
        }
        sm_file_release(&file);
    }
}

static void test_orientation(void **state)
{
    (void)state;
    for (int orientation = 1; orientation <= 8; orientation++) {
        char name[32];
        struct sm_image stored, upright;
        struct sm_image_info info;
        snprintf(name, sizeof name, "orientation%d.jpg", orientation);
        struct sm_file file = open_file(name);
        assert_int_equal(sm_image_decode(&stored, file.bytes, file.bytes_count, false, &info, NULL),
                         SM_OK);
        assert_int_equal(info.orientation, orientation);
        assert_false(info.oriented);
        assert_int_equal(stored.width_px, 24);
        assert_int_equal(sm_image_decode(&upright, file.bytes, file.bytes_count, true, &info, NULL),
                         SM_OK);
        assert_int_equal(info.oriented, orientation != 1);
        assert_int_equal(info.width_px, 24);
        assert_int_equal(upright.width_px, orientation >= 5 ? 16 : 24);
        sm_image_release(&stored);
        sm_image_release(&upright);
        sm_file_release(&file);
    }
    struct sm_file file = open_file("exif.png");
    struct sm_image image;
    struct sm_image_info info;
    assert_int_equal(sm_image_decode(&image, file.bytes, file.bytes_count, false, &info, NULL),
                     SM_OK);
    assert_int_equal(info.orientation, 6);
    assert_string_equal(info.media_type, "image/png");
    sm_image_release(&image);
    sm_file_release(&file);
}

static void test_exif_is_hostile(void **state)
{
    (void)state;
    static const uint8_t good[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3,
                                   0,   1,   0,  0, 0, 6, 0, 0, 0, 0, 0,    0, 0};
    assert_int_equal(sm_exif_orientation(good, sizeof good), 6);
    assert_int_equal(sm_exif_orientation(NULL, 0), 1);
    for (size_t n = 0; n < 22; n++) {
        uint8_t *part = malloc(n + (n == 0));
        memcpy(part, good, n);
        assert_int_equal(sm_exif_orientation(part, n), 1);
        free(part);
    }
    for (size_t at = 0; at < sizeof good; at++) {
        for (int value = 0; value < 256; value++) {
            uint8_t bad[sizeof good];
            memcpy(bad, good, sizeof good);
            bad[at] = (uint8_t)value;
            int orientation = sm_exif_orientation(bad, sizeof bad);
            assert_in_range(orientation, 1, 8);
        }
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct sm_image image;
    struct sm_err err = {0};
    uint8_t *bytes = calloc(1, SM_IMAGE_BYTES_MAX + 1);
    assert_int_equal(sm_image_decode(&image, bytes, SM_IMAGE_BYTES_MAX + 1, false, NULL, &err),
                     SM_LIMIT);
    assert_string_equal(err.text, "image of 16777217 bytes, the limit is 16777216");
    assert_int_equal(sm_image_decode(&image, bytes, SM_IMAGE_BYTES_MAX, false, NULL, &err),
                     SM_UNSUPPORTED);
    free(bytes);
    assert_int_equal(sm_image_alloc(&image, SM_IMAGE_SIDE_MAX_PX + 1, 1, &err), SM_LIMIT);
    assert_int_equal(sm_image_alloc(&image, SM_IMAGE_SIDE_MAX_PX, 1, &err), SM_OK);
    sm_image_release(&image);
    assert_int_equal(sm_image_alloc(&image, 8000, 5000, &err), SM_OK);
    sm_image_release(&image);
    assert_int_equal(sm_image_alloc(&image, 8000, 5001, &err), SM_LIMIT);
    assert_int_equal(sm_image_alloc(&image, 0, 1, &err), SM_CORRUPT);
    assert_int_equal(sm_image_alloc(&image, -1, 1, &err), SM_CORRUPT);
    assert_null(image.rgb);
}

/* The verdict does not depend on what was decoded before: stb_image's own memory starts as zero. */
static void test_same_pixels_again(void **state)
{
    (void)state;
    struct sm_file file = open_file("short_palette.png"), other = open_file("restart.jpg");
    struct sm_image first, between, second;
    assert_int_equal(sm_image_decode(&first, file.bytes, file.bytes_count, false, NULL, NULL),
                     SM_OK);
    assert_int_equal(sm_image_decode(&between, other.bytes, other.bytes_count, false, NULL, NULL),
                     SM_OK);
    assert_int_equal(sm_image_decode(&second, file.bytes, file.bytes_count, false, NULL, NULL),
                     SM_OK);
    assert_memory_equal(first.rgb, second.rgb, 4 * 2 * 3);
    sm_image_release(&first);
    sm_image_release(&between);
    sm_image_release(&second);
    sm_file_release(&file);
    sm_file_release(&other);
}

/* The broken files of PngSuite; all others decode. */
static const struct verdict pngsuite[] = {
    {"xc1n0g08.png", SM_CORRUPT, "PNG colour type 1 does not exist with bit depth 8"},
    {"xc9n2c08.png", SM_CORRUPT, "PNG colour type 9 does not exist with bit depth 8"},
    {"xcrn0g04.png", SM_UNSUPPORTED, "neither a JPEG nor a PNG: 145 bytes"},
    {"xcsn0g01.png", SM_CORRUPT, "PNG chunk IDAT at byte 49 has CRC 4353554d, data has d02f14c9"},
    {"xd0n2c08.png", SM_CORRUPT, "PNG colour type 2 does not exist with bit depth 0"},
    {"xd3n2c08.png", SM_CORRUPT, "PNG colour type 2 does not exist with bit depth 3"},
    {"xd9n2c08.png", SM_CORRUPT, "PNG colour type 2 does not exist with bit depth 99"},
    {"xdtn0g01.png", SM_CORRUPT, "PNG has no IDAT chunk"},
    {"xhdn0g08.png", SM_CORRUPT, "PNG chunk IHDR at byte 8 has CRC 4353554d, data has 56112528"},
    {"xlfn0g04.png", SM_UNSUPPORTED, "neither a JPEG nor a PNG: 145 bytes"},
    {"xs1n0g01.png", SM_UNSUPPORTED, "neither a JPEG nor a PNG: 164 bytes"},
    {"xs2n0g01.png", SM_UNSUPPORTED, "neither a JPEG nor a PNG: 164 bytes"},
    {"xs4n0g01.png", SM_UNSUPPORTED, "neither a JPEG nor a PNG: 164 bytes"},
    {"xs7n0g01.png", SM_UNSUPPORTED, "neither a JPEG nor a PNG: 164 bytes"},
};
enum { PNGSUITE_FILES = 176, PNGSUITE_BROKEN = sizeof pngsuite / sizeof *pngsuite };

static const struct verdict *pngsuite_verdict(const char *name)
{
    static const struct verdict good = {"", SM_OK, ""};
    for (size_t i = 0; i < PNGSUITE_BROKEN; i++)
        if (strcmp(pngsuite[i].file, name) == 0)
            return &pngsuite[i];
    return &good;
}

/* The whole of it, which is not in this tree. */
static void test_pngsuite(void **state)
{
    (void)state;
    DIR *directory = opendir("../shared/data/pngsuite");
    int files = 0, refused = 0;
    if (directory == NULL) {
        print_message("PngSuite is not beside the tree: skipped\n");
        skip();
    }
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char path[400];
        size_t length = strlen(entry->d_name);
        if (length < 4 || strcmp(entry->d_name + length - 4, ".png") != 0)
            continue;
        snprintf(path, sizeof path, "../shared/data/pngsuite/%s", entry->d_name);
        struct sm_file file = golden_file(path);
        const struct verdict *v = pngsuite_verdict(entry->d_name);
        struct sm_image image;
        struct sm_err err = {0};
        enum sm_code code =
            sm_image_decode(&image, file.bytes, file.bytes_count, false, NULL, &err);
        if (code != v->code || strcmp(err.text, v->text) != 0)
            fail_msg("%s: %s: %s", entry->d_name, sm_code_name(code), err.text);
        files++;
        refused += code != SM_OK;
        sm_image_release(&image);
        sm_file_release(&file);
    }
    closedir(directory);
    assert_int_equal(files, PNGSUITE_FILES);
    assert_int_equal(refused, PNGSUITE_BROKEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),          cmocka_unit_test(test_pixels_equal_pillow),
        cmocka_unit_test(test_no_prefix_passes),  cmocka_unit_test(test_orientation),
        cmocka_unit_test(test_exif_is_hostile),   cmocka_unit_test(test_limits),
        cmocka_unit_test(test_same_pixels_again), cmocka_unit_test(test_pngsuite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
