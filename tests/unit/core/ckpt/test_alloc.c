/* Opening a checkpoint of any format and reading it, with every allocation failing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>

#include "sslmem/ckpt.h"
#include "tests/unit/alloc.h"

#define GOLDEN     "tests/golden/ckpt/"
#define FLOATS_MAX 4096

/* *sum: over all elements. */
static enum sm_code open_and_read(double *sum, void *path, struct sm_err *err)
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
    if (ckpt)
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
        char path[128];
        snprintf(path, sizeof path, "%s", paths[i]);
        assert_true(every_allocation_may_fail(open_and_read, path, path) >= 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_format_survives)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
