/* The HTTP part of Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): reads the key, and
 * computes a fingerprint that tells a repeated request from a different one. server/api stores the
 * answers; the daemon calls its four hooks.
 *
 * Only POST has keys; GET, PUT and DELETE can be repeated without them.
 *
 * Owner, threads: as for the request (request.h). */
#ifndef SERVER_HTTP_IDEMPOTENCY_H
#define SERVER_HTTP_IDEMPOTENCY_H

#include "server/http/request.h"

struct sm_idempotency_hooks {
    /* Called on the headers: returns true if the key was used before. The daemon then does not call
     * the route's `admit`, because the answer is already decided. */
    bool (*known)(struct sm_request *request);
    sm_handler *enter; /* the body is complete: replies in place of the handler, or not at all */
    /* Called only while request->idempotency is set, which `enter` does. */
    sm_handler *leave;  /* the reply is set: may wait, and is then called again */
    sm_handler *forget; /* the request is over; releases request->idempotency */
};

/* Reads the header of a POST into request->idempotency_key; replies when it is malformed. */
void sm_idempotency_read(struct sm_request *request);
/* Writes request->fingerprint, a SHA-256 over method, path, query, Content-Type and body. */
void sm_idempotency_fingerprint(struct sm_request *request, const uint8_t body_sha256[32]);

#endif
