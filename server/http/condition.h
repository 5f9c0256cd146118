/* Validators and conditional requests (RFC 9110 section 13), for every operation in one place.
 *
 * Every reply 200 to GET or HEAD whose body is in memory gets a strong ETag, the first half of the
 * SHA-256 of its bytes. Two kinds of replies do not: those whose handler has set an ETag, which is
 * kept, and those whose handler has set Cache-Control, which have none (probes and metrics differ
 * every time). Then If-Match and If-None-Match are evaluated. Resources have no dates, so
 * If-Modified-Since and If-Unmodified-Since are ignored, as the RFC allows.
 *
 * Owner, threads: as for the request (request.h). */
#ifndef SERVER_HTTP_CONDITION_H
#define SERVER_HTTP_CONDITION_H

#include "server/http/request.h"

#define SM_ETAG_BYTES 35 /* half a SHA-256 in hex between quotes, and a NUL */

/* Writes the ETag for a SHA-256, quotes included. */
void sm_etag_of(char out[SM_ETAG_BYTES], const unsigned char digest[32]);

/* For a handler that knows the ETag of the resource that it will read or change. If the request's
 * conditions fail, replies and returns true: 412 if If-Match does not have the tag, or if
 * If-None-Match has it and the method is not GET or HEAD; 304 if If-None-Match has it and the
 * method is GET or HEAD. */
bool sm_condition_ends(struct sm_request *request, const char *etag);

/* Returns true if the request names a version of the resource: If-Match with a tag, not "*". */
bool sm_condition_pins(const struct sm_request *request);

/* For the daemon: adds the ETag to a reply, or replaces the reply by 304 or 412. */
void sm_condition_apply(struct sm_request *request);

#endif
