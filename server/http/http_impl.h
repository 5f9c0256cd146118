/* What the files of the daemon share. Private to server/http. */
#ifndef SERVER_HTTP_HTTP_IMPL_H
#define SERVER_HTTP_HTTP_IMPL_H

#include <microhttpd.h>
#include <stdatomic.h>

#include "server/http/body.h"
#include "server/http/clients.h"
#include "server/http/connections.h"
#include "server/http/http.h"
#include "server/http/listen.h"
#include "server/http/park.h"

struct sm_http {
    struct sm_http_params params; /* but for the limits, which change */
    struct sm_http_limits limits;
    struct sm_listener listener;
    struct MHD_Daemon *daemon;
    struct sm_park park;
    struct sm_connections connections;
    struct sm_clients clients;
    struct sm_network trusted[SM_TEXTS_MAX];
    int trusted_count;
    struct sm_body_budget budget, spool_budget;
    atomic_int active, streams;
};

/* A reply was set; it may be lost again for lack of memory. */
static inline bool sm_replied(const struct sm_request *request)
{
    return request->status != 0;
}

/* --- admit.c --- */

/* Decides on the headers: sets a reply, or leaves the request ready for its body. */
void sm_admit(struct sm_request *request, const char *path);
/* The part of it that is the route's own. */
void sm_admit_route(struct sm_request *request);

/* --- client.c: who asks, and how much of it --- */

/* Finds the client of a request and counts the request; replies when it may not go on. */
void sm_client_admit(struct sm_request *request);
/* Takes back what the request was counted as. */
void sm_client_forget(struct sm_request *request);
/* libmicrohttpd's callbacks, the daemon their closure: before a connection is taken, when it begins
 * and ends, and when a request line is there. */
enum MHD_Result sm_client_accept(void *http, const struct sockaddr *address,
                                 socklen_t address_bytes);
void sm_client_connection(void *http, struct MHD_Connection *connection, void **link,
                          enum MHD_ConnectionNotificationCode what);
void *sm_client_url(void *http, const char *url, struct MHD_Connection *connection);
/* NULL when there was no memory for it. */
struct sm_connection *sm_client_link(struct MHD_Connection *connection);

/* --- cors.c: web pages of other origins --- */

/* Refuses what would change something on behalf of a page that is not listed. */
void sm_cors_admit(struct sm_request *request);
/* What a browser asks before it sends the request itself; `allow` as in Allow. */
void sm_cors_preflight(struct sm_request *request, const char *allow);
/* Adds what a reply needs for pages of the listed origins. */
void sm_cors_complete(struct sm_request *request);

/* --- cut.c --- */

/* Answers in the middle of an upload: the connection must be closed after it. */
void sm_early_reply_body(struct sm_request *request, const char *detail);
/* Answers a request line with too many query parameters, and shuts the connection. */
void sm_early_reply_head(struct sm_http *http, struct MHD_Connection *connection, int parameters);

/* --- http.c --- */

/* Writes the log line of an answer. `whole`: all of it was sent. */
void sm_log_access(const struct sm_request *request, bool whole);

#endif
