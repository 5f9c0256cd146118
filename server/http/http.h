/* The HTTP daemon: libmicrohttpd's epoll threads, a route table, limits. It does not know what its
 * routes do.
 *
 *     struct sm_http *http;
 *     sm_http_start(&http, &(struct sm_http_params){.listen = "127.0.0.1:0", …}, &err);
 *     printf("http://%s\n", sm_http_address(http));
 *     sm_http_stop(http);
 *
 * The daemon refuses a request on its headers, before the client sends the body, in this order:
 * 429, 414, 404, 405, 403 (origin), 503, refusals of `authorize`, 400 (query), 411, 413, 415,
 * refusals of `exists` and `admit` of the route, 507. It stops a body that comes too slowly with
 * 408. It answers HEAD as GET without the body, and OPTIONS with Allow. */
#ifndef SERVER_HTTP_HTTP_H
#define SERVER_HTTP_HTTP_H

#include "server/base/settings.h"
#include "server/http/idempotency.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/http/tls.h"

#define SM_HTTP_HEAD_BYTES     (32 << 10) /* request line and headers; over it 431 or 414 */
#define SM_HTTP_URL_BYTES      8192       /* bytes of path and query; over it 414 */
#define SM_HTTP_PARAMETERS_MAX 16
#define SM_HTTP_BODIES_MAX     16   /* bodies of the largest size held at once */
#define SM_HTTP_SPOOLS_MAX     4    /* spooled bodies of the largest size held at once */
#define SM_HTTP_DRAIN_MS       5000 /* for requests that are under way when the daemon stops */

/* Limits that may change while the daemon runs. */
struct sm_http_limits {
    _Atomic int64_t body_bytes_max;
    _Atomic int64_t spool_bytes_max;            /* bytes of a spooled body */
    _Atomic int64_t connections_per_client_max; /* connections, and requests under way */
    _Atomic int64_t streams_max, streams_per_client_max;
    _Atomic int64_t head_deadline_ms; /* time without a request, in addition to the idle timeout */
    /* A body must be complete body_deadline_ms after the headers, plus its length divided by
     * body_rate_min (bytes per second). */
    _Atomic int64_t body_deadline_ms;
    _Atomic int64_t body_rate_min;
};

/* How many connections may wait for an answer; the others stay free for requests without a wait. */
#define SM_HTTP_WAITING_MAX(connections_max) (((connections_max) + 1) / 2)

struct sm_http_params {
    const char *listen; /* address in the form that sm_listen accepts */
    const struct sm_route *routes;
    const struct sm_idempotency_hooks *idempotency; /* NULL: Idempotency-Key is ignored */
    void *context;                                  /* copied to request->context */
    /* Called on the headers of a request whose route is not public: fills in the caller, or
     * replies. NULL: no authorization. */
    sm_handler *authorize;
    /* Called just before the reply is sent, if the route has a scope. May be NULL. */
    sm_handler *answered;
    int threads;
    int connections_max;
    int idle_timeout_s;
    const char *spool;          /* folder for spooled bodies; its disk holds the database too */
    int64_t disk_reserve_bytes; /* free space that every body must leave on that disk */
    struct sm_http_limits limits;
    struct sm_tls *tls;                     /* the certificate; NULL: HTTP without TLS */
    const struct sm_texts *trusted_proxies; /* texts that sm_network_parse accepts; may be NULL */
    const struct sm_texts *cors_origins;    /* origins that sm_origin_valid accepts; may be NULL */
};

/* SM_INVALID: the routes (sm_routes_check) or the address. */
enum sm_code sm_http_start(struct sm_http **out, const struct sm_http_params *params,
                           struct sm_err *err);
/* Refuses new requests and ends waits that have a deadline; gives requests SM_HTTP_DRAIN_MS to
 * finish; ends all waits and stops. No handler runs after it returns. Frees `http`, which may be
 * NULL. */
void sm_http_stop(struct sm_http *http);

/* From any thread. */
void sm_http_set_limits(struct sm_http *http, const struct sm_http_limits *limits);

const char *sm_http_address(const struct sm_http *http); /* such as "127.0.0.1:41234" */
const char *sm_http_version(void);                       /* the version of libmicrohttpd */

#endif
