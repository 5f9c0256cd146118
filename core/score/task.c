/* Runs one image through every encoder of a pair, in units that threads may share.
 *
 * Views are rendered once, as floats [view, 3, S, S], and every encoder reads that same buffer, so
 * alignments of f and g differ by the encoders alone. In anchor mode the unaugmented image comes
 * before view 0 and belongs to the first chunk:
 *
 *     image    0 (anchor)  1 2 3 4 5  6 7 8 9 10
 *     view                 0 1 2 3 4  5 6 7 8 9
 *     chunk    0 0 0 0 0 0 0 . . . .  1 1 1 1 1
 *
 * A recipe with a fixed number of views is one round of all chunks, or rounds of at most
 * ROUND_VIEWS views, which bounds the memory of rendered views. A recipe with target_se is one
 * round per chunk, until the standard error is small enough. The chunks are the same in all cases,
 * so n views give the same bits. New distances are appended (align.h), so a round computes only new
 * ones.
 *
 * The shape of every forward depends on recipe and encoder only, never on the threads or their
 * load, and so do the bits. A unit writes only its own rows of its encoder's representations, and
 * reads only what no thread writes while units run. So units need no lock.
 *
 * Cost: encoders * views forwards are nearly all of it. Memory: 3 S^2 floats per view of a round,
 * and rows * dim floats per view and encoder. The threads own the activations (scorer.h). */
#include "sslmem/task.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/score/align.h"
#include "core/score/combine.h"
#include "core/score/scorer.h"

/* One encoder's representations and distances for this image. */
struct track {
    const struct sm_member *member;
    int side, index;
    float *reps;               /* representations [anchor + K, rows, dim] of K views */
    double *scale;             /* [anchor + K, rows] factors of the rows of reps */
    double (*norms)[SM_NORMS]; /* [anchor + K] of the pooled representations; NULL: pair has g */
    double *d;                 /* [distances of all views]; of those aligned so far */
};

#define ROUND_VIEWS 64

struct sm_task {
    const struct sm_pair *pair;
    const struct sm_watch *watch;
    struct sm_score score; /* the score so far; holds the task's recipe */
    struct sm_image image;
    uint8_t digest[SM_SHA256_BYTES];
    struct sm_augment unaugmented;
    size_t anchor;     /* 1: image 0 is the unaugmented one; 0: anchor mode is off */
    size_t rows, dim;  /* shape of a representation */
    size_t chunk;      /* views of a chunk */
    size_t chunks;     /* number of chunks */
    size_t step;       /* chunks per round */
    size_t begin, end; /* this round has the chunks [begin, end) */
    float *x;          /* [images of this round, 3, S, S] */
    size_t aligned;    /* number of images whose distances are known */
    size_t tracks_count;
    struct track tracks[];
};

static void (*const align_by[])(double *d, const struct sm_reps *reps, enum sm_normalize normalize,
                                enum sm_distance distance, double *scale) = {
    [SM_COMPARE_PAIRS] = sm_align_pairs,
    [SM_COMPARE_ANCHOR] = sm_align_anchor,
};

size_t sm_task_chunk_views(const struct sm_encoder *encoder)
{
    return sm_encoder_info(encoder)->tokens < SM_CHUNK_FEW_TOKENS ? SM_CHUNK_VIEWS_FEW
                                                                  : SM_CHUNK_VIEWS;
}

/* Returns the first image of a chunk. For the chunk past the last, returns the number of images. */
static size_t chunk_begin(const struct sm_task *task, size_t chunk)
{
    size_t views = (size_t)task->score.recipe.views;
    if (chunk == 0)
        return 0;
    return task->anchor + (chunk < task->chunks ? chunk * task->chunk : views);
}

static size_t image_floats(const struct sm_task *task)
{
    size_t side = (size_t)sm_pair_input_px(task->pair);
    return 3 * side * side;
}

/* --- opening --- */

