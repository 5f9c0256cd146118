/* Splits: which images of a dataset the encoders of a pair, or of an ensemble, train with.
 *
 *     struct sm_split split;
 *     struct sm_split_params params = {.seed = 1, .sizes[SM_COHORT_CANDIDATE] = 500};
 *     sm_split_make(&split, files, files_count, &params, &err);
 *     ... split.cohorts[i]: cohort of file i, or SM_SPLIT_NONE ...
 *     sm_split_release(&split);
 *
 * Files with equal digests are one image: all its files have the same cohort and the same encoders.
 * Sizes count images. Every cohort has its size exactly, and of each class size * (images of the
 * class) / (all images), rounded down or up. The class of an image is that of its first file.
 *
 * The same digests, classes, sizes and seed give the same split, in whatever order the files come.
 *
 * Owner:   the caller releases the split. Threads: no state.
 * Errors:  SM_INVALID (sizes or encoders; the text has both numbers), SM_LIMIT, SM_NOMEM.
 * Limits:  the constants below. */
#ifndef SSLMEM_SPLIT_H
#define SSLMEM_SPLIT_H

#include <stddef.h>
#include <stdint.h>

#include "sslmem/audit.h"
#include "sslmem/err.h"

#define SM_SPLIT_FILES_MAX    2000000
#define SM_SPLIT_ENCODERS_MAX 64         /* of an ensemble */
#define SM_SPLIT_NONE         SM_COHORTS /* "cohort" of the images that are in none */
#define SM_SPLIT_REST         SIZE_MAX   /* size of a cohort that gets all images that are left */

struct sm_split_file {
    uint8_t digest[32];   /* of the image */
    uint32_t class_index; /* classes must be numbered the same way to get the same split */
};

struct sm_split_params {
    uint64_t seed;
    size_t sizes[SM_COHORTS]; /* images; at most one is SM_SPLIT_REST */
    /* 0, or the even number of encoders of an ensemble. Each candidate is in the training sets of
     * half of them, each shared image in all, each external image in none; there must be no
     * independent images. Of each class, and of all candidates, every encoder has half, rounded
     * down or up. */
    int encoders_count;
};

struct sm_split {
    uint8_t *cohorts;   /* of each file: enum sm_cohort, or SM_SPLIT_NONE */
    uint64_t *encoders; /* of each file: bit e is set if encoder e trains with it */
    size_t images_count;
    size_t images[SM_COHORTS + 1], files[SM_COHORTS + 1]; /* of each cohort; last: SM_SPLIT_NONE */
};

/* Sets *out also after an error. */
enum sm_code sm_split_make(struct sm_split *out, const struct sm_split_file *files, size_t count,
                           const struct sm_split_params *params, struct sm_err *err);
void sm_split_release(struct sm_split *split);

#endif
