/* Replies: JSON documents and problems (RFC 9457), from one table of codes.
 *
 *     sm_reply_json(request, 202, document);
 *     sm_reply_header(request, "Location", "/v1/jobs/%s", id);
 *
 * A handler calls one of the sm_reply_* functions once, then adds headers. If memory runs out, the
 * request has no reply and its connection is closed. */
#ifndef SERVER_HTTP_REPLY_H
#define SERVER_HTTP_REPLY_H

#include <jansson.h>

#include "server/http/request.h"
#include "sslmem/err.h"

/* X(NAME, status, "code", "title"): all problems of the service, as in openapi.yaml. */
#define SM_PROBLEMS(X)                                                                             \
    X(BODY_EMPTY, 400, "body_empty", "The body is empty")                                          \
    X(BODY_UNEXPECTED, 400, "body_unexpected", "This operation takes no body")                     \
    X(COHORT_INVALID, 400, "cohort_invalid", "The cohort is missing or none of the four")          \
    X(CURSOR_INVALID, 400, "cursor_invalid", "The cursor is not one of this query")                \
    X(DIGEST_INVALID, 400, "digest_invalid", "Content-Digest is malformed")                        \
    X(DIGEST_MISMATCH, 400, "digest_mismatch", "The body is not the one that was sent")            \
    X(IDEMPOTENCY_KEY_INVALID, 400, "idempotency_key_invalid", "Idempotency-Key is malformed")     \
    X(IMAGE_DIGEST_INVALID, 400, "image_digest_invalid",                                           \
      "That is no SHA-256 in hexadecimal digits")                                                  \
    X(HEADER_INVALID, 400, "header_invalid", "A header is malformed or given twice")               \
    X(JSON_INVALID, 400, "json_invalid", "The body is not valid JSON")                             \
    X(MULTIPART_INVALID, 400, "multipart_invalid", "The multipart body is malformed")              \
    X(PAIR_MISSING, 400, "pair_missing", "The query parameter 'pair' is missing")                  \
    X(QUERY_INVALID, 400, "query_invalid", "A query parameter has a bad value")                    \
    X(QUERY_UNKNOWN, 400, "query_unknown", "Unknown query parameter")                              \
    X(FORWARDED_INVALID, 400, "forwarded_invalid", "The proxy's Forwarded header is malformed")    \
    X(ORIGIN_FORBIDDEN, 403, "origin_forbidden", "Pages of this origin may not do that")           \
    X(BODY_TIMEOUT, 408, "body_timeout", "The body came too slowly")                               \
    X(URL_TOO_LONG, 414, "url_too_long", "The URL is over the limit")                              \
    X(CLIENT_LIMIT, 429, "client_limit", "Too much at once from this client")                      \
    X(KEY_INVALID, 401, "key_invalid", "The key is not good")                                      \
    X(KEY_MISSING, 401, "key_missing", "A key is needed")                                          \
    X(DATA_ROOT_MISSING, 403, "data_root_missing", "No data root is configured")                   \
    X(FIGURES_ROUNDED, 403, "figures_rounded", "Not with a key whose figures are rounded")         \
    X(SCOPE_MISSING, 403, "scope_missing", "The key lacks the scope")                              \
    X(AUDIT_UNKNOWN, 404, "audit_unknown", "No such audit")                                        \
    X(JOB_UNKNOWN, 404, "job_unknown", "No such job")                                              \
    X(PAIR_UNKNOWN, 404, "pair_unknown", "No such pair")                                           \
    X(ROUTE_UNKNOWN, 404, "route_unknown", "No such resource")                                     \
    X(SCORE_UNKNOWN, 404, "score_unknown", "No such score")                                        \
    X(METHOD_NOT_ALLOWED, 405, "method_not_allowed", "Method not allowed")                         \
    X(AUDIT_STATE, 409, "audit_state", "The audit is in another state")                            \
    X(IDEMPOTENCY_IN_FLIGHT, 409, "idempotency_in_flight", "The request is under way")             \
    X(PAIR_BUSY, 409, "pair_busy", "Images wait for the pair")                                     \
    X(LENGTH_REQUIRED, 411, "length_required", "Content-Length is required")                       \
    X(PRECONDITION_FAILED, 412, "precondition_failed", "The resource is of another version")       \
    X(BODY_TOO_LARGE, 413, "body_too_large", "The body is over the limit")                         \
    X(CONTENT_ENCODING_UNSUPPORTED, 415, "content_encoding_unsupported",                           \
      "Unsupported content encoding")                                                              \
    X(IMAGE_UNRECOGNISED, 415, "image_unrecognised", "The bytes are no JPEG, PNG or raw image")    \
    X(MEDIA_TYPE_UNSUPPORTED, 415, "media_type_unsupported", "Unsupported media type")             \
    X(ARCHIVE_INVALID, 422, "archive_invalid", "The archive cannot be read")                       \
    X(ARCHIVE_LIMIT, 422, "archive_limit", "The archive is over a limit")                          \
    X(AUDIT_INVALID, 422, "audit_invalid", "The audit is not valid")                               \
    X(COMPARISON_INVALID, 422, "comparison_invalid", "The audits cannot be compared")              \
    X(IDEMPOTENCY_KEY_REUSED, 422, "idempotency_key_reused", "The key belongs to another request") \
    X(IMAGES_LIMIT, 422, "images_limit", "Too many images")                                        \
    X(IMAGES_MISSING, 422, "images_missing", "There is no part 'image'")                           \
    X(IMAGE_CORRUPT, 422, "image_corrupt", "The image is truncated or broken")                     \
    X(IMAGE_ERASED, 422, "image_erased", "The image was erased")                                   \
    X(IMAGE_LIMIT, 422, "image_limit", "The image is over a limit")                                \
    X(IMAGE_UNSUPPORTED, 422, "image_unsupported", "An image of a kind that is not read")          \
    X(MANIFEST_INVALID, 422, "manifest_invalid", "The manifest is not valid")                      \
    X(NOTHING_ADDED, 422, "nothing_added", "Nothing of the upload is in the audit")                \
    X(PAIR_INVALID, 422, "pair_invalid", "The pair cannot be loaded")                              \
    X(PART_UNKNOWN, 422, "part_unknown", "Unknown part")                                           \
    X(RECIPE_INVALID, 422, "recipe_invalid", "The recipe is not valid")                            \
    X(RECIPE_TOO_COSTLY, 422, "recipe_too_costly", "The recipe asks for too much work")            \
    X(UNLEARNING_INVALID, 422, "unlearning_invalid", "The audits show no unlearning")              \
    X(AUTH_LIMITED, 429, "auth_limited", "Too many requests without a good key")                   \
    X(BUDGET_SPENT, 429, "budget_spent", "The key's budget of the day is spent")                   \
    X(INTERNAL, 500, "internal", "Internal error")                                                 \
    X(BUSY, 503, "busy", "Too many uploads at once")                                               \
    X(DRAINING, 503, "draining", "The service is stopping")                                        \
    X(NOT_LIVE, 503, "not_live", "A loop of the service stands still")                             \
    X(NOT_READY, 503, "not_ready", "The service is not ready")                                     \
    X(PAIR_FAILED, 503, "pair_failed", "The pair could not be loaded")                             \
    X(QUEUE_FULL, 503, "queue_full", "The queue is full")                                          \
    X(STORE_UNAVAILABLE, 503, "store_unavailable", "The store cannot be used now")                 \
    X(STREAMS_LIMIT, 503, "streams_limit", "Too many event streams at once")                       \
    X(DISK_FULL, 507, "disk_full", "The disk has no room")

