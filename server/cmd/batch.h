/* Scores all images of a command's operands on every core. An operand is whatever sslmem/dataset.h
 * reads: an image, a folder, an archive, a manifest, arrays.
 *
 *     struct sm_batch_params params = {.generation = generation, .recipe = recipe,
 *                                      .operands = operands, .workers = workers,
 *                                      .command = "score", .tell = tell, .arg = &mine};
 *     enum sm_code code = sm_batch_run(&params, &err);
 *
 * The images are told in the order of the operands, so the output does not depend on the number of
 * threads. At most SM_BATCH_WINDOW images are read and not yet told, so memory does not grow with
 * their number.
 *
 * Threads: `known` and `tell` are called on any thread, never two at a time.
 * Errors:  of sm_batch_run: SM_NOMEM, and what `tell` returns, which ends the batch. An image or
 *          operand that cannot be read or scored is told with its error. */
#ifndef SERVER_CMD_BATCH_H
#define SERVER_CMD_BATCH_H

#include "server/jobs/generation.h"
#include "sslmem/score.h"

#define SM_BATCH_WINDOW 256

/* An image with its result; lives until `tell` returns. */
struct sm_batch_image {
    const char *name;             /* its path, FILE:NAME inside a larger file, or the operand */
    const char *class_label;      /* "" if the dataset does not tell */
    char digest[65];              /* SHA-256 of its bytes; "" if they cannot be read */
    const struct sm_score *score; /* NULL: error, or known */
    struct sm_err error;          /* code SM_OK if the image is scored or known */
    bool is_operand;              /* it is a dataset without images, not an image */
    bool ends_operand;            /* `name` is an operand that gives no image, or no more */
    int64_t passed; /* files that the operands opened so far pass over (sm_dataset_passed) */
    int64_t total; /* images of the batch, as far as known: an operand not yet open counts as one */
};

struct sm_batch_params {
    struct sm_generation *generation; /* the loaded pair */
    const struct sm_recipe *recipe;
    char **operands; /* ends with NULL */
    size_t workers;
    const char *command; /* for messages about images that take long */
    /* Returns true for an image that needs no score; NULL: score all. */
    bool (*known)(void *arg, const char digest[65]);
    enum sm_code (*tell)(void *arg, const struct sm_batch_image *image, struct sm_err *err);
    void *arg;
};

enum sm_code sm_batch_run(const struct sm_batch_params *params, struct sm_err *err);

/* Says on stderr that files were passed over, and why; nothing if `passed` is 0. */
void sm_batch_say_passed(const char *command, int64_t passed);

#endif
