/* Route lookup against a table of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/http/route.h"

static const struct sm_route routes[] = {
    {"GET", "/a", "getA", .query = "x yy"},
    {"POST", "/a", "postA"},
    {"GET", "/a/{id}", "getOne"},
    {"GET", "/a/{id}/b", "getB"},
    {0},
};

static void test_find(void **state)
{
    static const struct {
        const char *method, *path;
        enum sm_match match;
        const char *operation, *capture, *allow;
    } rows[] = {
        {"GET", "/a", SM_MATCH_OK, "getA", "", "GET, HEAD, POST, OPTIONS"},
        {"HEAD", "/a", SM_MATCH_OK, "getA", "", "GET, HEAD, POST, OPTIONS"},
        {"POST", "/a", SM_MATCH_OK, "postA", "", "GET, HEAD, POST, OPTIONS"},
        {"PUT", "/a", SM_MATCH_METHOD, NULL, "", "GET, HEAD, POST, OPTIONS"},
        {"get", "/a", SM_MATCH_METHOD, NULL, "", "GET, HEAD, POST, OPTIONS"},
        {"OPTIONS", "/a", SM_MATCH_OPTIONS, NULL, "", "GET, HEAD, POST, OPTIONS"},
        {"GET", "/a/", SM_MATCH_NONE, NULL, "", ""},
        {"GET", "/a/7", SM_MATCH_OK, "getOne", "7", "GET, HEAD, OPTIONS"},
        {"POST", "/a/7", SM_MATCH_METHOD, NULL, "7", "GET, HEAD, OPTIONS"},
        {"GET", "/a/7/b", SM_MATCH_OK, "getB", "7", "GET, HEAD, OPTIONS"},
        {"GET", "/a//b", SM_MATCH_NONE, NULL, "", ""},
        {"GET", "/a/7/c", SM_MATCH_NONE, NULL, "", ""},
        {"GET", "/ab", SM_MATCH_NONE, NULL, "", ""},
        {"OPTIONS", "/b", SM_MATCH_NONE, NULL, "", ""},
        {"GET", "", SM_MATCH_NONE, NULL, "", ""},
        {"OPTIONS", "*", SM_MATCH_OPTIONS, NULL, "", "GET, HEAD, POST, OPTIONS"},
        {"GET", "*", SM_MATCH_NONE, NULL, "", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct sm_route *row;
        char capture[SM_CAPTURE_BYTES], allow[SM_ALLOW_BYTES];
        enum sm_match match =
            sm_route_find(&row, routes, rows[i].method, rows[i].path, capture, allow);
        if (match != rows[i].match)
            fail_msg("%s %s: match %d", rows[i].method, rows[i].path, match);
        assert_string_equal(allow, rows[i].allow);
        if (!rows[i].operation) {
            assert_null(row);
        } else {
            assert_string_equal(row->operation, rows[i].operation);
            assert_string_equal(capture, rows[i].capture);
        }
    }
}

static void test_long_capture(void **state)
{
    const struct sm_route *row;
    char path[3 + SM_CAPTURE_BYTES + 1] = "/a/", capture[SM_CAPTURE_BYTES], allow[SM_ALLOW_BYTES];
    (void)state;
    memset(path + 3, 'x', SM_CAPTURE_BYTES - 1);
    assert_int_equal(sm_route_find(&row, routes, "GET", path, capture, allow), SM_MATCH_OK);
    assert_int_equal(strlen(capture), SM_CAPTURE_BYTES - 1);
    path[3 + SM_CAPTURE_BYTES - 1] = 'x';
    assert_int_equal(sm_route_find(&row, routes, "GET", path, capture, allow), SM_MATCH_NONE);
}

static void test_words(void **state)
{
    (void)state;
    assert_true(sm_word_in("x yy", "yy", 2));
    assert_true(sm_word_in("image/jpeg, image/png", "image/png", 9));
    assert_false(sm_word_in("x yy", "y", 1));
    assert_false(sm_word_in("x yy", "", 0));
    assert_false(sm_word_in(NULL, "x", 1));
}

static void test_media_types(void **state)
{
    static const char list[] = "image/png, image/*, application/json";
    (void)state;
    assert_true(sm_media_type_in(list, "image/png"));
    assert_true(sm_media_type_in(list, "image/pjpeg"));
    assert_true(sm_media_type_in(list, "application/json"));
    assert_false(sm_media_type_in(list, "application/xml"));
    assert_false(sm_media_type_in(list, "images/png"));
    assert_false(sm_media_type_in(list, "image/"));
    assert_false(sm_media_type_in(list, "image"));
    assert_false(sm_media_type_in(list, "/"));
    assert_false(sm_media_type_in(list, ""));
    assert_false(sm_media_type_in(NULL, "image/png"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_long_capture),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_media_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
