/* `sslmem score`: what POST /v1/scores computes, without a server and with the same bits. */
#include <limits.h>

#include "core/base/file.h"
#include "server/cmd/cmd.h"

enum sm_code sm_score_file(struct sm_score *out, struct sm_scorer *scorer,
                           const struct sm_recipe *recipe, const char *path, struct sm_err *err)
{
    struct sm_file file;
    enum sm_code code = sm_file_map(&file, path, SM_IMAGE_BYTES_MAX, err);
    if (code == SM_OK)
        code = sm_score_image(out, scorer, recipe, file.bytes, file.bytes_count, err);
    sm_file_release(&file);
    return code;
}

/* One line per image, in order. An image that fails is a line too, and the others go on. */
static int score_files(struct sm_scorer *scorer, const struct sm_pair *pair,
                       const struct sm_recipe *recipe, char **paths)
{
    int result = SM_EXIT_OK;
    for (; *paths; paths++) {
        struct sm_err err = {0};
        struct sm_score score;
        json_t *line = json_pack("{s:s?}", "file", *paths);
        if (sm_score_file(&score, scorer, recipe, *paths, &err) == SM_OK) {
            if (json_object_update_new(line, sm_score_json(&score, pair)) != 0)
                result = SM_EXIT_FAILED; /* out of memory: the line has no score */
        } else {
            json_object_set_new(
                line, "error",
                json_pack("{s:s, s:s}", "code", sm_code_name(err.code), "detail", err.text));
            result = SM_EXIT_FAILED;
        }
        sm_print_line(line);
    }
    return result;
}

int sm_cmd_score(int argc, char **argv)
{
    const char *dir = NULL, *recipe_path = NULL, *kernels = NULL;
    const struct sm_option options[] = {
        {"pair", "DIR", "folder of the pair", &dir, .required = true},
        {"recipe", "FILE", "JSON, read over the pair's own recipe", &recipe_path},
        {"kernels", "NAME", "auto (default: the fastest), ref, blas, avx2, avx512", &kernels},
        {0},
    };
    const struct sm_usage usage = {
        "score", "IMAGE...", "Scores images and prints one JSON line each.", options, 1, INT_MAX};
    char **paths;
    int result = sm_usage_read(&paths, &usage, argc, argv);
    if (result >= 0)
        return result;

    struct sm_err err = {0};
    struct sm_pair *pair = NULL;
    struct sm_scorer *scorer = NULL;
    struct sm_recipe recipe;
    if (sm_open_pair(&pair, &recipe, dir, recipe_path, kernels, &err) != SM_OK ||
        sm_scorer_new(&scorer, pair, &err) != SM_OK)
        result = sm_fail("score", &err);
    else
        result = score_files(scorer, pair, &recipe, paths);
    sm_scorer_free(scorer);
    sm_pair_close(pair);
    return result;
}
