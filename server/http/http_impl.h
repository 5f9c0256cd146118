/* Shared by the files of the daemon. Private to server/http. */
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
    struct sm_http_params params; /* as given to sm_http_start, except limits: use those below */
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

/* Returns true once a reply was set, even if it was then lost for lack of memory. */
static inline bool sm_replied(const struct sm_request *request)
{
    return request->status != 0;
}

/* --- admit.c --- */

/* Makes all decisions on the headers: sets a reply, or makes the request ready for its body. */
void sm_admit(struct sm_request *request, const char *path);
/* Calls the route's `admit`. */
void sm_admit_route(struct sm_request *request);

/* --- client.c: clients and their limits --- */

/* Finds the client of a request and counts the request; replies if a limit refuses it. */
void sm_client_admit(struct sm_request *request);
/* Undoes all counts of the request. */
void sm_client_forget(struct sm_request *request);
/* Callbacks of libmicrohttpd, which passes the daemon as first argument: before it accepts a
 * connection, when a connection begins and ends, and when a request line has arrived. */
enum MHD_Result sm_client_accept(void *http, const struct sockaddr *address,
                                 socklen_t address_bytes);
void sm_client_connection(void *http, struct MHD_Connection *connection, void **link,
                          enum MHD_ConnectionNotificationCode what);
void *sm_client_url(void *http, const char *url, struct MHD_Connection *connection);
/* Returns the record of a connection; NULL if there was no memory for it. */
struct sm_connection *sm_client_link(struct MHD_Connection *connection);

/* --- cors.c: web pages of other origins --- */

/* Refuses a request other than GET and HEAD from a page whose origin is not listed. */
void sm_cors_admit(struct sm_request *request);
/* Adds to a reply to OPTIONS what a preflight request of a browser needs; `allow`: the methods, as
 * in the header Allow. */
void sm_cors_preflight(struct sm_request *request, const char *allow);
/* Adds the headers that pages of listed origins need to read the reply. */
void sm_cors_complete(struct sm_request *request);

/* --- early_reply.c --- */

/* Replies 408 in the middle of an upload; the caller must then close the connection. */
void sm_early_reply_body(struct sm_request *request, const char *detail);
/* Replies 414 to a request line with too many query parameters, and shuts the connection. */
void sm_early_reply_head(struct sm_http *http, struct MHD_Connection *connection, int parameters);

/* --- http.c --- */

/* Writes the log line of a request. `whole`: the whole reply was sent. */
void sm_log_access(const struct sm_request *request, bool whole);

#endif
