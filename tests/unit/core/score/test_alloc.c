/* Opening a pair and scoring an image, with every allocation failing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>

#include "fixture.h"
#include "tests/unit/alloc.h"

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
    *m = pair && !sm_pair_has_g(pair) ? score.f.mean : score.m;
    sm_scorer_free(scorer);
    sm_pair_close(pair);
    return code;
}

static void fail_every_allocation(const char *dir)
{
    struct job job = {.dir = dir};
    assert_int_equal(sm_file_map(&job.image, GOLDEN "/wide.png", SM_IMAGE_BYTES_MAX, NULL), SM_OK);
    assert_true(every_allocation_may_fail(open_and_score, &job, dir) > 100);
    sm_file_release(&job.image);
}

static void torch_pair(void **state)
{
    (void)state;
    fail_every_allocation(GOLDEN "/resnet");
}

static void safetensors_pair(void **state)
{
    (void)state;
    fail_every_allocation(GOLDEN "/vit");
}

static void pair_without_g(void **state)
{
    (void)state;
    static const char *const files[] = {"pair.json", "f.pt", NULL};
    struct folder f;
    folder_open(&f);
    folder_link(&f, "f.pt", GOLDEN "/resnet/f.pt");
    folder_text(&f, "pair.json",
                "{\"f\":[\"f.pt\"],\"encoder\":{\"input_px\":16},\"recipe\":{\"augment\":"
                "\"simclr-cifar\",\"views\":5}}");
    fail_every_allocation(f.path);
    folder_remove(&f, files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(torch_pair),
                                       cmocka_unit_test(safetensors_pair),
                                       cmocka_unit_test(pair_without_g)};
    sm_blas_single_thread(); /* as the service does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
