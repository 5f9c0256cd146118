/* The HTTP daemon: libmicrohttpd's epoll threads, a route table, limits. Knows nothing of what it
 * serves.
 *
 *     struct sm_http *http;
 *     sm_http_start(&http, &(struct sm_http_params){.listen = "127.0.0.1:0", …}, &err);
 *     printf("http://%s\n", sm_http_address(http));
 *     sm_http_stop(http);
 *
 * On the headers of a request, before its body is sent: 404, 405, 503, what `authorize` refuses,
 * 400 (query), 411, 413, 415, and what the route's own `guard` and `admit` refuse. HEAD is answered
 * as GET, OPTIONS with Allow. */
#ifndef SERVER_HTTP_HTTP_H
#define SERVER_HTTP_HTTP_H

#include "server/http/reply.h"
#include "server/http/request.h"

#define SM_HTTP_HEAD_BYTES       (32 << 10) /* request line and headers; over it 431 or 414 */
#define SM_HTTP_PARAMETERS_MAX   16
#define SM_HTTP_BODY_DEADLINE_MS 120000    /* from the headers to the body's end, and on top … */
#define SM_HTTP_BODY_RATE        (1 << 20) /* … its length at so many bytes per second */
#define SM_HTTP_BODIES_MAX       16        /* bodies of the largest size held at once */
#define SM_HTTP_SPOOLS_MAX       4         /* the same of spooled bodies */
#define SM_HTTP_DRAIN_MS         5000 /* for requests that are under way when the daemon stops */

struct sm_http_params {
    const char *listen; /* "address:port" */
    const struct sm_route *routes;
    void *context; /* for handlers */
    /* Called on the headers of a request whose route has a scope: fills in the caller, or replies.
     * NULL: everybody may do everything. */
    sm_handler *authorize;
    /* Called when the answer to such a request is about to be sent. NULL: not. */
    sm_handler *answered;
    int threads;
    int connections_max;
    int idle_timeout_s;
    int64_t body_bytes_max;
    int64_t spool_bytes_max; /* of a body that its route spools */
    const char *spool;       /* folder of such bodies */
};

enum sm_code sm_http_start(struct sm_http **out, const struct sm_http_params *params,
                           struct sm_err *err);
/* Stops listening, ends waits, lets running requests finish, stops. After it no handler runs. */
void sm_http_stop(struct sm_http *http);

const char *sm_http_address(const struct sm_http *http); /* "127.0.0.1:41234" */
const char *sm_http_version(void);                       /* of libmicrohttpd */

#endif
