/* The registry of pairs: every folder below the pairs folder, loaded or failed with its reason.
 *
 * Threads: immutable after load; shared by all. */
#ifndef SERVER_JOBS_PAIRS_H
#define SERVER_JOBS_PAIRS_H

#include <jansson.h>

#include "sslmem/score.h"

struct sm_pairs;

/* Loads every sub-folder that holds a pair.json (or lacks it: then it is listed as failed), in name
 * order. A pair that fails does not fail the registry. SM_IO when the folder itself cannot be read.
 */
enum sm_code sm_pairs_load(struct sm_pairs **out, const char *dir, const char *kernels,
                           struct sm_err *err);
/* A registry of the one pair in folder `dir`. Errors: those of sm_pair_open. */
enum sm_code sm_pairs_load_one(struct sm_pairs **out, const char *dir, const char *kernels,
                               struct sm_err *err);
void sm_pairs_free(struct sm_pairs *pairs);

int sm_pairs_count(const struct sm_pairs *pairs);
const char *sm_pairs_name(const struct sm_pairs *pairs, int index);
/* NULL when the pair failed; then *reason (may be NULL) says why. */
const struct sm_pair *sm_pairs_at(const struct sm_pairs *pairs, int index, const char **reason);
/* Index by name, or -1. */
int sm_pairs_find(const struct sm_pairs *pairs, const char *name);
/* {"name","state":"ready"|"failed","reason"?, … sm_pair_json}. New reference. */
json_t *sm_pairs_json(const struct sm_pairs *pairs, int index);

#endif
