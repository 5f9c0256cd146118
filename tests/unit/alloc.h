/* Lets each allocation of our code fail in turn. The code under test must then return SM_NOMEM,
 * leak nothing (the sanitizer build checks that) and work at the next try.
 *
 *     static enum sm_code open_it(double *result, void *path, struct sm_err *err);
 *     every_allocation_may_fail(open_it, "f.pt", "f.pt");
 *
 * The Makefile links programs called test_alloc with malloc, calloc and realloc wrapped;
 * allocations inside libraries are not. Include in one file of a program, after cmocka.h. */
#ifndef TESTS_UNIT_ALLOC_H
#define TESTS_UNIT_ALLOC_H

#include <stdlib.h>

#include "sslmem/err.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static long countdown = -1; /* allocations until the one that fails; below 0: none fails */

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

/* The code under test. If it succeeds although an allocation failed, `result` must be right. */
typedef enum sm_code allocating(double *result, void *context, struct sm_err *err);

/* Runs the code once for each of its allocations and lets that one fail. Returns how many of these
 * runs failed; the others coped with the failure and gave the same result. */
static long every_allocation_may_fail(allocating *run, void *context, const char *what)
{
    struct sm_err err = {0};
    double result, expected;
    long failures = 0;
    if (run(&expected, context, &err) != SM_OK)
        fail_msg("%s: %s", what, err.text);
    for (long n = 0, reached = 1; reached; n++) {
        err = (struct sm_err){0};
        countdown = n;
        enum sm_code code = run(&result, context, &err);
        reached = countdown < 0;
        countdown = -1;
        bool same = code == SM_OK && result == expected;
        if (!same && (code != SM_NOMEM || err.text[0] == '\0'))
            fail_msg("%s: allocation %ld failed and gave %s, %g: %s", what, n, sm_code_name(code),
                     result, err.text);
        failures += code != SM_OK;
    }
    assert_int_equal(run(&result, context, &err), SM_OK);
    assert_true(result == expected);
    return failures;
}

#endif
