/* core/base: known answers and the edges of every reader. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/edits.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/rng.h"
#include "core/base/sha256.h"

/* The known answers of the Random123 distribution (kat_vectors, philox4x32 10 rounds). */
static void philox_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t out[4];
        sm_philox(out, cases[i].key, cases[i].counter);
        assert_memory_equal(out, cases[i].out, sizeof out);
    }
}

static void unit_is_half_open(void **state)
{
    (void)state;
    assert_true(sm_unit(0, 0) == 0.0);
    assert_true(sm_unit(UINT32_MAX, UINT32_MAX) == 1.0 - 0x1p-53);
    assert_true(sm_unit(UINT32_C(1) << 31, 0) == 0.5);
}

/* 63 + (1 - 2^-53) rounds to 64: without its bound the last stratum of 64 would contain 1. */
static void strata_are_half_open(void **state)
{
    (void)state;
    const double last = 1.0 - 0x1p-53;
    assert_true(sm_stratum(0, 0, 10) == 0.0);
    assert_true(sm_stratum(3, 0.5, 10) == 0.35);
    assert_true(sm_stratum(0, last, 1) == last);
    for (uint32_t strata = 2; strata <= 256; strata++) {
        assert_true(sm_stratum(strata - 1, last, strata) < 1);
        assert_true(sm_stratum(strata - 1, 0, strata) < sm_stratum(strata - 1, 0.5, strata));
    }
}

/* FIPS 180-2, appendix B.1; and the empty message. */
static void sha256_known_answers(void **state)
{
    (void)state;
    char hex[SM_SHA256_HEX];
    sm_sha256_hex(hex, "abc", 3);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sm_sha256_hex(hex, "", 0);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void edits_are_counted(void **state)
{
    static const struct {
        const char *a, *b;
        size_t edits;
    } known[] = {
        {"", "", 0},         {"", "abc", 3},      {"abc", "", 3},       {"kitten", "sitting", 3},
        {"flaw", "lawn", 2}, {"same", "same", 0}, {"norm1", "norm2", 1}};
    char longest[SM_EDITS_MAX + 2];
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_int_equal(sm_edits(known[i].a, known[i].b), known[i].edits);
        assert_int_equal(sm_edits(known[i].b, known[i].a), known[i].edits);
    }
    memset(longest, 'x', sizeof longest);
    longest[SM_EDITS_MAX + 1] = '\0';
    assert_true(sm_edits(longest, "x") == SIZE_MAX && sm_edits("x", longest) == SIZE_MAX);
    longest[SM_EDITS_MAX] = '\0';
    assert_int_equal(sm_edits(longest, "x"), SM_EDITS_MAX - 1);
}

static void the_nearest_name_is_suggested(void **state)
{
    static const struct {
        const char *given, *name, *other;
        bool name_near, other_nearer;
    } cases[] = {
        {"scor", "score", "scores", true, false},
        {"scor", "scores", "score", true, true},
        {"pari", "pair", "par", true, true},
        {"ab", "ac", "ab", false, true},
        {"abc", "xyz", "a", false, false},
        {"nonsense", "score", "audit", false, false},
        {"abcdefgh", "abcde", "wxyzefgh", true, false}, /* 3 edits; 4 are too many */
        {"x", "y", "", false, false},
        {"colour", "folder", "xx", false, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t best = 0;
        assert_int_equal(sm_edits_is_nearer(&best, cases[i].given, cases[i].name),
                         cases[i].name_near);
        assert_int_equal(sm_edits_is_nearer(&best, cases[i].given, cases[i].other),
                         cases[i].other_nearer);
    }
}

static void errors_are_printable(void **state)
{
    (void)state;
    struct sm_err err = {0};
    assert_int_equal(sm_err_set(&err, SM_LIMIT, "tensor %s\x1b[2J", "a\nb"), SM_LIMIT);
    assert_string_equal(err.text, "tensor a\\x0ab\\x1b[2J");
    assert_string_equal(err.pointer, "");
    assert_int_equal(sm_err_set(NULL, SM_IO, "nobody listens"), SM_IO);
    assert_string_equal(sm_code_name(SM_NOMEM), "no_memory");
    assert_string_equal(sm_code_name(SM_FULL), "disk_full");
}

static void files_whole_or_not_at_all(void **state)
{
    (void)state;
    struct sm_err err = {0};
    struct sm_file file;
    char path[] = "/tmp/sslmem-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(sm_file_map(&file, path, 10, &err), SM_OK); /* empty */
    assert_null(file.bytes);
    sm_file_release(&file);
    assert_int_equal(sm_file_write(path, "0123456789", 10, &err), SM_OK);
    assert_int_equal(sm_file_map(&file, path, 10, &err), SM_OK);
    assert_int_equal(file.bytes_count, 10);
    assert_memory_equal(file.bytes, "0123456789", 10);
    sm_file_release(&file);
    sm_file_release(&file);
    assert_int_equal(sm_file_map(&file, path, 9, &err), SM_LIMIT);
    assert_non_null(strstr(err.text, "file has 10 bytes, limit is 9"));
    unlink(path);
    assert_int_equal(sm_file_map(&file, path, 9, &err), SM_NOT_FOUND);
    assert_int_equal(sm_file_map(&file, "/tmp", 1 << 20, &err), SM_IO);
    assert_int_equal(sm_file_write("/no-such-folder/x", "", 0, &err), SM_IO);
}

/* A file that is replaced keeps its mode, and a link to it stays a link. */
static void files_keep_mode_and_link(void **state)
{
    (void)state;
    char folder[] = "/tmp/sslmem-test-XXXXXX", path[64], link[64];
    struct stat about;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
    snprintf(link, sizeof link, "%s/link", folder);
    assert_int_equal(sm_file_write(path, "a", 1, NULL), SM_OK);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0644);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(symlink("file", link), 0);
    assert_int_equal(sm_file_write(link, "bc", 2, NULL), SM_OK);
    assert_int_equal(lstat(link, &about), 0);
    assert_true(S_ISLNK(about.st_mode));
    assert_int_equal(lstat(path, &about), 0);
    assert_true(S_ISREG(about.st_mode));
    assert_int_equal(about.st_mode & 07777, 0600);
    assert_int_equal(about.st_size, 2);
    unlink(link);
    unlink(path);
    assert_int_equal(rmdir(folder), 0);
}

