/* Scores: one image through every encoder of a pair.
 *
 * Views are rendered once, as floats [view, 3, S, S], and every encoder reads that same buffer, so
 * alignments of f and g differ by the encoders alone. They go through an encoder in chunks of
 * SM_VIEWS_CHUNK; the unaugmented image of the anchor mode is a forward of its own. The shape of
 * every forward therefore depends on the recipe only, never on the worker or its load, and so do
 * the bits.
 *
 * Cost: encoders * views forwards, which is everything; memory: views * (3 S^2 + rows * dim) floats
 * and one workspace per encoder, kept from image to image and planned anew when the recipe's shape
 * changes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/sha256.h"
#include "core/score/align.h"
#include "core/score/digest.h"
#include "core/score/pair.h"
#include "sslmem/stats.h"

/* What buffers and workspaces are planned for. */
struct shape {
    char tap[sizeof((struct sm_recipe *)0)->representation];
    size_t views;  /* K */
    size_t anchor; /* 1 when the unaugmented image stands before the views */
    size_t rows, dim;
};

struct sm_scorer {
    const struct sm_pair *pair;
    struct sm_augment unaugmented;
    struct shape shape; /* views 0: nothing planned */
    struct sm_workspace *workspaces[SM_SIDES][SM_ENCODERS_MAX];
    float *x;                             /* [anchor + K, 3, S, S] */
    float *reps;                          /* [anchor + K, rows, dim] */
    double *scale;                        /* [anchor + K, rows] */
    double *d[SM_SIDES][SM_ENCODERS_MAX]; /* distances per encoder: [K, K] or [K] */
    double *d_mean[SM_SIDES];             /* over the side's encoders */
};

/* What the two ways to compare views have in their own way. */
static const struct mode {
    size_t anchor;
    void (*align)(double *d, const struct sm_reps *reps, enum sm_normalize normalize,
                  enum sm_distance distance, double *scale);
    void (*jackknife)(double *theta, double *se, const double *d, size_t k);
} modes[] = {
    [SM_COMPARE_PAIRS] = {0, sm_align_pairs, sm_jackknife_pairs},
    [SM_COMPARE_ANCHOR] = {1, sm_align_anchor, sm_jackknife_mean},
};

static size_t distances_count(const struct shape *shape)
{
    return shape->anchor ? shape->views : shape->views * shape->views;
}

static void release_plan(struct sm_scorer *scorer)
{
    for (int s = 0; s < SM_SIDES; s++) {
        for (int k = 0; k < SM_ENCODERS_MAX; k++) {
            sm_workspace_free(scorer->workspaces[s][k]);
            scorer->workspaces[s][k] = NULL;
            free(scorer->d[s][k]);
            scorer->d[s][k] = NULL;
        }
        free(scorer->d_mean[s]);
        scorer->d_mean[s] = NULL;
    }
    free(scorer->x);
    free(scorer->reps);
    free(scorer->scale);
    scorer->x = scorer->reps = NULL;
    scorer->scale = NULL;
    scorer->shape = (struct shape){0};
}

static enum sm_code plan_encoders(struct sm_scorer *scorer, const struct shape *shape,
                                  struct sm_err *err)
{
    int chunk = shape->views < SM_VIEWS_CHUNK ? (int)shape->views : SM_VIEWS_CHUNK;
    for (int s = 0; s < SM_SIDES; s++) {
        const struct sm_side *side = &scorer->pair->sides[s];
        for (int k = 0; k < side->count; k++) {
            scorer->d[s][k] = calloc(distances_count(shape), sizeof(double));
            if (!scorer->d[s][k])
                return sm_err_set(err, SM_NOMEM, "out of memory for distances");
            enum sm_code code =
                sm_workspace_new(&scorer->workspaces[s][k], side->members[k].encoder, chunk,
                                 (const char *const[]){shape->tap}, 1, err);
            if (code != SM_OK)
                return code;
        }
        scorer->d_mean[s] = calloc(distances_count(shape), sizeof(double));
        if (!scorer->d_mean[s])
            return sm_err_set(err, SM_NOMEM, "out of memory for distances");
    }
    return SM_OK;
}

static enum sm_code plan(struct sm_scorer *scorer, const struct sm_recipe *recipe,
                         struct sm_err *err)
{
    struct sm_tap tap;
    struct shape shape = {.views = (size_t)recipe->views, .anchor = modes[recipe->compare].anchor};
    const struct sm_encoder *first = scorer->pair->sides[SM_SIDE_F].members[0].encoder;
    enum sm_code code = sm_encoder_tap_shape(&tap, first, recipe->representation, err);
    if (code != SM_OK)
        return code;
    memcpy(shape.tap, recipe->representation, sizeof shape.tap);
    shape.rows = (size_t)tap.rows;
    shape.dim = (size_t)tap.dim;
    if (scorer->shape.views == shape.views && scorer->shape.anchor == shape.anchor &&
        strcmp(scorer->shape.tap, shape.tap) == 0)
        return SM_OK;

