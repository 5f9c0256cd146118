/* The HTTP daemon: libmicrohttpd's epoll threads, a route table, limits. Knows nothing of what it
 * serves.
 *
 *     struct sm_http *http;
 *     sm_http_start(&http, &(struct sm_http_params){.listen = "127.0.0.1:0", …}, &err);
 *     printf("http://%s\n", sm_http_address(http));
 *     sm_http_stop(http);
 *
 * On the headers of a request, before its body is sent: 429, 414, 404, 405, 403 (origin), 503, what
 * `authorize` refuses, 400 (query), 411, 413, 415, what the route's `exists` and `admit` refuse,
 * 507. A body that comes too slowly is cut with 408. HEAD is answered as GET, OPTIONS with Allow.
 */
#ifndef SERVER_HTTP_HTTP_H
#define SERVER_HTTP_HTTP_H

#include "server/base/settings.h"
#include "server/http/idempotency.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/http/tls.h"

#define SM_HTTP_HEAD_BYTES     (32 << 10) /* request line and headers; over it 431 or 414 */
#define SM_HTTP_URL_BYTES      8192       /* path and query; over it 414 */
#define SM_HTTP_PARAMETERS_MAX 16
#define SM_HTTP_BODIES_MAX     16   /* bodies of the largest size held at once */
#define SM_HTTP_SPOOLS_MAX     4    /* the same of spooled bodies */
#define SM_HTTP_DRAIN_MS       5000 /* for requests that are under way when the daemon stops */

/* What may change while the daemon runs. */
struct sm_http_limits {
    _Atomic int64_t body_bytes_max;
    _Atomic int64_t spool_bytes_max;            /* of a body that its route spools */
    _Atomic int64_t connections_per_client_max; /* and requests under way */
    _Atomic int64_t streams_max, streams_per_client_max;
    _Atomic int64_t head_deadline_ms; /* without a request, on top of the idle timeout */
    _Atomic int64_t body_deadline_ms; /* from the headers to the body's end, and on top … */
    _Atomic int64_t body_rate_min;    /* … its length at so many bytes per second */
};

/* Of the connections, what may wait for an answer; the others are for those who need none. */
#define SM_HTTP_WAITING_MAX(connections_max) (((connections_max) + 1) / 2)

struct sm_http_params {
    const char *listen; /* see listen.h */
    const struct sm_route *routes;
    const struct sm_idempotency_hooks *idempotency; /* NULL: Idempotency-Key is passed over */
    void *context;                                  /* for handlers */
    /* Called on the headers of a request whose route is not public: fills in the caller, or
     * replies. NULL: everybody may do everything. */
    sm_handler *authorize;
    /* Called when the answer to such a request is about to be sent. NULL: not. */
    sm_handler *answered;
    int threads;
    int connections_max;
    int idle_timeout_s;
    const char *spool;          /* folder of bodies that a route spools; its disk is that of all */
    int64_t disk_reserve_bytes; /* free there, and left alone */
    struct sm_http_limits limits;
    struct sm_tls *tls;                     /* NULL: HTTP without TLS */
    const struct sm_texts *trusted_proxies; /* checked networks; NULL: none */
    const struct sm_texts *cors_origins;    /* NULL: none */
};

/* SM_INVALID: the routes (sm_routes_check) or the address. */
enum sm_code sm_http_start(struct sm_http **out, const struct sm_http_params *params,
                           struct sm_err *err);
/* Stops listening, ends waits, lets running requests finish, stops. After it no handler runs. */
void sm_http_stop(struct sm_http *http);

/* From any thread. */
void sm_http_set_limits(struct sm_http *http, const struct sm_http_limits *limits);

const char *sm_http_address(const struct sm_http *http); /* "127.0.0.1:41234", "unix:/path" */
const char *sm_http_version(void);                       /* of libmicrohttpd */

#endif
