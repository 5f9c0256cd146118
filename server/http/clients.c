/* A hash table of chains. An attacker who wants to make a chain long needs a different address, and
 * an open connection from it, for each entry. */
#include "server/http/clients.h"

#include <assert.h>
#include <stdlib.h>

struct sm_client {
    struct sm_client *next;
    struct sm_peer group;
    int64_t counts[SM_CLIENT_USES];
};

void sm_clients_init(struct sm_clients *clients)
{
    *clients = (struct sm_clients){0};
    pthread_mutex_init(&clients->lock, NULL);
}

void sm_clients_release(struct sm_clients *clients)
{
    for (int i = 0; i < SM_CLIENTS_BUCKETS; i++)
        assert(!clients->buckets[i]);
    pthread_mutex_destroy(&clients->lock);
}

/* Returns the link to the client's entry, or the link where a new entry belongs. */
static struct sm_client **find(struct sm_clients *clients, const struct sm_peer *group)
{
    uint32_t hash = 2166136261; /* FNV-1a */
    for (size_t i = 0; i < sizeof group->address; i++)
        hash = (hash ^ group->address[i]) * 16777619;
    struct sm_client **at = &clients->buckets[(hash ^ hash >> 16) % SM_CLIENTS_BUCKETS];
    while (*at && !sm_peer_equal(&(*at)->group, group))
        at = &(*at)->next;
    return at;
}

bool sm_clients_take(struct sm_clients *clients, const struct sm_peer *peer, enum sm_client_use use,
                     int64_t max)
{
    struct sm_peer group = sm_peer_group(peer);
    if (!peer->known)
        return true;
    pthread_mutex_lock(&clients->lock);
    struct sm_client **at = find(clients, &group);
    if (!*at && max > 0 && (*at = calloc(1, sizeof **at)))
        (*at)->group = group;
    bool taken = *at && (*at)->counts[use] < max;
    if (taken)
        (*at)->counts[use]++;
    pthread_mutex_unlock(&clients->lock);
    return taken;
}

static bool is_idle(const struct sm_client *client)
{
    for (int i = 0; i < SM_CLIENT_USES; i++)
        if (client->counts[i] > 0)
            return false;
    return true;
}

void sm_clients_give(struct sm_clients *clients, const struct sm_peer *peer, enum sm_client_use use)
{
    struct sm_peer group = sm_peer_group(peer);
    if (!peer->known)
        return;
    pthread_mutex_lock(&clients->lock);
    struct sm_client **at = find(clients, &group), *client = *at;
    assert(client && client->counts[use] > 0);
    client->counts[use]--;
    if (is_idle(client)) {
        *at = client->next;
        free(client);
    }
    pthread_mutex_unlock(&clients->lock);
}

int64_t sm_clients_count(struct sm_clients *clients, const struct sm_peer *peer,
                         enum sm_client_use use)
{
    struct sm_peer group = sm_peer_group(peer);
    pthread_mutex_lock(&clients->lock);
    const struct sm_client *client = *find(clients, &group);
    int64_t count = client ? client->counts[use] : 0;
    pthread_mutex_unlock(&clients->lock);
    return count;
}
