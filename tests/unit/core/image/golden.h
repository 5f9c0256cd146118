/* Reads the vectors of tests/golden/image. */
#ifndef TESTS_UNIT_CORE_IMAGE_GOLDEN_H
#define TESTS_UNIT_CORE_IMAGE_GOLDEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/base/file.h"
#include "sslmem/image.h"

#define GOLDEN "tests/golden/image/"

static inline json_t *golden_json(const char *path)
{
    json_error_t error;
    json_t *node = json_load_file(path, 0, &error);
    if (!node)
        fail_msg("%s:%d: %s", path, error.line, error.text);
    return node;
}

static inline struct sm_file golden_file(const char *path)
{
    struct sm_file file;
    struct sm_err err = {0};
    if (sm_file_map(&file, path, 1 << 26, &err) != SM_OK)
        fail_msg("%s: %s", path, err.text);
    return file;
}

static inline int golden_int(const json_t *object, const char *key)
{
    return (int)json_integer_value(json_object_get(object, key));
}

static inline const char *golden_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

#endif
