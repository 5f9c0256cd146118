/* Open connections: records the peer of each, and shuts those that send no request.
 *
 * libmicrohttpd closes a connection that is silent for the idle timeout. A client that sends a byte
 * now and then could stay connected for hours with a handshake or a head that never ends. The
 * sweeper therefore shuts every connection without a request under way for `quiet_max_ms`.
 *
 * Owner:   the daemon; it removes each connection before the stop.
 * Threads: HTTP threads add, remove and set; the module's own thread sweeps. */
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
    bool counted; /* counted as a connection of its client; false for trusted proxies */
    /* The last request's target as it was sent; only for the connection's HTTP thread. */
    size_t url_bytes;
    size_t origin_bytes; /* bytes of scheme and authority, see sm_target_origin */
    bool cut;            /* sm_early_reply_head has answered; the connection must end */

    /* Private to connections.c. */
    int fd;
    bool busy;
    int64_t quiet_since_ms; /* monotonic time of its last request, or of its start */
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

/* Adds a connection; NULL when out of memory. The caller keeps `fd` open until the remove. */
struct sm_connection *sm_connections_add(struct sm_connections *connections,
                                         const struct sm_peer *peer, int fd);
void sm_connections_remove(struct sm_connections *connections, struct sm_connection *connection);
/* Marks whether a request is under way on the connection; restarts its quiet time. */
void sm_connections_set_busy(struct sm_connections *connections, struct sm_connection *connection,
                             bool busy);

#endif
