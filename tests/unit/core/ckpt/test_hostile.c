/* Files made to break a reader: each has its own exact answer, and none crashes, hangs or allocates
 * much. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "sslmem/ckpt.h"

#define CORPUS "tests/fuzz/corpus/ckpt/"

/* Opens and reads everything; the code and text of the first failure. */
static enum sm_code open_and_read(const void *bytes, size_t count, struct sm_err *err)
{
    struct sm_ckpt *ckpt;
    enum sm_code code = sm_ckpt_open_bytes(&ckpt, bytes, count, err);

    if (code != SM_OK) {
        assert_null(ckpt);
        return code;
    }
    for (size_t i = 0; code == SM_OK && i < sm_ckpt_count(ckpt); i++) {
        const struct sm_tensor *tensor = sm_ckpt_at(ckpt, i);
        float *out;

        assert_in_range(tensor->count, 0, count);
        out = malloc((size_t)tensor->count * sizeof *out + 1);
        code = sm_ckpt_read(ckpt, tensor, out, err);
        free(out);
    }
    sm_ckpt_close(ckpt);
    return code;
}

static const struct {
    const char *file;
    enum sm_code code;
    const char *text;
} cases[] = {
    {"byteorder-big.pt", SM_UNSUPPORTED, "byte order is big, must be little"},
    {"crc.pt", SM_CORRUPT, "tensor w: zip entry a/data/0: CRC error"},
    {"header-huge.safetensors", SM_CORRUPT,
     "safetensors header has 9223372036854775813 bytes, file has 15"},
    {"memo-far.pt", SM_LIMIT,
     "pickle: LONG_BINPUT at byte 3 writes a memo beyond the stream's size"},
    {"name-bytes.pt", SM_CORRUPT, "the name of tensor w? is not UTF-8 text"},
    {"name-nul.pt", SM_CORRUPT, "the name of tensor w is not UTF-8 text"},
    {"name-twice.pt", SM_CORRUPT, "two tensors are called a.b"},
    {"no-pickle.zip", SM_UNSUPPORTED, "zip file without data.pkl: not a PyTorch file"},
    {"opcode-text.pt", SM_UNSUPPORTED, "pickle: opcode 0x49 at byte 2 is not supported"},
    {"persistent-odd.pt", SM_UNSUPPORTED, "pickle: a persistent id is not a storage"},
    {"qtensor.pt", SM_UNSUPPORTED, "tensor w: kind _rebuild_qtensor is not supported"},
    {"rank-9.pt", SM_LIMIT, "tensor w: shape has 9 numbers, limit is 8"},
    {"shape-overflows.pt", SM_CORRUPT, "tensor w: the product of its shape overflows"},
    {"shape-overflows.safetensors", SM_CORRUPT, "tensor w: the product of its shape overflows"},
    {"shared-bomb.pt", SM_LIMIT,
     "pickle: more than 1048900 steps to walk 81 items: shared values nest"},
    {"side-negative.pt", SM_CORRUPT, "tensor w: shape: number 0 is -1"},
    {"size-claimed.pt", SM_CORRUPT,
     "zip entries up to a/data/0 claim 4294967413 bytes, file has 359"},
    {"size-unequal.pt", SM_CORRUPT,
     "tensor w: zip entry a/data/0 claims 4294967280 bytes, 16 are stored"},
    {"storage-complex.pt", SM_UNSUPPORTED,
     "tensor w: storage type ComplexFloatStorage is not supported"},
    {"storage-compressed.pt", SM_UNSUPPORTED,
     "tensor w: zip entry a/data/0 is compressed by method 8, must be stored"},
    {"storage-huge.pt", SM_CORRUPT,
     "tensor w: storage data/0 has 16 bytes, needs 4611686018427387904 elements of 4"},
    {"storage-missing.pt", SM_CORRUPT, "tensor w: zip entry a/data/0 is missing"},
    {"storage-short.pt", SM_CORRUPT,
     "tensor w: storage data/0 has 15 bytes, needs 4 elements of 4"},
    {"stride-missing.pt", SM_CORRUPT, "tensor w: 2 sides, 1 strides"},
    {"stride-overflows.pt", SM_CORRUPT, "tensor w: its strides overflow"},
    {"view-expands.pt", SM_LIMIT, "tensor w expands to 2199023255552 elements, its storage has 4"},
    {"view-past-end.pt", SM_CORRUPT, "tensor w ends at element 5, its storage has 4"},
};

static void map(struct sm_file *file, const char *name)
{
    char path[256];

    snprintf(path, sizeof path, CORPUS "%s", name);
    assert_int_equal(sm_file_map(file, path, SM_CKPT_BYTES_MAX, NULL), SM_OK);
}

static void each_has_its_answer(void **context)
{
    (void)context;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sm_err err = {0};
        struct sm_file file;
        enum sm_code code;

        map(&file, cases[i].file);
        code = open_and_read(file.bytes, file.bytes_count, &err);
        sm_file_release(&file);
        if (code != cases[i].code || err.code != code || strcmp(err.text, cases[i].text) != 0)
            fail_msg("%s: %s: %s", cases[i].file, sm_code_name(code), err.text);
    }
}

