/* Decides on the headers of a request: refuses it, or admits it and reserves room for its body. */
#include <microhttpd.h>
#include <string.h>
#include <strings.h>

#include "server/http/http_impl.h"
#include "server/http/idempotency.h"
#include "server/http/reply.h"
#include "server/http/spool.h"

struct query_check {
    struct sm_request *request;
    const char *seen[SM_HTTP_PARAMETERS_MAX];
    size_t seen_count;
};

static enum MHD_Result check_parameter(void *arg, enum MHD_ValueKind kind, const char *name,
                                       const char *value)
{
    struct query_check *check = arg;
    struct sm_request *r = check->request;
    (void)kind;
    if (!sm_word_in(r->route->query, name, strlen(name)) ||
        check->seen_count == sizeof check->seen / sizeof *check->seen) {
        sm_reply_problem(r, SM_PROBLEM_QUERY_UNKNOWN,
                         "query parameter '%.64s' is unknown here; %s%s", name,
                         !r->route->query ? "none is taken" : "known: ",
                         !r->route->query ? "" : r->route->query);
        return MHD_NO;
    }
    for (size_t i = 0; i < check->seen_count; i++)
        if (strcmp(check->seen[i], name) == 0) {
            sm_reply_problem(r, SM_PROBLEM_QUERY_INVALID, "query parameter '%s' is given twice",
                             name);
            return MHD_NO;
        }
    check->seen[check->seen_count++] = name;
    if (!value) {
        sm_reply_problem(r, SM_PROBLEM_QUERY_INVALID, "query parameter '%s' has no value", name);
        return MHD_NO;
    }
    return MHD_YES;
}

static bool spools(const struct sm_request *r)
{
    return sm_media_type_in(r->route->spools, r->media_type);
}

/* Refuses every content coding but "identity": the service decodes no bodies. */
static enum MHD_Result check_coding(void *arg, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    struct sm_request *r = arg;
    (void)kind;
    if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_ENCODING) != 0)
        return MHD_YES;
    for (const char *p = !value ? "" : value; *p != '\0';) {
        size_t n = strcspn(p, " \t,");
        if (n > 0 && (n != strlen("identity") || strncasecmp(p, "identity", n) != 0)) {
            sm_reply_problem(r, SM_PROBLEM_CONTENT_ENCODING_UNSUPPORTED,
                             "Content-Encoding is '%.64s'; send the body as it is, without one",
                             value);
            sm_reply_header(r, MHD_HTTP_HEADER_ACCEPT_ENCODING, "identity");
            return MHD_NO;
        }
        p += n + strspn(p + n, " \t,");
    }
    return MHD_YES;
}

/* Without Content-Type, a body may be of any type (RFC 9110 section 8.3). */
static void read_media_type(struct sm_request *r)
{
    const char *type = sm_request_header(r, MHD_HTTP_HEADER_CONTENT_TYPE);
    sm_media_type(r->media_type, !type || *type == '\0' ? SM_MEDIA_TYPE_ANY : type);
}

/* Compares the headers about the body with what the route accepts; replies if they do not fit. */
static void check_body(struct sm_request *r, int64_t *length)
{
    const char *declared = sm_request_header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);
    bool chunked = sm_request_header(r, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL;
    const struct sm_http_limits *limits = &r->http->limits;
    *length = 0;
    read_media_type(r);
    int64_t limit = spools(r) ? limits->spool_bytes_max : limits->body_bytes_max;
    bool known = declared && sm_digits(length, declared) && !chunked;
    if (!r->route->accepts) {
        if (chunked || (declared && (!known || *length > 0)))
            sm_reply_problem(r, SM_PROBLEM_BODY_UNEXPECTED, "%s %s takes no body", r->route->method,
                             r->route->path);
        return;
    }
    if (!known) {
        sm_reply_problem(r, SM_PROBLEM_LENGTH_REQUIRED,
                         "a body needs Content-Length; chunked bodies are not taken");
        return;
    }
    if (*length > limit) {
        sm_reply_problem(r, SM_PROBLEM_BODY_TOO_LARGE,
                         "the body has %lld bytes, the limit is %lld bytes", (long long)*length,
                         (long long)limit);
        return;
    }
    if (!sm_media_type_in(r->route->accepts, r->media_type)) {
        sm_reply_problem(r, SM_PROBLEM_MEDIA_TYPE_UNSUPPORTED,
                         "Content-Type '%s' is not one of: %s", r->media_type, r->route->accepts);
        sm_reply_header(r, "Accept-Post", "%s", r->route->accepts);
        return;
    }
    MHD_get_connection_values(r->connection, MHD_HEADER_KIND, check_coding, r);
}

