/* Decoding: Pillow's pixels from good files; the exact verdict and text for each bad one; no prefix
 * passes. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <dirent.h>

#include "core/base/sha256.h"
#include "core/image/exif.h"
#include "tests/unit/core/image/golden.h"

/* What one file gives. An empty text: it decodes. */
struct verdict {
    const char *file;
    enum sm_code code;
    const char *text;
};

#define GREY16                                                                                     \
    "PNG is 16-bit grey, which readers clip or scale: save it with 8 bits, as your training read " \
    "it"

static const struct verdict verdicts[] = {
    {"empty.jpg", SM_UNSUPPORTED, "no JPEG, PNG or raw image: 0 bytes"},
    {"text.png", SM_UNSUPPORTED, "no JPEG, PNG or raw image: 28 bytes"},
    {"gif.png", SM_UNSUPPORTED, "a GIF image: convert it to PNG or JPEG"},
    {"two_components.jpg", SM_UNSUPPORTED, "JPEG has 2 components, not 1, 3 or 4"},
    {"huge.png", SM_LIMIT, "image of 60000x60000 pixels, the limit is 8192 per side"},
    {"huge.jpg", SM_LIMIT, "image of 60000x60000 pixels, the limit is 8192 per side"},
    {"pixels.png", SM_LIMIT, "image of 64000000 pixels, the limit is 40000000"},
    {"zero.png", SM_CORRUPT, "image of 0x4 pixels has no area"},
    {"tall.jpg", SM_LIMIT, "image of 8x65535 pixels, the limit is 8192 per side"},
    {"no_height.jpg", SM_UNSUPPORTED, "libjpeg: Empty JPEG image (DNL not supported)"},
    {"bits12.jpg", SM_UNSUPPORTED, "libjpeg: Unsupported JPEG data precision 12"},
    {"lossless.jpg", SM_UNSUPPORTED, "libjpeg: Unsupported JPEG process: SOF type 0xc3"},
    {"no_eoi.jpg", SM_CORRUPT, "JPEG ends at byte 775 without an end marker"},
    {"cut_header.jpg", SM_CORRUPT, "JPEG ends at byte 165 without an end marker"},
    {"exif_overrun.jpg", SM_CORRUPT, "JPEG ends at byte 1577 without an end marker"},
    {"cut_scan.jpg", SM_CORRUPT, "JPEG scan 1 ends before its last row"},
    {"cut_rows.jpg", SM_CORRUPT, "JPEG scan 1 ends before its last row"},
    {"cut_restart.jpg", SM_CORRUPT, "JPEG scan 1 ends before its last row"},
    {"cut_restart_after.jpg", SM_CORRUPT, "JPEG scan 1 ends before its last row"},
    {"cut_progressive.jpg", SM_CORRUPT, "JPEG scan 9 ends before its last row"},
    {"cut_progressive_first.jpg", SM_CORRUPT, "JPEG scan 1 ends before its last row"},
    {"no_last_scan.jpg", SM_CORRUPT, "JPEG component 3 of 3 is in no scan"},
    {"scans.jpg", SM_LIMIT, "JPEG has more than 100 scans"},
    {"scanned_pixels.jpg", SM_LIMIT,
     "JPEG has 17 scans or more of 39993344 pixels, the limit is 640000000 pixels in all scans"},
    {"stray.jpg", SM_CORRUPT, "libjpeg: Unsupported marker type 0x02"},
    {"huffman_overflow.jpg", SM_CORRUPT, "libjpeg: Bogus Huffman table definition"},
    {"bad_component.jpg", SM_CORRUPT, "libjpeg: Invalid component ID 119 in SOS"},
    {"no_iend.png", SM_CORRUPT, "PNG ends at byte 891 without an IEND chunk"},
    {"cut.png", SM_CORRUPT, "PNG chunk IDAT at byte 33 has 846 bytes, file has 15"},
    {"bad_crc.png", SM_CORRUPT, "PNG chunk IHDR at byte 8 has CRC 830028c2, data has 834628c2"},
    {"bad_idat_crc.png", SM_CORRUPT,
     "PNG chunk IDAT at byte 33 has CRC b42b0086, data has b42b9f86"},
    {"bad_depth.png", SM_CORRUPT, "PNG colour type 2 does not exist with bit depth 4"},
    {"no_palette.png", SM_CORRUPT, "PNG pixels refer to a palette, file has none"},
    {"no_idat.png", SM_CORRUPT, "PNG has no image data: 0 IDAT chunks of 0 bytes"},
    {"empty_idat.png", SM_CORRUPT, "PNG has no image data: 2 IDAT chunks of 0 bytes"},
    {"grey16.png", SM_UNSUPPORTED, GREY16},
    {"short_palette.png", SM_CORRUPT, "PNG pixel 3 has a colour beyond the palette, which has 3"},
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
        if (memcmp(image.rgb, expected, count) != 0)
            fail_msg("%s differs", golden_text(row, "file"));
        sm_image_release(&image);
        sm_file_release(&file);
    }
    json_decref(json);
    sm_file_release(&bin);
}

