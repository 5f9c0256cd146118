/* Requests with an Idempotency-Key (draft-ietf-httpapi-idempotency-key-header), as far as HTTP is
 * concerned: the key, and the digest that tells the same request from another. What was answered
 * before is known above: these are the four moments at which it is asked.
 *
 * Only POST has keys; GET, PUT and DELETE may be sent again anyway.
 *
 * Owner, threads: as the request. */
#ifndef SERVER_HTTP_IDEMPOTENCY_H
#define SERVER_HTTP_IDEMPOTENCY_H

#include "server/http/request.h"

struct sm_idempotency_hooks {
    /* On the headers: whether the key was used before. Then `admit` is not asked, for the answer
     * does not depend on it any more. */
    bool (*known)(struct sm_request *request);
    sm_handler *enter;  /* with the body: replies in place of the handler, or does nothing */
    sm_handler *leave;  /* with the reply: may wait before it is sent, and is then called again */
    sm_handler *forget; /* the request is over; also without `enter` */
};

/* Reads the header of a POST into request->idempotency_key; replies when it is malformed. */
void sm_idempotency_read(struct sm_request *request);
/* Writes request->fingerprint: of method, path, query, Content-Type and body. */
void sm_idempotency_fingerprint(struct sm_request *request, const uint8_t body_sha256[32]);

#endif
