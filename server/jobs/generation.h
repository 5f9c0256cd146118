/* A generation of a pair: the pair as it was loaded once, for as long as anybody uses it.
 *
 *     if (sm_pairs_take(&generation, pairs, "fashion-simclr", &err) == SM_OK) {   // pairs.h
 *         … sm_generation_pair(generation) …
 *         sm_generation_give(generation);
 *     }
 *
 * Owner:   counted: who takes one gives it back; the last one to do so frees pair and scorers.
 * Threads: all functions from any. The pair is immutable. A slot belongs to one thread from take to
 *          give.
 * Errors:  SM_NOMEM, and those of sm_scorer_new. */
#ifndef SERVER_JOBS_GENERATION_H
#define SERVER_JOBS_GENERATION_H

#include <stdbool.h>
#include <stdint.h>

#include "server/jobs/canary.h"
#include "sslmem/score.h"

struct sm_generation;

/* Takes the pair, also when it fails; the caller has the first use. */
enum sm_code sm_generation_new(struct sm_generation **out, struct sm_pair *pair, int64_t number,
                               struct sm_err *err);
struct sm_generation *sm_generation_take(struct sm_generation *generation); /* once more */
void sm_generation_give(struct sm_generation *generation);                  /* accepts NULL */

const struct sm_pair *sm_generation_pair(const struct sm_generation *generation);
struct sm_canary *sm_generation_canary(struct sm_generation *generation);
int64_t sm_generation_number(const struct sm_generation *generation);

/* A scorer that nobody else uses meanwhile: the one that `thread` had before, else one that is
 * free, else a new one. So there are never more than threads that score under this pair at once. */
struct sm_scorer_slot {
    struct sm_scorer *scorer;
    /* of generation.c alone */
    const void *thread;
    bool taken;
    struct sm_scorer_slot *next;
};
enum sm_code sm_scorer_slot_take(struct sm_scorer_slot **out, struct sm_generation *generation,
                                 const void *thread, struct sm_err *err);
void sm_scorer_slot_give(struct sm_generation *generation, struct sm_scorer_slot *slot);

#endif
