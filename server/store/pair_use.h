/* The loaded pairs, which are in memory, as transactions of the store see them.
 *
 * Threads: as store.h. `there` and `act` run on the writer thread and must not wait for it. */
#ifndef SERVER_STORE_PAIR_USE_H
#define SERVER_STORE_PAIR_USE_H

#include "server/store/store.h"

/* Returns true if the pair is loaded. The store calls it inside transactions and refuses to admit
 * or start anything for another pair with SM_INVALID. */
typedef bool sm_store_pair_there(void *pairs, const char *name);
/* Sets `there` and its argument. Call it before anything is admitted; without it the store accepts
 * every pair. */
void sm_store_set_pairs(struct sm_store *store, sm_store_pair_there *there, void *pairs);

/* Runs `act` on the writer thread unless images wait for the pair; `waiting` receives their number.
 * Images of paused audits do not count. `act` runs inside the transaction that counts, so that no
 * image is admitted in between. */
enum sm_code sm_store_unless_waiting(int64_t *waiting, struct sm_store *store, const char *pair,
                                     enum sm_code (*act)(void *arg, struct sm_err *err), void *arg,
                                     struct sm_err *err);

#endif