    release_plan(scorer);
    size_t images = shape.anchor + shape.views;
    size_t side = (size_t)sm_pair_input_px(scorer->pair);
    scorer->x = calloc(images * 3 * side, side * sizeof *scorer->x);
    scorer->reps = calloc(images * shape.rows, shape.dim * sizeof *scorer->reps);
    scorer->scale = calloc(images, shape.rows * sizeof *scorer->scale);
    if (scorer->x && scorer->reps && scorer->scale)
        code = plan_encoders(scorer, &shape, err);
    else
        code = sm_err_set(err, SM_NOMEM, "out of memory for %zu views of %zu px", images, side);
    if (code == SM_OK)
        scorer->shape = shape;
    else
        release_plan(scorer);
    return code;
}

enum sm_code sm_scorer_new(struct sm_scorer **out, const struct sm_pair *pair, struct sm_err *err)
{
    struct sm_scorer *scorer = calloc(1, sizeof *scorer);
    json_t *preset = json_string("eval");
    enum sm_code code = SM_OK;
    *out = NULL;
    if (scorer && preset)
        code = sm_augment_parse(&scorer->unaugmented, preset, sm_pair_input_px(pair), "", err);
    else
        code = sm_err_set(err, SM_NOMEM, "out of memory for a scorer");
    json_decref(preset);
    if (code == SM_OK) {
        scorer->pair = pair;
        code = plan(scorer, &pair->recipe, err);
    }
    if (code == SM_OK)
        *out = scorer;
    else
        sm_scorer_free(scorer);
    return code;
}

void sm_scorer_free(struct sm_scorer *scorer)
{
    if (!scorer)
        return;
    release_plan(scorer);
    free(scorer);
}

enum sm_code sm_pair_render(float *x, const struct sm_pair *pair, const struct sm_image *image,
                            const struct sm_augment *augment, const struct sm_view_key *key,
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

/* Fills x: the unaugmented image when the mode has one, then the views. */
static enum sm_code render_all(struct sm_scorer *scorer, const struct sm_recipe *recipe,
                               const struct sm_image *image, const uint8_t *digest,
                               struct sm_err *err)
{
    size_t side = (size_t)sm_pair_input_px(scorer->pair);
    size_t step = 3 * side * side;
    struct sm_view_key key = {recipe->seed, digest, 0};
    float *x = scorer->x;
    enum sm_code code = SM_OK;
    if (scorer->shape.anchor) {
        code = sm_pair_render(x, scorer->pair, image, &scorer->unaugmented, &key, NULL, err);
        x += step;
    }
    for (; code == SM_OK && key.view < (uint32_t)recipe->views; key.view++, x += step)
        code = sm_pair_render(x, scorer->pair, image, &recipe->augment, &key, NULL, err);
    return code;
}

/* Runs images [first, first + n) of x through one encoder. */
static enum sm_code forward(struct sm_scorer *scorer, const struct sm_encoder *encoder,
                            struct sm_workspace *workspace, size_t first, size_t n,
                            struct sm_err *err)
{
    struct sm_tap tap;
    const struct shape *shape = &scorer->shape;
    size_t side = (size_t)sm_pair_input_px(scorer->pair);
    size_t length = shape->rows * shape->dim;
    sm_encoder_forward(encoder, workspace, scorer->x + first * 3 * side * side, (int)n);
    enum sm_code code = sm_encoder_tap(&tap, workspace, shape->tap, err);
    if (code == SM_OK)
        memcpy(scorer->reps + first * length, tap.data, n * length * sizeof *scorer->reps);
    return code;
}

static enum sm_code check_finite(const double *d, size_t count, const char *file,
                                 struct sm_err *err)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(d[i]))
            return sm_err_set(err, SM_UNSUPPORTED, "%s: output for this image is not finite", file);
    return SM_OK;
}

/* Distances of one encoder, into d[s][k]. */
static enum sm_code measure(struct sm_scorer *scorer, const struct sm_recipe *recipe, int s, int k,
                            struct sm_err *err)
{
    const struct sm_member *member = &scorer->pair->sides[s].members[k];
    const struct shape *shape = &scorer->shape;
    size_t end = shape->anchor + shape->views;
    enum sm_code code = SM_OK;
    for (size_t at = 0, n; code == SM_OK && at < end; at += n) {
        n = at < shape->anchor ? 1 : end - at < SM_VIEWS_CHUNK ? end - at : SM_VIEWS_CHUNK;
        code = forward(scorer, member->encoder, scorer->workspaces[s][k], at, n, err);
    }
    if (code != SM_OK)
        return code;
    struct sm_reps reps = {scorer->reps, end, shape->rows, shape->dim};
    modes[recipe->compare].align(scorer->d[s][k], &reps, recipe->normalize, recipe->distance,
                                 scorer->scale);
    return check_finite(scorer->d[s][k], distances_count(shape), member->file, err);
}

