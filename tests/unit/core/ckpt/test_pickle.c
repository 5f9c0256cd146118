/* The pickle machine alone: opcodes to inert values, and what it refuses, with exact texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/ckpt/pickle.h"
#include "sslmem/ckpt.h"

#define P(text) (const uint8_t *)(text), sizeof(text) - 1

static const struct {
    const uint8_t *bytes;
    size_t count;
    enum sm_code code;
    const char *text;
} cases[] = {
    {P(""), SM_CORRUPT, "pickle: no STOP in 0 bytes"},
    {P("\x80\x02N"), SM_CORRUPT, "pickle: no STOP in 3 bytes"},
    {P("\x80\x06N."), SM_UNSUPPORTED, "pickle: PROTO at byte 0 names a protocol above 5"},
    {P("."), SM_CORRUPT, "pickle: STOP at byte 0 finds no single value"},
    {P("0."), SM_CORRUPT, "pickle: POP at byte 0 finds too few values"},
    {P("N(0."), SM_OK, ""}, /* POP takes a mark that nothing stands above */
    {P("(0."), SM_CORRUPT, "pickle: STOP at byte 2 finds no single value"},
    {P("t."), SM_CORRUPT, "pickle: TUPLE at byte 0 finds no mark"},
    {P("N(a."), SM_CORRUPT, "pickle: APPEND at byte 2 finds too few values"},
    {P("NNa."), SM_CORRUPT, "pickle: APPEND at byte 2 finds a value of another type"},
    {P("N(NNu."), SM_CORRUPT, "pickle: SETITEMS at byte 4 finds a value of another type"},
    {P("}(Nu."), SM_CORRUPT, "pickle: SETITEMS at byte 3 finds a key without a value"},
    {P("(NNNd."), SM_CORRUPT, "pickle: DICT at byte 4 finds a key without a value"},
    {P("h\x05."), SM_CORRUPT, "pickle: BINGET at byte 0 reads a memo that was not written"},
    {P("Nq\x01h\x00."), SM_CORRUPT, "pickle: BINGET at byte 3 reads a memo that was not written"},
    {P("q\x00."), SM_CORRUPT, "pickle: BINPUT at byte 0 finds too few values"},
    {P("X\xff\xff\xff\xffw."), SM_CORRUPT, "pickle: BINUNICODE at byte 0 runs past the end"},
    {P("\x8d\xff\xff\xff\xff\xff\xff\xff\xffw."), SM_CORRUPT,
     "pickle: BINUNICODE8 at byte 0 runs past the end"},
    {P("J\x01\x02"), SM_CORRUPT, "pickle: BININT at byte 0 runs past the end"},
    {P("cos"), SM_CORRUPT, "pickle: GLOBAL at byte 0 runs past the end"},
    {P("cos\nsystem\nNR."), SM_CORRUPT,
     "pickle: REDUCE at byte 12 finds arguments that are no tuple"},
    {P("NNb."), SM_CORRUPT, "pickle: BUILD at byte 2 finds a value of another type"},
    {P("NN\x93."), SM_CORRUPT, "pickle: STACK_GLOBAL at byte 2 finds a value of another type"},
    {P("\x82\x01."), SM_UNSUPPORTED, "pickle: opcode 0x82 at byte 0 is not supported"}, /* EXT1 */
    {P("ios\nsystem\n."), SM_UNSUPPORTED, "pickle: opcode 0x69 at byte 0 is not supported"},
    {P("\x97."), SM_UNSUPPORTED, "pickle: opcode 0x97 at byte 0 is not supported"},
};

static void bad_streams_have_their_answers(void **context)
{
    (void)context;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t *copy = malloc(cases[i].count + 1);
        struct sm_pickle pickle;
        struct sm_err err = {0};
        enum sm_code code;
        memcpy(copy, cases[i].bytes, cases[i].count);
        copy = realloc(copy, cases[i].count == 0 ? 1 : cases[i].count);
        code = sm_pickle_parse(&pickle, copy, cases[i].count, &err);
        if (code != cases[i].code || strcmp(err.text, cases[i].text) != 0)
            fail_msg("case %zu: %s: %s", i, sm_code_name(code), err.text);
        if (code != SM_OK)
            assert_null(pickle.values);
        sm_pickle_release(&pickle);
        sm_pickle_release(&pickle);
        free(copy);
    }
}

static const struct sm_value *root_of(struct sm_pickle *pickle, const uint8_t *bytes, size_t count)
{
    struct sm_err err = {0};
    if (sm_pickle_parse(pickle, bytes, count, &err) != SM_OK)
        fail_msg("%s", err.text);
    return &pickle->values[pickle->root];
}

