/* Validators and conditional requests (RFC 9110 section 13), for every operation in one place.
 *
 * Every answer 200 to GET whose body is whole in memory has a strong ETag, the first half of the
 * SHA-256 of its bytes, unless its handler set one that it knows better, or a Cache-Control of its
 * own: what is measured anew each time (probes, metrics) has no validator. Then If-Match and
 * If-None-Match are looked at; there are no dates to compare, so If-Modified-Since and
 * If-Unmodified-Since are passed over, as the RFC says.
 *
 * Owner, threads: as the request. */
#ifndef SERVER_HTTP_CONDITION_H
#define SERVER_HTTP_CONDITION_H

#include "server/http/request.h"

#define SM_ETAG_BYTES 35 /* half a SHA-256 in hex between quotes, and a NUL */

/* The tag of these 32 bytes. */
void sm_etag_of(char out[SM_ETAG_BYTES], const unsigned char digest[32]);

/* For a handler that knows the tag of what it is about to read or change: true after a reply when
 * the request's conditions end it. 412 when If-Match has other tags, or If-None-Match has this one
 * and the method changes something; 304 when If-None-Match has it. */
bool sm_condition_ends(struct sm_request *request, const char *etag);

/* Whether the request names the version that it is about: If-Match with tags. */
bool sm_condition_pins(const struct sm_request *request);

/* Of the daemon: completes a reply with its validator, or puts 304 or 412 in its place. */
void sm_condition_apply(struct sm_request *request);

#endif
