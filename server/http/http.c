/* The daemon and the life of a request.
 *
 * libmicrohttpd calls `on_access` once with the headers, then for each fragment of the body, then
 * once more when the request is complete, and again after every resume. A refusal must be sent on
 * the first call: later, libmicrohttpd would read the whole body first (measured on 0.9.75). So
 * `sm_admit` checks everything that the headers tell on the first call, and only a body of known,
 * bounded length follows.
 *
 * A refusal before the body closes the connection, because the body that the client still sends
 * would be read as its next request. A refusal of an ambiguous head closes it too. A request
 * without a body is refused on the second call, which keeps the connection open. */
#include "server/http/http.h"

#include <microhttpd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/base/clock.h"
#include "server/base/id.h"
#include "server/base/log.h"
#include "server/base/metrics.h"
#include "server/http/condition.h"
#include "server/http/head.h"
#include "server/http/http_impl.h"

/* --- the life of a request --- */

/* Called when the body is complete: checks its digest and the idempotency key, then calls the
 * route's handler. */
static void enter(struct sm_request *r)
{
    uint8_t sha256[SHA256_DIGEST_SIZE];
    struct sm_err err;
    r->again = r->route->handler;
    if (sm_digest_check(&r->digest, sha256, &err) != SM_OK) {
        sm_reply_problem(r, SM_PROBLEM_DIGEST_MISMATCH, "%s", err.text);
        return;
    }
    if (r->idempotency_key[0] != '\0') {
        sm_idempotency_fingerprint(r, sha256);
        r->http->params.idempotency->enter(r);
    }
    if (!sm_replied(r) && !r->admitted) /* the stored answer has expired since the headers */
        sm_admit_route(r);
    if (!sm_replied(r))
        r->again(r);
}

