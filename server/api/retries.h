/* Idempotency-Key over the operations of the service.
 *
 *     new key            the handler runs; what it makes carries the key (sm_api_once)
 *     same request       the stored answer, or one made anew from what was made
 *     another request    422
 *     still under way    409
 *
 * An answer is kept when it is a 2xx, and sent after the commit that keeps it; a refusal changed
 * nothing, so its request is run again when it comes again.
 *
 * Owner:   struct sm_api. Threads: HTTP threads and the store's writer, one lock. */
#ifndef SERVER_API_RETRIES_H
#define SERVER_API_RETRIES_H

#include "server/http/keyed.h"
#include "server/store/idempotency.h"

struct sm_retries;

enum sm_code sm_retries_start(struct sm_retries **out, struct sm_err *err);
/* After the HTTP daemon has stopped, before the store closes. */
void sm_retries_stop(struct sm_retries *retries);

/* For the HTTP daemon of the public routes. */
extern const struct sm_keyed sm_api_keyed;

/* The answer tells of this score, and the request made nothing. */
void sm_api_once_about(struct sm_request *request, const char *score_id);

/* The request asks what is so now and makes nothing: sent again it is answered anew. */
void sm_api_once_never(struct sm_request *request);

/* The key of this request for what it makes; NULL: it has none. Valid until the reply. */
const struct sm_once *sm_api_once(const struct sm_request *request);

#endif