/* SHA-256 of the pixels of a file that decodes. */
static void digest_of(char digest[SM_SHA256_HEX], const char *path, struct sm_image_info *info)
{
    struct sm_file file = golden_file(path);
    struct sm_image image;
    struct sm_err err = {0};
    if (sm_image_decode(&image, file.bytes, file.bytes_count, false, info, &err) != SM_OK)
        fail_msg("%s: %s", path, err.text);
    sm_sha256_hex(digest, image.rgb, (size_t)image.width_px * (size_t)image.height_px * 3);
    sm_image_release(&image);
    sm_file_release(&file);
}

/* What decodes besides the golden rows, and what the info says of it. */
static const struct found {
    const char *file;
    bool exif_unreadable;
    int decoder_warnings;
} found[] = {
    {"exif_empty.jpg", true, 0},       {"exif_order.jpg", true, 0},
    {"exif_offset.jpg", true, 0},      {"exif_cut.jpg", true, 0},
    {"orientation_bad.jpg", true, 0},  {"damaged_data.jpg", false, 14},
    {"damaged_segment.jpg", false, 1}, {"damaged_extra.jpg", false, 1},
    {"damaged_lost.jpg", false, 2},    {"adobe_9.jpg", false, 1},
};

static struct found found_of(const char *name)
{
    for (size_t i = 0; i < sizeof found / sizeof *found; i++)
        if (strcmp(name, found[i].file) == 0)
            return found[i];
    return (struct found){name, false, 0};
}

/* Every kind of file, and PngSuite. */
static void test_every_kind_has_pillows_pixels(void **state)
{
    (void)state;
    json_t *json = golden_json(GOLDEN "pixels.json");
    const json_t *rows = json_object_get(json, "files");
    assert_true(json_array_size(rows) >= 263);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *name = golden_text(row, "file");
        struct sm_image_info info;
        char path[200], digest[SM_SHA256_HEX];
        snprintf(path, sizeof path, GOLDEN "%s", name);
        digest_of(digest, path, &info);
        if (strcmp(digest, golden_text(row, "sha256")) != 0)
            fail_msg("%s (%s) has other pixels", name, golden_text(row, "mode"));
        assert_int_equal(info.width_px, golden_int(row, "width"));
        assert_int_equal(info.height_px, golden_int(row, "height"));
        struct found f = found_of(strrchr(name, '/') + 1);
        if (info.exif_unreadable != f.exif_unreadable ||
            info.decoder_warnings != f.decoder_warnings)
            fail_msg("%s: EXIF %s, %d warnings", name, info.exif_unreadable ? "unreadable" : "good",
                     info.decoder_warnings);
        assert_true(!info.exif_unreadable || info.orientation == 1);
    }
    json_decref(json);
}

