/* The sweeper walks the list of connections a few times a second. When it shuts a socket,
 * libmicrohttpd wakes and closes the connection as if the client had gone. The sweeper shuts a
 * descriptor under the lock that sm_connections_remove also takes, and the remove comes before the
 * close, so the number cannot belong to another connection by then. */
#include "server/http/connections.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "server/base/clock.h"
#include "server/base/metrics.h"

static void sweep(struct sm_connections *connections)
{
    int64_t oldest_ms = sm_clock_monotonic_ms() - connections->quiet_max_ms;
    for (struct sm_connection *c = connections->first; c; c = c->next)
        if (!c->busy && c->quiet_since_ms < oldest_ms) {
            shutdown(c->fd, SHUT_RDWR);
            c->busy = true; /* so that it is shut only once */
            sm_metric_add(SM_METRIC_CUTS, 1, "head_deadline");
        }
}

static void *sweeper_main(void *arg)
{
    struct sm_connections *connections = arg;
    pthread_mutex_lock(&connections->lock);
    while (!connections->stopped) {
        int64_t next_ms = sm_clock_monotonic_ms() + SM_CONNECTIONS_SWEEP_MS;
        struct timespec until = {next_ms / 1000, next_ms % 1000 * 1000000};
        sweep(connections);
        pthread_cond_timedwait(&connections->stopping, &connections->lock, &until);
    }
    pthread_mutex_unlock(&connections->lock);
    return NULL;
}

enum sm_code sm_connections_start(struct sm_connections *connections, int64_t quiet_max_ms,
                                  struct sm_err *err)
{
    pthread_condattr_t attr;
    *connections = (struct sm_connections){.quiet_max_ms = quiet_max_ms};
    pthread_mutex_init(&connections->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&connections->stopping, &attr);
    pthread_condattr_destroy(&attr);
    int rc = pthread_create(&connections->sweeper, NULL, sweeper_main, connections);
    if (rc == 0)
        return SM_OK;
    pthread_cond_destroy(&connections->stopping);
    pthread_mutex_destroy(&connections->lock);
    return sm_err_set(err, SM_IO, "thread of connections: %s", strerror(rc));
}

void sm_connections_stop(struct sm_connections *connections)
{
    pthread_mutex_lock(&connections->lock);
    connections->stopped = true;
    pthread_cond_signal(&connections->stopping);
    pthread_mutex_unlock(&connections->lock);
    pthread_join(connections->sweeper, NULL);
    pthread_cond_destroy(&connections->stopping);
    pthread_mutex_destroy(&connections->lock);
}

void sm_connections_set_quiet_max(struct sm_connections *connections, int64_t quiet_max_ms)
{
    pthread_mutex_lock(&connections->lock);
    connections->quiet_max_ms = quiet_max_ms;
    pthread_mutex_unlock(&connections->lock);
}

struct sm_connection *sm_connections_add(struct sm_connections *connections,
                                         const struct sm_peer *peer, int fd)
{
    struct sm_connection *c = malloc(sizeof *c);
    if (!c)
        return NULL;
    *c = (struct sm_connection){.peer = *peer, .fd = fd, .quiet_since_ms = sm_clock_monotonic_ms()};
    pthread_mutex_lock(&connections->lock);
    c->next = connections->first;
    c->link = &connections->first;
    if (c->next)
        c->next->link = &c->next;
    connections->first = c;
    pthread_mutex_unlock(&connections->lock);
    return c;
}

void sm_connections_remove(struct sm_connections *connections, struct sm_connection *c)
{
    pthread_mutex_lock(&connections->lock);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    pthread_mutex_unlock(&connections->lock);
    free(c);
}

void sm_connections_set_busy(struct sm_connections *connections, struct sm_connection *c, bool busy)
{
    pthread_mutex_lock(&connections->lock);
    c->busy = busy;
    c->quiet_since_ms = sm_clock_monotonic_ms();
    pthread_mutex_unlock(&connections->lock);
}