#define SM_PROBLEM_ENUM(NAME, status, code, title) SM_PROBLEM_##NAME,
enum sm_problem { SM_PROBLEMS(SM_PROBLEM_ENUM) SM_PROBLEM_COUNT };

/* Replies with JSON. Steals `body`; NULL (out of memory) becomes the problem "internal". */
void sm_reply_json(struct sm_request *request, unsigned status, json_t *body);
/* Replies 500, because memory ran out. */
void sm_reply_no_memory(struct sm_request *request);
/* Replies with text; rounds the figures in JSON if the caller's API key asks for it. Steals `text`,
 * allocated with malloc; NULL (out of memory): no reply. Other texts, files and streams are not
 * rounded: a key that rounds gets them only from a route that says `rounds`, else 500. */
void sm_reply_text(struct sm_request *request, unsigned status, const char *media_type, char *text);
/* Replies with a stored answer, which was rounded before it was stored. Otherwise as
 * sm_reply_text. */
void sm_reply_stored(struct sm_request *request, unsigned status, const char *media_type,
                     char *text);
/* Replies with bytes that are not copied and must outlive the request. */
void sm_reply_static(struct sm_request *request, unsigned status, const char *media_type,
                     const void *bytes, size_t bytes_count);
/* Replies with the whole regular file `fd`, which it takes over and closes. */
void sm_reply_file(struct sm_request *request, unsigned status, const char *media_type, int fd);
/* Replies 200 with the bytes that `stream` produces. The handler must not reply again. */
void sm_reply_stream(struct sm_request *request, const char *media_type, sm_stream *stream);
void sm_reply_empty(struct sm_request *request, unsigned status);
void sm_reply_problem(struct sm_request *request, enum sm_problem problem, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Replies with a problem that has one more member. Steals its value; NULL: no such member. */
void sm_reply_problem_with(struct sm_request *request, enum sm_problem problem, const char *member,
                           json_t *value, const char *detail);
/* Replies with a problem about one field of a document: errors: [{pointer, detail}]. */
void sm_reply_field_problem(struct sm_request *request, enum sm_problem problem,
                            const struct sm_err *err);
/* Replies with a failure of the service itself (store, memory). Its text goes to the log, not to
 * the client. */
void sm_reply_failure(struct sm_request *request, const struct sm_err *err);

void sm_reply_header(struct sm_request *request, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Returns a header of the reply; NULL if it is not set. */
const char *sm_reply_get_header(const struct sm_request *request, const char *name);
/* Returns the body of the reply if it is in memory, else NULL; also its status and bytes. */
const char *sm_reply_get_body(const struct sm_request *request, unsigned *status,
                              size_t *bytes_count);
/* For the daemon: adds the headers of every reply, unless the handler has set them. */
void sm_reply_complete(struct sm_request *request);

#endif