static int is_jpeg(const struct dirent *entry)
{
    const char *end = strrchr(entry->d_name, '.');
    return end && strcmp(end, ".jpg") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Digest of the digests of a folder's files. */
static int digest_folder(char digest[SM_SHA256_HEX], const char *folder)
{
    struct dirent **names;
    int count = scandir(folder, &names, is_jpeg, by_name);
    char *all = calloc((size_t)(count > 0 ? count : 0) + 1, 64), *to = all;
    for (int i = 0; i < count; i++, to += 64) {
        char path[600], one[SM_SHA256_HEX];
        struct sm_image_info info;
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        digest_of(one, path, &info);
        memcpy(to, one, 64);
        free(names[i]);
    }
    sm_sha256_hex(digest, all, (size_t)(to - all));
    if (count >= 0)
        free(names);
    free(all);
    return count;
}

/* Some 5,200 photographs, where they are beside the project: what the small files show, at large. */
static void test_photographs_beside_the_project(void **state)
{
    (void)state;
    struct stat status;
    if (stat("../shared/data", &status) != 0) {
        print_message("../shared/data: not there\n");
        skip();
    }
    json_t *json = golden_json(GOLDEN "shared.json");
    const json_t *rows = json_object_get(json, "folders");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        char path[200], digest[SM_SHA256_HEX];
        snprintf(path, sizeof path, "../shared/data/%s", golden_text(row, "folder"));
        assert_int_equal(digest_folder(digest, path), golden_int(row, "count"));
        if (strcmp(digest, golden_text(row, "sha256")) != 0)
            fail_msg("%s: some files have other pixels than Pillow's", path);
    }
    json_decref(json);
}

/* libjpeg would print its warnings, and obey JPEGMEM by looking for a temporary file. */
static void test_the_library_is_silent_and_deaf(void **state)
{
    (void)state;
    static const char *const names[] = {"largest.jpg", "damaged_data.jpg", "cut_rows.jpg"};
    FILE *said = tmpfile();
    int kept = dup(STDERR_FILENO);
    enum sm_code codes[3];
    setenv("JPEGMEM", "1", 1);
    dup2(fileno(said), STDERR_FILENO);
    for (size_t i = 0; i < 3; i++) {
        struct sm_file file = open_file(names[i]);
        struct sm_image image;
        codes[i] = sm_image_decode(&image, file.bytes, file.bytes_count, false, NULL, NULL);
        sm_image_release(&image);
        sm_file_release(&file);
    }
    dup2(kept, STDERR_FILENO);
    close(kept);
    unsetenv("JPEGMEM");
    assert_int_equal(codes[0], SM_OK);
    assert_int_equal(codes[1], SM_OK);
    assert_int_equal(codes[2], SM_CORRUPT);
    assert_int_equal(lseek(fileno(said), 0, SEEK_END), 0);
    fclose(said);
}

/* A score's key names the decoder before anything is decoded, and what is refused has none. */
static void test_decoders(void **state)
{
    (void)state;
    static const char *const names[] = {"baseline.jpg", "rgb.png", "grey16.png", "gif.png"};
    static const char *const decoders[] = {"libjpeg-turbo-2.1.5", "stb_image-2.27"};
    for (size_t i = 0; i < 4; i++) {
        struct sm_file file = open_file(names[i]);
        const char *decoder = NULL;
        struct sm_err err = {0};
        enum sm_code code = sm_image_find_decoder(&decoder, file.bytes, file.bytes_count, &err);
        assert_int_equal(code, i < 2 ? SM_OK : SM_UNSUPPORTED);
        if (i < 2) {
            assert_string_equal(decoder, decoders[i]);
            const char *type = sm_image_sniff(file.bytes, file.bytes_count);
            assert_string_equal(sm_image_decoder(type), decoders[i]);
        }
        sm_file_release(&file);
    }
    assert_string_equal(sm_image_decoder("image/gif"), "none");
    assert_string_equal(sm_image_decoder(NULL), "none");
}

