/* What is unsafe to show, where a text is cut, and that JSON stays the same document. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/escape.h"
#include "sslmem/err.h"

static const struct {
    const char *text, *shown;
} cases[] = {
    {"", ""},
    {"blocks.0.norm1.weight", "blocks.0.norm1.weight"},
    {"C:\\new", "C:\\new"},
    {"gr\xc3\xbc\xc3\x9f \xe7\x8c\xab \xf0\x9f\x90\x88",
     "gr\xc3\xbc\xc3\x9f \xe7\x8c\xab \xf0\x9f\x90\x88"},
    {"\x1b[2J\x1b]0;pwn\a", "\\x1b[2J\\x1b]0;pwn\\x07"},
    {"a\nb\rc\td\x7f", "a\\x0ab\\x0dc\\x09d\\x7f"},
    {"\xc2\x9b\x32J\xc2\x85", "\\u009b2J\\u0085"},
    {"gpj.\xe2\x80\xaeteg", "gpj.\\u202eteg"},
    {"\xe2\x80\xaa\xe2\x80\xab\xe2\x80\xac\xe2\x80\xad", "\\u202a\\u202b\\u202c\\u202d"},
    {"\xe2\x81\xa6\xe2\x81\xa7\xe2\x81\xa8\xe2\x81\xa9", "\\u2066\\u2067\\u2068\\u2069"},
    {"\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c", "\\u200e\\u200f\\u061c"},
    {"\xe2\x80\xa8\xe2\x80\xa9", "\\u2028\\u2029"},
    {"\xf3\xa0\x81\x81", "\\ue0041"},
    {"\x9b\xff\xc0\xaf", "\\x9b\\xff\\xc0\\xaf"},
    {"\xed\xa0\x80", "\\xed\\xa0\\x80"},          /* a surrogate */
    {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* above U+10FFFF */
    {"cut \xe2\x80", "cut \\xe2\\x80"},
    {"\xe5\xad\x97\xe2\x80\x8b", "\xe5\xad\x97\xe2\x80\x8b"}, /* zero width: moves nothing */
};

static void unsafe_text_is_escaped(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sm_err err = {0};
        assert_string_equal(sm_shown(cases[i].text), cases[i].shown);
        assert_string_equal(sm_shown(cases[i].shown), cases[i].shown); /* once is enough */
        sm_err_set(&err, SM_INVALID, "%s", cases[i].text);
        assert_string_equal(err.text, cases[i].shown);
        sm_err_field(&err, cases[i].text, "x");
        assert_string_equal(err.pointer, cases[i].shown);
    }
}

static void a_cut_is_whole_and_marked(void **state)
{
    (void)state;
    static const struct {
        size_t bytes;
        const char *text, *shown;
    } cuts[] = {{8, "abcdefg", "abcdefg"},
                {8, "abcdefgh", "abcd..."},
                {8, "abc\x1b", "abc\\x1b"},
                {8, "abcd\x1b", "abcd..."},
                {9, "\xe2\x80\xae\xe2\x80\xae", "..."},
                {8, "abc\xe7\x8c\xab\xe7\x8c\xab", "abc..."},
                {4, "abcdef", "..."},
                {1, "a", ""}};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        char out[16];
        memset(out, '#', sizeof out);
        assert_string_equal(sm_escape(out, cuts[i].bytes, cuts[i].text), cuts[i].shown);
        assert_true(out[cuts[i].bytes] == '#');
    }
}

static void json_stays_the_same_document(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *text = json_string(cases[i].text), *again;
        if (!text)
            continue; /* no UTF-8 */
        char *dumped = json_dumps(text, JSON_ENCODE_ANY), *safe = sm_escape_json(dumped);
        assert_non_null(safe);
        const char *at = safe;
        while (*at) {
            uint32_t point;
            size_t n = sm_utf8_decode(&point, at, SIZE_MAX);
            assert_true(n > 0 && !sm_is_unsafe(point));
            at += n;
        }
        again = json_loads(safe, JSON_DECODE_ANY, NULL);
        assert_true(json_equal(text, again));
        json_decref(text);
        json_decref(again);
        free(dumped);
        free(safe);
    }
    char *safe = sm_escape_json("\"\xff\"");
    assert_string_equal(safe, "\"\\ufffd\"");
    free(safe);
}

/* Every code point comes back as it went, and nothing else is one. */
static void utf8_goes_both_ways(void **state)
{
    (void)state;
    for (uint32_t point = 0; point <= 0x10ffff; point++) {
        char bytes[5] = {0};
        uint32_t back = 0;
        size_t n = sm_utf8_encode(bytes, point);
        bool surrogate = point >= 0xd800 && point <= 0xdfff;
        assert_int_equal(sm_utf8_decode(&back, bytes, n), surrogate ? 0 : n);
        assert_true(surrogate || back == point);
        assert_int_equal(sm_utf8_decode(&back, bytes, n - 1), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unsafe_text_is_escaped),
        cmocka_unit_test(a_cut_is_whole_and_marked),
        cmocka_unit_test(json_stays_the_same_document),
        cmocka_unit_test(utf8_goes_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
