/* A request as a handler sees it.
 *
 * Life: made on the first callback of its connection, routed and admitted on the headers, handed to
 * its handler when the body is whole, freed when the connection says that it is done (also when the
 * client went away). A handler either replies (reply.h) or calls sm_request_wait and returns.
 *
 * Owner:   the daemon. `state` belongs to the handler and goes to `state_free` with the request.
 * Threads: a handler runs on one HTTP thread at a time; only sm_request_wake is for other threads.
 */
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

/* Writes what there is to send and returns its bytes; or returns 0 after sm_request_wait, whose
 * `again` is ignored: the stream itself is called again. SM_STREAM_END ends it. */
typedef int64_t sm_stream(struct sm_request *request, char *bytes, size_t bytes_max);
#define SM_STREAM_END (-1)

/* In memory, or in a file without a name when the route says so. */
struct sm_body {
    uint8_t *bytes; /* NULL when empty or spooled */
    size_t bytes_count;
    size_t capacity; /* the declared length */
    bool spooled;
    int fd; /* of a spooled body: read it with pread, or from its start */
};

struct sm_request {
    void *context;                /* sm_http_params.context */
    const struct sm_route *route; /* NULL when nothing matched */
    char capture[SM_CAPTURE_BYTES];
    char media_type[SM_MEDIA_TYPE_BYTES]; /* of the body, one of route->accepts */
    char id[SM_REQUEST_ID_BYTES];         /* X-Request-Id: the client's, or ours */
    char trace[SM_TRACE_BYTES];           /* of traceparent, or "" */
    struct sm_caller caller;              /* whose key it has */
    double figures_sd;     /* spread of figures that are given without their reference; 0: none */
    struct sm_peer client; /* whom it is for, see forwarded.h */
    bool https;            /* so says the proxy that the client speaks to */
    struct sm_body body;
    struct sm_digest digest;                        /* of the body, while it comes */
    char idempotency_key[SM_IDEMPOTENCY_KEY_BYTES]; /* of a POST, or "" */
    char fingerprint[65]; /* of a request with a key, when its body is whole */
    void *idempotency;    /* of who keeps answers (idempotency.h) */
    void *state;
    void (*state_free)(void *state);

    /* Of server/http alone. */
    struct sm_http *http;
    struct sm_park *park;
    struct MHD_Connection *connection;
    struct MHD_Response *response;
    unsigned status;
    const void *reply_body; /* the reply's body while it is in memory, else NULL */
    int64_t reply_bytes;    /* of the body; 0 when not known before it is sent */
    char method[16];
    int64_t started_ms;  /* monotonic */
    int64_t started_us;  /* the same, finer */
    sm_handler *again;   /* what to call next: the route's handler, then what a wait asks for */
    int64_t deadline_ms; /* of the wait, monotonic */
    struct sm_connection *link;
    bool counted, streaming; /* among what its client has */
    bool waiting, woken, parked;
    bool admitted; /* the route's `admit` was asked */
    struct sm_request *park_next, **park_link;
    sm_stream *stream; /* of a reply that is made while it is sent */
};

/* A query parameter, decoded; NULL when absent. */
const char *sm_request_query(const struct sm_request *request, const char *name);
/* A header of the request; NULL when absent. */
const char *sm_request_header(const struct sm_request *request, const char *name);
struct sm_prefer sm_request_prefer(const struct sm_request *request);
/* Counts this request among the event streams, of all and of its client, until it ends; replies and
 * returns false when there are too many. */
bool sm_request_begin_stream(struct sm_request *request);
/* Path and query of this request with parameter `name` set to `value`, percent-encoded: for links.
 * Allocated with malloc; NULL when out of memory. */
char *sm_request_link(const struct sm_request *request, const char *name, const char *value);

#define SM_NO_DEADLINE INT64_MAX

/* Waits: `again` runs on an HTTP thread after sm_request_wake, or at `deadline_ms` (monotonic
 * clock), or when the service drains; a wait without deadline is cut only by the end of the drain.
 */
void sm_request_wait(struct sm_request *request, int64_t deadline_ms, sm_handler *again);
/* Whether waiting longer makes no sense: `deadline_ms` has passed or the service drains. */
bool sm_request_overdue(const struct sm_request *request, int64_t deadline_ms);
/* Whether so many requests wait that one more would take a connection from those who could be
 * answered at once: what can be answered without a wait, should be. */
bool sm_request_crowded(const struct sm_request *request);
/* Whether the service drains: long answers are to come to their end. */
bool sm_request_draining(const struct sm_request *request);
/* Whether even a wait without deadline would be cut now. */
bool sm_request_ending(const struct sm_request *request);
/* Wakes a waiting request, or the next wait of one that is not waiting yet. Any thread, any number
 * of times, until the request's state_free has returned. */
void sm_request_wake(void *request);

#endif
