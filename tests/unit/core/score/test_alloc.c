/* Opening a pair and scoring an image, with every allocation failing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>

#include "core/base/file.h"
#include "sslmem/score.h"
#include "tests/unit/alloc.h"

#define GOLDEN "tests/golden/score/"

struct job {
    const char *dir;
    struct sm_file image;
};

static enum sm_code open_and_score(double *m, void *context, struct sm_err *err)
{
    const struct job *job = context;
    struct sm_pair *pair = NULL;
    struct sm_scorer *scorer = NULL;
    struct sm_score score = {0};
    enum sm_code code = sm_pair_open(&pair, job->dir, "blas", err);
    if (code == SM_OK)
        code = sm_scorer_new(&scorer, pair, err);
    if (code == SM_OK)
        code = sm_score_image(&score, scorer, sm_pair_recipe(pair), job->image.bytes,
                              job->image.bytes_count, err);
    *m = score.m;
    sm_scorer_free(scorer);
    sm_pair_close(pair);
    return code;
}

static void fail_every_allocation(const char *dir)
{
    struct job job = {.dir = dir};
    assert_int_equal(sm_file_map(&job.image, GOLDEN "wide.png", SM_IMAGE_BYTES_MAX, NULL), SM_OK);
    assert_true(every_allocation_may_fail(open_and_score, &job, dir) > 100);
    sm_file_release(&job.image);
}

static void torch_pair(void **state)
{
    (void)state;
    fail_every_allocation(GOLDEN "resnet");
}

static void safetensors_pair(void **state)
{
    (void)state;
    fail_every_allocation(GOLDEN "vit");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(torch_pair),
                                       cmocka_unit_test(safetensors_pair)};
    sm_blas_single_thread(); /* as the service does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
