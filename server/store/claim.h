/* Leases: how long they last, how often an item is tried, and what a worker asks in the middle of
 * one: is it wanted still, and does a cheap one wait?
 *
 * Threads: any. Errors: as sm_store_claim. */
#ifndef SERVER_STORE_CLAIM_H
#define SERVER_STORE_CLAIM_H

#include "server/store/store.h"

/* High enough that a service killed again and again fails no innocent item (measured: 20 kills
 * within 0.6 s each took two of 1,000 items three times), low enough that an image which ends the
 * service does not do so for long. An end with one item in hand points at it and counts as
 * SM_ATTEMPTS_ALONE tries. */
#define SM_ATTEMPTS_MAX   10
#define SM_ATTEMPTS_ALONE 4
#define SM_LEASE_MS       60000

/* Extends every lease of `owner`; expired leases of anybody go back to the queue (or fail after
 * SM_ATTEMPTS_MAX). */
enum sm_code sm_store_heartbeat(struct sm_store *store, const char *owner, struct sm_err *err);

/* sm_store_claim without waiting, for an item of the plain job with the cheapest items, if these
 * cost at most that much. A look at an index comes first, so that asking in vain costs no write. */
enum sm_code sm_store_claim_cheap(struct sm_claim *out, struct sm_store *store, const char *owner,
                                  int64_t cost_ms_max, struct sm_err *err);
/* Whether it is leased still and its job not cancelled; true when that cannot be read. */
bool sm_store_claim_wanted(struct sm_store *store, const struct sm_claim *claim, const char *owner);

#endif