struct sample {
    int32_t count;
    uint64_t seed;
    double p, range[2];
    bool on;
    int color;
    char text[5];
    const json_t *node;
};

static const char *const colors[] = {"red", "green", NULL};
static const struct sm_field fields[] = {
    {"count", SM_FIELD_INT, offsetof(struct sample, count), .min = 2, .max = 64},
    {"seed", SM_FIELD_U64, offsetof(struct sample, seed)},
    {"p", SM_FIELD_DOUBLE, offsetof(struct sample, p), .min = 0, .max = 1},
    {"range", SM_FIELD_RANGE, offsetof(struct sample, range), .min = 0, .max = 10},
    {"on", SM_FIELD_BOOL, offsetof(struct sample, on)},
    {"color", SM_FIELD_ENUM, offsetof(struct sample, color), .names = colors},
    {"text", SM_FIELD_TEXT, offsetof(struct sample, text), .max = 4},
    {"node", SM_FIELD_NODE, offsetof(struct sample, node)},
    {0},
};

static enum sm_code read_sample(struct sample *out, const char *text, struct sm_err *err)
{
    json_t *node;
    assert_int_equal(sm_json_parse(&node, text, strlen(text), 4096, 8, err), SM_OK);
    enum sm_code code = sm_fields_read(out, node, fields, "/s", err);
    out->node = NULL;
    json_decref(node);
    return code;
}

static void fields_fill_the_struct(void **state)
{
    (void)state;
    struct sample s = {.count = 7};
    struct sm_err err = {0};
    assert_int_equal(read_sample(&s,
                                 "{\"seed\":\"18446744073709551615\",\"p\":1,\"range\":[0.5,10],"
                                 "\"on\":true,\"color\":\"green\",\"text\":\"abcd\",\"node\":[]}",
                                 &err),
                     SM_OK);
    assert_int_equal(s.count, 7);
    assert_true(s.seed == UINT64_MAX && s.p == 1 && s.range[0] == 0.5 && s.range[1] == 10 && s.on);
    assert_int_equal(s.color, 1);
    assert_string_equal(s.text, "abcd");
    assert_int_equal(read_sample(&s, "{\"count\":2,\"seed\":9223372036854775807}", &err), SM_OK);
    assert_true(s.count == 2 && s.seed == INT64_MAX);
    assert_int_equal(read_sample(&s, "{\"count\":64}", &err), SM_OK);
    assert_int_equal(s.count, 64);
}

