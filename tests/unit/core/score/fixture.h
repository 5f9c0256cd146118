/* Helpers for tests of core/score: golden pairs, and temporary pair folders that link to golden
 * files. */
#ifndef TESTS_UNIT_CORE_SCORE_FIXTURE_H
#define TESTS_UNIT_CORE_SCORE_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/base/file.h"
#include "sslmem/score.h"
#include "tests/unit/asserts.h"

#define GOLDEN "tests/golden/score"

/* A temporary folder for a pair. */
struct folder {
    char path[64];
};

static inline void folder_open(struct folder *f)
{
    snprintf(f->path, sizeof f->path, "/tmp/sslmem-score-XXXXXX");
    assert_non_null(mkdtemp(f->path));
}

static inline void folder_path(char *out, size_t out_size, const struct folder *f, const char *name)
{
    snprintf(out, out_size, "%s/%s", f->path, name);
}

static inline void folder_write(const struct folder *f, const char *name, const void *bytes,
                                size_t bytes_count)
{
    char path[256];
    struct sm_err err = {0};
    folder_path(path, sizeof path, f, name);
    assert_ok(sm_file_write(path, bytes, bytes_count, &err));
}

static inline void folder_text(const struct folder *f, const char *name, const char *text)
{
    folder_write(f, name, text, strlen(text));
}

/* Creates `name` in the folder as a symbolic link to a golden file. */
static inline void folder_link(const struct folder *f, const char *name, const char *golden)
{
    char path[256], *target = realpath(golden, NULL);
    assert_non_null(target);
    folder_path(path, sizeof path, f, name);
    assert_int_equal(symlink(target, path), 0);
    free(target);
}

static inline void folder_remove(const struct folder *f, const char *const *names)
{
    char path[256];
    for (; *names; names++) {
        folder_path(path, sizeof path, f, *names);
        unlink(path);
    }
    assert_int_equal(rmdir(f->path), 0);
}

static inline struct sm_pair *open_pair(const char *dir)
{
    struct sm_pair *pair;
    struct sm_err err = {0};
    assert_ok(sm_pair_open(&pair, dir, "blas", &err));
    return pair;
}

/* Returns the pair's recipe with the fields in `text` changed, checked against the pair. */
static inline struct sm_recipe recipe_of(const struct sm_pair *pair, const char *text)
{
    struct sm_recipe recipe;
    struct sm_err err = {0};
    json_t *node = json(text);
    assert_ok(
        sm_recipe_parse(&recipe, node, sm_pair_recipe(pair), sm_pair_input_px(pair), "", &err));
    assert_ok(sm_pair_check_recipe(pair, &recipe, &err));
    json_decref(node);
    return recipe;
}

static inline void map_golden(struct sm_file *out, const char *name)
{
    char path[256];
    struct sm_err err = {0};
    snprintf(path, sizeof path, GOLDEN "/%s", name);
    assert_ok(sm_file_map(out, path, SM_IMAGE_BYTES_MAX, &err));
}

static inline struct sm_score score_with(struct sm_scorer *scorer, const struct sm_recipe *recipe,
                                         const char *image)
{
    struct sm_file file;
    struct sm_score score;
    struct sm_err err = {0};
    map_golden(&file, image);
    assert_ok(sm_score_image(&score, scorer, recipe, file.bytes, file.bytes_count, &err));
    sm_file_release(&file);
    return score;
}

#endif
