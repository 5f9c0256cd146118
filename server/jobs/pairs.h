/* The registry of pairs: one for each folder in the pairs folder, either loaded or failed with a
 * reason. A pair can be reloaded or unloaded while other threads score with it.
 *
 *     sm_pairs_load(&pairs, "pairs", "auto", &err);
 *     sm_pairs_take(&generation, pairs, "fashion-simclr", &err);      // generation.h
 *     sm_pairs_put(pairs, "fashion-simclr", &created, &err);          // reloads it from its folder
 *
 * Each load in this process makes a generation with the next number. If it succeeds, it replaces
 * the old generation, which is freed when its last user has given it back. If it fails, the old
 * generation stays in use.
 *
 * Threads: all functions from any. A load takes long; only one runs at a time, others wait. */
#ifndef SERVER_JOBS_PAIRS_H
#define SERVER_JOBS_PAIRS_H

#include <jansson.h>

#include "server/jobs/generation.h"
#include "server/store/store.h"

#define SM_PAIR_NAME_BYTES   256 /* a folder's name and its NUL */
#define SM_PAIR_REASON_BYTES 320

struct sm_pairs;

/* Loads every sub-folder of `dir` whose name does not begin with a dot. A sub-folder that cannot be
 * loaded, for example without pair.json, is listed as failed. Errors: SM_IO (`dir` cannot be read),
 * SM_INVALID (`dir` is itself a pair), SM_NOMEM. */
enum sm_code sm_pairs_load(struct sm_pairs **out, const char *dir, const char *kernels,
                           struct sm_err *err);
/* Makes a registry with one pair, which it loads from `dir`. Errors: those of sm_pair_open. */
enum sm_code sm_pairs_load_one(struct sm_pairs **out, const char *dir, const char *kernels,
                               struct sm_err *err);
/* Frees the registry. Every generation must have been given back. */
void sm_pairs_free(struct sm_pairs *pairs);

/* Takes a pair's generation, which the caller gives back. Errors: SM_NOT_FOUND (no such pair),
 * SM_CORRUPT (the pair has failed; the text is its reason). */
enum sm_code sm_pairs_take(struct sm_generation **out, struct sm_pairs *pairs, const char *name,
                           struct sm_err *err);

/* Loads a new pair from its folder, or reloads one; sets *created if the name is new. Errors:
 * SM_NOT_FOUND (`name` is no sub-folder of the pairs folder), SM_CORRUPT (the pair cannot be
 * loaded; the text has the reason, and an old generation stays), SM_NOMEM. */
enum sm_code sm_pairs_put(struct sm_pairs *pairs, const char *name, bool *created,
                          struct sm_err *err);
/* Removes a pair from the registry; threads that use its generation may go on. Errors:
 * SM_NOT_FOUND. */
enum sm_code sm_pairs_remove(struct sm_pairs *pairs, const char *name, struct sm_err *err);
/* Removes a pair unless images wait for it; *waiting is their number. Check and removal are one
 * step: no image is admitted in between. */
enum sm_code sm_pairs_unload(int64_t *waiting, struct sm_pairs *pairs, struct sm_store *store,
                             const char *name, struct sm_err *err);
/* For sm_store_set_pairs: returns true if the pair is loaded. `pairs` is the struct sm_pairs. */
bool sm_pairs_there(void *pairs, const char *name);

/* The present state of a pair. */
struct sm_pair_state {
    char name[SM_PAIR_NAME_BYTES];
    struct sm_generation *generation;  /* NULL: the pair has failed */
    char reason[SM_PAIR_REASON_BYTES]; /* why the last load failed; "": it succeeded */
    /* all problems of that load, as sm_pair_problems_json lists them; NULL: none are known */
    json_t *problems;
};
/* Lists all pairs in the order of their names, or only `name` (none if it does not exist). The
 * caller frees the list with sm_pairs_list_free. Errors: SM_NOMEM. */
enum sm_code sm_pairs_list(struct sm_pair_state **out, int *count, struct sm_pairs *pairs,
                           const char *name, struct sm_err *err);
void sm_pairs_list_free(struct sm_pair_state *states, int count);
/* Returns {"name","state":"ready"|"failed","generation"?,"reason"?,"problems"?,"reload_reason"?,
 * "reload_problems"?, …} with the members of sm_pair_json. New reference; NULL when out of
 * memory. */
json_t *sm_pair_state_json(const struct sm_pair_state *state);

#endif
