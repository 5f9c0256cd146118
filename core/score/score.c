/* Scores on one thread: the loop over a task's units, and the workspaces in which the units run.
 *
 * A workspace is made for the first unit of its encoder and kept from image to image, until a
 * recipe needs another tap or another number of images at once. So a thread that runs only units of
 * g has no workspace for f. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/score/digest.h"
#include "core/score/scorer.h"
#include "sslmem/task.h"

struct sm_scorer {
    const struct sm_pair *pair;
    const struct sm_watch *watch;
    /* The tap and the number of images that all workspaces are planned for. */
    char tap[sizeof((struct sm_recipe *)0)->representation];
    int images;
    /* NULL: no unit has needed it yet */
    struct sm_workspace *workspaces[SM_SIDES][SM_ENCODERS_MAX];
};

static void release_workspaces(struct sm_scorer *scorer)
{
    for (int s = 0; s < SM_SIDES; s++) {
        for (int k = 0; k < SM_ENCODERS_MAX; k++) {
            sm_workspace_free(scorer->workspaces[s][k]);
            scorer->workspaces[s][k] = NULL;
        }
    }
}

enum sm_code sm_scorer_new(struct sm_scorer **out, const struct sm_pair *pair, struct sm_err *err)
{
    struct sm_scorer *scorer = calloc(1, sizeof *scorer);
    *out = scorer;
    if (!scorer)
        return sm_err_set(err, SM_NOMEM, "out of memory for a scorer");
    scorer->pair = pair;
    return SM_OK;
}

void sm_scorer_free(struct sm_scorer *scorer)
{
    if (!scorer)
        return;
    release_workspaces(scorer);
    free(scorer);
}

void sm_scorer_watch(struct sm_scorer *scorer, const struct sm_watch *watch)
{
    scorer->watch = watch;
}

enum sm_code sm_scorer_workspace(struct sm_workspace **out, struct sm_scorer *scorer, int s, int k,
                                 const char *tap, int images, struct sm_err *err)
{
    struct sm_workspace **place = &scorer->workspaces[s][k];
    enum sm_code code = SM_OK;
    assert(k < scorer->pair->sides[s].count && strlen(tap) < sizeof scorer->tap);
    if (scorer->images != images || strcmp(scorer->tap, tap) != 0) {
        release_workspaces(scorer);
        scorer->images = images;
        memcpy(scorer->tap, tap, strlen(tap) + 1);
    }
    if (!*place)
        code = sm_workspace_new(place, scorer->pair->sides[s].members[k].encoder, images,
                                (const char *const[]){tap, SM_POOLED},
                                sm_pair_has_g(scorer->pair) ? 1 : 2, err);
    if (code == SM_OK)
        sm_workspace_watch(*place, scorer->watch);
    *out = *place;
    return code;
}

enum sm_code sm_pair_render(float *x, const struct sm_pair *pair, const struct sm_image *image,
                            const struct sm_augment *augment, const struct sm_stream_key *key,
                            json_t *drawn, struct sm_err *err)
{
    struct sm_image view;
    int32_t side = sm_pair_input_px(pair);
    enum sm_code code = sm_view_render(&view, image, augment, key, drawn, err);
    if (code != SM_OK)
        return code;
    if (view.width_px == side && view.height_px == side)
        sm_view_tensor(x, &view, pair->mean_f32, pair->std_f32);
    else
        code = sm_err_field(err, "/augment", "views end at %dx%d px, the encoders take %dx%d px",
                            (int)view.width_px, (int)view.height_px, (int)side, (int)side);
    sm_image_release(&view);
    return code;
}

void sm_pair_kernels(char out[32], const struct sm_pair *pair)
{
    snprintf(out, 32, "%.20s/%d", sm_encoder_info(sm_pair_encoder(pair, 'f', 0))->kernels,
             SM_KERNELS_REVISION);
}

enum sm_code sm_score_key(char key[65], const struct sm_pair *pair, const char *recipe_digest,
                          const char *image_digest, const char *decoder, struct sm_err *err)
{
    char kernels[32];
    sm_pair_kernels(kernels, pair);
    json_t *doc = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "method", SM_METHOD, "pair",
                            pair->digest, "recipe", recipe_digest, "image", image_digest, "decoder",
                            decoder, "kernels", kernels, "blas", sm_blas_version());
    return sm_json_digest(key, doc, err);
}

enum sm_code sm_score_image(struct sm_score *out, struct sm_scorer *scorer,
                            const struct sm_recipe *recipe, const void *bytes, size_t bytes_count,
                            struct sm_err *err)
{
    struct sm_task *task;
    size_t units_count;
    *out = (struct sm_score){0};
    enum sm_code code = sm_task_open(&task, scorer->pair, recipe, bytes, bytes_count, err);
    while (code == SM_OK && (code = sm_task_round(&units_count, task, err)) == SM_OK &&
           units_count > 0)
        for (size_t unit = 0; code == SM_OK && unit < units_count; unit++)
            code = sm_task_run(task, unit, scorer, err);
    if (code == SM_OK)
        sm_task_finish(out, task);
    sm_task_free(task);
    return code;
}
