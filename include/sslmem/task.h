/* Tasks: divides the scoring of one image into units of work that threads may share.
 *
 *     sm_task_open(&task, pair, recipe, bytes, n, &err);             // decodes
 *     while ((code = sm_task_round(&units_count, task, &err)) == SM_OK && units_count > 0)
 *         for (size_t unit = 0; unit < units_count; unit++)          // any order, any thread
 *             sm_task_run(task, unit, scorer_of_this_thread, &err);
 *     sm_task_finish(&score, task);
 *     sm_task_free(task);
 *
 * A unit is one encoder on one chunk of the image's views. The size of chunks depends only on
 * recipe and encoder. Therefore the bits of a score do not depend on the order of the units or on
 * the threads that ran them. sm_score_image (sslmem/score.h) is this loop on one thread.
 *
 * Owner:   a task belongs to the thread that opened it. The pair must outlive it; the recipe and
 *          the image's bytes may be freed after open.
 * Threads: between two rounds, several threads may call sm_task_run at once, each with its own
 *          scorer and another unit. The caller must make sure, for example with a mutex, that all
 *          units of a round have finished before it calls sm_task_round again.
 * Errors:  those of sm_score_image, and SM_CANCELLED from a watch. After an error the task can only
 *          be freed. */
#ifndef SSLMEM_TASK_H
#define SSLMEM_TASK_H

#include "sslmem/score.h"

struct sm_task;

/* Number of views in a chunk. Five views give matrix products enough rows to run at full rate, make
 * four equal units of two encoders on ten views, and keep activations in the cache. An encoder with
 * fewer than SM_CHUNK_FEW_TOKENS output rows a view needs more views to reach that rate. */
#define SM_CHUNK_VIEWS      5
#define SM_CHUNK_VIEWS_FEW  10
#define SM_CHUNK_FEW_TOKENS 32
size_t sm_task_chunk_views(const struct sm_encoder *encoder);

/* Opens a task and decodes the image. The recipe must have passed sm_pair_check_recipe. */
enum sm_code sm_task_open(struct sm_task **out, const struct sm_pair *pair,
                          const struct sm_recipe *recipe, const void *bytes, size_t bytes_count,
                          struct sm_err *err);

/* An image that the caller decoded, with the recipe's apply_orientation as sm_image_decode does. */
struct sm_decoded {
    struct sm_image image;
    struct sm_image_info info;
    uint8_t digest[32]; /* SHA-256 of the image file */
};
/* Opens a task for a decoded image. Takes its pixels and zeroes decoded->image, even on failure. */
enum sm_code sm_task_open_decoded(struct sm_task **out, const struct sm_pair *pair,
                                  const struct sm_recipe *recipe, struct sm_decoded *decoded,
                                  struct sm_err *err);
/* Sets the watch that the task asks while it draws views and measures distances; NULL: none. The
 * encoders ask the scorer's watch instead (sm_scorer_watch). */
void sm_task_watch(struct sm_task *task, const struct sm_watch *watch);
/* Evaluates the previous round, if any, and draws the views of the next one. That round has the
 * units 0..units_count - 1; units_count is 0 if the score is complete. A recipe without target_se
 * has one round. */
enum sm_code sm_task_round(size_t *units_count, struct sm_task *task, struct sm_err *err);
/* Runs one unit with the workspaces of `scorer`, which must belong to the task's pair. */
enum sm_code sm_task_run(struct sm_task *task, size_t unit, struct sm_scorer *scorer,
                         struct sm_err *err);
/* Writes the score. Call it after sm_task_round has returned a units_count of 0. */
void sm_task_finish(struct sm_score *out, const struct sm_task *task);
void sm_task_free(struct sm_task *task);

#endif
