/* A request as a handler sees it.
 *
 * Life: the daemon makes the request when its headers have arrived, routes and admits it, and calls
 * the handler when the body is complete. It frees the request after the reply, or when the client
 * has gone. A handler either replies (reply.h) or calls sm_request_wait and returns.
 *
 * Owner:   the daemon. `state` belongs to the handler; the daemon passes it to `state_free` before
 *          it frees the request.
 * Threads: a handler runs on one HTTP thread at a time. Other threads may call sm_request_wake
 *          only. */
#ifndef SERVER_HTTP_REQUEST_H
#define SERVER_HTTP_REQUEST_H

#include <stdint.h>

#include "server/base/caller.h"
#include "server/base/peer.h"
#include "server/http/digest.h"
#include "server/http/header.h"
#include "server/http/route.h"

#define SM_REQUEST_ID_BYTES 65

struct sockaddr;
struct MHD_Connection;
struct MHD_Response;
struct sm_http;
struct sm_park;

/* Produces the next part of a streamed reply: writes up to `bytes_max` bytes and returns their
 * number. If nothing can be sent yet, calls sm_request_wait and returns 0; after the wait, the
 * stream is called again and `again` is ignored. Returns SM_STREAM_END at the end. */
typedef int64_t sm_stream(struct sm_request *request, char *bytes, size_t bytes_max);
#define SM_STREAM_END (-1)

/* A body: in memory, or spooled to a file without a name if the route says so. */
struct sm_body {
    uint8_t *bytes; /* NULL when empty or spooled */
    size_t bytes_count;
    size_t capacity; /* the length that Content-Length declared */
    bool spooled;
    int fd; /* of a spooled body; its offset is at the end: use pread, or seek first */
};

struct sm_request {
    void *context;                /* sm_http_params.context */
    const struct sm_route *route; /* NULL: no route matched */
    char capture[SM_CAPTURE_BYTES];
    char media_type[SM_MEDIA_TYPE_BYTES]; /* the body's type, one of route->accepts */
    char id[SM_REQUEST_ID_BYTES];         /* X-Request-Id: from the client, or made here */
    char trace[SM_TRACE_BYTES];           /* trace-id of traceparent, or "" */
    struct sm_caller caller;              /* the rights of the client's API key */
    double figures_sd;     /* `sd` for sm_round_json, if the reply has no reference; 0: unknown */
    struct sm_peer client; /* the peer, or the client behind a trusted proxy (forwarded.h) */
    bool https;            /* the trusted proxy says that the client uses HTTPS */
    struct sm_body body;
    struct sm_digest digest; /* the digests of the part of the body that has arrived */
    char idempotency_key[SM_IDEMPOTENCY_KEY_BYTES]; /* the Idempotency-Key of a POST, or "" */
    char fingerprint[65]; /* identifies a POST with an idempotency key, once its body is complete */
    void *idempotency;    /* belongs to the hooks of idempotency.h; `enter` sets it */
    void *state;
    void (*state_free)(void *state);

    /* Private to server/http. */
    struct sm_http *http;
    struct sm_park *park;
    struct MHD_Connection *connection;
    struct MHD_Response *response;
    unsigned status;
    const void *reply_body; /* the reply's body while it is in memory, else NULL */
    int64_t reply_bytes;    /* bytes of the reply's body; 0 for a stream or a file */
    char method[16];
    int64_t started_ms;  /* monotonic time at which the headers arrived */
    int64_t started_us;  /* started_ms in microseconds */
    sm_handler *again;   /* next handler: the route's, or the one given to sm_request_wait */
    int64_t deadline_ms; /* monotonic time at which the wait ends */
    struct sm_connection *link;
    bool counted, streaming; /* counted as a request, and as an event stream, of the client */
    bool waiting, woken, parked;
    bool admitted; /* the route's `admit` was called */
    struct sm_request *park_next, **park_link;
    sm_stream *stream; /* produces the body of a streamed reply */
};

/* Returns a query parameter, decoded; NULL when absent. The request owns the text. */
const char *sm_request_query(const struct sm_request *request, const char *name);
/* Returns a header of the request; NULL when absent. The request owns the text. */
const char *sm_request_header(const struct sm_request *request, const char *name);
struct sm_prefer sm_request_prefer(const struct sm_request *request);
/* Counts this request as an event stream, in total and for its client, until the request ends. If
 * there are too many, replies and returns false. */
bool sm_request_begin_stream(struct sm_request *request);
/* Returns path and query of this request, percent-encoded, with parameter `name` set to `value`:
 * for links. The caller frees the text; NULL when out of memory. */
char *sm_request_link(const struct sm_request *request, const char *name, const char *value);

#define SM_NO_DEADLINE INT64_MAX

/* Makes the request wait after its handler returns. `again` runs on an HTTP thread after
 * sm_request_wake, at `deadline_ms` (monotonic clock), or when the service drains; a wait with
 * SM_NO_DEADLINE lasts until the end of the drain. */
void sm_request_wait(struct sm_request *request, int64_t deadline_ms, sm_handler *again);
/* Returns true if a wait until `deadline_ms` would end at once: it has passed, or the service
 * drains. */
bool sm_request_overdue(const struct sm_request *request, int64_t deadline_ms);
/* Returns true if too many requests wait: one more would occupy a connection that requests without
 * a wait need. A handler should then answer without a wait if it can. */
bool sm_request_crowded(const struct sm_request *request);
/* Returns true if the service drains; long replies should then end. */
bool sm_request_draining(const struct sm_request *request);
/* Returns true if even a wait without a deadline would end at once. */
bool sm_request_ending(const struct sm_request *request);
/* Ends the wait of a request; if it does not wait yet, its next wait ends at once. Any thread may
 * call it, any number of times, until the request's state_free has returned. */
void sm_request_wake(void *request);

#endif
