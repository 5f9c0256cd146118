/* Counts the connections, requests and event streams that each client uses now.
 *
 *     if (!sm_clients_take(&clients, &peer, SM_CLIENT_STREAM, 16)) refuse…
 *     sm_clients_give(&clients, &peer, SM_CLIENT_STREAM);
 *
 * sm_peer_group tells which addresses count as one client. An unknown client is neither counted nor
 * refused.
 *
 * Owner:   the caller; each sm_clients_take that returned true needs its sm_clients_give before the
 *          release.
 * Threads: any; one lock.
 * Cost:    an entry for each client that uses something now; a call walks one of
 *          SM_CLIENTS_BUCKETS chains. */
#ifndef SERVER_HTTP_CLIENTS_H
#define SERVER_HTTP_CLIENTS_H

#include <pthread.h>

#include "server/base/peer.h"

enum sm_client_use {
    SM_CLIENT_CONNECTION,
    SM_CLIENT_REQUEST,
    SM_CLIENT_STREAM,
    SM_CLIENT_USES,
};

#define SM_CLIENTS_BUCKETS 1024

struct sm_clients {
    pthread_mutex_t lock;
    struct sm_client *buckets[SM_CLIENTS_BUCKETS];
};

void sm_clients_init(struct sm_clients *clients);
void sm_clients_release(struct sm_clients *clients);

/* Counts one more use. Returns false, without counting it, if the client already has `max` of them
 * or memory is out. */
bool sm_clients_take(struct sm_clients *clients, const struct sm_peer *peer, enum sm_client_use use,
                     int64_t max);
void sm_clients_give(struct sm_clients *clients, const struct sm_peer *peer,
                     enum sm_client_use use);
int64_t sm_clients_count(struct sm_clients *clients, const struct sm_peer *peer,
                         enum sm_client_use use);

#endif
