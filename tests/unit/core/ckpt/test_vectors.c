/* Checkpoints written by PyTorch and NumPy: names, order, types, shapes and every bit, against
 * tests/golden/ckpt/manifest.json. */
#include <inttypes.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/base/sha256.h"
#include "sslmem/ckpt.h"

#define FOLDER "tests/golden/ckpt/"

static void check_tensor(struct sm_ckpt *ckpt, const struct sm_tensor *tensor, json_t *expected)
{
    json_t *shape = json_object_get(expected, "shape"), *bits = json_object_get(expected, "bits");
    struct sm_err err = {0};
    float *values;
    assert_string_equal(tensor->name, json_string_value(json_object_get(expected, "name")));
    assert_string_equal(sm_dtype_name(tensor->dtype),
                        json_string_value(json_object_get(expected, "dtype")));
    assert_int_equal(tensor->rank, json_array_size(shape));
    for (int i = 0; i < tensor->rank; i++)
        assert_int_equal(tensor->shape[i], json_integer_value(json_array_get(shape, (size_t)i)));
    assert_int_equal(tensor->count, json_array_size(bits));
    values = malloc((size_t)tensor->count * sizeof *values + 1);
    assert_non_null(values);
    assert_int_equal(sm_ckpt_read(ckpt, tensor, values, &err), SM_OK);
    for (size_t i = 0; i < (size_t)tensor->count; i++) {
        uint32_t got, wanted = (uint32_t)json_integer_value(json_array_get(bits, i));
        memcpy(&got, &values[i], sizeof got);
        if (got != wanted)
            fail_msg("%s[%zu] is 0x%08" PRIx32 ", must be 0x%08" PRIx32, tensor->name, i, got,
                     wanted);
    }
    free(values);
}

/* The file's own, or what the manifest says where several files are one checkpoint. */
static void check_digest(const struct sm_ckpt *ckpt, const char *path, const json_t *expected)
{
    char digest[SM_SHA256_HEX];
    struct sm_file file;
    if (json_object_get(expected, "digest")) {
        assert_string_equal(sm_ckpt_digest(ckpt),
                            json_string_value(json_object_get(expected, "digest")));
        return;
    }
    assert_int_equal(sm_file_map(&file, path, SM_CKPT_BYTES_MAX, NULL), SM_OK);
    sm_sha256_hex(digest, file.bytes, file.bytes_count);
    sm_file_release(&file);
    assert_string_equal(sm_ckpt_digest(ckpt), digest);
}

/* Row by row, the same. */
static void check_rows(struct sm_ckpt *ckpt, const struct sm_tensor *tensor)
{
    float *whole = malloc((size_t)tensor->count * sizeof *whole + 1);
    float *row = malloc((size_t)tensor->count * sizeof *row + 1);
    assert_true(whole && row);
    assert_int_equal(sm_ckpt_read(ckpt, tensor, whole, NULL), SM_OK);
    for (int64_t i = 0; tensor->rank > 0 && tensor->count > 0 && i < tensor->shape[0]; i++) {
        size_t count = (size_t)(tensor->count / tensor->shape[0]);
        assert_int_equal(sm_ckpt_read_row(ckpt, tensor, i, row, NULL), SM_OK);
        assert_memory_equal(row, whole + (size_t)i * count, count * sizeof *row);
    }
    free(whole);
    free(row);
}

static void check_file(const char *name, json_t *expected)
{
    json_t *tensors = json_object_get(expected, "tensors");
    char path[256];
    struct sm_ckpt *ckpt;
    struct sm_err err = {0};
    size_t count;
    snprintf(path, sizeof path, FOLDER "%s", name);
    if (sm_ckpt_open(&ckpt, path, &err) != SM_OK)
        fail_msg("%s: %s", path, err.text);
    assert_string_equal(sm_ckpt_format(ckpt),
                        json_string_value(json_object_get(expected, "format")));
    check_digest(ckpt, path, expected);

    count = sm_ckpt_count(ckpt);
    assert_int_equal(count, json_array_size(tensors));
    for (size_t i = 0; i < count; i++)
        check_tensor(ckpt, sm_ckpt_at(ckpt, i), json_array_get(tensors, i));
    /* By name and backwards: a storage that was released is read again. */
    for (size_t i = count; i-- > 0;) {
        json_t *entry = json_array_get(tensors, i);
        const struct sm_tensor *tensor =
            sm_ckpt_find(ckpt, json_string_value(json_object_get(entry, "name")));
        assert_ptr_equal(tensor, sm_ckpt_at(ckpt, i));
        check_tensor(ckpt, tensor, entry);
        check_rows(ckpt, tensor);
    }
    assert_null(sm_ckpt_find(ckpt, "no.such.tensor"));
    sm_ckpt_close(ckpt);
}