static void fields_name_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *json, *pointer, *text;
    } cases[] = {
        {"{\"count\":1}", "/s/count", "count is 1, must be from 2 to 64"},
        {"{\"count\":65}", "/s/count", "count is 65, must be from 2 to 64"},
        {"{\"count\":2.0}", "/s/count", "count is of type number, must be integer"},
        {"{\"count\":null}", "/s/count", "count is of type null, must be integer"},
        {"{\"p\":1.5}", "/s/p", "p is 1.5, must be from 0 to 1"},
        {"{\"p\":\"x\"}", "/s/p", "p is of type string, must be number"},
        {"{\"range\":[1]}", "/s/range", "range must be an array of two numbers"},
        {"{\"range\":[1,2,3]}", "/s/range", "range must be an array of two numbers"},
        {"{\"range\":[3,2]}", "/s/range", "range is [3, 2], must ascend"},
        {"{\"range\":[3,11]}", "/s/range", "range is 11, must be from 0 to 10"},
        {"{\"on\":1}", "/s/on", "on is of type integer, must be boolean"},
        {"{\"color\":\"blue\"}", "/s/color", "color is \"blue\", must be one of red, green"},
        {"{\"text\":\"abcde\"}", "/s/text", "text has 5 bytes, limit is 4 without NUL"},
        {"{\"a/b~c\":1}", "/s/a~1b~0c", "field \"a/b~c\" is unknown"},
        {"[]", "/s", "value is of type array, must be object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sample s = {0};
        struct sm_err err = {0};
        assert_int_equal(read_sample(&s, cases[i].json, &err), SM_INVALID);
        assert_string_equal(err.pointer, cases[i].pointer);
        assert_string_equal(err.text, cases[i].text);
    }
    static const char *const seeds[] = {"-1", "\"18446744073709551616\"", "\"\"", "\"1x\"", "1.5"};
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        struct sample s = {0};
        struct sm_err err = {0};
        char text[64];
        snprintf(text, sizeof text, "{\"seed\":%s}", seeds[i]);
        assert_int_equal(read_sample(&s, text, &err), SM_INVALID);
        assert_string_equal(err.pointer, "/s/seed");
    }
}

static void required_fields_are_missed(void **state)
{
    (void)state;
    static const struct sm_field need[] = {{"on", SM_FIELD_BOOL, 0, .required = true}, {0}};
    bool on;
    struct sm_err err = {0};
    json_t *node = json_object();
    assert_int_equal(sm_fields_read(&on, node, need, "", &err), SM_INVALID);
    assert_string_equal(err.pointer, "/on");
    assert_string_equal(err.text, "field \"on\" is missing");
    json_decref(node);
}

static void json_text_is_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum sm_code code;
    } cases[] = {
        {"{\"a\":[[1]]}", SM_OK},
        {"{\"a\":\"[[[[[[[[\\\"[[[[\"}", SM_OK}, /* brackets in a string are no depth */
        {"[[[[1]]]]", SM_LIMIT},
        {"{\"a\":1,\"a\":2}", SM_CORRUPT},
        {"", SM_CORRUPT},
        {"{\"a\":1} x", SM_CORRUPT},
        {"[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15]", SM_LIMIT},
        {SM_JSON_MARK "[1,2,3,4,5,6,7,8,9,10,11,12,1]  ", SM_OK}, /* 32 bytes behind the mark */
        {SM_JSON_MARK "[1,2,3,4,5,6,7,8,9,10,11,12,1]   ", SM_LIMIT},
        {SM_JSON_MARK SM_JSON_MARK "[1]", SM_CORRUPT},
        {SM_JSON_MARK, SM_CORRUPT},
        {"\xff\xfe[", SM_CORRUPT},
        {"\xfe\xff", SM_CORRUPT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sm_err err = {0};
        json_t *node;
        const char *text = cases[i].text;
        assert_int_equal(sm_json_parse(&node, text, strlen(text), 32, 3, &err), cases[i].code);
        json_decref(node);
    }
}

static void canonical_json_is_one_text(void **state)
{
    (void)state;
    struct sm_err err = {0};
    json_t *node;
    const char *text = "{ \"b\": 0.1, \"a\": [1, true, null] }";
    assert_int_equal(sm_json_parse(&node, text, strlen(text), 100, 4, &err), SM_OK);
    char *canonical = sm_json_canonical(node);
    assert_string_equal(canonical, "{\"a\":[1,true,null],\"b\":0.10000000000000001}");
    free(canonical);
    json_decref(node);
}

/* the texts are those of Python's repr, but for whole numbers and the form of exponents */
static void doubles_have_the_fewest_digits(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *number, *json;
    } cases[] = {
        {0.4, "0.4", "0.4"},
        {0.1 + 0.2, "0.30000000000000004", "0.30000000000000004"},
        {85.8, "85.8", "85.8"},
        {-0.0, "-0", "-0.0"},
        {3, "3", "3.0"},
        {1e-5, "1e-05", "1e-5"},
        {-2.5e-300, "-2.5e-300", "-2.5e-300"},
        {1e100, "1e+100", "1e100"},
        {1e15, "1e+15", "1e15"},
        {123456789012345680., "1.2345678901234568e+17", "1.2345678901234568e17"},
        {5e-324, "5e-324", "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308", "1.7976931348623157e308"},
        {2.0 / 3, "0.6666666666666666", "0.6666666666666666"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char number[SM_NUMBER_BYTES];
        json_t *node = json_real(cases[i].value);
        char *text = sm_json_text(node, JSON_COMPACT);
        assert_string_equal(sm_number_text(number, cases[i].value), cases[i].number);
        assert_string_equal(text, cases[i].json);
        free(text);
        json_decref(node);
    }
}

