/* safetensors: every rule of the header with its exact text, and the writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sslmem/ckpt.h"

#define TEMPORARY "test_safetensors.tmp"
#define CUT       "; it is cut off: download or copy it again"

/* Opens a file of this header and `data` bytes of zeros. */
static enum sm_code open_header(const char *header, size_t data, struct sm_ckpt **ckpt,
                                uint8_t **file, struct sm_err *err)
{
    const uint64_t header_count = strlen(header);
    size_t count = 8 + (size_t)header_count + data;
    *file = calloc(1, count);
    memcpy(*file, &header_count, 8);
    memcpy(*file + 8, header, (size_t)header_count);
    return sm_ckpt_open_bytes(ckpt, *file, count, err);
}

#define W(dtype, shape, offsets)                                                                   \
    "{\"w\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define A(offsets) "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" offsets "}"
#define B(offsets) "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" offsets "}"

static const struct {
    const char *header;
    size_t data;
    enum sm_code code;
    const char *text;
} cases[] = {
    {W("F32", "[2]", "[0,8]"), 8, SM_OK, ""},
    {W("F32", "[]", "[0,4]"), 4, SM_OK, ""},
    {W("F32", "[0,5]", "[0,0]"), 0, SM_OK, ""},
    {"{}", 0, SM_OK, ""},
    {"{\"__metadata__\":{\"format\":\"pt\"}}   ", 0, SM_OK, ""},
    {"{" B("[4,8]") "," A("[0,4]") "}", 8, SM_OK, ""},
    {W("F32", "[2]", "[0,8]"), 7, SM_CORRUPT, "tensor w ends at byte 70, file has 69" CUT},
    {W("F32", "[2]", "[0,8]"), 9, SM_CORRUPT, "the last tensor ends at byte 70, file has 71"},
    {W("F32", "[3]", "[0,8]"), 8, SM_CORRUPT, "tensor w has 8 bytes, its shape needs 12"},
    {W("F32", "[2]", "[8,0]"), 8, SM_CORRUPT, "tensor w: begins at 8 of the data, ends at 0"},
    {W("F32", "[2]", "[-8,0]"), 8, SM_CORRUPT, "tensor w: data_offsets are not two offsets"},
    {W("F32", "[2]", "[0,8,16]"), 8, SM_CORRUPT, "tensor w: data_offsets are not two offsets"},
    {W("F32", "[2]", "[0,8.0]"), 8, SM_CORRUPT, "tensor w: data_offsets are not two offsets"},
    {W("F32", "[2]", "[0,9223372036854775807]"), 8, SM_CORRUPT,
     "tensor w ends at byte 9223372036854775887, file has 88" CUT},
    {W("F32", "[-2]", "[0,8]"), 8, SM_CORRUPT, "tensor w: side 0 of its shape is -2"},
    {W("F32", "[2.0]", "[0,8]"), 8, SM_CORRUPT, "tensor w: side 0 of its shape is no integer"},
    {W("F32", "2", "[0,8]"), 8, SM_CORRUPT, "tensor w: shape is not a list"},
    {W("F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]"), 8, SM_LIMIT, "tensor w: rank is 9, limit is 8"},
    {W("F32", "[4611686018427387904,8]", "[0,8]"), 8, SM_CORRUPT,
     "tensor w: the product of its shape overflows"},
    {W("F32", "[4611686018427387904,0,8]", "[0,0]"), 0, SM_CORRUPT,
     "tensor w: the product of its shape overflows"},
    {W("F64", "[4611686018427387904]", "[0,8]"), 8, SM_CORRUPT,
     "tensor w: the product of its shape overflows"},
    {W("F8_E4M3", "[8]", "[0,8]"), 8, SM_OK, ""},
    {W("F8_E4M3", "[8]", "[0,9]"), 8, SM_CORRUPT, "tensor w ends at byte 75, file has 74" CUT},
    {"{\"w\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, SM_CORRUPT, "tensor w has no dtype"},
    {"{\"w\":3}", 0, SM_CORRUPT, "tensor w has no dtype"},
    {"{" A("[0,4]") "," B("[2,6]") "}", 6, SM_CORRUPT,
     "tensor b begins at byte 115, inside tensor a"},
    {"{" A("[0,4]") "," B("[0,4]") "}", 4, SM_CORRUPT,
     "tensor b begins at byte 113, inside tensor a"},
    {"{" A("[0,4]") "," B("[5,9]") "}", 9, SM_CORRUPT,
     "tensor b begins at byte 118, the data before it ends at 117"},
    {"{" A("[1,5]") "}", 5, SM_CORRUPT,
     "tensor a begins at byte 62, the data before it ends at 61"},
    {"{" A("[0,4]") "," A("[4,8]") "}", 8, SM_CORRUPT,
     "safetensors header: JSON at line 1 column 56: duplicate object key near '\"a\"'"},
    {"{\"w\":[[[[[1]]]]]}", 0, SM_LIMIT, "safetensors header: JSON is 6 levels deep, limit is 4"},
    {"{\"w\":", 0, SM_CORRUPT,
     "safetensors header: JSON at line 1 column 5: unexpected token near end of file"},
};

static void the_header_is_checked(void **context)
{
    (void)context;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sm_err err = {0};
        struct sm_ckpt *ckpt;
        uint8_t *file;
        enum sm_code code = open_header(cases[i].header, cases[i].data, &ckpt, &file, &err);
        if (code != cases[i].code || strcmp(err.text, cases[i].text) != 0)
            fail_msg("%s: %s: %s", cases[i].header, sm_code_name(code), err.text);
        sm_ckpt_close(ckpt);
        free(file);
    }
}

