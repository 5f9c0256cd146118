/* Routes as data: one static table holds everything about an operation that is known before its
 * body.
 *
 *     static const struct sm_route routes[] = {
 *         {"GET", "/v1/jobs/{id}", "getJob", .scope = "read", .handler = job_get},
 *         {0}};
 *
 * Routing, Allow, 401, 403, 405, 411, 413, 415 and the test against openapi.yaml all derive from
 * the table.
 *
 * Owner, threads: static data, no state. */
#ifndef SERVER_HTTP_ROUTE_H
#define SERVER_HTTP_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "sslmem/err.h"

struct sm_request;

/* Replies once (server/http/reply.h) or waits (sm_request_wait). Must not block. */
typedef void sm_handler(struct sm_request *request);

struct sm_route {
    const char *method;    /* "GET", "POST"; HEAD and OPTIONS follow from them. NULL ends a table */
    const char *path;      /* at most one {placeholder}, which is a whole segment */
    const char *operation; /* operationId in openapi.yaml */
    const char *accepts;   /* media types and ranges of bodies, comma separated; NULL: no body */
    const char *spools;    /* the accepted types that go to a file, under limits.spool_bytes_max */
    const char *query;     /* names of query parameters, space separated; NULL: none */
    /* Scopes, space separated; the caller's key needs at least one. SM_PUBLIC: no key required.
     * Must be given: sm_routes_check refuses a row without it. */
    const char *scope;
    bool exact; /* answers with figures that cannot be rounded: refused to keys that round */
    /* Its handler rounds for keys that round, or has no figures: only JSON is rounded by the reply.
     * Without it such a key gets 500 in place of other texts, files and streams. */
    bool rounds;
    /* Replies 404 before the body is sent when the resource at the placeholder does not exist. Only
     * the moment of the answer rests on it: the handler finds out again. NULL: not called. */
    sm_handler *exists;
    bool while_draining; /* served until the daemon stops; other routes answer 503 */
    sm_handler *admit;   /* called on the headers; its reply refuses the request before the body */
    sm_handler *handler;
};

#define SM_PUBLIC "public" /* a scope that no key has: sm_route_is_public */

#define SM_CAPTURE_BYTES 128
#define SM_ALLOW_BYTES   64

enum sm_match { SM_MATCH_NONE, SM_MATCH_METHOD, SM_MATCH_OPTIONS, SM_MATCH_OK };

/* Returns SM_INVALID with the first row whose scope is missing or names no scope of SM_SCOPES. A
 * table that fails must not be served. */
enum sm_code sm_routes_check(const struct sm_route *routes, struct sm_err *err);

/* Returns whether the route needs no key. */
bool sm_route_is_public(const struct sm_route *route);

/* Finds the row for a method and a decoded path. `capture` receives the segment at the placeholder
 * (or ""). `allow` receives the methods of the path ("GET, HEAD, OPTIONS"), of all paths for
 * OPTIONS of "*", and "" when the path is unknown. */
enum sm_match sm_route_find(const struct sm_route **out, const struct sm_route *routes,
                            const char *method, const char *path, char capture[SM_CAPTURE_BYTES],
                            char allow[SM_ALLOW_BYTES]);

/* Returns whether a media type is one of `list`, or in one of its ranges, which end in an
 * asterisk. */
bool sm_media_type_in(const char *list, const char *media_type);

/* Returns whether `word` is one of the words of `list`, which any of " ," separate. */
bool sm_word_in(const char *list, const char *word, size_t word_bytes);

#endif
