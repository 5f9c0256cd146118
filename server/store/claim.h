/* Leases of items: their duration, the number of tries, and the questions of a worker that holds
 * one: is the item still wanted, and does a cheaper one wait?
 *
 * Threads: any.
 * Errors:  as sm_store_claim. */
#ifndef SERVER_STORE_CLAIM_H
#define SERVER_STORE_CLAIM_H

#include "server/store/store.h"

/* Tries before an item fails. The number is high enough that a service which is killed repeatedly
 * fails no harmless item (measured: 20 kills, each within 0.6 s, hit two of 1,000 items three
 * times), and low enough that an image which crashes the service is given up soon. If the service
 * ends while exactly one item runs, that item is the likely cause: it counts SM_ATTEMPTS_ALONE
 * tries. */
#define SM_ATTEMPTS_MAX   10
#define SM_ATTEMPTS_ALONE 4
#define SM_LEASE_MS       60000

/* Extends every lease of `owner`. Items of all owners whose lease has expired are queued again, or
 * fail after SM_ATTEMPTS_MAX tries. Also deletes expired idempotency keys. */
enum sm_code sm_store_heartbeat(struct sm_store *store, const char *owner, struct sm_err *err);

/* Claims without waiting, and only from the plain job whose dearest item is cheapest, if that item
 * costs at most `cost_ms_max`. A read by index comes first, so that a call that finds nothing costs
 * no write. */
enum sm_code sm_store_claim_cheap(struct sm_claim *out, struct sm_store *store, const char *owner,
                                  int64_t cost_ms_max, struct sm_err *err);
/* Tells whether the lease is still the owner's and the job is not cancelled; true if that cannot be
 * read. */
bool sm_store_claim_wanted(struct sm_store *store, const struct sm_claim *claim, const char *owner);

#endif
