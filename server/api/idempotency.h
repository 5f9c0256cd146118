/* Idempotency-Key over the operations of the service.
 *
 *     new key            the handler runs; what it makes carries the key (sm_api_idempotency_claim)
 *     same request       the stored answer, or one made anew from what was made
 *     another request    422
 *     still under way    409
 *
 * An answer is kept when it is a 2xx, and sent after the commit that keeps it; a refusal changed
 * nothing, so its request is run again when it comes again.
 *
 * Owner:   struct sm_api. Threads: HTTP threads and the store's writer, one lock. */
#ifndef SERVER_API_IDEMPOTENCY_H
#define SERVER_API_IDEMPOTENCY_H

#include "server/http/idempotency.h"
#include "server/store/idempotency.h"

struct sm_idempotency;

enum sm_code sm_idempotency_start(struct sm_idempotency **out, struct sm_err *err);
/* After the HTTP daemon has stopped, before the store closes. */
void sm_idempotency_stop(struct sm_idempotency *retries);

/* For the HTTP daemon of the public routes. */
extern const struct sm_idempotency_hooks sm_api_idempotency_hooks;

/* The answer tells of this score, and the request made nothing. */
void sm_api_idempotency_about(struct sm_request *request, const char *score_id);

/* The request asks what is so now and makes nothing: sent again it is answered anew. */
void sm_api_idempotency_skip(struct sm_request *request);

/* The key of this request for what it makes; NULL: it has none. Valid until the reply. */
const struct sm_idempotency_claim *sm_api_idempotency_claim(const struct sm_request *request);

#endif
