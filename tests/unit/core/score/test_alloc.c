/* Every allocation of ours may fail: opening a pair and scoring an image then says so, leaves nothing
 * behind (the sanitizer build looks for leaks) and works at the next try.
 *
 * The Makefile links this program with malloc, calloc and realloc wrapped; libraries keep theirs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "sslmem/score.h"

#define GOLDEN "tests/golden/score/"

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

static enum sm_code open_and_score(double *m, const char *dir, const struct sm_file *image,
                                   struct sm_err *err)
{
    struct sm_pair *pair = NULL;
    struct sm_scorer *scorer = NULL;
    struct sm_score score = {0};
    enum sm_code code = sm_pair_open(&pair, dir, "blas", err);
    if (code == SM_OK)
        code = sm_scorer_new(&scorer, pair, err);
    if (code == SM_OK)
        code = sm_score_image(&score, scorer, sm_pair_recipe(pair), image->bytes,
                              image->bytes_count, err);
    *m = score.m;
    sm_scorer_free(scorer);
    sm_pair_close(pair);
    return code;
}

static void fail_every_allocation(const char *dir)
{
    struct sm_file image;
    struct sm_err err = {0};
    double m, expected;
    long failures = 0;
    assert_int_equal(sm_file_map(&image, GOLDEN "wide.png", SM_IMAGE_BYTES_MAX, &err), SM_OK);
    assert_int_equal(open_and_score(&expected, dir, &image, &err), SM_OK);
    for (long n = 0;; n++) {
        err = (struct sm_err){0};
        countdown = n;
        enum sm_code code = open_and_score(&m, dir, &image, &err);
        int reached = countdown < 0;
        countdown = -1;
        if (!reached) {
            assert_int_equal(code, SM_OK);
            break;
        }
        /* stb_image asks its JPEG reader about a PNG too, and does not need an answer. */
        if (code != SM_NOMEM && !(code == SM_OK && m == expected))
            fail_msg("allocation %ld failed and gave %s: %s", n, sm_code_name(code), err.text);
        assert_true(code == SM_OK || err.text[0] != '\0');
        failures += code != SM_OK;
    }
    assert_true(failures > 100);
    assert_int_equal(open_and_score(&m, dir, &image, &err), SM_OK);
    assert_true(m == expected);
    sm_file_release(&image);
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