/* Takes over the decoded pixels and fills the provenance of the score. */
static enum sm_code take_image(struct sm_task *task, struct sm_decoded *decoded, struct sm_err *err)
{
    struct sm_score *score = &task->score;
    task->image = decoded->image;
    decoded->image = (struct sm_image){0};
    score->image = decoded->info;
    memcpy(task->digest, decoded->digest, sizeof task->digest);
    sm_hex(score->image_digest, task->digest, SM_SHA256_BYTES);
    memcpy(score->pair, task->pair->name, sizeof score->pair);
    memcpy(score->pair_digest, task->pair->digest, sizeof score->pair_digest);
    enum sm_code code = sm_recipe_digest(score->recipe_digest, &score->recipe, err);
    if (code == SM_OK)
        code = sm_score_key(score->score_key, task->pair, score->recipe_digest, score->image_digest,
                            sm_image_decoder(score->image.media_type), err);
    return code;
}

/* Prepares the unaugmented image that comes before the views in anchor mode. */
static enum sm_code set_anchor(struct sm_task *task, struct sm_err *err)
{
    if (task->score.recipe.compare != SM_COMPARE_ANCHOR)
        return SM_OK;
    task->anchor = 1;
    json_t *preset = json_string("eval");
    enum sm_code code =
        preset ? sm_augment_parse(&task->unaugmented, preset, sm_pair_input_px(task->pair), "", err)
               : sm_err_set(err, SM_NOMEM, "out of memory for a preset's name");
    json_decref(preset);
    return code;
}

static void add_tracks(struct sm_task *task)
{
    for (int s = 0; s < SM_SIDES; s++)
        for (int k = 0; k < task->pair->sides[s].count; k++)
            task->tracks[task->tracks_count++] =
                (struct track){.member = &task->pair->sides[s].members[k], .side = s, .index = k};
}

static enum sm_code plan(struct sm_task *task, struct sm_err *err)
{
    struct sm_tap tap;
    const struct sm_recipe *recipe = &task->score.recipe;
    const struct sm_encoder *first = task->tracks[0].member->encoder;
    size_t views = (size_t)recipe->views, images = task->anchor + views;
    enum sm_code code = sm_encoder_tap_shape(&tap, first, recipe->representation, err);
    if (code != SM_OK)
        return code;
    task->rows = (size_t)tap.rows;
    task->dim = (size_t)tap.dim;
    task->chunk = sm_task_chunk_views(first);
    task->chunks = (views + task->chunk - 1) / task->chunk;
    task->step = views <= ROUND_VIEWS ? task->chunks : ROUND_VIEWS / task->chunk;
    if (recipe->target_se > 0)
        task->step = 1;
    task->x = calloc(chunk_begin(task, task->step), image_floats(task) * sizeof *task->x);
    bool whole = task->x != NULL;
    for (size_t i = 0; whole && i < task->tracks_count; i++) {
        struct track *track = &task->tracks[i];
        track->reps = calloc(images * task->rows, task->dim * sizeof *track->reps);
        track->scale = calloc(images, task->rows * sizeof *track->scale);
        track->d = calloc(sm_distances_count(recipe->compare, views), sizeof *track->d);
        whole = track->reps && track->scale && track->d;
        if (!sm_pair_has_g(task->pair))
            whole = whole && (track->norms = calloc(images, sizeof *track->norms));
    }
    return whole ? SM_OK : sm_err_set(err, SM_NOMEM, "out of memory for %zu views", views);
}

enum sm_code sm_task_open_decoded(struct sm_task **out, const struct sm_pair *pair,
                                  const struct sm_recipe *recipe, struct sm_decoded *decoded,
                                  struct sm_err *err)
{
    size_t encoders = (size_t)(pair->sides[SM_SIDE_F].count + pair->sides[SM_SIDE_G].count);
    struct sm_task *task = calloc(1, sizeof *task + encoders * sizeof *task->tracks);
    enum sm_code code;
    *out = NULL;
    if (!task) {
        sm_image_release(&decoded->image);
        return sm_err_set(err, SM_NOMEM, "out of memory for a task of %zu encoders", encoders);
    }
    task->pair = pair;
    task->score.recipe = *recipe;
    add_tracks(task);
    if ((code = take_image(task, decoded, err)) != SM_OK ||
        (code = set_anchor(task, err)) != SM_OK || (code = plan(task, err)) != SM_OK)
        sm_task_free(task);
    else
        *out = task;
    return code;
}

