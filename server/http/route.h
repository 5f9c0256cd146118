/* Routes as data: one static table says everything about an operation that is known before its
 * body.
 *
 *     static const struct sm_route routes[] = {
 *         {"GET", "/v1/jobs/{id}", "getJob", .handler = job_get},
 *         {0}};
 *
 * Routing, Allow, 405, 411, 413, 415 and the test against openapi.yaml all derive from the table.
 *
 * Owner, threads: static data, no state. */
#ifndef SERVER_HTTP_ROUTE_H
#define SERVER_HTTP_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

struct sm_request;

/* Replies once (server/http/reply.h) or waits (sm_request_wait). Must not block. */
typedef void sm_handler(struct sm_request *request);

struct sm_route {
    const char *method;    /* "GET", "POST"; HEAD and OPTIONS follow from them. NULL ends a table */
    const char *path;      /* at most one {placeholder}, which is a whole segment */
    const char *operation; /* operationId in openapi.yaml */
    const char *accepts;   /* body media types and ranges, comma separated; NULL: no body */
    const char *spools;    /* those of them whose body goes to a file, with a limit of its own */
    const char *query;     /* names of query parameters, space separated; NULL: none */
    const char *scope;     /* of a key, space separated, any of them; NULL: everybody may */
    bool exact;            /* tells figures that cannot be rounded */
    sm_handler *guard;     /* called before admit: whether what is at the placeholder is there */
    bool while_draining;   /* served to the end, where others are refused */
    sm_handler *admit;     /* called on the headers, before the body is sent; replying refuses it */
    sm_handler *handler;
};

#define SM_CAPTURE_BYTES 128
#define SM_ALLOW_BYTES   64

enum sm_match { SM_MATCH_NONE, SM_MATCH_METHOD, SM_MATCH_OPTIONS, SM_MATCH_OK };

/* Finds the row for a method and a decoded path. `capture` receives what stands at the placeholder
 * (or ""), `allow` the methods of the path ("GET, HEAD, OPTIONS") unless the path is unknown; those
 * of all paths for OPTIONS of "*". */
enum sm_match sm_route_find(const struct sm_route **out, const struct sm_route *routes,
                            const char *method, const char *path, char capture[SM_CAPTURE_BYTES],
                            char allow[SM_ALLOW_BYTES]);

/* Whether a media type is one of `list`, or in one of its ranges, which end in an asterisk. */
bool sm_media_type_in(const char *list, const char *media_type);

/* Whether `word` is one of the words of `list`, which are separated by any of " ,". */
bool sm_word_in(const char *list, const char *word, size_t word_bytes);

#endif