static void test_no_prefix_passes(void **state)
{
    (void)state;
    static const char *const names[] = {
        "baseline.jpg",         "progressive.jpg", "restart.jpg",   "orientation6.jpg",
        "s2x2_arith.jpg",       "cmyk.jpg",        "scan_each.jpg", "no_tables.jpg",
        "empty_idat_first.png", "rgb.png",         "palette.png"};
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
    struct sm_exif exif = sm_exif_read(good, sizeof good);
    assert_true(exif.orientation == 6 && !exif.unreadable);
    exif = sm_exif_read(NULL, 0);
    assert_true(exif.orientation == 1 && !exif.unreadable);
    for (size_t n = 0; n < 22; n++) {
        uint8_t *part = malloc(n + (n == 0));
        memcpy(part, good, n);
        exif = sm_exif_read(part, n);
        assert_true(exif.orientation == 1 && exif.unreadable);
        free(part);
    }
    for (size_t at = 0; at < sizeof good; at++) {
        for (int value = 0; value < 256; value++) {
            uint8_t bad[sizeof good];
            memcpy(bad, good, sizeof good);
            bad[at] = (uint8_t)value;
            exif = sm_exif_read(bad, sizeof bad);
            assert_in_range(exif.orientation, 1, exif.unreadable ? 1 : 8);
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
    struct sm_file file = open_file("palette_trns.png"), other = open_file("restart.jpg");
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

/* The broken files of PngSuite; all others decode, but those of 16-bit grey. */
static const struct verdict pngsuite[] = {
    {"xc1n0g08.png", SM_CORRUPT, "PNG colour type 1 does not exist with bit depth 8"},
    {"xc9n2c08.png", SM_CORRUPT, "PNG colour type 9 does not exist with bit depth 8"},
    {"xcrn0g04.png", SM_UNSUPPORTED, "no JPEG, PNG or raw image: 145 bytes"},
    {"xcsn0g01.png", SM_CORRUPT, "PNG chunk IDAT at byte 49 has CRC 4353554d, data has d02f14c9"},
    {"xd0n2c08.png", SM_CORRUPT, "PNG colour type 2 does not exist with bit depth 0"},
    {"xd3n2c08.png", SM_CORRUPT, "PNG colour type 2 does not exist with bit depth 3"},
    {"xd9n2c08.png", SM_CORRUPT, "PNG colour type 2 does not exist with bit depth 99"},
    {"xdtn0g01.png", SM_CORRUPT, "PNG has no image data: 0 IDAT chunks of 0 bytes"},
    {"xhdn0g08.png", SM_CORRUPT, "PNG chunk IHDR at byte 8 has CRC 4353554d, data has 56112528"},
    {"xlfn0g04.png", SM_UNSUPPORTED, "no JPEG, PNG or raw image: 145 bytes"},
    {"xs1n0g01.png", SM_UNSUPPORTED, "no JPEG, PNG or raw image: 164 bytes"},
    {"xs2n0g01.png", SM_UNSUPPORTED, "no JPEG, PNG or raw image: 164 bytes"},
    {"xs4n0g01.png", SM_UNSUPPORTED, "no JPEG, PNG or raw image: 164 bytes"},
    {"xs7n0g01.png", SM_UNSUPPORTED, "no JPEG, PNG or raw image: 164 bytes"},
};
enum {
    PNGSUITE_FILES = 176,
    PNGSUITE_BROKEN = sizeof pngsuite / sizeof *pngsuite,
    PNGSUITE_GREY16 = 13
};

static const struct verdict *pngsuite_verdict(const char *name)
{
    static const struct verdict good = {"", SM_OK, ""}, grey16 = {"", SM_UNSUPPORTED, GREY16};
    for (size_t i = 0; i < PNGSUITE_BROKEN; i++)
        if (strcmp(pngsuite[i].file, name) == 0)
            return &pngsuite[i];
    return strstr(name, "0g16.png") ? &grey16 : &good;
}

static void test_pngsuite(void **state)
{
    (void)state;
    DIR *directory = opendir(GOLDEN "pngsuite");
    int files = 0, refused = 0;
    assert_non_null(directory);
    for (const struct dirent *entry; (entry = readdir(directory));) {
        char path[400];
        size_t length = strlen(entry->d_name);
        if (length < 4 || strcmp(entry->d_name + length - 4, ".png") != 0)
            continue;
        snprintf(path, sizeof path, GOLDEN "pngsuite/%s", entry->d_name);
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
    assert_int_equal(refused, PNGSUITE_BROKEN + PNGSUITE_GREY16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_pixels_equal_pillow),
        cmocka_unit_test(test_every_kind_has_pillows_pixels),
        cmocka_unit_test(test_photographs_beside_the_project),
        cmocka_unit_test(test_the_library_is_silent_and_deaf),
        cmocka_unit_test(test_decoders),
        cmocka_unit_test(test_no_prefix_passes),
        cmocka_unit_test(test_orientation),
        cmocka_unit_test(test_exif_is_hostile),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_same_pixels_again),
        cmocka_unit_test(test_pngsuite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
