/* Reads all header lines of a condition, because a list of tags may be spread over several lines.
 *
 * If-Match compares strongly, If-None-Match weakly; all tags of the service are strong. */
#include "server/http/condition.h"

#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

#include "core/base/sha256.h"
#include "server/http/reply.h"

struct condition {
    const char *header, *etag;
    bool (*matches)(const char *value, const char *etag);
    bool there, met;
};

static enum MHD_Result look(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct condition *c = arg;
    (void)kind;
    if (!value || strcasecmp(name, c->header) != 0)
        return MHD_YES;
    c->there = true;
    c->met = c->met || c->matches(value, c->etag);
    return MHD_YES;
}

static void evaluate(struct condition *c, const struct sm_request *request)
{
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, look, c);
}

static bool reads(const struct sm_request *request)
{
    return strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
}

static void add_validator(struct sm_request *request, const char *etag)
{
    if (!sm_reply_get_header(request, MHD_HTTP_HEADER_ETAG))
        sm_reply_header(request, MHD_HTTP_HEADER_ETAG, "%s", etag);
    /* The client may store the reply, but must revalidate it before each use. */
    if (!sm_reply_get_header(request, MHD_HTTP_HEADER_CACHE_CONTROL))
        sm_reply_header(request, MHD_HTTP_HEADER_CACHE_CONTROL, "private, no-cache");
}

void sm_etag_of(char out[SM_ETAG_BYTES], const unsigned char digest[32])
{
    char hex[33];
    sm_hex(hex, digest, 16);
    snprintf(out, SM_ETAG_BYTES, "\"%s\"", hex);
}

bool sm_condition_pins(const struct sm_request *request)
{
    const char *tags = sm_request_header(request, MHD_HTTP_HEADER_IF_MATCH);
    return tags && strchr(tags, '"');
}

bool sm_condition_ends(struct sm_request *request, const char *etag)
{
    struct condition is = {MHD_HTTP_HEADER_IF_MATCH, etag, sm_etag_matches_strongly, false, false};
    struct condition is_not = {MHD_HTTP_HEADER_IF_NONE_MATCH, etag, sm_etag_matches, false, false};
    evaluate(&is, request);
    evaluate(&is_not, request);
    if ((is.there && !is.met) || (is_not.met && !reads(request))) {
        sm_reply_problem(request, SM_PROBLEM_PRECONDITION_FAILED, "the ETag is %s now", etag);
        return true;
    }
    if (is_not.met) {
        sm_reply_empty(request, 304);
        add_validator(request, etag);
    }
    return is_not.met;
}

/* Writes the tag that the reply has or will get. Returns false if it has none. */
static bool find_etag(char out[SM_ETAG_BYTES], const struct sm_request *request)
{
    unsigned char digest[SM_SHA256_BYTES];
    const char *set = sm_reply_get_header(request, MHD_HTTP_HEADER_ETAG);
    if (set)
        return (size_t)snprintf(out, SM_ETAG_BYTES, "%s", set) < SM_ETAG_BYTES;
    if (!request->reply_body || sm_reply_get_header(request, MHD_HTTP_HEADER_CACHE_CONTROL))
        return false;
    sm_sha256(digest, request->reply_body, (size_t)request->reply_bytes);
    sm_etag_of(out, digest);
    return true;
}

void sm_condition_apply(struct sm_request *request)
{
    char etag[SM_ETAG_BYTES];
    struct MHD_Response *whole = request->response;
    if (!whole || request->status != 200 || !reads(request) || !find_etag(etag, request))
        return;
    if (sm_condition_ends(request, etag))
        MHD_destroy_response(whole);
    else
        add_validator(request, etag);
}
