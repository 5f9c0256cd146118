/* Tasks: one image's score as units of work that threads may share.
 *
 *     sm_task_open(&task, pair, recipe, bytes, n, &err);             // decodes
 *     while ((code = sm_task_round(&units_count, task, &err)) == SM_OK && units_count > 0)
 *         for (size_t unit = 0; unit < units_count; unit++)          // any order, any thread
 *             sm_task_run(task, unit, scorer_of_this_thread, &err);
 *     sm_task_finish(&score, task);
 *     sm_task_free(task);
 *
 * A unit is one encoder on one chunk of the image's views. Chunks are cut by recipe and encoder
 * alone, so it does not show in the bits of a score which thread ran what, and in which order.
 * sm_score_image (sslmem/score.h) is this loop on one thread.
 *
 * Owner:   a task belongs to the thread that opened it; the pair must outlive it, the recipe and
 *          the image's bytes need not.
 * Threads: between two rounds sm_task_run may run on any threads at once, for different units and
 *          with a scorer each. Whoever orders the threads (a mutex) makes all units of a round
 *          happen before the next round.
 * Errors:  as sm_score_image, and SM_CANCELLED from a watch; after one, the task can only be
 *          freed. */
#ifndef SSLMEM_TASK_H
#define SSLMEM_TASK_H

#include "sslmem/score.h"

struct sm_task;

/* Views that go through an encoder at once: enough rows for products at full rate, few enough that
 * two encoders on ten views make four equal units and that activations stay near. An encoder whose
 * output has under SM_CHUNK_FEW_TOKENS rows a view needs more views for the same. */
#define SM_CHUNK_VIEWS      5
#define SM_CHUNK_VIEWS_FEW  10
#define SM_CHUNK_FEW_TOKENS 32
size_t sm_task_chunk_views(const struct sm_encoder *encoder);

/* Decodes the image. The recipe must have passed sm_pair_check_recipe. */
enum sm_code sm_task_open(struct sm_task **out, const struct sm_pair *pair,
                          const struct sm_recipe *recipe, const void *bytes, size_t bytes_count,
                          struct sm_err *err);

/* An image that was decoded elsewhere, as by sm_image_decode with the recipe's apply_orientation.
 */
struct sm_decoded {
    struct sm_image image;
    struct sm_image_info info;
    uint8_t digest[32]; /* SHA-256 of the file */
};
/* sm_task_open after its first step. Takes the pixels, also when it fails: `image` is zeroed. */
enum sm_code sm_task_open_decoded(struct sm_task **out, const struct sm_pair *pair,
                                  const struct sm_recipe *recipe, struct sm_decoded *decoded,
                                  struct sm_err *err);
/* Asked all along the drawing of views and the distances from now on; NULL: none. That of the
 * encoders is the scorer's. */
void sm_task_watch(struct sm_task *task, const struct sm_watch *watch);
/* Takes the results of the round before, then draws the views of the next one, which has units
 * 0..units_count - 1; none when the score is complete. A recipe without target_se has one round. */
enum sm_code sm_task_round(size_t *units_count, struct sm_task *task, struct sm_err *err);
/* Runs one unit with the workspaces of `scorer`, which is of the same pair. */
enum sm_code sm_task_run(struct sm_task *task, size_t unit, struct sm_scorer *scorer,
                         struct sm_err *err);
/* After the round without units. */
void sm_task_finish(struct sm_score *out, const struct sm_task *task);
void sm_task_free(struct sm_task *task);

#endif
