/* `sslmem views`: writes exactly the views that a score is computed from, for looking at or for
 * feeding to other programs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/sha256.h"
#include "server/cmd/cmd.h"

struct rendering {
    const struct sm_pair *pair;
    const struct sm_recipe *recipe;
    struct sm_image image;
    struct sm_image_info info;
    uint8_t digest[SM_SHA256_BYTES];
    float *views;  /* [views, 3, S, S], S: side of the pair's input in pixels */
    json_t *drawn; /* [views] arrays of ops with the parameters that were drawn */
};

static enum sm_code render(struct rendering *r, struct sm_err *err)
{
    int32_t side = sm_pair_input_px(r->pair);
    size_t step = (size_t)3 * (size_t)side * (size_t)side;
    r->views = malloc((size_t)r->recipe->views * step * sizeof *r->views);
    r->drawn = json_array();
    if (!r->views || !r->drawn)
        return sm_err_set(err, SM_NOMEM, "%d views of %d px", r->recipe->views, side);
    for (int32_t k = 0; k < r->recipe->views; k++) {
        struct sm_stream_key key = {r->recipe->seed, r->digest, (uint32_t)k,
                                    .strata = sm_recipe_strata(r->recipe)};
        json_t *ops = json_array();
        if (json_array_append_new(r->drawn, ops) != 0)
            return sm_err_set(err, SM_NOMEM, "parameters of view %d", k);
        enum sm_code code = sm_pair_render(r->views + (size_t)k * step, r->pair, &r->image,
                                           &r->recipe->augment, &key, ops, err);
        if (code != SM_OK)
            return code;
    }
    return SM_OK;
}

static enum sm_code write_json(const struct rendering *r, const char *path, struct sm_err *err)
{
    char digest[SM_SHA256_HEX];
    sm_hex(digest, r->digest, sizeof r->digest);
    json_t *doc =
        json_pack("{s:{s:s, s:s, s:i, s:i, s:i, s:b}, s:o, s:O}", "image", "digest", digest,
                  "media_type", r->info.media_type, "width_px", r->info.width_px, "height_px",
                  r->info.height_px, "orientation", r->info.orientation, "oriented",
                  r->info.oriented, "recipe", sm_recipe_json(r->recipe), "views", r->drawn);
    char *text = doc ? sm_json_text(doc, JSON_INDENT(1)) : NULL;
    enum sm_code code =
        text ? sm_file_write(path, text, strlen(text), err) : sm_err_set(err, SM_NOMEM, "%s", path);
    free(text);
    json_decref(doc);
    return code;
}

static enum sm_code write_views(const struct rendering *r, const char *dir, struct sm_err *err)
{
    char path[4096];
    int32_t side = sm_pair_input_px(r->pair);
    struct sm_tensor_out views = {"views", 4, {r->recipe->views, 3, side, side}, r->views};
    if (mkdir(dir, 0777) != 0 && errno != EEXIST)
        return sm_err_set(err, SM_IO, "%s: %s", dir, strerror(errno));
    snprintf(path, sizeof path, "%s/views.safetensors", dir);
    enum sm_code code = sm_safetensors_write(path, &views, 1, err);
    snprintf(path, sizeof path, "%s/views.json", dir);
    return code == SM_OK ? write_json(r, path, err) : code;
}

static enum sm_code run(struct rendering *r, const char *image_path, const char *out_dir,
                        struct sm_err *err)
{
    struct sm_file file;
    enum sm_code code = sm_file_map(&file, image_path, SM_IMAGE_BYTES_MAX, err);
    if (code == SM_OK) {
        sm_sha256(r->digest, file.bytes, file.bytes_count);
        code = sm_image_decode(&r->image, file.bytes, file.bytes_count,
                               r->recipe->apply_orientation, &r->info, err);
    }
    sm_file_release(&file);
    if (code == SM_OK)
        code = render(r, err);
    return code == SM_OK ? write_views(r, out_dir, err) : code;
}

int sm_cmd_views(int argc, char **argv)
{
    const char *dir = NULL, *out_dir = NULL, *recipe_path = NULL;
    const struct sm_option options[] = {
        {"pair", "DIR", "folder of the pair", &dir, .required = true},
        {"out", "DIR", "where to write; made when missing", &out_dir, .required = true},
        {"recipe", "FILE", "JSON or its file, read over the pair's own recipe", &recipe_path},
        {0},
    };
    const struct sm_usage usage = {
        "views",
        "IMAGE",
        "Writes views.safetensors (float32 \"views\" [view, 3, height, width], as fed to the\n"
        "encoders) and views.json (every drawn parameter).",
        options,
        1,
        1};
    char **paths;
    int result = sm_usage_read(&paths, &usage, argc, argv);
    if (result >= 0)
        return result;

    struct sm_err err = {0};
    struct sm_pair *pair = NULL;
    struct sm_recipe recipe;
    struct rendering r = {.recipe = &recipe};
    result = SM_EXIT_OK;
    enum sm_code code = sm_open_pair(&pair, &recipe, dir, recipe_path, NULL, &err);
    r.pair = pair;
    if (code != SM_OK || run(&r, paths[0], out_dir, &err) != SM_OK)
        result = sm_fail("views", &err);
    sm_image_release(&r.image);
    free(r.views);
    json_decref(r.drawn);
    sm_pair_close(pair);
    return result;
}
