/* Replies while the head or the body of a request is still arriving.
 *
 * libmicrohttpd cannot queue a reply at these points, and a close without a reply leaves the client
 * to guess. So these functions write the reply to the socket themselves, on the HTTP thread and
 * between two reads, before libmicrohttpd closes the connection. The reply is one small write, and
 * the socket has room for it, because no other reply is on its way. */
#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "server/base/clock.h"
#include "server/base/id.h"
#include "server/base/metrics.h"
#include "server/http/http_impl.h"

static enum MHD_Result put_header(void *out, enum MHD_ValueKind kind, const char *name,
                                  const char *value)
{
    (void)kind;
    fprintf(out, "%s: %s\r\n", name, value);
    return MHD_YES;
}

/* Returns the whole reply as text, which the caller frees; NULL when out of memory. */
static char *print_reply(const struct sm_request *r, size_t *bytes_count)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, bytes_count);
    if (!out)
        return NULL;
    fprintf(out, "HTTP/1.1 %u %s\r\nContent-Length: %zu\r\nConnection: close\r\n", r->status,
            MHD_get_reason_phrase_for(r->status), (size_t)r->reply_bytes);
    MHD_get_response_headers(r->response, put_header, out);
    fprintf(out, "\r\n%.*s", (int)r->reply_bytes, (const char *)r->reply_body);
    bool whole = ferror(out) == 0;
    if (fclose(out) != 0 || !whole) {
        free(text);
        return NULL;
    }
    return text;
}

/* Sends the text once. Bytes that do not fit are lost: the connection is about to close anyway. */
static void send_now(struct sm_request *r, const char *text, size_t bytes_count)
{
    const union MHD_ConnectionInfo *info;
    if (r->http->params.tls) {
        info = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        if (info)
            gnutls_record_send(info->tls_session, text, bytes_count);
        return;
    }
    info = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info)
        send(info->connect_fd, text, bytes_count, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Sends the reply that is set on the request. */
static void send_problem(struct sm_request *r)
{
    size_t bytes_count;
    sm_reply_complete(r);
    char *text = !r->response ? NULL : print_reply(r, &bytes_count);
    if (text)
        send_now(r, text, bytes_count);
    free(text);
}

void sm_early_reply_body(struct sm_request *r, const char *detail)
{
    sm_metric_add(SM_METRIC_CUTS, 1, "body_deadline");
    sm_reply_problem(r, SM_PROBLEM_BODY_TIMEOUT, "%s", detail);
    send_problem(r);
}

void sm_early_reply_head(struct sm_http *http, struct MHD_Connection *connection, int parameters)
{
    struct sm_request *r = calloc(1, sizeof *r);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct sm_connection *link = sm_client_link(connection);
    sm_metric_add(SM_METRIC_CUTS, 1, "parameters");
    if (link)
        link->cut = true;
    if (r) {
        r->http = http;
        r->connection = connection;
        r->started_ms = sm_clock_monotonic_ms();
        if (link)
            r->client = link->peer;
        sm_id_new(r->id);
        sm_reply_problem(r, SM_PROBLEM_URL_TOO_LONG,
                         "the URL has %d query parameters, the limit is %d", parameters,
                         SM_HTTP_PARAMETERS_MAX);
        send_problem(r);
        sm_log_access(r, true);
        if (r->response)
            MHD_destroy_response(r->response);
        free(r);
    }
    if (info)
        shutdown(info->connect_fd, SHUT_RDWR);
}
