/* What a worker asks in the middle of an item: is it wanted still, and does a cheap one wait?
 *
 * Threads: any. Errors: as sm_store_claim. */
#ifndef SERVER_STORE_CLAIMS_H
#define SERVER_STORE_CLAIMS_H

#include "server/store/store.h"

/* sm_store_claim without waiting, for an item of the plain job with the cheapest items, if these
 * cost at most that much. A look at an index comes first, so that asking in vain costs no write. */
enum sm_code sm_store_claim_cheap(struct sm_claim *out, struct sm_store *store, const char *owner,
                                  int64_t cost_ms_max, struct sm_err *err);
/* Whether it is leased still and its job not cancelled; true when that cannot be read. */
bool sm_store_claim_wanted(struct sm_store *store, const struct sm_claim *claim, const char *owner);

#endif
