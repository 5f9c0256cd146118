/* Leases of items: their duration, the number of tries, and the questions of a worker that holds
 * one: is the item still wanted, and does a cheaper one wait?
 *
 * A claim can stand: then the writer serves it at the end of the first group of writes in which it
 * finds an item, in the same transaction. So neither the first image that is admitted while a
 * worker waits, nor the item after one that is finished, is claimed by a commit of its own. The
 * worker may begin before the commit, but must not write about the item before sm_standing_kept.
 *
 *     sm_standing_new(&standing, store, owner, wake, arg, &err);
 *     sm_standing_begin(standing);                    // or sm_finish.next
 *     if (sm_standing_take(&claim, standing, &err) == SM_OK)
 *         …                                           // compute
 *         if (sm_standing_kept(standing))
 *             …                                       // finish
 *
 * Threads: any; a standing claim belongs to one.
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

struct sm_standing;
/* `wake` runs on the writer thread when an item has come, under the store's mutex: it must not call
 * the store. It does not run after sm_standing_take. `owner` must outlive the claim. Errors:
 * SM_NOMEM. */
enum sm_code sm_standing_new(struct sm_standing **out, struct sm_store *store, const char *owner,
                             void (*wake)(void *arg), void *arg, struct sm_err *err);
/* Call sm_standing_take first, and sm_standing_kept if it returned an item. */
void sm_standing_free(struct sm_standing *standing);
/* Begins to stand, until an item comes, a commit fails, or sm_standing_take. */
void sm_standing_begin(struct sm_standing *standing);
/* Returns the item that came, perhaps before its commit; SM_NOT_FOUND: none. Waits while the writer
 * is serving the claim. */
enum sm_code sm_standing_take(struct sm_claim *out, struct sm_standing *standing,
                              struct sm_err *err);
/* Waits for the commit of the item that was taken. Returns false if it failed: then the item was
 * not claimed. */
bool sm_standing_kept(struct sm_standing *standing);

/* As sm_store_finish, in two steps. `finish` must stay as it is until sm_store_finish_end, which
 * waits for the commit and frees `out`. */
struct sm_finishing;
enum sm_code sm_store_finish_begin(struct sm_finishing **out, struct sm_store *store,
                                   const struct sm_finish *finish, struct sm_err *err);
bool sm_store_finish_ended(struct sm_finishing *finishing); /* sm_store_finish_end will not wait */
enum sm_code sm_store_finish_end(struct sm_finishing *finishing, char score_id[SM_ID_BYTES],
                                 bool *job_finished, struct sm_err *err);

#endif