/* Texts that say where in a long name or nesting they are: code and beginning are enough. */
static void depth_and_length_are_limited(void **context)
{
    struct sm_err err = {0};
    struct sm_file file;

    (void)context;
    map(&file, "deep.pt");
    assert_int_equal(open_and_read(file.bytes, file.bytes_count, &err), SM_LIMIT);
    assert_non_null(strstr(err.text, " nests deeper than 64 levels"));
    sm_file_release(&file);
    map(&file, "name-long.pt");
    assert_int_equal(open_and_read(file.bytes, file.bytes_count, &err), SM_LIMIT);
    assert_memory_equal(err.text, "pickle: a name has 513 bytes, limit is 512: nnn", 47);
    sm_file_release(&file);
}

/* A call of os.system, a dict inside itself and protocol 4 change nothing about the tensor beside
 * them. */
static void inert_values_are_passed_over(void **context)
{
    static const char *const files[] = {"ok.pt", "ok-system.pt", "ok-self.pt", "ok-protocol4.pt"};

    (void)context;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const float wanted[4] = {1, 2, 3, 4};
        const struct sm_tensor *tensor;
        struct sm_ckpt *ckpt;
        struct sm_file file;
        float out[4];

        map(&file, files[i]);
        assert_int_equal(sm_ckpt_open_bytes(&ckpt, file.bytes, file.bytes_count, NULL), SM_OK);
        assert_int_equal(sm_ckpt_count(ckpt), 1);
        tensor = sm_ckpt_find(ckpt, "w");
        assert_non_null(tensor);
        assert_int_equal(sm_ckpt_read(ckpt, tensor, out, NULL), SM_OK);
        assert_memory_equal(out, wanted, sizeof out);
        sm_ckpt_close(ckpt);
        sm_file_release(&file);
    }
}

/* A copy of exactly `count` bytes, so that a sanitizer sees the first byte read beyond. */
static void *copy_of(const void *bytes, size_t count)
{
    void *copy = malloc(count == 0 ? 1 : count);

    assert_non_null(copy);
    if (count != 0)
        memcpy(copy, bytes, count);
    return copy;
}

static const char *const mutated[] = {"ok.pt", "ok-self.pt", "ok.safetensors"};

static void no_prefix_opens(void **context)
{
    (void)context;
    for (size_t f = 0; f < sizeof mutated / sizeof mutated[0]; f++) {
        struct sm_file file;

        map(&file, mutated[f]);
        for (size_t count = 0; count < file.bytes_count; count++) {
            void *prefix = copy_of(file.bytes, count);
            struct sm_err err = {0};

            assert_int_not_equal(open_and_read(prefix, count, &err), SM_OK);
            assert_int_not_equal(err.text[0], '\0');
            free(prefix);
        }
        sm_file_release(&file);
    }
}

/* Every byte of a good file set to each of a few values: an answer, whatever it is. */
static void no_changed_byte_crashes(void **context)
{
    static const uint8_t patterns[] = {0x01, 0x80, 0xff};

    (void)context;
    for (size_t f = 0; f < sizeof mutated / sizeof mutated[0]; f++) {
        struct sm_file file;

        map(&file, mutated[f]);
        for (size_t i = 0; i < file.bytes_count * sizeof patterns; i++) {
            uint8_t *copy = copy_of(file.bytes, file.bytes_count);
            struct sm_err err = {0};

            copy[i / sizeof patterns] ^= patterns[i % sizeof patterns];
            if (open_and_read(copy, file.bytes_count, &err) != SM_OK)
                assert_int_not_equal(err.text[0], '\0');
            free(copy);
        }
        sm_file_release(&file);
    }
}

static void what_is_no_checkpoint_is_refused(void **context)
{
    struct sm_err err = {0};

    (void)context;
    assert_int_equal(open_and_read("\x89PNG\r\n\x1a\n....", 12, &err), SM_UNSUPPORTED);
    assert_string_equal(
        err.text,
        "12 bytes that are no checkpoint: not safetensors, PyTorch, npz or an index of shards");
    assert_int_equal(open_and_read(NULL, 0, &err), SM_UNSUPPORTED);
    struct sm_ckpt *ckpt = (struct sm_ckpt *)&err;
    assert_int_equal(sm_ckpt_open(&ckpt, CORPUS "absent.pt", &err), SM_NOT_FOUND);
    assert_null(ckpt);
    sm_ckpt_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_has_its_answer),
        cmocka_unit_test(depth_and_length_are_limited),
        cmocka_unit_test(inert_values_are_passed_over),
        cmocka_unit_test(no_prefix_opens),
        cmocka_unit_test(no_changed_byte_crashes),
        cmocka_unit_test(what_is_no_checkpoint_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
