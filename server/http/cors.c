/* Cross-origin resource sharing (the Fetch standard): off unless origins are listed.
 *
 * Pages of a listed origin get their own origin back, never "*", and never the permission to send
 * cookies: keys go in a header that only the page's own code can set. Since what is sent depends on
 * who asks, every reply says so to caches.
 *
 * Reading is what a browser refuses to other pages by itself. A form can still send a request that
 * changes something, so what names an origin that is not listed is refused unless it only reads. */
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

/* The origin of the page, when it is listed; NULL also when there is none. */
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
