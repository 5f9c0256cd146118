/* Every allocation of ours may fail: opening a checkpoint of any format and reading it then says so,
 * leaves nothing behind (the sanitizer build looks for leaks) and works at the next try.
 *
 * The Makefile links this program with malloc, calloc and realloc wrapped; libraries keep theirs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sslmem/ckpt.h"

#define GOLDEN     "tests/golden/ckpt/"
#define FLOATS_MAX 4096

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static long countdown = -1; /* the allocation that fails, counted from now; below 0: none */

static int fails_now(void)
{
    return countdown >= 0 && countdown-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails_now() ? NULL : __real_realloc(old, size);
}

/* *sum: over all elements, so that a success under failure can be told from a wrong one. */
static enum sm_code open_and_read(double *sum, const char *path, struct sm_err *err)
{
    static float values[FLOATS_MAX];
    struct sm_ckpt *ckpt;
    enum sm_code code = sm_ckpt_open(&ckpt, path, err);

    *sum = 0;
    for (size_t i = 0; code == SM_OK && i < sm_ckpt_count(ckpt); i++) {
        const struct sm_tensor *tensor = sm_ckpt_at(ckpt, i);

        assert_in_range(tensor->count, 0, FLOATS_MAX);
        code = sm_ckpt_read(ckpt, tensor, values, err);
        for (int64_t k = 0; code == SM_OK && k < tensor->count; k++)
            *sum += values[k];
    }
    if (ckpt != NULL)
        sm_ckpt_close(ckpt);
    return code;
}

static void each_format_survives(void **state)
{
    static const char *const paths[] = {
        GOLDEN "plain.pt",
        GOLDEN "module.pt",
        GOLDEN "legacy-module.pt",
        GOLDEN "tree.npz",
        GOLDEN "shards-safetensors/model.safetensors.index.json",
        GOLDEN "shards-torch/pytorch_model.bin.index.json",
        "tests/fuzz/corpus/torch/script.pt",
        "tests/fuzz/corpus/safetensors/ok.safetensors",
    };

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct sm_err err = {0};
        double sum, expected;
        long failures = 0;

        if (open_and_read(&expected, paths[i], &err) != SM_OK)
            fail_msg("%s: %s", paths[i], err.text);
        for (long n = 0;; n++) {
            enum sm_code code;
            int reached;

            err = (struct sm_err){0};
            countdown = n;
            code = open_and_read(&sum, paths[i], &err);
            reached = countdown < 0;
            countdown = -1;
            if (code == SM_OK)
                assert_true(sum == expected);
            else if (code != SM_NOMEM || err.text[0] == '\0')
                fail_msg("%s: allocation %ld failed and gave %s: %s", paths[i], n,
                         sm_code_name(code), err.text);
            if (!reached)
                break;
            failures += code != SM_OK;
        }
        assert_true(failures >= 5);
        assert_int_equal(open_and_read(&sum, paths[i], &err), SM_OK);
        assert_true(sum == expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_format_survives)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
