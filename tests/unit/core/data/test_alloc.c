/* Reading a dataset of each format with every allocation of our code failing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>

#include "sslmem/dataset.h"
#include "tests/unit/alloc.h"

#define GOLDEN "tests/golden/data/"

/* *sum: tells one reading from another. */
static enum sm_code read_all(double *sum, void *argument, struct sm_err *err)
{
    struct sm_dataset *dataset;
    struct sm_dataset_item item;
    bool found = true;
    *sum = 0;
    enum sm_code code = sm_dataset_open(&dataset, argument, err);
    while (code == SM_OK && found) {
        code = sm_dataset_next(&item, &found, dataset, err);
        for (size_t i = 0; code == SM_OK && found && i < item.bytes_count; i++)
            *sum = *sum * 1.0001 + ((const uint8_t *)item.bytes)[i];
        for (const char *c = item.class_label; code == SM_OK && found && *c; c++)
            *sum = *sum * 1.0001 + *c;
    }
    sm_dataset_close(dataset);
    return code;
}

static void each_format_survives(void **state)
{
    static const char *const arguments[] = {GOLDEN "cifar-10-batches-py:train@" GOLDEN
                                                   "lists/train.txt",
                                            GOLDEN "cifar-10-batches-bin:train",
                                            GOLDEN "idx-gz/train-images-idx3-ubyte.gz",
                                            GOLDEN "numpy/x_test.npy",
                                            GOLDEN "numpy/deflated.npz:train",
                                            GOLDEN "folder",
                                            GOLDEN "tables/images.csv",
                                            GOLDEN "tables/images.jsonl",
                                            GOLDEN "tables/prefer.csv",
                                            GOLDEN "tables/prefer.jsonl",
                                            GOLDEN "archives/labels.tar",
                                            GOLDEN "archives/shard.tar"};
    (void)state;
    for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++)
        assert_true(every_allocation_may_fail(read_all, (void *)(uintptr_t)arguments[i],
                                              arguments[i]) >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_format_survives)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
