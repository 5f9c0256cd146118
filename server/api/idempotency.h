/* Idempotency keys: the answer to a POST with an Idempotency-Key.
 *
 *     new key            the handler runs; its job or audit is stored with the idempotency claim
 *     same request       the stored answer, or a new answer about that job or audit
 *     another request    422
 *     still running      409
 *
 * A 2xx answer is stored, and sent after the commit that stores it. A refusal changed nothing, so
 * it is not stored, and the same request runs again.
 *
 * Owner:   struct sm_api. Threads: HTTP threads and the store's writer thread, under one lock. */
#ifndef SERVER_API_IDEMPOTENCY_H
#define SERVER_API_IDEMPOTENCY_H

#include "server/http/idempotency.h"
#include "server/store/idempotency.h"

struct sm_idempotency;

enum sm_code sm_idempotency_start(struct sm_idempotency **out, struct sm_err *err);
/* Call after the HTTP daemon has stopped and before the store closes. Accepts NULL. */
void sm_idempotency_stop(struct sm_idempotency *table);

/* For the HTTP daemon of the public routes. */
extern const struct sm_idempotency_hooks sm_api_idempotency_hooks;

/* Says that the answer contains this score although the request made no job. The erasure of the
 * score's image then finds the stored answer. */
void sm_api_idempotency_about(struct sm_request *request, const char *score_id);

/* Keeps the answer from being stored, for a request that only asks for the current state: sent
 * again, it runs again. */
void sm_api_idempotency_skip(struct sm_request *request);

/* Returns the idempotency claim to store with what the request makes; NULL: the request has no key.
 * Valid until the reply. */
const struct sm_idempotency_claim *sm_api_idempotency_claim(const struct sm_request *request);

#endif