/* Takes the client's X-Request-Id if it is short and has only safe characters; else makes an id. */
static void set_request_id(struct sm_request *r)
{
    static const char safe[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._";
    const char *theirs = sm_request_header(r, "X-Request-Id");
    size_t n = !theirs ? 0 : strspn(theirs, safe);
    if (n > 0 && n < sizeof r->id && theirs[n] == '\0')
        memcpy(r->id, theirs, n + 1);
    else
        sm_id_new(r->id);
}

static enum MHD_Result send_reply(struct sm_request *r)
{
    if (!r->response)
        return MHD_NO; /* lost for lack of memory: the connection is closed */
    sm_condition_apply(r);
    sm_reply_complete(r);
    if (!r->response)
        return MHD_NO;
    if (r->route && !sm_route_is_public(r->route) && r->http->params.answered)
        r->http->params.answered(r);
    enum MHD_Result queued = MHD_queue_response(r->connection, r->status, r->response);
    MHD_destroy_response(r->response);
    r->response = NULL;
    return queued;
}

static bool has_body(const struct sm_request *r)
{
    const char *length = sm_request_header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return sm_request_header(r, MHD_HTTP_HEADER_TRANSFER_ENCODING) ||
           (length && strcmp(length, "0") != 0);
}

/* Returns the path of a decoded request target. In absolute form, the path follows the origin,
 * which decoding does not change. Without a path, OPTIONS means the whole service (RFC 9112 section
 * 3.2.4), and other methods mean its root. */
static const char *target_path(const struct sm_request *r, const char *target)
{
    const char *path = target + (!r->link ? 0 : r->link->origin_bytes);
    if (*path != '\0')
        return path;
    return strcmp(r->method, MHD_HTTP_METHOD_OPTIONS) == 0 ? "*" : "/";
}

static enum MHD_Result begin(struct sm_http *http, struct MHD_Connection *connection,
                             const char *path, const char *method, void **closure)
{
    struct sm_connection *link = sm_client_link(connection);
    bool cut = link && link->cut;
    struct sm_request *r = cut ? NULL : calloc(1, sizeof *r);
    if (!r)
        return MHD_NO;
    *closure = r;
    atomic_fetch_add(&http->active, 1);
    sm_metric_add(SM_METRIC_HTTP_NOW, 1, NULL);
    r->http = http;
    r->park = &http->park;
    r->connection = connection;
    if ((r->link = link))
        sm_connections_set_busy(&http->connections, r->link, true);
    r->context = http->params.context;
    r->started_us = sm_clock_monotonic_us();
    r->started_ms = r->started_us / 1000;
    snprintf(r->method, sizeof r->method, "%s", method);
    set_request_id(r);
    sm_trace_id(r->trace, sm_request_header(r, "traceparent"));
    bool certain = sm_head_check(r);
    if (certain)
        sm_admit(r, target_path(r, path));
    if (!sm_replied(r)) {
        r->again = enter;
        return MHD_YES;
    }
    if (certain && !has_body(r))
        return MHD_YES; /* the next call sends it: a reply sent by this call closes */
    sm_reply_header(r, MHD_HTTP_HEADER_CONNECTION, "close");
    return send_reply(r);
}

/* Runs handlers until one replies or the request is suspended. */
static enum MHD_Result run(struct sm_request *r)
{
    do {
        sm_park_begin(r);
        r->again(r);
        if (!r->waiting && r->idempotency)
            r->http->params.idempotency->leave(r);
        if (!r->waiting)
            return send_reply(r);
    } while (!sm_park_enter(r));
    return MHD_YES;
}

/* Returns true, after a reply, if the body comes more slowly than the limits allow. This is checked
 * whenever a part of the body comes; the idle timeout ends connections that send nothing. */
static bool is_slow(struct sm_request *r)
{
    const struct sm_http_limits *limits = &r->http->limits;
    char detail[160];
    int64_t taken_ms = sm_clock_monotonic_ms() - r->started_ms;
    int64_t allowed_ms = limits->body_deadline_ms +
                         (int64_t)((double)r->body.capacity * 1000 / (double)limits->body_rate_min);
    if (taken_ms <= allowed_ms)
        return false;
    snprintf(detail, sizeof detail, "%zu of %zu bytes came in %lld ms, the limit is %lld ms",
             r->body.bytes_count, r->body.capacity, (long long)taken_ms, (long long)allowed_ms);
    sm_early_reply_body(r, detail);
    return true;
}

static enum MHD_Result on_access(void *cls, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *upload_data,
                                 size_t *upload_data_size, void **closure)
{
    struct sm_request *r = *closure;
    (void)version;
    if (!r)
        return begin(cls, connection, url, method, closure);
    if (*upload_data_size == 0)
        return sm_replied(r) && !r->waiting ? send_reply(r) : run(r);
    if (is_slow(r) || !sm_body_append(&r->body, upload_data, *upload_data_size))
        return MHD_NO;
    sm_digest_add(&r->digest, upload_data, *upload_data_size);
    *upload_data_size = 0;
    return MHD_YES;
}

static void count(const struct sm_request *r)
{
    char status[] = "0xx";
    status[0] = (char)('0' + r->status / 100);
    sm_metric_observe(SM_METRIC_HTTP, sm_clock_monotonic_us() - r->started_us,
                      !r->route ? "" : r->route->path, r->method, status);
    sm_metric_add(SM_METRIC_HTTP_NOW, -1, NULL);
}

/* Writes ,"name":"id" if there is an id; returns its bytes. */
static size_t put_id(char *out, size_t out_bytes, const char *name, const char *id)
{
    return id[0] == '\0' ? 0 : (size_t)snprintf(out, out_bytes, ",\"%s\":\"%s\"", name, id);
}

/* The line has no text that the client chose except its ids: it has the route's template, not the
 * path and query. So no field needs JSON escapes, and all fields fit into the buffer. */
void sm_log_access(const struct sm_request *r, bool whole)
{
    bool sent = strcmp(r->method, "HEAD") != 0;
    char client[SM_PEER_BYTES], fields[640];
    sm_peer_text(client, &r->client);
    size_t n = (size_t)snprintf(
        fields, sizeof fields,
        "\"request\":\"%s\",\"client\":\"%s\",\"method\":\"%s\",\"route\":\"%s\",\"status\":%u,"
        "\"received\":%zu,\"bytes\":%lld,\"whole\":%s,\"ms\":%lld",
        r->id, client, !r->route ? "?" : r->method, !r->route ? "?" : r->route->path, r->status,
        r->body.bytes_count, (long long)(sent ? r->reply_bytes : 0), whole ? "true" : "false",
        (long long)(sm_clock_monotonic_ms() - r->started_ms));
    n += put_id(fields + n, sizeof fields - n, "trace", r->trace);
    put_id(fields + n, sizeof fields - n, "key", r->caller.api_key_id);
    sm_log_json("info", "request", fields);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **closure,
                         enum MHD_RequestTerminationCode how)
{
    struct sm_http *http = cls;
    struct sm_request *r = *closure;
    (void)connection;
    if (!r)
        return;
    *closure = NULL;
    sm_park_forget(r);
    if (r->link)
        sm_connections_set_busy(&http->connections, r->link, false);
    sm_client_forget(r);
    if (r->state_free)
        r->state_free(r->state);
    if (r->idempotency)
        http->params.idempotency->forget(r);
    sm_log_access(r, how == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    count(r);
    if (r->response)
        MHD_destroy_response(r->response);
    sm_body_release(&r->body, r->body.spooled ? &http->spool_budget : &http->budget);
    free(r);
    atomic_fetch_sub(&http->active, 1);
}

/* --- the daemon --- */

__attribute__((format(printf, 2, 0))) static void on_log(void *cls, const char *format,
                                                         va_list args)
{
    char text[256];
    (void)cls;
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = '\0';
    sm_make_ascii(text);
    sm_log("warning", "http", "{s:s}", "text", text);
}

/* Decodes percent escapes, but leaves text with %00 as it is: a NUL would hide the rest of it. */
static size_t unescape(void *cls, struct MHD_Connection *connection, char *text)
{
    (void)cls, (void)connection;
    return strstr(text, "%00") ? strlen(text) : MHD_http_unescape(text);
}

static struct MHD_Daemon *start_threads(struct sm_http *http)
{
    const struct sm_http_params *p = &http->params;
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_LISTEN_SOCKET, http->listener.fd, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, p->connections_max, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, p->idle_timeout_s, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, SM_HTTP_HEAD_BYTES, NULL},
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
        {MHD_OPTION_THREAD_POOL_SIZE, p->threads > 1 ? p->threads : 0, NULL},
        {!p->tls ? MHD_OPTION_END : MHD_OPTION_HTTPS_PRIORITIES, 0,
         (void *)(uintptr_t)SM_TLS_PRIORITIES},
        {MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, sm_tls_callback()},
        {MHD_OPTION_END, 0, NULL}};
    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG |
            (!p->tls ? 0 : MHD_USE_TLS),
        0, sm_client_accept, http, on_access, http, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL, MHD_OPTION_NOTIFY_CONNECTION,
        sm_client_connection, http, MHD_OPTION_URI_LOG_CALLBACK, sm_client_url, http,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, http, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

/* Starts the daemon's threads under SCHED_BATCH, so that they do not preempt workers. On a busy
 * processor a request waits for the next tick, a few milliseconds at most, and all requests of a
 * tick are answered together. At ten times the capacity this raises the goodput from 85 to 89 %
 * (tests/stress/overload.py). On an idle processor nothing waits. If the operator has set another
 * policy, it stays. */
static struct MHD_Daemon *start_daemon(struct sm_http *http)
{
    const struct sched_param param = {0};
    bool batches =
        sched_getscheduler(0) == SCHED_OTHER && sched_setscheduler(0, SCHED_BATCH, &param) == 0;
    struct MHD_Daemon *daemon = start_threads(http);
    if (batches)
        sched_setscheduler(0, SCHED_OTHER, &param);
    return daemon;
}

enum sm_code sm_http_start(struct sm_http **out, const struct sm_http_params *params,
                           struct sm_err *err)
{
    struct sm_http *http;
    *out = NULL;
    if (sm_routes_check(params->routes, err) != SM_OK)
        return SM_INVALID;
    if (!(http = calloc(1, sizeof *http)))
        return sm_err_set(err, SM_NOMEM, "no memory for the HTTP daemon");
    http->params = *params;
    for (const struct sm_texts *t = params->trusted_proxies; t && http->trusted_count < t->count;
         http->trusted_count++)
        sm_network_parse(&http->trusted[http->trusted_count], t->items[http->trusted_count]);
    sm_clients_init(&http->clients);
    enum sm_code code = sm_connections_start(&http->connections, 0, err);
    if (code != SM_OK)
        goto out_free;
    sm_http_set_limits(http, &params->limits);
    if ((code = sm_listen(&http->listener, params->listen, err)) != SM_OK)
        goto out_connections;
    if ((code = sm_park_start(&http->park, SM_HTTP_WAITING_MAX(params->connections_max), err)) !=
        SM_OK)
        goto out_close;
    if (!(http->daemon = start_daemon(http))) {
        code = sm_err_set(err, SM_IO, "libmicrohttpd %s does not start on %s", MHD_get_version(),
                          params->listen);
        sm_park_stop(&http->park);
        goto out_close;
    }
    *out = http;
    return SM_OK;

out_close:
    sm_listener_end(&http->listener);
    close(http->listener.fd);
out_connections:
    sm_connections_stop(&http->connections);
out_free:
    sm_clients_release(&http->clients);
    free(http);
    return code;
}

void sm_http_set_limits(struct sm_http *http, const struct sm_http_limits *limits)
{
    struct sm_http_limits *own = &http->limits;
    own->body_bytes_max = limits->body_bytes_max; /* one by one, because other threads read them */
    own->spool_bytes_max = limits->spool_bytes_max;
    own->connections_per_client_max = limits->connections_per_client_max;
    own->streams_max = limits->streams_max;
    own->streams_per_client_max = limits->streams_per_client_max;
    own->head_deadline_ms = limits->head_deadline_ms;
    own->body_deadline_ms = limits->body_deadline_ms;
    own->body_rate_min = limits->body_rate_min;
    http->budget.max = limits->body_bytes_max * SM_HTTP_BODIES_MAX;
    http->spool_budget.max = limits->spool_bytes_max * SM_HTTP_SPOOLS_MAX;
    sm_connections_set_quiet_max(&http->connections, http->params.idle_timeout_s * INT64_C(1000) +
                                                         limits->head_deadline_ms);
}

/* Waits until no request is under way, at most `limit_ms`. */
static void await_idle(struct sm_http *http, int64_t limit_ms)
{
    int64_t until_ms = sm_clock_monotonic_ms() + limit_ms;
    while (atomic_load(&http->active) > 0 && sm_clock_monotonic_ms() < until_ms)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

void sm_http_stop(struct sm_http *http)
{
    if (!http)
        return;
    /* Do not call MHD_quiesce_daemon: both it and the pool's threads remove the listening socket
     * from the epoll set, and the second removal aborts the process. New requests get 503
     * "draining" instead. */
    sm_park_drain(&http->park);
    await_idle(http, SM_HTTP_DRAIN_MS);
    /* Requests that still wait are resumed and get a moment to reply. */
    sm_park_end(&http->park);
    await_idle(http, SM_HTTP_DRAIN_MS / 10);
    MHD_stop_daemon(http->daemon);
    sm_listener_end(&http->listener);
    sm_park_stop(&http->park);
    sm_connections_stop(&http->connections);
    sm_clients_release(&http->clients);
    free(http);
}

const char *sm_http_address(const struct sm_http *http)
{
    return http->listener.address;
}

const char *sm_http_version(void)
{
    return MHD_get_version();
}
