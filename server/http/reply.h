/* Replies: JSON documents and problems (RFC 9457), from one table of codes.
 *
 *     sm_reply_json(request, 202, document);
 *     sm_reply_header(request, "Location", "/v1/jobs/%s", id);
 *
 * Each sm_reply_* sets the reply of the request once; headers are added after it. A reply that
 * cannot be made for lack of memory leaves the request without one, and its connection is closed.
 */
#ifndef SERVER_HTTP_REPLY_H
#define SERVER_HTTP_REPLY_H

#include <jansson.h>

#include "server/http/request.h"
#include "sslmem/err.h"

/* X(NAME, status, "code", "title"): every problem of the service. openapi.yaml lists the same
 * codes. */
#define SM_PROBLEMS(X)                                                                             \
    X(BODY_EMPTY, 400, "body_empty", "The body is empty")                                          \
    X(BODY_UNEXPECTED, 400, "body_unexpected", "This operation takes no body")                     \
    X(COHORT_INVALID, 400, "cohort_invalid", "The cohort is missing or none of the four")          \
    X(CURSOR_INVALID, 400, "cursor_invalid", "The cursor is not one of this query")                \
    X(HEADER_INVALID, 400, "header_invalid", "A header is malformed or given twice")               \
    X(JSON_INVALID, 400, "json_invalid", "The body is not valid JSON")                             \
    X(MULTIPART_INVALID, 400, "multipart_invalid", "The multipart body is malformed")              \
    X(PAIR_MISSING, 400, "pair_missing", "The query parameter 'pair' is missing")                  \
    X(QUERY_INVALID, 400, "query_invalid", "A query parameter has a bad value")                    \
    X(QUERY_UNKNOWN, 400, "query_unknown", "Unknown query parameter")                              \
    X(DATA_ROOT_MISSING, 403, "data_root_missing", "No data root is configured")                   \
    X(AUDIT_UNKNOWN, 404, "audit_unknown", "No such audit")                                        \
    X(JOB_UNKNOWN, 404, "job_unknown", "No such job")                                              \
    X(PAIR_UNKNOWN, 404, "pair_unknown", "No such pair")                                           \
    X(ROUTE_UNKNOWN, 404, "route_unknown", "No such resource")                                     \
    X(SCORE_UNKNOWN, 404, "score_unknown", "No such score")                                        \
    X(METHOD_NOT_ALLOWED, 405, "method_not_allowed", "Method not allowed")                         \
    X(AUDIT_STATE, 409, "audit_state", "The audit is in another state")                            \
    X(LENGTH_REQUIRED, 411, "length_required", "Content-Length is required")                       \
    X(BODY_TOO_LARGE, 413, "body_too_large", "The body is over the limit")                         \
    X(IMAGE_UNRECOGNISED, 415, "image_unrecognised", "The bytes are neither JPEG nor PNG")         \
    X(MEDIA_TYPE_MISMATCH, 415, "media_type_mismatch", "The bytes are not of the declared type")   \
    X(MEDIA_TYPE_UNSUPPORTED, 415, "media_type_unsupported", "Unsupported media type")             \
    X(ARCHIVE_INVALID, 422, "archive_invalid", "The archive cannot be read")                       \
    X(ARCHIVE_LIMIT, 422, "archive_limit", "The archive is over a limit")                          \
    X(AUDIT_INVALID, 422, "audit_invalid", "The audit is not valid")                               \
    X(COMPARISON_INVALID, 422, "comparison_invalid", "The audits cannot be compared")              \
    X(IMAGES_LIMIT, 422, "images_limit", "Too many images")                                        \
    X(IMAGES_MISSING, 422, "images_missing", "There is no part 'image'")                           \
    X(IMAGE_CORRUPT, 422, "image_corrupt", "The image is truncated or broken")                     \
    X(IMAGE_LIMIT, 422, "image_limit", "The image is over a limit")                                \
    X(IMAGE_UNSUPPORTED, 422, "image_unsupported", "An image of a kind that is not read")          \
    X(MANIFEST_INVALID, 422, "manifest_invalid", "The manifest is not valid")                      \
    X(PART_UNKNOWN, 422, "part_unknown", "Unknown part")                                           \
    X(RECIPE_INVALID, 422, "recipe_invalid", "The recipe is not valid")                            \
    X(INTERNAL, 500, "internal", "Internal error")                                                 \
    X(BUSY, 503, "busy", "Too many uploads at once")                                               \
    X(DRAINING, 503, "draining", "The service is stopping")                                        \
    X(NOT_READY, 503, "not_ready", "The service is not ready")                                     \
    X(PAIR_FAILED, 503, "pair_failed", "The pair could not be loaded")                             \
    X(QUEUE_FULL, 503, "queue_full", "The queue is full")                                          \
    X(STORE_UNAVAILABLE, 503, "store_unavailable", "The store cannot be used now")                 \
    X(STREAMS_LIMIT, 503, "streams_limit", "Too many event streams at once")                       \
    X(DISK_FULL, 507, "disk_full", "The disk has no room")

#define SM_PROBLEM_ENUM(NAME, status, code, title) SM_PROBLEM_##NAME,
enum sm_problem { SM_PROBLEMS(SM_PROBLEM_ENUM) SM_PROBLEM_COUNT };

/* Steals `body`; NULL (out of memory) becomes the problem "internal". */
void sm_reply_json(struct sm_request *request, unsigned status, json_t *body);
/* Steals a line of JSON: status 200 and a strong ETag of the text; 304 when If-None-Match has it.
 */
void sm_reply_line_cached(struct sm_request *request, char *line);
/* Steals `text`, which malloc gave; NULL: out of memory. */
void sm_reply_text(struct sm_request *request, unsigned status, const char *media_type, char *text);
/* Bytes that outlive the request. */
void sm_reply_static(struct sm_request *request, unsigned status, const char *media_type,
                     const void *bytes, size_t bytes_count);
/* The whole of a regular file; takes the descriptor. */
void sm_reply_file(struct sm_request *request, unsigned status, const char *media_type, int fd);
/* What `stream` gives, until it ends; the handler must not be called again. */
void sm_reply_stream(struct sm_request *request, const char *media_type, sm_stream *stream);
void sm_reply_empty(struct sm_request *request, unsigned status);
void sm_reply_problem(struct sm_request *request, enum sm_problem problem, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* With errors: [{pointer, detail}] about one field of a document. */
void sm_reply_field_problem(struct sm_request *request, enum sm_problem problem,
                            const struct sm_err *err);
/* A failure of our own (store, memory): the text goes to the log, not to the client. */
void sm_reply_failure(struct sm_request *request, const struct sm_err *err);

void sm_reply_header(struct sm_request *request, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Of the daemon: adds the headers that every reply has and this one does not have yet. */
void sm_reply_complete(struct sm_request *request);

#endif