enum sm_code sm_task_open(struct sm_task **out, const struct sm_pair *pair,
                          const struct sm_recipe *recipe, const void *bytes, size_t bytes_count,
                          struct sm_err *err)
{
    struct sm_decoded decoded;
    *out = NULL;
    enum sm_code code = sm_image_decode(&decoded.image, bytes, bytes_count,
                                        recipe->apply_orientation, &decoded.info, err);
    if (code != SM_OK)
        return code;
    sm_sha256(decoded.digest, bytes, bytes_count);
    return sm_task_open_decoded(out, pair, recipe, &decoded, err);
}

/* --- rounds --- */

/* Fills x with the images of this round. */
static enum sm_code render(struct sm_task *task, struct sm_err *err)
{
    const struct sm_recipe *recipe = &task->score.recipe;
    struct sm_stream_key key = {recipe->seed, task->digest, 0, task->watch,
                                sm_recipe_strata(recipe)};
    size_t end = chunk_begin(task, task->end);
    float *x = task->x;
    enum sm_code code = SM_OK;
    for (size_t i = chunk_begin(task, task->begin); code == SM_OK && i < end; i++) {
        bool is_view = i >= task->anchor;
        key.view = is_view ? (uint32_t)(i - task->anchor) : 0;
        code = sm_pair_render(x, task->pair, &task->image,
                              is_view ? &recipe->augment : &task->unaugmented, &key, NULL, err);
        x += image_floats(task);
    }
    return code;
}

static enum sm_code check_finite(const struct track *track, size_t count, struct sm_err *err)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(track->d[i]))
            return sm_err_set(err, SM_UNSUPPORTED, "%s: output for this image is not finite",
                              track->member->file);
    return SM_OK;
}

/* Computes the distances of the last round's images, chunk by chunk, so that the watch is asked
 * often. */
static enum sm_code align_track(struct sm_task *task, struct track *track, struct sm_err *err)
{
    const struct sm_recipe *recipe = &task->score.recipe;
    enum sm_code code = SM_OK;
    for (size_t chunk = task->begin; code == SM_OK && chunk < task->end; chunk++) {
        struct sm_reps reps = {track->reps, chunk_begin(task, chunk + 1), task->rows, task->dim,
                               chunk_begin(task, chunk)};
        code = sm_watch_ask(task->watch, err);
        if (code == SM_OK)
            align_by[recipe->compare](track->d, &reps, recipe->normalize, recipe->distance,
                                      track->scale);
    }
    return code;
}

/* Averages the norms over the views, which come after the anchor, and over the encoders of f. */
static void average_norms(struct sm_task *task, size_t images)
{
    double count = (double)((images - task->anchor) * task->tracks_count);
    for (int n = 0; n < SM_NORMS; n++) {
        double sum = 0;
        for (size_t i = 0; i < task->tracks_count; i++)
            for (size_t k = task->anchor; k < images; k++)
                sum += task->tracks[i].norms[k][n];
        task->score.norms[n] = sum / count;
    }
}

/* Computes the distances of the last round's images and the score of all views so far. */
static enum sm_code align(struct sm_task *task, struct sm_err *err)
{
    const struct sm_recipe *recipe = &task->score.recipe;
    size_t images = chunk_begin(task, task->end);
    struct sm_distances all = {.compare = recipe->compare, .views = images - task->anchor};
    enum sm_code code = SM_OK;
    for (size_t i = 0; i < task->tracks_count; i++) {
        struct track *track = &task->tracks[i];
        code = align_track(task, track, err);
        if (code == SM_OK)
            code = check_finite(track, sm_distances_count(all.compare, all.views), err);
        if (code != SM_OK)
            return code;
        all.of[track->side][track->index] = track->d;
        all.encoders_count[track->side]++;
    }
    task->aligned = images;
    task->score.views_used = (int32_t)all.views;
    sm_combine(&task->score, &all);
    if (!sm_pair_has_g(task->pair))
        average_norms(task, images);
    return SM_OK;
}

