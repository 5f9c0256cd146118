/* A generation of a pair: the pair as one load made it. It exists as long as somebody uses it.
 *
 *     if (sm_pairs_take(&generation, pairs, "fashion-simclr", &err) == SM_OK) {   // pairs.h
 *         … sm_generation_pair(generation) …
 *         sm_generation_give(generation);
 *     }
 *
 * Owner:   reference-counted: each take needs a give; the last give frees the pair and its scorers.
 * Threads: all functions from any. The pair is immutable. A slot belongs to one thread from
 *          sm_scorer_slot_take to sm_scorer_slot_give.
 * Errors:  SM_NOMEM, and those of sm_scorer_new. */
#ifndef SERVER_JOBS_GENERATION_H
#define SERVER_JOBS_GENERATION_H

#include <stdbool.h>
#include <stdint.h>

#include "server/jobs/canary.h"
#include "sslmem/score.h"

struct sm_generation;

/* Makes a generation with one reference, for the caller. Owns `pair` from now on, and frees it even
 * if the call fails. */
enum sm_code sm_generation_new(struct sm_generation **out, struct sm_pair *pair, int64_t number,
                               struct sm_err *err);
struct sm_generation *sm_generation_take(struct sm_generation *generation); /* adds a reference */
void sm_generation_give(struct sm_generation *generation);                  /* accepts NULL */

const struct sm_pair *sm_generation_pair(const struct sm_generation *generation);
struct sm_canary *sm_generation_canary(struct sm_generation *generation);
int64_t sm_generation_number(const struct sm_generation *generation);

/* A slot keeps the scorer of one thread. */
struct sm_scorer_slot {
    struct sm_scorer *scorer;
    /* private to generation.c */
    const void *thread;
    bool taken;
    struct sm_scorer_slot *next;
};
/* Takes a slot that only the caller uses until it gives it back: the slot that `thread` had before,
 * else a free one, else a new one. So a generation has no more slots than threads that have scored
 * with it at the same time. The generation owns the slot. */
enum sm_code sm_scorer_slot_take(struct sm_scorer_slot **out, struct sm_generation *generation,
                                 const void *thread, struct sm_err *err);
void sm_scorer_slot_give(struct sm_generation *generation, struct sm_scorer_slot *slot);

#endif
