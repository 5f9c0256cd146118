/* Header parsers: exact results, and no input that makes them read past its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/http/header.h"

static void test_prefer(void **state)
{
    static const struct {
        const char *value;
        bool async, has_wait;
        int64_t wait_s;
    } rows[] = {
        {"", false, false, 0},
        {"respond-async", true, false, 0},
        {"Respond-Async", true, false, 0},
        {"wait=5", false, true, 5},
        {"wait = 5", false, true, 5},
        {"wait=\"5\"", false, true, 5},
        {"respond-async, wait=10", true, true, 10},
        {"foo; bar=\"a,wait=9\", wait=3", false, true, 3},
        {"wait=1, wait=2", false, true, 1},
        {"wait=x, wait=2", false, false, 0},
        {"wait, wait=2", false, false, 0},
        {"WAIT=3; a=b; c, return=minimal", false, true, 3},
        {"respond-async; x=\"wait=9\"", true, false, 0},
        {"return=representation, handling=lenient, respond-async", true, false, 0},
        {"wait=-1", false, false, 0},
        {"wait=1.5", false, false, 0},
        {"wait=", false, false, 0},
        {"wait", false, false, 0},
        {"wait=0", false, true, 0},
        {"wait=9999999999999999999", false, false, 0},
        {"wait=999999999999999999", false, true, 999999999999999999},
        {"respond-asynchronous", false, false, 0},
        {",,, ,wait=7", false, true, 7},
        {"=, wait=7", false, true, 7},
        {"\"wait=1\", wait=2", false, true, 2},
        {"wait=\"1", false, false, 0},
        {"x=\"\\", false, false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sm_prefer prefer = {0};
        sm_prefer_parse(&prefer, rows[i].value);
        if (prefer.respond_async != rows[i].async || prefer.has_wait != rows[i].has_wait ||
            prefer.wait_s != rows[i].wait_s)
            fail_msg("Prefer: %s", rows[i].value);
    }
}

static void test_media_type(void **state)
{
    static const char *const rows[][2] = {
        {"image/png", "image/png"},
        {" Image/JPEG ; q=1", "image/jpeg"},
        {"multipart/form-data; boundary=x", "multipart/form-data"},
        {"", ""},
        {"image/png image/jpeg", ""},
        {"a/0123456789012345678901234567890123456789012345678901234567890123456789", ""},
    };
    char out[SM_MEDIA_TYPE_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sm_media_type(out, rows[i][0]);
        assert_string_equal(out, rows[i][1]);
    }
    sm_media_type(out, NULL);
    assert_string_equal(out, "");
}

static void test_param(void **state)
{
    char out[8];
    (void)state;
    assert_true(sm_header_param(out, sizeof out, "m/f; boundary=abc", "boundary"));
    assert_string_equal(out, "abc");
    assert_true(sm_header_param(out, sizeof out, "m/f;Boundary=\"a b\\\"\"", "boundary"));
    assert_string_equal(out, "a b\"");
    assert_true(
        sm_header_param(out, sizeof out, "m/f; x=\"; boundary=no\"; boundary=yes", "boundary"));
    assert_string_equal(out, "yes");
    assert_true(sm_header_param(out, sizeof out, "m/f; boundary=1234567", "boundary"));
    assert_false(sm_header_param(out, sizeof out, "m/f; boundary=12345678", "boundary"));
    assert_false(sm_header_param(out, sizeof out, "m/f; boundary=\"abc", "boundary"));
    assert_false(sm_header_param(out, sizeof out, "m/f; xboundary=abc", "boundary"));
    assert_false(sm_header_param(out, sizeof out, "m/f", "boundary"));
    assert_true(sm_header_param(out, sizeof out, "f; filename=a; name=b", "name"));
    assert_string_equal(out, "b");
}

static void test_etag(void **state)
{
    static const struct {
        const char *value;
        bool weak, strong; /* whether "a" is found */
    } rows[] = {
        {"*", true, true},
        {" * ", true, true},
        {"*, \"b\"", false, false},
        {"\"a\"", true, true},
        {"W/\"a\"", true, false},
        {"w/\"a\"", false, false},
        {"\"b\", W/\"a\"", true, false},
        {"W/\"a\" ,\"a\"", true, true},
        {",, \"a\"", true, true},
        {"\"b\"", false, false},
        {"\"ab\"", false, false},
        {"\"\"", false, false},
        {"a", false, false},
        {"", false, false},
        {" ", false, false},
        {"\"a", false, false},
        {"W/", false, false},
        {"\"b\" \"a\"", false, false},
        {"\"x,\"a\"", false, false},
        {"\"b\\\", \"a\"", true, true}, /* a backslash is no escape */
        {"\"x,\\\"a\\\"\"", false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (sm_etag_matches(rows[i].value, "\"a\"") != rows[i].weak ||
            sm_etag_matches_strongly(rows[i].value, "\"a\"") != rows[i].strong)
            fail_msg("%s", rows[i].value);
}

static void test_idempotency_key(void **state)
{
    char longest[260], out[SM_IDEMPOTENCY_KEY_BYTES];
    static const struct {
        const char *value, *key; /* NULL: it is none */
    } rows[] = {
        {"\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", "8e03978e-40d5-43dd-bc93-6894a57f9324"},
        {"8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"},
        {" \"a b\" ", "a b"},
        {" x\t", "x"},
        {"\"a\\\"b\\\\c\"", "a\"b\\c"},
        {"\"a,b;c\"", "a,b;c"},
        {"", NULL},
        {" ", NULL},
        {"\"\"", NULL},
        {"\"", NULL},
        {"\"a", NULL},
        {"\"a\\", NULL},
        {"\"a\\n\"", NULL},
        {"\"a\"b", NULL},
        {"\"a\";p=1", NULL},
        {"\"a\", \"b\"", NULL},
        {"a b", NULL},
        {"a,b", NULL},
        {"a\"", NULL},
        {"\"\xc3\xbc\"", NULL},
        {"\xc3\xbc", NULL},
        {"\"a\x01\"", NULL},
        {"\"a\x7f\"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool good = sm_idempotency_key(out, rows[i].value);
        if (good != (rows[i].key != NULL) || strcmp(out, good ? rows[i].key : "") != 0)
            fail_msg("%s: '%s'", rows[i].value, out);
    }
    for (int quoted = 0; quoted < 2; quoted++)
        for (int n = 255; n <= 256; n++) {
            memset(longest, 'k', sizeof longest);
            longest[0] = quoted ? '"' : 'k';
            longest[n + quoted] = quoted ? '"' : '\0';
            longest[n + 2 * quoted] = '\0';
            assert_int_equal(sm_idempotency_key(out, longest), n == 255);
            assert_int_equal(strlen(out), n == 255 ? 255 : 0);
        }
}

static void test_digits(void **state)
{
    int64_t n = 7;
    (void)state;
    assert_true(sm_digits(&n, "0"));
    assert_int_equal(n, 0);
    assert_true(sm_digits(&n, "123456789012345678"));
    assert_true(n == 123456789012345678);
    assert_false(sm_digits(&n, ""));
    assert_false(sm_digits(&n, "1234567890123456789"));
    assert_false(sm_digits(&n, "+1"));
    assert_false(sm_digits(&n, "1 "));
}

/* Every prefix of every text over a small hostile alphabet, in a buffer of exactly its size. */
static void test_hostile(void **state)
{
    static const char alphabet[] = "wait=\"\\,; \t1W/*";
    uint32_t random = 1;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t n = round % 24;
        char *text = malloc(n + 1), out[8], type[SM_MEDIA_TYPE_BYTES];
        char trace[SM_TRACE_BYTES];
        struct sm_prefer prefer = {0};
        for (size_t i = 0; i < n; i++) {
            random = random * 1664525u + 1013904223u;
            text[i] = alphabet[(random >> 16) % (sizeof alphabet - 1)];
        }
        text[n] = '\0';
        sm_prefer_parse(&prefer, text);
        sm_media_type(type, text);
        sm_header_param(out, sizeof out, text, "wait");
        sm_etag_matches(text, "\"1\"");
        sm_trace_id(trace, text);
        free(text);
    }
}

static void test_trace(void **state)
{
#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define GOOD  "00-" TRACE "-b7ad6b7169203331-01"
    static const struct {
        const char *value, *trace;
    } rows[] = {
        {GOOD, TRACE},
        {"01-" TRACE "-b7ad6b7169203331-00", TRACE},
        {"01-" TRACE "-b7ad6b7169203331-00-later", TRACE},
        {GOOD "-more", ""},
        {"01-" TRACE "-b7ad6b7169203331-00more", ""},
        {"ff-" TRACE "-b7ad6b7169203331-01", ""},
        {"00-00000000000000000000000000000000-b7ad6b7169203331-01", ""},
        {"00-" TRACE "-0000000000000000-01", ""},
        {"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", ""},
        {"00-" TRACE "-b7ad6b7169203331-0", ""},
        {"00-" TRACE "-b7ad6b7169203331-0g", ""},
        {"00-" TRACE "-b7ad6b716920333-011", ""},
        {"00_" TRACE "-b7ad6b7169203331-01", ""},
        {"00-0af7651916cd43dd8448eb211c80319\"-b7ad6b7169203331-01", ""},
        {"", ""},
        {NULL, ""},
    };
    char trace[SM_TRACE_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sm_trace_id(trace, rows[i].value);
        assert_string_equal(trace, rows[i].trace);
    }
}

static void test_names_and_values(void **state)
{
    static const struct {
        const char *text;
        bool name, value;
    } rows[] = {
        {"Content-Length", true, true},
        {"x!#$%&'*+.^_`|~9", true, true},
        {"", false, true},
        {"Content-Length ", false, true},
        {"a\tb", false, true},
        {"a:b", false, true},
        {"a\rb", false, false},
        {"a\x0b", false, false},
        {"a\x7f", false, false},
        {"\xc3\xa9", false, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(sm_header_name(rows[i].text), rows[i].name);
        assert_int_equal(sm_header_value(rows[i].text), rows[i].value);
    }
}

static void test_target_origin(void **state)
{
    static const struct {
        const char *target;
        size_t bytes;
    } rows[] = {
        {"http://h/livez", 8},
        {"http://h", 8},
        {"http://h?a=1", 8},
        {"HTTPS://[::1]:8443/", 18},
        {"http://h:80/@/%2F", 11},
        {"/livez", 0},
        {"*", 0},
        {"", 0},
        {"http://", 0},
        {"http:///livez", 0},
        {"http://user@h/", 0},
        {"http://h%2f/", 0},
        {"http://h#f", 0},
        {"http:/h/", 0},
        {"ftp://h/", 0},
        {"/http://h/", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (sm_target_origin(rows[i].target) != rows[i].bytes)
            fail_msg("%s: %zu", rows[i].target, sm_target_origin(rows[i].target));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefer),
        cmocka_unit_test(test_media_type),
        cmocka_unit_test(test_param),
        cmocka_unit_test(test_etag),
        cmocka_unit_test(test_idempotency_key),
        cmocka_unit_test(test_digits),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_trace),
        cmocka_unit_test(test_names_and_values),
        cmocka_unit_test(test_target_origin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
