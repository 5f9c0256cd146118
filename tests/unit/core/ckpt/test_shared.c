/* Checkpoints that others published. Of tests/golden/ckpt/published every value is compared with what
 * PyTorch 1.13.1 reads (tests/golden/ckpt/shared.json); of tests/golden/encoders, every case's file
 * opens and is read. */
#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/base/sha256.h"
#include "sslmem/ckpt.h"

#define PUBLISHED    "tests/golden/ckpt/published"
#define ENCODERS     "tests/golden/encoders"
#define GOLDEN_CASES 68
#define PATH_BYTES   2048

/* Joins parts of a path that fit: these are ours. */
static const char *join(char out[PATH_BYTES], const char *folder, const char *name)
{
    int count = snprintf(out, PATH_BYTES, "%s/%s", folder, name);
    assert_in_range(count, 1, PATH_BYTES - 1);
    return out;
}

/* All tensors: name, type, shape, and SHA-256 of the floats. */
static void compare(struct sm_ckpt *ckpt, const json_t *tensors)
{
    assert_int_equal(sm_ckpt_count(ckpt), json_array_size(tensors));
    for (size_t i = 0; i < sm_ckpt_count(ckpt); i++) {
        const struct sm_tensor *tensor = sm_ckpt_at(ckpt, i);
        const json_t *row = json_array_get(tensors, i), *shape = json_object_get(row, "shape");
        char digest[SM_SHA256_HEX];
        struct sm_err err = {0};
        float *values = malloc((size_t)tensor->count * sizeof *values + 1);
        assert_string_equal(tensor->name, json_string_value(json_object_get(row, "name")));
        assert_string_equal(sm_dtype_name(tensor->dtype),
                            json_string_value(json_object_get(row, "dtype")));
        assert_int_equal(tensor->rank, json_array_size(shape));
        for (int k = 0; k < tensor->rank; k++)
            assert_int_equal(tensor->shape[k],
                             json_integer_value(json_array_get(shape, (size_t)k)));
        if (sm_ckpt_read(ckpt, tensor, values, &err) != SM_OK)
            fail_msg("%s", err.text);
        sm_sha256_hex(digest, values, (size_t)tensor->count * sizeof *values);
        assert_string_equal(digest, json_string_value(json_object_get(row, "sha256")));
        free(values);
    }
}

static void what_others_wrote_is_what_pytorch_reads(void **state)
{
    json_t *files, *expected;
    const char *name;
    char path[PATH_BYTES];
    (void)state;
    files = json_load_file("tests/golden/ckpt/shared.json", 0, NULL);
    assert_non_null(files);
    assert_int_equal(json_object_size(files), 31);
    json_object_foreach(files, name, expected)
    {
        struct sm_ckpt *ckpt;
        struct sm_err err = {0};
        enum sm_code code;
        code = sm_ckpt_open(&ckpt, join(path, PUBLISHED, name), &err);
        if (json_is_null(expected)) { /* broken */
            assert_int_equal(code, SM_UNSUPPORTED);
            continue;
        }
        if (code != SM_OK)
            fail_msg("%s: %s", path, err.text);
        assert_string_equal(sm_ckpt_format(ckpt),
                            json_string_value(json_object_get(expected, "format")));
        compare(ckpt, json_object_get(expected, "tensors"));
        sm_ckpt_close(ckpt);
    }
    json_decref(files);
}

/* Opens the checkpoint of a case and reads it: every value of these is finite. */
static void read_case(const char *folder)
{
    json_t *config;
    const char *file;
    char path[PATH_BYTES];
    struct sm_ckpt *ckpt;
    struct sm_err err = {0};
    config = json_load_file(join(path, folder, "case.json"), 0, NULL);
    file = json_string_value(json_object_get(json_object_get(config, "checkpoint"), "file"));
    assert_non_null(file);
    if (sm_ckpt_open(&ckpt, join(path, folder, file), &err) != SM_OK)
        fail_msg("%s: %s", path, err.text);
    assert_true(sm_ckpt_count(ckpt) > 0);
    for (size_t i = 0; i < sm_ckpt_count(ckpt); i++) {
        const struct sm_tensor *tensor = sm_ckpt_at(ckpt, i);
        float *values = malloc((size_t)tensor->count * sizeof *values + 1);
        if (sm_ckpt_read(ckpt, tensor, values, &err) != SM_OK)
            fail_msg("%s: %s", path, err.text);
        for (int64_t k = 0; k < tensor->count; k++)
            if (!isfinite(values[k]) && !strstr(tensor->name, "bias_mask"))
                fail_msg("%s: %s[%lld] is %g", path, tensor->name, (long long)k, values[k]);
        free(values);
    }
    sm_ckpt_close(ckpt);
    json_decref(config);
}

static void every_golden_case_opens(void **state)
{
    char path[PATH_BYTES];
    const struct dirent *entry;
    int cases = 0;
    DIR *dir;
    (void)state;
    dir = opendir(ENCODERS);
    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        struct stat status;
        if (entry->d_name[0] == '.' || stat(join(path, ENCODERS, entry->d_name), &status) != 0 ||
            !S_ISDIR(status.st_mode))
            continue;
        read_case(path);
        cases++;
    }
    closedir(dir);
    assert_true(cases >= GOLDEN_CASES);
}

/* The scalars that OpenAI's CLIP keeps in its archive are tensors like any other. */
static void a_torchscript_archive_has_its_scalars(void **state)
{
    static const char *const names[] = {"input_resolution", "context_length", "vocab_size"};
    struct sm_ckpt *ckpt;
    (void)state;
    assert_int_equal(sm_ckpt_open(&ckpt, ENCODERS "/clip-vit-jit/model.pt", NULL), SM_OK);
    assert_string_equal(sm_ckpt_format(ckpt), "torchscript");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct sm_tensor *tensor = sm_ckpt_find(ckpt, names[i]);
        float value = 0;
        assert_non_null(tensor);
        assert_int_equal(tensor->dtype, SM_I64);
        assert_int_equal(tensor->rank, 0);
        assert_int_equal(sm_ckpt_read(ckpt, tensor, &value, NULL), SM_OK);
        assert_true(value > 0);
    }
    sm_ckpt_close(ckpt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_others_wrote_is_what_pytorch_reads),
        cmocka_unit_test(every_golden_case_opens),
        cmocka_unit_test(a_torchscript_archive_has_its_scalars),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
