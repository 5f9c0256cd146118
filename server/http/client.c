/* Clients and their limits. A client connects directly or through a trusted proxy.
 *
 * If a client that connects directly has too many connections, its next one is closed at once,
 * before a handshake and before it uses memory: a reply would cost more than the connection. A
 * client behind a proxy has no connection to close, so the same limit also applies to the requests
 * under way of each client; a request over the limit gets 429. */
#include <microhttpd.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "server/base/metrics.h"
#include "server/http/forwarded.h"
#include "server/http/http_impl.h"

static bool is_trusted(const struct sm_http *http, const struct sm_peer *peer)
{
    for (int i = 0; i < http->trusted_count; i++)
        if (sm_network_has(&http->trusted[i], peer))
            return true;
    return false;
}

/* --- connections --- */

static bool is_refused(struct sm_http *http, const struct sm_peer *peer)
{
    if (!peer->known || is_trusted(http, peer) ||
        sm_clients_count(&http->clients, peer, SM_CLIENT_CONNECTION) <
            http->limits.connections_per_client_max)
        return false;
    sm_metric_add(SM_METRIC_CUTS, 1, "client_limit");
    return true;
}

static struct sm_connection *add(struct sm_http *http, const struct sm_peer *peer, int fd)
{
    struct sm_connection *connection = sm_connections_add(&http->connections, peer, fd);
    sm_metric_add(SM_METRIC_CONNECTIONS, 1, NULL);
    if (!connection)
        return NULL;
    /* sm_client_accept has checked the limit. No limit here: another thread may have accepted a
     * connection of this client since, and both stay. */
    connection->counted = !is_trusted(http, peer) &&
                          sm_clients_take(&http->clients, peer, SM_CLIENT_CONNECTION, INT64_MAX);
    return connection;
}

static void closed(struct sm_http *http, struct sm_connection *connection)
{
    sm_metric_add(SM_METRIC_CONNECTIONS, -1, NULL);
    if (!connection)
        return;
    if (connection->counted)
        sm_clients_give(&http->clients, &connection->peer, SM_CLIENT_CONNECTION);
    sm_connections_remove(&http->connections, connection);
}

enum MHD_Result sm_client_accept(void *cls, const struct sockaddr *address, socklen_t address_bytes)
{
    struct sm_peer peer;
    (void)address_bytes;
    sm_peer_of(&peer, address);
    return is_refused(cls, &peer) ? MHD_NO : MHD_YES;
}

static void connected(struct sm_http *http, struct MHD_Connection *connection, void **link)
{
    const union MHD_ConnectionInfo *from =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct sm_peer peer;
    sm_peer_of(&peer, !from ? NULL : from->client_addr);
    int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    if (!(*link = add(http, &peer, fd)))
        shutdown(fd, SHUT_RDWR);
    if (http->params.tls)
        sm_tls_attach(http->params.tls, connection);
}

void sm_client_connection(void *cls, struct MHD_Connection *connection, void **link,
                          enum MHD_ConnectionNotificationCode what)
{
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        connected(cls, connection, link);
    else
        closed(cls, *link);
}

struct sm_connection *sm_client_link(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return !info ? NULL : info->socket_context;
}

/* Called with the request line, before libmicrohttpd makes a request of it and parses its query.
 * The parser takes memory for each parameter. If that memory runs out, libmicrohttpd 0.9.75 neither
 * answers nor closes the connection, so a line with too many parameters is refused here. */
void *sm_client_url(void *cls, const char *url, struct MHD_Connection *connection)
{
    struct sm_connection *link = sm_client_link(connection);
    int parameters = 0;
    if (link) {
        link->url_bytes = strlen(url);
        link->origin_bytes = sm_target_origin(url);
    }
    for (const char *p = strchr(url, '?'); p; p = strchr(p + 1, '&'))
        parameters++;
    if (parameters > SM_HTTP_PARAMETERS_MAX)
        sm_early_reply_head(cls, connection, parameters);
    return NULL;
}

/* --- requests --- */

struct reading {
    struct sm_forwarded forwarded;
    enum sm_code code;
    struct sm_err err;
};

static enum MHD_Result read_line(void *arg, enum MHD_ValueKind kind, const char *name,
                                 const char *value)
{
    struct reading *reading = arg;
    (void)kind;
    if (strcasecmp(name, "Forwarded") == 0)
        reading->code = sm_forwarded_parse(&reading->forwarded, !value ? "" : value, &reading->err);
    return reading->code == SM_OK ? MHD_YES : MHD_NO;
}

/* Sets the client: the one that a trusted proxy names, or else the peer of the connection. */
static void find_client(struct sm_request *r, const struct sm_peer *peer)
{
    struct reading reading = {.code = SM_OK};
    r->client = *peer;
    if (!is_trusted(r->http, peer))
        return;
    MHD_get_connection_values(r->connection, MHD_HEADER_KIND, read_line, &reading);
    if (reading.code == SM_OK)
        sm_forwarded_client(&r->client, &r->https, &reading.forwarded, peer, r->http->trusted,
                            r->http->trusted_count);
    else
        sm_reply_problem(r, SM_PROBLEM_FORWARDED_INVALID, "%s", reading.err.text);
}

static void reply_limit(struct sm_request *r, const char *what, int64_t max)
{
    sm_reply_problem(r, SM_PROBLEM_CLIENT_LIMIT, "this client has %lld %s", (long long)max, what);
    sm_reply_header(r, MHD_HTTP_HEADER_RETRY_AFTER, "1");
}

void sm_client_admit(struct sm_request *r)
{
    const struct sm_http_limits *limits = &r->http->limits;
    const struct sm_peer nobody = {0};
    const struct sm_connection *link = r->link;
    int64_t max = limits->connections_per_client_max;
    find_client(r, !link ? &nobody : &link->peer);
    if (sm_replied(r))
        return;
    if (!sm_clients_take(&r->http->clients, &r->client, SM_CLIENT_REQUEST, max)) {
        reply_limit(r, "requests under way", max);
        return;
    }
    r->counted = true;
    if (link && link->url_bytes > SM_HTTP_URL_BYTES)
        sm_reply_problem(r, SM_PROBLEM_URL_TOO_LONG, "the URL has %zu bytes, the limit is %d bytes",
                         link->url_bytes, SM_HTTP_URL_BYTES);
}

void sm_client_forget(struct sm_request *r)
{
    if (r->counted)
        sm_clients_give(&r->http->clients, &r->client, SM_CLIENT_REQUEST);
    if (!r->streaming)
        return;
    sm_clients_give(&r->http->clients, &r->client, SM_CLIENT_STREAM);
    atomic_fetch_sub(&r->http->streams, 1);
}

bool sm_request_begin_stream(struct sm_request *r)
{
    struct sm_http *http = r->http;
    int64_t max = http->limits.streams_max, own_max = http->limits.streams_per_client_max;
    if (atomic_fetch_add(&http->streams, 1) >= max) {
        sm_reply_problem(r, SM_PROBLEM_STREAMS_LIMIT, "%lld event streams are open",
                         (long long)max);
        sm_reply_header(r, MHD_HTTP_HEADER_RETRY_AFTER, "5");
    } else if (!sm_clients_take(&http->clients, &r->client, SM_CLIENT_STREAM, own_max)) {
        reply_limit(r, "event streams", own_max);
    } else {
        r->streaming = true;
        return true;
    }
    atomic_fetch_sub(&http->streams, 1);
    return false;
}
