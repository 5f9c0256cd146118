/* The scores of an unfinished reference cohort, in a file beside the output: a line with what they
 * were measured with, then a line for each image. A killed `sslmem reference` goes on from it.
 *
 *     {"key":"…"}
 *     {"image":"…","m":0.0123}
 *
 * "key" is the score key of no image: it covers pair, recipe, method, kernels and BLAS, so scores
 * of other ones are never mixed in. A last line that was cut is dropped.
 *
 * Owner:   the caller closes it; sm_partial_close accepts a zeroed object.
 * Threads: one at a time.
 * Errors:  SM_CONFLICT (another process has it open), SM_IO, SM_NOMEM, SM_LIMIT. */
#ifndef SERVER_CMD_PARTIAL_H
#define SERVER_CMD_PARTIAL_H

#include "sslmem/score.h"

struct sm_partial {
    char *path;
    int fd;
    struct sm_reference_image *images; /* those that the file held, by digest */
    size_t count;
    bool replaced; /* the file was of another pair or recipe, or unreadable, and was emptied */
};

enum sm_code sm_partial_open(struct sm_partial *out, const struct sm_pair *pair,
                             const char *pair_folder, const char *recipe_digest,
                             struct sm_err *err);
/* Returns the image, or NULL if the file did not hold it. */
const struct sm_reference_image *sm_partial_find(const struct sm_partial *partial,
                                                 const char *digest);
enum sm_code sm_partial_add(struct sm_partial *partial, const struct sm_reference_image *image,
                            struct sm_err *err);
/* `finished`: deletes the file, if this process has it open. */
void sm_partial_close(struct sm_partial *partial, bool finished);

#endif