/* digits in names, strings and integers stay as they are */
static void json_text_changes_doubles_only(void **state)
{
    (void)state;
    static const char text[] =
        "{\"0.40000000000000002\":\"-0.40000000000000002\",\"\\\\\":\"\\\"0.40000000000000002\","
        "\"n\":[9007199254740993,-1,true,null,\"1e5\",[],{}],\"m\":-0.4,\"p\":1.5e-7}";
    struct sm_err err = {0};
    json_t *node, *again;
    assert_int_equal(sm_json_parse(&node, text, strlen(text), 1000, 4, &err), SM_OK);
    char *compact = sm_json_text(node, JSON_COMPACT), *lines = sm_json_text(node, JSON_INDENT(2));
    assert_string_equal(compact, text);
    assert_int_equal(sm_json_parse(&again, lines, strlen(lines), 1000, 4, &err), SM_OK);
    assert_true(json_equal(node, again));
    free(compact);
    free(lines);
    json_decref(node);
    json_decref(again);
}

/* From 1e15 to 1e17 fewer digits can be the longer text, because they need an exponent. Nothing else
 * of the document may change, wherever such a number stands in it. */
static void fewer_digits_may_be_longer(void **state)
{
    (void)state;
    static const double values[] = {1234567890123450.0,  -1234567890123450.0, 9007199254740990.0,
                                    1000000000000010.0,  9999999999999990.0,  12345678901234500.0,
                                    10000000000000000.0, -9007199254740990.0, 1e15};
    struct sm_err err = {0};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        for (size_t count = 1; count <= 8; count++) {
            json_t *node =
                json_pack("{s:f, s:s, s:[], s:i}", "a", values[i], "b", "x", "n", "c", 12);
            json_t *list = json_object_get(node, "n"), *again;
            for (size_t k = 1; k < count; k++)
                json_array_append_new(list, json_real(values[(i + k) % 9]));
            char *text = sm_json_text(node, JSON_COMPACT);
            assert_non_null(text);
            assert_int_equal(sm_json_parse(&again, text, strlen(text), 1000, 4, &err), SM_OK);
            assert_true(json_equal(node, again));
            free(text);
            json_decref(node);
            json_decref(again);
        }
        json_t *alone = json_real(values[i]);
        char *text = sm_json_text(alone, 0);
        assert_true(strtod(text, NULL) == values[i]);
        free(text);
        json_decref(alone);
    }
}

static void every_double_reads_back(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    json_t *list = json_array();
    uint64_t bits = 88172645463325252;
    while (json_array_size(list) < COUNT) { /* xorshift: all exponents, subnormals too */
        double value;
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        uint64_t word = json_array_size(list) % 8 ? bits : bits & ~(UINT64_C(0x7ff) << 52);
        memcpy(&value, &word, sizeof value);
        if (isfinite(value))
            json_array_append_new(list, json_real(value));
    }
    char *text = sm_json_text(list, JSON_COMPACT);
    json_t *again = json_loads(text, 0, NULL);
    assert_true(json_equal(list, again));
    free(text);
    json_decref(again);
    json_decref(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(unit_is_half_open),
        cmocka_unit_test(strata_are_half_open),
        cmocka_unit_test(sha256_known_answers),
        cmocka_unit_test(edits_are_counted),
        cmocka_unit_test(errors_are_printable),
        cmocka_unit_test(files_whole_or_not_at_all),
        cmocka_unit_test(files_keep_mode_and_link),
        cmocka_unit_test(fields_fill_the_struct),
        cmocka_unit_test(fields_name_what_is_wrong),
        cmocka_unit_test(required_fields_are_missed),
        cmocka_unit_test(json_text_is_bounded),
        cmocka_unit_test(canonical_json_is_one_text),
        cmocka_unit_test(the_nearest_name_is_suggested),
        cmocka_unit_test(doubles_have_the_fewest_digits),
        cmocka_unit_test(json_text_changes_doubles_only),
        cmocka_unit_test(fewer_digits_may_be_longer),
        cmocka_unit_test(every_double_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
