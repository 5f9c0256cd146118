/* Asserts for functions that return enum sm_code and set `err`. */
#ifndef TESTS_UNIT_ASSERTS_H
#define TESTS_UNIT_ASSERTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "sslmem/err.h"

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        struct sm_err *e_ = &err;                                                                  \
        if ((call) != SM_OK)                                                                       \
            fail_msg("%s: %s (%s)", #call, e_->text, e_->pointer);                                 \
    } while (0)

/* Asserts that the call fails with this code and with exactly this text and pointer. */
#define assert_fails(call, expected_code, expected_text, expected_pointer)                         \
    do {                                                                                           \
        err = (struct sm_err){0};                                                                  \
        assert_int_equal((call), (expected_code));                                                 \
        assert_int_equal(err.code, (expected_code));                                               \
        assert_string_equal(err.text, (expected_text));                                            \
        assert_string_equal(err.pointer, (expected_pointer));                                      \
    } while (0)

static inline json_t *json(const char *text)
{
    json_error_t error;
    json_t *node = json_loads(text, 0, &error);
    if (!node)
        fail_msg("%s: %s", text, error.text);
    return node;
}

#endif