/* Finds the row of the route table; replies if no row matches, and to OPTIONS. */
static void find_route(struct sm_request *r, const char *path)
{
    char allow[SM_ALLOW_BYTES];
    switch (sm_route_find(&r->route, r->http->params.routes, r->method, path, r->capture, allow)) {
    case SM_MATCH_NONE:
        sm_reply_problem(r, SM_PROBLEM_ROUTE_UNKNOWN, "there is nothing at %.200s", path);
        break;
    case SM_MATCH_METHOD:
        sm_reply_problem(r, SM_PROBLEM_METHOD_NOT_ALLOWED, "%s is not one of: %s", r->method,
                         allow);
        sm_reply_header(r, MHD_HTTP_HEADER_ALLOW, "%s", allow);
        break;
    case SM_MATCH_OPTIONS:
        sm_reply_empty(r, 204);
        sm_reply_header(r, MHD_HTTP_HEADER_ALLOW, "%s", allow);
        sm_cors_preflight(r, allow);
        break;
    case SM_MATCH_OK:
        break;
    }
}

static void reserve_file(struct sm_request *r, int64_t length)
{
    struct sm_http *http = r->http;
    struct sm_err err;
    switch (
        sm_body_spool(&r->body, &http->spool_budget, http->params.spool, (size_t)length, &err)) {
    case SM_OK:
        return;
    case SM_BUSY:
        sm_reply_problem(r, SM_PROBLEM_BUSY, "%s", err.text);
        break;
    case SM_FULL:
        sm_reply_problem(r, SM_PROBLEM_DISK_FULL, "%s", err.text);
        break;
    default:
        sm_reply_failure(r, &err);
        return;
    }
    sm_reply_header(r, MHD_HTTP_HEADER_RETRY_AFTER, "5");
}

static enum MHD_Result declare_digest(void *arg, enum MHD_ValueKind kind, const char *name,
                                      const char *value)
{
    struct sm_request *r = arg;
    struct sm_err err;
    (void)kind;
    if (strcasecmp(name, "Content-Digest") != 0 ||
        sm_digest_declare(&r->digest, !value ? "" : value, &err) == SM_OK)
        return MHD_YES;
    sm_reply_problem(r, SM_PROBLEM_DIGEST_INVALID, "Content-Digest: %s", err.text);
    return MHD_NO;
}

void sm_admit_route(struct sm_request *r)
{
    r->admitted = true;
    if (r->route->admit)
        r->route->admit(r);
}

/* Refuses a body for which the disk has no room. This applies to every body, because the service
 * stores whatever it makes of it on that disk. */
static void check_disk(struct sm_request *r, int64_t length)
{
    const struct sm_http_params *params = &r->http->params;
    struct sm_err err;
    if (length == 0 ||
        sm_spool_room(params->spool, length, params->disk_reserve_bytes, &err) == SM_OK)
        return;
    sm_reply_problem(r, SM_PROBLEM_DISK_FULL, "%s", err.text);
    sm_reply_header(r, MHD_HTTP_HEADER_RETRY_AFTER, "5");
}

void sm_admit(struct sm_request *r, const char *path)
{
    struct query_check check = {.request = r};
    int64_t length = 0;
    sm_client_admit(r);
    if (!sm_replied(r))
        find_route(r, path);
    if (!sm_replied(r))
        sm_cors_admit(r);
    if (!sm_replied(r) && !r->route->while_draining && sm_park_draining(r->park)) {
        sm_reply_problem(r, SM_PROBLEM_DRAINING, "the service is stopping");
        sm_reply_header(r, MHD_HTTP_HEADER_RETRY_AFTER, "5");
        sm_reply_header(r, MHD_HTTP_HEADER_CONNECTION, "close"); /* sends the client elsewhere */
    }
    if (!sm_replied(r) && !sm_route_is_public(r->route) && r->http->params.authorize)
        r->http->params.authorize(r);
    if (!sm_replied(r))
        MHD_get_connection_values(r->connection, MHD_GET_ARGUMENT_KIND, check_parameter, &check);
    if (!sm_replied(r))
        check_body(r, &length);
    if (!sm_replied(r) && r->route->exists)
        r->route->exists(r);
    if (!sm_replied(r))
        MHD_get_connection_values(r->connection, MHD_HEADER_KIND, declare_digest, r);
    if (!sm_replied(r) && r->http->params.idempotency)
        sm_idempotency_read(r);
    r->digest.wants_sha256 = r->idempotency_key[0] != '\0';
    if (!sm_replied(r) && (r->idempotency_key[0] == '\0' || !r->http->params.idempotency->known(r)))
        sm_admit_route(r);
    if (!sm_replied(r))
        check_disk(r, length);
    if (!sm_replied(r) && spools(r))
        reserve_file(r, length);
    else if (!sm_replied(r) &&
             sm_body_reserve(&r->body, &r->http->budget, (size_t)length) != SM_OK) {
        sm_reply_problem(r, SM_PROBLEM_BUSY, "no room for a body of %lld bytes now",
                         (long long)length);
        sm_reply_header(r, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    }
}
