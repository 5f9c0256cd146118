/* Pairs, which are in memory, as transactions see them.
 *
 * Threads: as store.h says; `there` and `act` run on the writer thread and must not wait for it. */
#ifndef SERVER_STORE_PAIR_USE_H
#define SERVER_STORE_PAIR_USE_H

#include "server/store/store.h"

/* Says which pairs are loaded: `there` is asked inside transactions. What is admitted or started
 * for a pair that is not there is refused with SM_INVALID. To be called before anything is
 * admitted; without it every pair is there. */
typedef bool sm_store_pair_there(void *pairs, const char *name);
void sm_store_set_pairs(struct sm_store *store, sm_store_pair_there *there, void *pairs);

/* Runs `act` on the writer thread unless images wait for the pair (those of paused audits do not):
 * in the transaction that counts them, so that none is admitted in between. */
enum sm_code sm_store_unless_waiting(int64_t *waiting, struct sm_store *store, const char *pair,
                                     enum sm_code (*act)(void *arg, struct sm_err *err), void *arg,
                                     struct sm_err *err);

#endif
