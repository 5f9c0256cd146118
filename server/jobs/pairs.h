/* The registry of pairs: folders below the pairs folder, each loaded or failed with its reason. A
 * pair is loaded again, or unloaded, while others score under it.
 *
 *     sm_pairs_load(&pairs, "pairs", "auto", &err);
 *     sm_pairs_take(&generation, pairs, "fashion-simclr", &err);      // generation.h
 *     sm_pairs_put(pairs, "fashion-simclr", &created, &err);          // from its folder, again
 *
 * Each load of the process makes a generation with the next number. It comes beside the old one,
 * which stays when the load fails, and is freed when its last user has given it back.
 *
 * Threads: every function from any. A load takes long; one runs at a time, the others wait. */
#ifndef SERVER_JOBS_PAIRS_H
#define SERVER_JOBS_PAIRS_H

#include <jansson.h>

#include "server/jobs/generation.h"
#include "server/store/store.h"

#define SM_PAIR_NAME_BYTES   256 /* of a folder */
#define SM_PAIR_REASON_BYTES 240

struct sm_pairs;

/* Loads every sub-folder that holds a pair.json (or lacks it: then it is listed as failed), in name
 * order. A pair that fails does not fail the registry. SM_IO when the folder itself cannot be read.
 */
enum sm_code sm_pairs_load(struct sm_pairs **out, const char *dir, const char *kernels,
                           struct sm_err *err);
/* A registry of the one pair in folder `dir`. Errors: those of sm_pair_open. */
enum sm_code sm_pairs_load_one(struct sm_pairs **out, const char *dir, const char *kernels,
                               struct sm_err *err);
/* Every generation must have been given back. */
void sm_pairs_free(struct sm_pairs *pairs);

/* SM_NOT_FOUND: there is no such pair. SM_CORRUPT: it failed; the text is its reason. */
enum sm_code sm_pairs_take(struct sm_generation **out, struct sm_pairs *pairs, const char *name,
                           struct sm_err *err);

/* Loads a pair from its folder, be it new or in use; `created` when there was none of that name.
 * SM_NOT_FOUND: the pairs folder has no folder of that name, which is one plain component of a
 * path. SM_CORRUPT: it cannot be loaded, the text says why; what was there stays. SM_NOMEM. */
enum sm_code sm_pairs_put(struct sm_pairs *pairs, const char *name, bool *created,
                          struct sm_err *err);
/* Forgets a pair: who uses it goes on. SM_NOT_FOUND. */
enum sm_code sm_pairs_remove(struct sm_pairs *pairs, const char *name, struct sm_err *err);
/* The same unless images wait for it, which *waiting counts; none is admitted in between. */
enum sm_code sm_pairs_unload(int64_t *waiting, struct sm_pairs *pairs, struct sm_store *store,
                             const char *name, struct sm_err *err);
/* Whether the pair can be taken; `pairs` is the struct sm_pairs: for sm_store_set_pairs. */
bool sm_pairs_there(void *pairs, const char *name);

/* A pair as it stands. */
struct sm_pair_state {
    char name[SM_PAIR_NAME_BYTES];
    struct sm_generation *generation;  /* NULL: failed */
    char reason[SM_PAIR_REASON_BYTES]; /* of the last load that failed after the one that did not */
};
/* All in the order of their names, or the one called `name`, if there is one. */
enum sm_code sm_pairs_list(struct sm_pair_state **out, int *count, struct sm_pairs *pairs,
                           const char *name, struct sm_err *err);
void sm_pairs_list_free(struct sm_pair_state *states, int count);
/* {"name","state":"ready"|"failed","generation"?,"reason"?,"reload_reason"?, … sm_pair_json}. New
 * reference. */
json_t *sm_pair_state_json(const struct sm_pair_state *state);

#endif
