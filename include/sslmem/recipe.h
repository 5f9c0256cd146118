/* Recipes: all parameters of a score except the image and the pair, as one immutable value.
 *
 *     struct sm_recipe r;
 *     sm_recipe_parse(&r, node, &pair_default, 32, "", &err);   // NULL node: the default
 *     sm_recipe_digest(hex, &r);
 *
 * The section "Recipe" of core/README.md explains the fields and their defaults. The digest is the
 * SHA-256 of the canonical JSON: it has every field except a target_se of 0, sorted keys, no
 * spaces, and the ops in place of a preset's name. Independent draws are not written either.
 *
 * Owner:   a plain value. Threads: no shared state.
 * Errors:  SM_INVALID with the JSON pointer of the field; an unknown field is an error. */
#ifndef SSLMEM_RECIPE_H
#define SSLMEM_RECIPE_H

#include "sslmem/views.h"

#define SM_VIEWS_MIN 2
#define SM_VIEWS_MAX 256
/* Bytes of the representations of an image's views, of all encoders together. */
#define SM_REPS_BYTES_MAX (INT64_C(8) << 30)

enum sm_compare {
    SM_COMPARE_PAIRS, /* all K(K-1)/2 pairs of views, a U-statistic: the paper's definition */
    SM_COMPARE_ANCHOR /* the unaugmented image with each view: the published script */
};
enum sm_draws {
    SM_DRAWS_INDEPENDENT,
    SM_DRAWS_STRATIFIED /* a Latin hypercube over the views; a view then depends on `views` */
};
/* What is scaled to unit l2 norm: the flattened representation, each of its tokens, or nothing. */
enum sm_normalize { SM_NORMALIZE_VECTOR, SM_NORMALIZE_TOKEN, SM_NORMALIZE_NONE };
enum sm_distance { SM_DISTANCE_L2, SM_DISTANCE_L1, SM_DISTANCE_COSINE, SM_DISTANCE_ANGULAR };

struct sm_recipe {
    struct sm_augment augment;
    int32_t views;    /* K, the number of views; with a target_se, their maximum */
    double target_se; /* 0: always K views. Above 0: adds views by chunks (sslmem/task.h) until the
                         standard error of m is at most target_se */
    enum sm_compare compare;
    char representation[32]; /* name of an encoder tap: tokens, cls, mean, pooled, block.N, … */
    enum sm_normalize normalize;
    enum sm_distance distance;
    uint64_t seed;
    enum sm_draws draws;    /* stratified only without a target_se */
    bool apply_orientation; /* EXIF orientation; "ignore" in JSON, as in training, or "apply" */
};

/* Reads a recipe; fields that it omits keep their values in `base`, unless only target_se and draws
 * are missing: what sm_recipe_json wrote is itself over any base. With `base` NULL they get the
 * built-in defaults, and "augment" is required. A size that an op omits becomes `input_px`.
 * `pointer` is the node's JSON pointer, for errors. */
enum sm_code sm_recipe_parse(struct sm_recipe *out, const json_t *node,
                             const struct sm_recipe *base, int32_t input_px, const char *pointer,
                             struct sm_err *err);

/* Writes every field (target_se if above 0, draws if stratified). Returns a new reference, NULL
 * when out of memory. */
json_t *sm_recipe_json(const struct sm_recipe *recipe);

/* Returns the strata of a stream key (sslmem/views.h) for the recipe's views. */
uint32_t sm_recipe_strata(const struct sm_recipe *recipe);

/* Writes the recipe's digest: 64 hex digits and a NUL. */
enum sm_code sm_recipe_digest(char hex[65], const struct sm_recipe *recipe, struct sm_err *err);

#endif
