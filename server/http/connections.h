/* Open connections: whose each is, and the end of those that send no request.
 *
 * libmicrohttpd closes a connection that is silent for the idle timeout. One that sends a byte now
 * and then keeps its place for hours with a handshake or a head that never ends: the sweeper shuts
 * every connection that has had no request under way for `quiet_max_ms`.
 *
 * Owner:   the daemon that the connections belong to; each is removed before the stop.
 * Threads: add, remove and set from the HTTP threads; one thread of its own sweeps. */
#ifndef SERVER_HTTP_CONNECTIONS_H
#define SERVER_HTTP_CONNECTIONS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/peer.h"
#include "sslmem/err.h"

#define SM_CONNECTIONS_SWEEP_MS 250

struct sm_connection {
    struct sm_peer peer;
    bool counted; /* among its client's connections; not those of trusted proxies */
    /* Of the last request's target, as it was sent; of its HTTP thread alone. */
    size_t url_bytes;
    size_t origin_bytes; /* see sm_target_origin */
    bool cut;            /* its request was answered before it was read, see sm_early_reply_head */

    /* Of this module. */
    int fd;
    bool busy;
    int64_t quiet_since_ms; /* monotonic */
    struct sm_connection *next, **link;
};

struct sm_connections {
    pthread_mutex_t lock;
    pthread_cond_t stopping;
    pthread_t sweeper;
    struct sm_connection *first;
    int64_t quiet_max_ms;
    bool stopped;
};

enum sm_code sm_connections_start(struct sm_connections *connections, int64_t quiet_max_ms,
                                  struct sm_err *err);
void sm_connections_stop(struct sm_connections *connections);
void sm_connections_set_quiet_max(struct sm_connections *connections, int64_t quiet_max_ms);

/* NULL when out of memory. `fd` stays open until the remove. */
struct sm_connection *sm_connections_add(struct sm_connections *connections,
                                         const struct sm_peer *peer, int fd);
void sm_connections_remove(struct sm_connections *connections, struct sm_connection *connection);
/* Whether a request is under way on it. */
void sm_connections_set_busy(struct sm_connections *connections, struct sm_connection *connection,
                             bool busy);

#endif