static void align_side(struct sm_alignment *out, struct sm_scorer *scorer, const struct mode *mode,
                       int s)
{
    double values[SM_ENCODERS_MAX], se;
    size_t encoders = (size_t)scorer->pair->sides[s].count;
    size_t views = scorer->shape.views;
    for (size_t k = 0; k < encoders; k++)
        mode->jackknife(&out->per_encoder[k], &se, scorer->d[s][k], views);
    for (size_t i = 0; i < distances_count(&scorer->shape); i++) {
        for (size_t k = 0; k < encoders; k++)
            values[k] = scorer->d[s][k][i];
        scorer->d_mean[s][i] = sm_mean(values, encoders);
    }
    mode->jackknife(&out->mean, &out->se, scorer->d_mean[s], views);
    out->encoders_count = (int)encoders;
    out->sd_encoders = encoders > 1 ? sqrt(sm_variance(out->per_encoder, encoders)) : 0;
}

static double between_encoders(const struct sm_alignment *side)
{
    return side->sd_encoders * side->sd_encoders / side->encoders_count;
}

/* From the distances of every encoder to the numbers of the score. */
static void combine(struct sm_score *out, struct sm_scorer *scorer, const struct mode *mode)
{
    align_side(&out->f, scorer, mode, SM_SIDE_F);
    align_side(&out->g, scorer, mode, SM_SIDE_G);
    double theta, se, *difference = scorer->d_mean[SM_SIDE_G];
    for (size_t i = 0; i < distances_count(&scorer->shape); i++)
        difference[i] -= scorer->d_mean[SM_SIDE_F][i];
    mode->jackknife(&theta, &se, difference, scorer->shape.views);

    double sum = out->g.mean + out->f.mean;
    out->m = out->g.mean - out->f.mean;
    out->m_se = sqrt(se * se + between_encoders(&out->f) + between_encoders(&out->g));
    out->ratio = sum > 0 ? out->m / sum : 0;
}

static void compare_with_reference(struct sm_score *out, const struct sm_pair *pair)
{
    const struct sm_reference *r = &pair->reference;
    out->has_reference = r->count > 0 && strcmp(r->recipe_digest, out->recipe_digest) == 0;
    if (!out->has_reference)
        return;
    out->centered = out->m - r->mean;
    out->percentile = sm_percentile_rank(r->sorted, r->count, out->m);
    out->p_value = sm_conformal_p(r->sorted, r->count, out->m);
}

enum sm_code sm_score_key(char key[65], const struct sm_pair *pair, const char *recipe_digest,
                          const char *image_digest, struct sm_err *err)
{
    json_t *doc = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "method", SM_METHOD, "pair", pair->digest, "recipe",
        recipe_digest, "image", image_digest, "decoder", sm_image_decoder(), "kernels",
        sm_encoder_info(sm_pair_encoder(pair, 'f', 0))->kernels, "blas", sm_blas_version());
    return sm_json_digest(key, doc, err);
}

static enum sm_code identify(struct sm_score *out, const struct sm_pair *pair,
                             const struct sm_recipe *recipe, const uint8_t *digest,
                             struct sm_err *err)
{
    out->recipe = *recipe;
    memcpy(out->pair, pair->name, sizeof out->pair);
    memcpy(out->pair_digest, pair->digest, sizeof out->pair_digest);
    sm_hex(out->image_digest, digest, SM_SHA256_BYTES);
    enum sm_code code = sm_recipe_digest(out->recipe_digest, recipe, err);
    if (code == SM_OK)
        code = sm_score_key(out->key, pair, out->recipe_digest, out->image_digest, err);
    return code;
}

enum sm_code sm_score_image(struct sm_score *out, struct sm_scorer *scorer,
                            const struct sm_recipe *recipe, const void *bytes, size_t bytes_count,
                            struct sm_err *err)
{
    struct sm_image image = {0};
    uint8_t digest[SM_SHA256_BYTES];
    *out = (struct sm_score){0};
    enum sm_code code =
        sm_image_decode(&image, bytes, bytes_count, recipe->apply_orientation, &out->image, err);
    if (code != SM_OK)
        goto out;
    sm_sha256(digest, bytes, bytes_count);
    if ((code = identify(out, scorer->pair, recipe, digest, err)) != SM_OK ||
        (code = plan(scorer, recipe, err)) != SM_OK ||
        (code = render_all(scorer, recipe, &image, digest, err)) != SM_OK)
        goto out;
    for (int s = 0; s < SM_SIDES; s++)
        for (int k = 0; code == SM_OK && k < scorer->pair->sides[s].count; k++)
            code = measure(scorer, recipe, s, k, err);
    if (code != SM_OK)
        goto out;
    combine(out, scorer, &modes[recipe->compare]);
    compare_with_reference(out, scorer->pair);
out:
    sm_image_release(&image);
    if (code != SM_OK)
        *out = (struct sm_score){0};
    return code;
}
