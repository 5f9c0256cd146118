/* `sslmem reference`: measures a cohort that neither encoder saw and registers it with the pair, so
 * that every later score stands beside it. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/file.h"
#include "server/cmd/cmd.h"

static enum sm_code measure(double *m, struct sm_scorer *scorer, const struct sm_recipe *recipe,
                            const char *path, struct sm_err *err)
{
    struct sm_score score;
    struct sm_file file;
    enum sm_code code = sm_file_map(&file, path, SM_IMAGE_BYTES_MAX, err);
    if (code == SM_OK)
        code = sm_score_image(&score, scorer, recipe, file.bytes, file.bytes_count, err);
    sm_file_release(&file);
    if (code == SM_OK)
        *m = score.m;
    else
        fprintf(stderr, "sslmem reference: %s\n", path);
    return code;
}

static enum sm_code measure_all(const struct sm_pair *pair, const char *cohort, char **paths,
                                size_t count, struct sm_err *err)
{
    struct sm_scorer *scorer = NULL;
    const struct sm_recipe *recipe = sm_pair_recipe(pair);
    char digest[65];
    double *m = calloc(count, sizeof *m);
    enum sm_code code = m ? SM_OK : sm_err_set(err, SM_NOMEM, "%zu scores", count);
    if (code == SM_OK)
        code = sm_scorer_new(&scorer, pair, err);
    for (size_t i = 0; code == SM_OK && i < count; i++)
        code = measure(&m[i], scorer, recipe, paths[i], err);
    if (code == SM_OK)
        code = sm_recipe_digest(digest, recipe, err);
    if (code == SM_OK)
        code = sm_reference_write(pair, cohort, digest, m, count, err);
    sm_scorer_free(scorer);
    free(m);
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
