/* Recipes: everything that turns (image, pair, seed) into numbers, as one immutable value.
 *
 *     struct sm_recipe r;
 *     sm_recipe_parse(&r, node, &pair_default, 32, "", &err);   // node NULL: the default itself
 *     sm_recipe_digest(hex, &r);
 *
 * Fields, meanings and defaults: core/README.md, "Recipe". The digest is the SHA-256 of the
 * canonical JSON (every field written out, but a target_se of 0; keys sorted, no spaces, presets
 * expanded to their ops).
 *
 * Owner:   a plain value. Threads: no shared state.
 * Errors:  SM_INVALID with the JSON pointer of the field; an unknown field is an error. */
#ifndef SSLMEM_RECIPE_H
#define SSLMEM_RECIPE_H

#include "sslmem/views.h"

#define SM_VIEWS_MIN 2
#define SM_VIEWS_MAX 64

enum sm_compare {
    SM_COMPARE_PAIRS, /* all K(K-1)/2 pairs of views: the paper's definition as a U-statistic */
    SM_COMPARE_ANCHOR /* the unaugmented image against each view: the published script */
};
enum sm_normalize { SM_NORMALIZE_VECTOR, SM_NORMALIZE_TOKEN, SM_NORMALIZE_NONE };
enum sm_distance { SM_DISTANCE_L2, SM_DISTANCE_L1, SM_DISTANCE_COSINE, SM_DISTANCE_ANGULAR };

struct sm_recipe {
    struct sm_augment augment;
    int32_t views;    /* K; with target_se the most */
    double target_se; /* 0: K views. Above: views are added, one chunk (sslmem/task.h) at a time,
                         until the standard error of m is at or below it */
    enum sm_compare compare;
    char representation[32]; /* an encoder tap: tokens, cls, mean, pooled, block.N, … */
    enum sm_normalize normalize;
    enum sm_distance distance;
    uint64_t seed;
    bool apply_orientation; /* "orientation": "ignore" (as training pipelines do) or "apply" */
};

/* Reads a (possibly partial) recipe over `base` (NULL: the built-in defaults; then "augment" is
 * required). Sizes left out of ops become `input_px`. */
enum sm_code sm_recipe_parse(struct sm_recipe *out, const json_t *node,
                             const struct sm_recipe *base, int32_t input_px, const char *pointer,
                             struct sm_err *err);

/* Every field written out, target_se when there is one. New reference, NULL when out of memory. */
json_t *sm_recipe_json(const struct sm_recipe *recipe);

/* 64 hex digits and a NUL. */
enum sm_code sm_recipe_digest(char hex[65], const struct sm_recipe *recipe, struct sm_err *err);

#endif
