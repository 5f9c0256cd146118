/* The parts of a pair, for the files of core/score only.
 * Owner: sm_pair_close frees all of it. Threads: immutable after open. */
#ifndef CORE_SCORE_PAIR_H
#define CORE_SCORE_PAIR_H

#include "core/base/sha256.h"
#include "sslmem/score.h"

#define PAIR_NAME_MAX        63
#define PAIR_FILE_MAX        127
#define PAIR_DESCRIPTION_MAX 1000
#define PAIR_COHORT_MAX      63

enum sm_side_index { SM_SIDE_F, SM_SIDE_G, SM_SIDES };

extern const char *const sm_side_names[SM_SIDES]; /* "f", "g" */

struct sm_member {
    char file[PAIR_FILE_MAX + 1];
    char digest[SM_SHA256_HEX];
    struct sm_encoder *encoder;
};

struct sm_side {
    struct sm_member members[SM_ENCODERS_MAX];
    int count;
};

/* Scores of a cohort that neither side saw. count 0: the pair has no reference. */
struct sm_reference {
    char cohort[PAIR_COHORT_MAX + 1];
    char digest[SM_SHA256_HEX]; /* SHA-256 of the reference file */
    char recipe_digest[SM_SHA256_HEX];
    double *sorted; /* [count] scores, ascending */
    /* [count], sorted by digest; NULL: the file lists no images */
    struct sm_reference_image *images;
    size_t count;
    double mean, sd;
    double reliability; /* sm_reliability of the scores; NaN: the file has no standard errors */
};

struct sm_pair {
    char *dir;
    char name[PAIR_NAME_MAX + 1];
    char description[PAIR_DESCRIPTION_MAX + 1];
    char digest[SM_SHA256_HEX];
    char recipe_digest[SM_SHA256_HEX];
    struct sm_side sides[SM_SIDES];
    struct sm_encoder_config configs[SM_SIDES];
    double mean[3], std[3]; /* input normalisation on [0, 1], before rounding to float */
    enum sm_source mean_source, std_source;
    float mean_f32[3], std_f32[3];
    struct sm_recipe recipe;
    struct sm_reference reference;
    bool allow_same; /* true: an encoder of f may hold the same weights as one of g */
};

/* Reads the reference `file` in the pair's folder. The encoders of both sides must be open. A
 * failure leaves nothing to release. */
enum sm_code sm_reference_load(struct sm_reference *out, const struct sm_pair *pair,
                               const char *file, struct sm_err *err);
void sm_reference_release(struct sm_reference *reference);
/* Returns the image's entry in the reference; NULL if the reference does not list the image. */
const struct sm_reference_image *sm_reference_find(const struct sm_reference *reference,
                                                   const char *image_digest);

/* Writes the kernels as provenance names them, row and revision: "avx512/1". */
void sm_pair_kernels(char out[32], const struct sm_pair *pair);

/* Returns true if two members are the same encoder: the same file, or the same weights. */
bool sm_members_same(const struct sm_member *a, const struct sm_member *b);

/* SM_INVALID at "/views" if the representations of so many images (views and anchor), [rows, dim]
 * each, by so many encoders take more than SM_REPS_BYTES_MAX. */
enum sm_code sm_check_reps(size_t images, size_t encoders, size_t rows, size_t dim,
                           struct sm_err *err);

/* Returns {"f":[digest …],"g":[digest …]}. New reference, NULL when out of memory. */
json_t *sm_pair_digests_json(const struct sm_pair *pair);

/* Returns the path "dir/file", which the caller frees; NULL when out of memory. */
char *sm_pair_path(const char *dir, const char *file);

#endif
