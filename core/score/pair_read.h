/* Reads pair.json: the first half of opening a pair (pair.c).
 * Owner: the document owns the nodes of a draft. Threads: no state. */
#ifndef CORE_SCORE_PAIR_READ_H
#define CORE_SCORE_PAIR_READ_H

#include "core/score/pair.h"
#include "core/score/problems.h"

/* pair.json as read; its nodes are borrowed from the document. */
struct sm_pair_draft {
    char description[PAIR_DESCRIPTION_MAX + 1];
    const json_t *sides[SM_SIDES]; /* NULL for g: the pair has none */
    const json_t *encoder, *mean, *std, *recipe;
    char reference[PAIR_FILE_MAX + 1];
    bool allow_same;
    bool config_read[SM_SIDES]; /* the side's configuration could be read and completed */
    bool mended[SM_SIDES];      /* a part of it was wrong and is left out */
    bool per_side;              /* "encoder" has a configuration for each side */
};

/* Reads the document in the pair's folder into `draft` and `pair`: files, configurations,
 * normalisation. Problems go to the collector. *doc receives the document, a new reference; NULL if
 * it could not be read. */
void sm_pair_read(json_t **doc, struct sm_pair_draft *draft, struct sm_pair *pair,
                  struct sm_collector *collector);

/* Reads the pair's own recipe. Call it after the encoders are open; `input_px` is their input size.
 * Returns false after a problem. */
bool sm_pair_read_recipe(struct sm_pair *pair, json_t *doc, const struct sm_pair_draft *draft,
                         int32_t input_px, struct sm_collector *collector);

/* Writes the pointer of a side's configuration: "/encoder", or "/encoder/f". */
void sm_pair_config_pointer(char out[32], const struct sm_pair_draft *draft, int side);

#endif