static void tensors_come_in_the_order_of_their_bytes(void **context)
{
    struct sm_ckpt *ckpt;
    uint8_t *file;
    (void)context;
    assert_int_equal(open_header("{" B("[4,8]") "," A("[0,4]") "}", 8, &ckpt, &file, NULL), SM_OK);
    assert_string_equal(sm_ckpt_at(ckpt, 0)->name, "a");
    assert_string_equal(sm_ckpt_at(ckpt, 1)->name, "b");
    sm_ckpt_close(ckpt);
    free(file);
}

static void the_header_may_have_16_mb(void **context)
{
    (void)context;
    for (size_t over = 0; over < 2; over++) {
        size_t header_count = SM_CKPT_HEADER_MAX + over;
        char *header = malloc(header_count + 1);
        struct sm_err err = {0};
        struct sm_ckpt *ckpt;
        uint8_t *file;
        memset(header, ' ', header_count);
        header[0] = '{';
        header[1] = '}';
        header[header_count] = '\0';
        assert_int_equal(open_header(header, 0, &ckpt, &file, &err), over ? SM_LIMIT : SM_OK);
        assert_string_equal(err.text,
                            over ? "safetensors header has 16777217 bytes, limit is 16777216" : "");
        sm_ckpt_close(ckpt);
        free(header);
        free(file);
    }
}

static void what_is_written_is_read(void **context)
{
    const float values[6] = {0.0f, -0.0f, 1.0f / 3, 1e-45f, 3e38f, -2};
    const struct sm_tensor_out tensors[] = {
        {"views", 2, {2, 3}, values},
        {"scalar \"quoted\" \xc3\xa9", 0, {0}, values + 2},
        {"empty", 3, {4, 0, 2}, NULL},
        {"tail", 1, {2}, values + 4},
    };
    struct sm_err err = {0};
    struct sm_ckpt *ckpt;
    float out[6];
    (void)context;
    if (sm_safetensors_write(TEMPORARY, tensors, 4, &err) != SM_OK ||
        sm_ckpt_open(&ckpt, TEMPORARY, &err) != SM_OK)
        fail_msg("%s", err.text);
    unlink(TEMPORARY);
    assert_int_equal(sm_ckpt_count(ckpt), 4);
    for (size_t i = 0; i < 4; i++) {
        const struct sm_tensor *tensor = sm_ckpt_find(ckpt, tensors[i].name);
        assert_non_null(tensor);
        assert_int_equal(tensor->dtype, SM_F32);
        assert_int_equal(tensor->rank, tensors[i].rank);
        assert_memory_equal(tensor->shape, tensors[i].shape, sizeof tensor->shape);
        assert_int_equal(sm_ckpt_read(ckpt, tensor, out, &err), SM_OK);
        if (tensor->count > 0)
            assert_memory_equal(out, tensors[i].data, (size_t)tensor->count * sizeof *out);
    }
    sm_ckpt_close(ckpt);
}

static void what_cannot_be_written_is_refused(void **context)
{
    static const float value = 1;
    static const struct {
        struct sm_tensor_out tensors[2];
        enum sm_code code;
        const char *text;
    } refused[] = {
        {{{"w", 0, {0}, &value}, {"w", 0, {0}, &value}}, SM_INVALID, "two tensors are called w"},
        {{{"w", 1, {-1}, &value}, {"v", 0, {0}, &value}},
         SM_INVALID,
         "tensor w: its shape has no size"},
        {{{"w", 9, {1}, &value}, {"v", 0, {0}, &value}},
         SM_INVALID,
         "tensor w: rank is 9, limit is 8"},
        {{{"__metadata__", 0, {0}, &value}, {"v", 0, {0}, &value}},
         SM_INVALID,
         "tensor __metadata__ may not be called so"},
        {{{"w\xff", 0, {0}, &value}, {"v", 0, {0}, &value}},
         SM_INVALID,
         "tensor w\\xff: name is not UTF-8, or no memory"},
        {{{"w", 1, {1LL << 40}, &value}, {"v", 0, {0}, &value}},
         SM_LIMIT,
         "tensor w: file would have more than 34359738368 bytes"},
    };

    (void)context;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct sm_err err = {0};
        assert_int_equal(sm_safetensors_write(TEMPORARY, refused[i].tensors, 2, &err),
                         refused[i].code);
        assert_string_equal(err.text, refused[i].text);
        assert_int_not_equal(access(TEMPORARY, F_OK), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_is_checked),
        cmocka_unit_test(tensors_come_in_the_order_of_their_bytes),
        cmocka_unit_test(the_header_may_have_16_mb),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_cannot_be_written_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