/* Returns true if no round is left. With too few views the standard error is NaN and meets no
 * target, but then the first chunk has all views of the recipe. */
static bool is_complete(const struct sm_task *task)
{
    double target_se = task->score.recipe.target_se;
    return task->end == task->chunks || (target_se > 0 && task->score.m_se <= target_se);
}

void sm_task_watch(struct sm_task *task, const struct sm_watch *watch)
{
    task->watch = watch;
}

enum sm_code sm_task_round(size_t *units_count, struct sm_task *task, struct sm_err *err)
{
    *units_count = 0;
    enum sm_code code = task->end > 0 ? align(task, err) : SM_OK;
    if (code != SM_OK || (task->end > 0 && is_complete(task)))
        return code;
    task->begin = task->end;
    task->end += task->step;
    if (task->end > task->chunks)
        task->end = task->chunks;
    code = render(task, err);
    if (code == SM_OK)
        *units_count = (task->end - task->begin) * task->tracks_count;
    return code;
}

/* --- units --- */

static void measure_norms(double out[SM_NORMS], const float *x, size_t count)
{
    double sum = 0, squares = 0, largest = 0;
    for (size_t i = 0; i < count; i++) {
        double size = fabs((double)x[i]);
        sum += size;
        squares += size * size;
        largest = fmax(largest, size);
    }
    out[SM_NORM_1] = sum;
    out[SM_NORM_2] = sqrt(squares);
    out[SM_NORM_MAX] = largest;
}

/* Reads the norms of the last forward's n images. */
static enum sm_code read_norms(double (*out)[SM_NORMS], const struct sm_workspace *workspace,
                               size_t n, struct sm_err *err)
{
    struct sm_tap tap;
    enum sm_code code = sm_encoder_tap(&tap, workspace, SM_POOLED, err);
    size_t length = code == SM_OK ? (size_t)tap.rows * (size_t)tap.dim : 0;
    for (size_t i = 0; code == SM_OK && i < n; i++)
        measure_norms(out[i], tap.data + i * length, length);
    return code;
}

/* Units are numbered by encoder, then by chunk, so that neighbours read the same weights. */
enum sm_code sm_task_run(struct sm_task *task, size_t unit, struct sm_scorer *scorer,
                         struct sm_err *err)
{
    struct sm_workspace *workspace;
    struct sm_tap tap;
    size_t chunks = task->end - task->begin;
    assert(unit < chunks * task->tracks_count);
    struct track *track = &task->tracks[unit / chunks];
    size_t chunk = task->begin + unit % chunks;
    size_t at = chunk_begin(task, chunk), n = chunk_begin(task, chunk + 1) - at;
    size_t length = task->rows * task->dim;
    const char *name = task->score.recipe.representation;
    enum sm_code code = sm_scorer_workspace(&workspace, scorer, track->side, track->index, name,
                                            (int)chunk_begin(task, 1), err);
    if (code != SM_OK)
        return code;
    const float *x = task->x + (at - chunk_begin(task, task->begin)) * image_floats(task);
    if (!sm_encoder_forward(track->member->encoder, workspace, x, (int)n))
        return sm_err_set(err, SM_CANCELLED, "told to stop");
    code = sm_encoder_tap(&tap, workspace, name, err);
    if (code == SM_OK)
        memcpy(track->reps + at * length, tap.data, n * length * sizeof *track->reps);
    return code == SM_OK && track->norms ? read_norms(track->norms + at, workspace, n, err) : code;
}

void sm_task_finish(struct sm_score *out, const struct sm_task *task)
{
    assert(task->aligned == chunk_begin(task, task->end) && task->aligned > 0);
    *out = task->score;
    sm_compare_with_reference(out, task->pair);
}

void sm_task_free(struct sm_task *task)
{
    if (!task)
        return;
    for (size_t i = 0; i < task->tracks_count; i++) {
        free(task->tracks[i].reps);
        free(task->tracks[i].scale);
        free(task->tracks[i].d);
        free(task->tracks[i].norms);
    }
    sm_image_release(&task->image);
    free(task->x);
    free(task);
}