static void integers_have_their_values(void **context)
{
    static const struct {
        const uint8_t *bytes;
        size_t count;
        int64_t number;
    } integers[] = {
        {P("K\xff."), 255},
        {P("M\xff\xff."), 65535},
        {P("J\xfe\xff\xff\xff."), -2},
        {P("\x8a\x00."), 0},
        {P("\x8a\x01\xff."), -1},
        {P("\x8a\x02\xff\x00."), 255},
        {P("\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80."), INT64_MIN},
        {P("\x8b\x02\x00\x00\x00\x00\x80."), -32768},
    };
    struct sm_pickle pickle;

    (void)context;
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++) {
        const struct sm_value *value = root_of(&pickle, integers[i].bytes, integers[i].count);
        assert_int_equal(value->kind, SM_VALUE_INT);
        assert_true(value->as.number == integers[i].number);
        sm_pickle_release(&pickle);
    }
    assert_int_equal(root_of(&pickle, P("\x8a\x09\0\0\0\0\0\0\0\0\x01."))->kind, SM_VALUE_BIG);
    sm_pickle_release(&pickle);
}

static void calls_are_only_recorded(void **context)
{
    struct sm_pickle pickle;
    const struct sm_value *call = root_of(&pickle, P("\x80\x02"
                                                     "cos\nsystem\nU\x06"
                                                     "exit 1\x85R}U\x01kK\x07sb."));
    (void)context;
    assert_int_equal(call->kind, SM_VALUE_OBJECT);
    assert_true(sm_pickle_is_global(&pickle, call->as.object.callable, "os", "system"));
    assert_true(
        sm_pickle_is_text(&pickle, sm_pickle_item(&pickle, call->as.object.args, 0), "exit 1"));
    assert_int_equal(sm_pickle_item(&pickle, call->as.object.args, 1), 0);
    assert_true(pickle.values[sm_pickle_entry(&pickle, call->as.object.state, "k")].as.number == 7);
    assert_int_equal(sm_pickle_entry(&pickle, call->as.object.state, "absent"), 0);
    sm_pickle_release(&pickle);
}

static void containers_keep_their_order(void **context)
{
    struct sm_pickle pickle;
    const struct sm_value *list = root_of(&pickle, P("](K\x01K\x02"
                                                     "eK\x03"
                                                     "a(K\x04"
                                                     "e."));
    (void)context;
    assert_int_equal(list->kind, SM_VALUE_LIST);
    assert_int_equal(list->as.items.count, 4);
    for (uint32_t i = 0; i < 4; i++)
        assert_true(pickle.values[sm_pickle_item(&pickle, pickle.root, i)].as.number == i + 1);
    assert_int_equal(sm_pickle_item(&pickle, pickle.root, 4), 0);
    sm_pickle_release(&pickle);
}

/* `unit` over and over, then STOP: the stream that would grow one of the stacks without end. */
static void check_growth(char unit, size_t count, enum sm_code code, const char *text)
{
    uint8_t *bytes = malloc(count + 1);
    struct sm_pickle pickle;
    struct sm_err err = {0};
    memset(bytes, unit, count);
    bytes[count] = '.';
    assert_int_equal(sm_pickle_parse(&pickle, bytes, count + 1, &err), code);
    assert_string_equal(err.text, text);
    sm_pickle_release(&pickle);
    free(bytes);
}

static void stacks_are_limited(void **context)
{
    (void)context;
    check_growth('(', 1025, SM_LIMIT, "pickle: more than 1024 open marks at byte 1024");
    check_growth('N', 1 << 20, SM_OK, "");
    check_growth('N', (1 << 20) + 1, SM_LIMIT,
                 "pickle: more than 1048576 stacked values at byte 1048576");
}

/* The limit holds to the STOP: what follows a pickle may be any amount. */
static void a_pickle_may_have_16_mb(void **context)
{
    const size_t count = SM_CKPT_HEADER_MAX + 64;
    uint8_t *bytes = calloc(1, count);
    struct sm_pickle pickle;
    struct sm_err err = {0};
    (void)context;
    for (uint32_t over = 0; over < 2; over++) {
        uint32_t text_count = SM_CKPT_HEADER_MAX - 6 + over;
        bytes[0] = 'X';
        memcpy(bytes + 1, &text_count, sizeof text_count);
        bytes[5 + text_count] = '.';
        assert_int_equal(sm_pickle_parse(&pickle, bytes, count, &err), over ? SM_LIMIT : SM_OK);
        assert_int_equal(pickle.bytes_count, over ? 0 : SM_CKPT_HEADER_MAX);
        sm_pickle_release(&pickle);
    }
    assert_string_equal(err.text, "pickle has more than 16777216 bytes");
    bytes[1] = bytes[2] = bytes[3] = bytes[4] = 0xff;
    assert_int_equal(sm_pickle_parse(&pickle, bytes, count, &err), SM_LIMIT);
    free(bytes);
}

static void what_follows_is_left_alone(void **context)
{
    struct sm_pickle pickle;
    (void)context;
    assert_int_equal(root_of(&pickle, P("K\x07.K\x08."))->as.number, 7);
    assert_int_equal(pickle.bytes_count, 3);
    sm_pickle_release(&pickle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_streams_have_their_answers),
        cmocka_unit_test(integers_have_their_values),
        cmocka_unit_test(calls_are_only_recorded),
        cmocka_unit_test(containers_keep_their_order),
        cmocka_unit_test(stacks_are_limited),
        cmocka_unit_test(a_pickle_may_have_16_mb),
        cmocka_unit_test(what_follows_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
