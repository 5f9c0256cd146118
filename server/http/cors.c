/* Cross-origin resource sharing (the Fetch standard): off unless the configuration lists origins.
 *
 * A page of a listed origin gets its own origin back, never "*", and never the permission to send
 * cookies: API keys go in a header that only the page's own code can set. Replies differ by origin,
 * so each has "Vary: Origin" for caches.
 *
 * A browser does not let pages of other origins read replies. Their forms can still send requests
 * that change something, so a request from an origin that is not listed is refused unless its
 * method is GET or HEAD. */
#include <microhttpd.h>
#include <string.h>

#include "server/http/http_impl.h"

#define PREFLIGHT_KEPT_S "600"
#define REQUEST_HEADERS                                                                            \
    "Authorization, Content-Digest, Content-Type, Idempotency-Key, If-Match, If-None-Match, "      \
    "Last-Event-ID, Prefer, X-Request-Id, traceparent"
#define REPLY_HEADERS                                                                              \
    "Audit-Completeness, Content-Digest, Content-Disposition, ETag, Link, Location, "              \
    "Preference-Applied, Retry-After, Server-Timing, X-Request-Id"

/* Returns the request's Origin if it is listed; NULL if it is not listed or absent. */
static const char *listed_origin(const struct sm_request *r)
{
    const struct sm_texts *origins = r->http->params.cors_origins;
    const char *origin = sm_request_header(r, "Origin");
    for (int i = 0; origin && origins && i < origins->count; i++)
        if (strcmp(origins->items[i], origin) == 0)
            return origin;
    return NULL;
}

void sm_cors_admit(struct sm_request *r)
{
    const char *origin = sm_request_header(r, "Origin");
    bool reads = strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
    if (origin && !reads && !listed_origin(r))
        sm_reply_problem(r, SM_PROBLEM_ORIGIN_FORBIDDEN, "pages of %.200s may not do this", origin);
}

void sm_cors_preflight(struct sm_request *r, const char *allow)
{
    if (!listed_origin(r) || !sm_request_header(r, "Access-Control-Request-Method"))
        return;
    sm_reply_header(r, "Access-Control-Allow-Methods", "%s", allow);
    sm_reply_header(r, "Access-Control-Allow-Headers", "%s", REQUEST_HEADERS);
    sm_reply_header(r, "Access-Control-Max-Age", "%s", PREFLIGHT_KEPT_S);
}

void sm_cors_complete(struct sm_request *r)
{
    const struct sm_texts *origins = r->http->params.cors_origins;
    const char *origin = listed_origin(r);
    if (!origins || origins->count == 0)
        return;
    sm_reply_header(r, MHD_HTTP_HEADER_VARY, "Origin");
    if (!origin)
        return;
    sm_reply_header(r, "Access-Control-Allow-Origin", "%s", origin);
    sm_reply_header(r, "Access-Control-Expose-Headers", "%s", REPLY_HEADERS);
}
