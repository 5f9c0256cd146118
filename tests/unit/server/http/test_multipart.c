/* The multipart splitter: what it takes, what it refuses, and every truncation of a good body. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/http/multipart.h"

#define PARTS_MAX 3

static struct sm_part parts[PARTS_MAX];
static int count;
static struct sm_err err;

/* From a buffer of exactly the body's size, so that a sanitizer sees one byte too far. */
static enum sm_code split_bytes(const void *body, size_t n, const char *boundary)
{
    char *copy = malloc(n > 0 ? n : 1);
    static char kept[512];
    memcpy(copy, body, n);
    err = (struct sm_err){0};
    enum sm_code code = sm_multipart_split(parts, &count, PARTS_MAX, copy, n, boundary, &err);
    /* Parts borrow the body: move them to memory that outlives it. */
    for (size_t i = 0, at = 0; code == SM_OK && i < (size_t)count; i++) {
        memcpy(kept + at, parts[i].bytes, parts[i].bytes_count);
        parts[i].bytes = (uint8_t *)kept + at;
        at += parts[i].bytes_count;
    }
    free(copy);
    return code;
}

static enum sm_code split(const char *body)
{
    return split_bytes(body, strlen(body), "B");
}

#define PART(name, rest, bytes)                                                                    \
    "--B\r\nContent-Disposition: form-data; name=\"" name "\"" rest "\r\n\r\n" bytes "\r\n"

static void test_good(void **state)
{
    (void)state;
    assert_int_equal(split(PART("image", "; filename=\"a \\\"b.png\"\r\ncontent-type: Image/PNG",
                                "bytes\r\n--C\r\n") PART("recipe", "", "{}") "--B--\r\n"),
                     SM_OK);
    assert_int_equal(count, 2);
    assert_string_equal(parts[0].name, "image");
    assert_string_equal(parts[0].filename, "a \"b.png");
    assert_string_equal(parts[0].media_type, "image/png");
    assert_int_equal(parts[0].bytes_count, 12);
    assert_memory_equal(parts[0].bytes, "bytes\r\n--C\r\n", 12);
    assert_string_equal(parts[1].name, "recipe");
    assert_string_equal(parts[1].filename, "");
    assert_memory_equal(parts[1].bytes, "{}", 2);
}

static void test_shapes(void **state)
{
    static const char binary[] =
        "--B\r\nContent-Disposition: form-data; name=a\r\n\r\n\0\r\0\r\n--B--";
    (void)state;
    assert_int_equal(split("--B--"), SM_OK); /* no parts at all */
    assert_int_equal(count, 0);
    assert_int_equal(split(PART("a", "", "") PART("b", "", "") "--B--"), SM_OK);
    assert_int_equal(count, 2);
    assert_int_equal(parts[0].bytes_count, 0);
    assert_int_equal(split("preamble\r\n" PART("a", "", "x") "--B--epilogue"), SM_OK);
    assert_int_equal(count, 1);
    assert_int_equal(split("--B \t\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--B--"),
                     SM_OK);
    assert_int_equal(split_bytes(binary, sizeof binary - 1, "B"), SM_OK);
    assert_int_equal(parts[0].bytes_count, 3);
    assert_memory_equal(parts[0].bytes, "\0\r\0", 3);
}

static void test_refused(void **state)
{
    (void)state;
    assert_int_equal(split(""), SM_INVALID);
    assert_int_equal(sm_multipart_split(parts, &count, PARTS_MAX, NULL, 0, "B", &err), SM_INVALID);
    assert_int_equal(split("--C--"), SM_INVALID);
    assert_int_equal(split("--Bx"), SM_INVALID);
    assert_int_equal(split("--B\r\n\r\nx\r\n--B--"), SM_INVALID); /* no name */
    assert_int_equal(split("--B\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--B--"),
                     SM_INVALID);
    assert_int_equal(split(PART("", "", "x") "--B--"), SM_INVALID);
    assert_int_equal(split(PART("a", "", "x")), SM_INVALID); /* no end */
    assert_int_equal(split_bytes("x", 1, ""), SM_INVALID);
    assert_int_equal(
        split_bytes("x", 1,
                    "01234567890123456789012345678901234567890123456789012345678901234567890"),
        SM_INVALID);
}

static void test_limits(void **state)
{
    static const char tail[] = "\r\n\r\ny\r\n--B--";
    char body[SM_PART_HEADERS_MAX + 200] = "--B\r\nContent-Disposition: form-data; name=a\r\nX: ";
    size_t head = strlen("--B\r\n"), at = strlen(body);
    /* Header lines, their ends and the empty line: exactly the limit. */
    size_t fill = SM_PART_HEADERS_MAX - (at - head) - 2;

    (void)state;
    for (size_t extra = 0; extra < 2; extra++) {
        memset(body + at, 'x', fill + extra);
        memcpy(body + at + fill + extra, tail, sizeof tail);
        assert_int_equal(split(body), extra == 0 ? SM_OK : SM_INVALID);
    }
    assert_int_equal(split(PART("a", "", "") PART("a", "", "") PART("a", "", "") "--B--"), SM_OK);
    assert_int_equal(count, 3);
    assert_int_equal(
        split(PART("a", "", "") PART("a", "", "") PART("a", "", "") PART("a", "", "") "--B--"),
        SM_LIMIT);
    assert_string_equal(err.text, "more than 3 parts");
}

static void test_truncated(void **state)
{
    static const char body[] = "pre\r\n" PART("image", "; filename=x\r\nContent-Type: image/png",
                                              "\r\nab\r\n-") PART("recipe", "", "") "--B--";
    size_t whole = strlen(body);
    (void)state;
    assert_int_equal(split_bytes(body, whole, "B"), SM_OK);
    for (size_t n = 0; n < whole; n++)
        if (split_bytes(body, n, "B") != SM_INVALID)
            fail_msg("the first %zu of %zu bytes were taken", n, whole);
    for (size_t at = 0; at < whole; at++) {
        char bad[sizeof body];
        memcpy(bad, body, sizeof body);
        bad[at] = '\0';
        split_bytes(bad, whole, "B"); /* any answer, within its bytes */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),      cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_limits),
        cmocka_unit_test(test_truncated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
