/* Helpers for tests of encoder configurations: parsing, comparing, and temporary folders with the
 * sidecar files of a checkpoint. */
#ifndef TESTS_UNIT_CORE_NAMES_CONFIG_FIXTURE_H
#define TESTS_UNIT_CORE_NAMES_CONFIG_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/names/config.h"
#include "tests/unit/asserts.h"

static inline struct sm_encoder_config parse(const char *text)
{
    struct sm_encoder_config config;
    struct sm_err err = {0};
    json_t *node = json(text);
    assert_ok(sm_encoder_config_parse(&config, node, "", &err));
    json_decref(node);
    return config;
}

/* Asserts that the fields set in the configuration are exactly those in `expected`. */
static inline void assert_says(const struct sm_encoder_config *config, const char *expected)
{
    json_t *wanted = json(expected), *said = sm_encoder_config_json(config);
    assert_non_null(said);
    if (!json_equal(wanted, said)) {
        char *text = json_dumps(said, JSON_SORT_KEYS | JSON_COMPACT);
        fail_msg("said %s, must be %s", text, expected);
    }
    json_decref(wanted);
    json_decref(said);
}

/* A temporary folder for sidecar files; the checkpoint that they belong to is never created. */
struct folder {
    char path[64], checkpoint[96];
};

static inline void folder_write(const struct folder *f, const char *name, const char *text)
{
    char path[128];
    struct sm_err err = {0};
    snprintf(path, sizeof path, "%s/%s", f->path, name);
    assert_ok(sm_file_write(path, text, strlen(text), &err));
}

static inline void folder_open(struct folder *f)
{
    snprintf(f->path, sizeof f->path, "/tmp/sslmem-config-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    snprintf(f->checkpoint, sizeof f->checkpoint, "%s/model.safetensors.index.json", f->path);
}

static inline void folder_remove(const struct folder *f)
{
    char path[128];
    for (size_t i = 0; sm_sidecar(i); i++) {
        snprintf(path, sizeof path, "%s/%s", f->path, sm_sidecar(i));
        remove(path);
    }
    assert_int_equal(rmdir(f->path), 0);
}

#endif