static void reads_what_others_wrote(void **context)
{
    json_error_t error;
    json_t *manifest = json_load_file(FOLDER "manifest.json", 0, &error);
    json_t *files = json_object_get(manifest, "files"), *expected;
    const char *name;
    (void)context;
    assert_true(json_object_size(files) >= 28);
    json_object_foreach(files, name, expected) check_file(name, expected);
    json_decref(manifest);
}

static void names_of_a_module_are_those_of_its_state_dict(void **context)
{
    static const char *const files[] = {FOLDER "module.pt", FOLDER "legacy-module.pt"};
    struct sm_ckpt *module, *state;
    (void)context;
    assert_int_equal(sm_ckpt_open(&state, FOLDER "plain.pt", NULL), SM_OK);
    for (size_t f = 0; f < sizeof files / sizeof files[0]; f++) {
        assert_int_equal(sm_ckpt_open(&module, files[f], NULL), SM_OK);
        assert_int_equal(sm_ckpt_count(module), sm_ckpt_count(state));
        for (size_t i = 0; i < sm_ckpt_count(state); i++)
            assert_string_equal(sm_ckpt_at(module, i)->name, sm_ckpt_at(state, i)->name);
        assert_non_null(sm_ckpt_find(module, "norm.num_batches_tracked"));
        assert_null(sm_ckpt_find(module, "scratch")); /* a buffer that is not persistent */
        assert_null(sm_ckpt_find(module, "note"));    /* a plain attribute */
        sm_ckpt_close(module);
    }
    sm_ckpt_close(state);
}

static void every_half_converts_exactly(void **context)
{
    /* A file of all 65536 binary16 values, against their definition. */
    static const char header[] =
        "{\"h\":{\"dtype\":\"F16\",\"shape\":[65536],\"data_offsets\":[0,131072]}}";
    const uint64_t header_count = sizeof header - 1;
    size_t file_count = 8 + sizeof header - 1 + 131072;
    uint8_t *file = malloc(file_count);
    float *values = malloc(65536 * sizeof *values);
    struct sm_ckpt *ckpt;

    (void)context;
    memcpy(file, &header_count, 8);
    memcpy(file + 8, header, sizeof header - 1);
    for (unsigned h = 0; h < 65536; h++) {
        file[8 + sizeof header - 1 + 2 * h] = (uint8_t)h;
        file[8 + sizeof header + 2 * h] = (uint8_t)(h >> 8);
    }
    assert_int_equal(sm_ckpt_open_bytes(&ckpt, file, file_count, NULL), SM_OK);
    assert_int_equal(sm_ckpt_read(ckpt, sm_ckpt_at(ckpt, 0), values, NULL), SM_OK);
    for (unsigned h = 0; h < 65536; h++) {
        unsigned exponent = h >> 10 & 31, fraction = h & 1023;
        double wanted = exponent == 0 ? fraction / 16777216.0 : (1024.0 + fraction) / 1024.0;
        for (unsigned e = 15; exponent != 0 && e < exponent; e++)
            wanted *= 2;
        for (unsigned e = 15; exponent != 0 && e > exponent; e--)
            wanted /= 2;
        if (exponent == 31 && fraction != 0)
            assert_true(values[h] != values[h]);
        else if (exponent == 31)
            assert_true(values[h] == (h < 32768 ? (float)1e39 : -(float)1e39));
        else
            assert_true(values[h] == (float)(h < 32768 ? wanted : -wanted));
    }
    sm_ckpt_close(ckpt);
    free(values);
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_others_wrote),
        cmocka_unit_test(names_of_a_module_are_those_of_its_state_dict),
        cmocka_unit_test(every_half_converts_exactly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
