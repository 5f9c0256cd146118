/* `sslmem reference`: scores a cohort that neither encoder was trained with and stores the scores
 * in the pair's folder, so that later scores can be compared with them. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/escape.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "server/cmd/cmd.h"

/* One image of the cohort. */
struct one {
    const char *path;
    size_t position; /* index in the list of paths */
    struct sm_reference_image image;
};

static int by_digest(const void *a, const void *b)
{
    const struct one *x = a, *y = b;
    int order = strcmp(x->image.digest, y->image.digest);
    return order ? order : (x->position > y->position) - (x->position < y->position);
}

static int by_position(const void *a, const void *b)
{
    const struct one *x = a, *y = b;
    return (x->position > y->position) - (x->position < y->position);
}

/* Lists each image once, in the order of the paths: files with equal bytes are one image. *count is
 * the number of paths before, of images after. */
static enum sm_code list_images(struct one *images, size_t *count, char **paths, struct sm_err *err)
{
    size_t n = *count, kept = 0;
    for (size_t i = 0; i < n; i++) {
        struct sm_file file;
        enum sm_code code = sm_file_map(&file, paths[i], SM_IMAGE_BYTES_MAX, err);
        if (code != SM_OK)
            return code;
        images[i] = (struct one){.path = paths[i], .position = i};
        sm_sha256_hex(images[i].image.digest, file.bytes, file.bytes_count);
        sm_file_release(&file);
    }
    qsort(images, n, sizeof *images, by_digest);
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && strcmp(images[kept - 1].image.digest, images[i].image.digest) == 0)
            fprintf(stderr, "sslmem reference: %s is the image %s again: it counts once\n",
                    sm_shown(images[i].path), sm_shown(images[kept - 1].path));
        else
            images[kept++] = images[i];
    }
    qsort(images, kept, sizeof *images, by_position);
    *count = kept;
    return SM_OK;
}

static enum sm_code measure(struct sm_reference_image *out, struct sm_scorer *scorer,
                            const struct sm_recipe *recipe, const char *path, struct sm_err *err)
{
    struct sm_score score;
    struct sm_file file;
    enum sm_code code = sm_file_map(&file, path, SM_IMAGE_BYTES_MAX, err);
    if (code == SM_OK)
        code = sm_score_image(&score, scorer, recipe, file.bytes, file.bytes_count, err);
    sm_file_release(&file);
    if (code == SM_OK) {
        memcpy(out->digest, score.image_digest, sizeof out->digest);
        out->m = score.m;
    } else
        fprintf(stderr, "sslmem reference: %s\n", sm_shown(path));
    return code;
}

static enum sm_code measure_all(const struct sm_pair *pair, const char *cohort, char **paths,
                                size_t count, struct sm_err *err)
{
    struct sm_scorer *scorer = NULL;
    const struct sm_recipe *recipe = sm_pair_recipe(pair);
    char digest[65];
    struct one *images = calloc(count, sizeof *images);
    struct sm_reference_image *measured = calloc(count, sizeof *measured);
    enum sm_code code =
        images && measured ? SM_OK : sm_err_set(err, SM_NOMEM, "out of memory: %zu scores", count);
    if (code == SM_OK)
        code = list_images(images, &count, paths, err);
    if (code == SM_OK)
        code = sm_scorer_new(&scorer, pair, err);
    for (size_t i = 0; code == SM_OK && i < count; i++)
        code = measure(&measured[i], scorer, recipe, images[i].path, err);
    if (code == SM_OK)
        code = sm_recipe_digest(digest, recipe, err);
    if (code == SM_OK)
        code = sm_reference_write(pair, cohort, digest, measured, count, err);
    sm_scorer_free(scorer);
    free(measured);
    free(images);
    return code;
}

int sm_cmd_reference(int argc, char **argv)
{
    const char *dir = NULL, *cohort = NULL, *kernels = NULL;
    const struct sm_option options[] = {
        {"pair", "DIR", "folder of the pair", &dir, .required = true},
        {"cohort", "NAME", "what the images are; default external", &cohort},
        {"kernels", "NAME", "auto (default), ref, blas, avx2, avx512", &kernels},
        {0},
    };
    const struct sm_usage usage = {
        "reference",
        "IMAGE...",
        "Scores a reference cohort with the pair's own recipe and writes reference.json into the\n"
        "pair's folder. Name the file in pair.json (\"reference\": \"reference.json\") to use it.",
        options,
        2,
        INT_MAX};
    char **paths;
    int result = sm_usage_read(&paths, &usage, argc, argv);
    if (result >= 0)
        return result;

    struct sm_err err = {0};
    struct sm_pair *pair = NULL;
    size_t count = 0;
    while (paths[count])
        count++;
    result = SM_EXIT_OK;
    enum sm_code code = sm_pair_open(&pair, dir, kernels ? kernels : "auto", &err);
    if (code == SM_OK) {
        sm_say_pair_flags(pair);
        code = measure_all(pair, cohort ? cohort : "external", paths, count, &err);
    }
    if (code != SM_OK)
        result = sm_fail("reference", &err);
    sm_pair_close(pair);
    return result;
}
