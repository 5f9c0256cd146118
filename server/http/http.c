/* The daemon and the life of a request.
 *
 * libmicrohttpd calls `on_access` once with the headers, then per fragment of the body, then once
 * more when the request is whole, and again after every resume. A refusal can be sent on the first
 * call only: later it would have to swallow the body first (measured on 0.9.75). So everything that
 * the headers tell is checked there, in the order of `admit`, and what comes after is a body of
 * known, bounded length.
 *
 * An answer in place of a body closes the connection: what the client still sends would otherwise
 * be read as its next request. A request without a body is refused on the second call, and keeps
 * it. */
#include "server/http/http.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/base/id.h"
#include "server/base/log.h"
#include "server/base/metrics.h"
#include "server/http/body.h"
#include "server/http/listen.h"
#include "server/http/park.h"

struct sm_http {
    struct sm_http_params params;
    char address[SM_ADDRESS_BYTES];
    struct MHD_Daemon *daemon;
    struct sm_park park;
    struct sm_body_budget budget, spool_budget;
    atomic_int active;
};

/* --- admission --- */

struct query_check {
    struct sm_request *request;
    const char *seen[SM_HTTP_PARAMETERS_MAX];
    size_t seen_count;
};

static enum MHD_Result check_parameter(void *arg, enum MHD_ValueKind kind, const char *name,
                                       const char *value)
{
    struct query_check *check = arg;
    struct sm_request *r = check->request;

    (void)kind;
    if (!sm_word_in(r->route->query, name, strlen(name)) ||
        check->seen_count == sizeof check->seen / sizeof *check->seen) {
        sm_reply_problem(r, SM_PROBLEM_QUERY_UNKNOWN,
                         "query parameter '%.64s' is unknown here; %s%s", name,
                         r->route->query == NULL ? "none is taken" : "known: ",
                         r->route->query == NULL ? "" : r->route->query);
        return MHD_NO;
    }
    for (size_t i = 0; i < check->seen_count; i++)
        if (strcmp(check->seen[i], name) == 0) {
            sm_reply_problem(r, SM_PROBLEM_QUERY_INVALID, "query parameter '%s' is given twice",
                             name);
            return MHD_NO;
        }
    check->seen[check->seen_count++] = name;
    if (value == NULL) {
        sm_reply_problem(r, SM_PROBLEM_QUERY_INVALID, "query parameter '%s' has no value", name);
        return MHD_NO;
    }
    return MHD_YES;
}

static bool spools(const struct sm_request *r)
{
    return sm_word_in(r->route->spools, r->media_type, strlen(r->media_type));
}

/* What the headers say about the body against what the route takes. */
static void check_body(struct sm_request *r, int64_t *length)
{
    const char *declared = sm_request_header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);
    bool chunked = sm_request_header(r, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL;
    const struct sm_http_params *params = &r->http->params;

    *length = 0;
    sm_media_type(r->media_type, sm_request_header(r, MHD_HTTP_HEADER_CONTENT_TYPE));
    int64_t limit = spools(r) ? params->spool_bytes_max : params->body_bytes_max;
    bool known = declared != NULL && sm_digits(length, declared) && !chunked;
    if (r->route->accepts == NULL) {
        if (chunked || (declared != NULL && (!known || *length > 0)))
            sm_reply_problem(r, SM_PROBLEM_BODY_UNEXPECTED, "%s %s takes no body", r->route->method,
                             r->route->path);
        return;
    }
    if (!known) {
        sm_reply_problem(r, SM_PROBLEM_LENGTH_REQUIRED,
                         "a body needs Content-Length; chunked bodies are not taken");
        return;
    }
    if (*length > limit) {
        sm_reply_problem(r, SM_PROBLEM_BODY_TOO_LARGE,
                         "the body has %lld bytes, the limit is %lld bytes", (long long)*length,
                         (long long)limit);
        return;
    }
    if (!sm_word_in(r->route->accepts, r->media_type, strlen(r->media_type))) {
        sm_reply_problem(r, SM_PROBLEM_MEDIA_TYPE_UNSUPPORTED,
                         "Content-Type '%s' is not one of: %s", r->media_type, r->route->accepts);
        sm_reply_header(r, "Accept-Post", "%s", r->route->accepts);
    }
}

/* Finds the row; replies when there is none to run. */
static void find_route(struct sm_request *r, const char *path)
{
    char allow[SM_ALLOW_BYTES];

    switch (sm_route_find(&r->route, r->http->params.routes, r->method, path, r->capture, allow)) {
    case SM_MATCH_NONE:
        sm_reply_problem(r, SM_PROBLEM_ROUTE_UNKNOWN, "there is nothing at %.200s", path);
        break;
    case SM_MATCH_METHOD:
        sm_reply_problem(r, SM_PROBLEM_METHOD_NOT_ALLOWED, "%s is not one of: %s", r->method,
                         allow);
        sm_reply_header(r, MHD_HTTP_HEADER_ALLOW, "%s", allow);
        break;
    case SM_MATCH_OPTIONS:
        sm_reply_empty(r, 204);
        sm_reply_header(r, MHD_HTTP_HEADER_ALLOW, "%s", allow);
        break;
    case SM_MATCH_OK:
        break;
    }
}

/* A reply was set; it may be lost again for lack of memory. */
static bool replied(const struct sm_request *r)
{
    return r->status != 0;
}

static void reserve_file(struct sm_request *r, int64_t length)
{
    struct sm_http *http = r->http;
    struct sm_err err;

    switch (
        sm_body_spool(&r->body, &http->spool_budget, http->params.spool, (size_t)length, &err)) {
    case SM_OK:
        return;
    case SM_BUSY:
        sm_reply_problem(r, SM_PROBLEM_BUSY, "%s", err.text);
        break;
    case SM_LIMIT:
        sm_reply_problem(r, SM_PROBLEM_DISK_FULL, "%s", err.text);
        break;
    default:
        sm_reply_failure(r, &err);
        return;
    }
    sm_reply_header(r, MHD_HTTP_HEADER_RETRY_AFTER, "5");
}

/* Decides on the headers: sets a reply, or leaves the request ready for its body. */
static void admit(struct sm_request *r, const char *path)
{
    struct query_check check = {.request = r};
    int64_t length = 0;

    find_route(r, path);
    if (!replied(r) && sm_park_draining(r->park)) {
        sm_reply_problem(r, SM_PROBLEM_DRAINING, "the service is stopping");
        sm_reply_header(r, MHD_HTTP_HEADER_RETRY_AFTER, "5");
    }
    if (!replied(r) && r->route->scope != NULL && r->http->params.authorize != NULL)
        r->http->params.authorize(r);
    if (!replied(r))
        MHD_get_connection_values(r->connection, MHD_GET_ARGUMENT_KIND, check_parameter, &check);
    if (!replied(r))
        check_body(r, &length);
    if (!replied(r) && r->route->guard != NULL)
        r->route->guard(r);
    if (!replied(r) && r->route->admit != NULL)
        r->route->admit(r);
    if (!replied(r) && spools(r))
        reserve_file(r, length);
    else if (!replied(r) && sm_body_reserve(&r->body, &r->http->budget, (size_t)length) != SM_OK) {
        sm_reply_problem(r, SM_PROBLEM_BUSY, "no room for a body of %lld bytes now",
                         (long long)length);
        sm_reply_header(r, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    }
}

/* --- the life of a request --- */

/* The client's id when it is a harmless token, else a new one. */
static void set_request_id(struct sm_request *r)
{
    static const char safe[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._";
    const char *theirs = sm_request_header(r, "X-Request-Id");
    size_t n = theirs == NULL ? 0 : strspn(theirs, safe);

    if (n > 0 && n < sizeof r->id && theirs[n] == '\0')
        memcpy(r->id, theirs, n + 1);
    else
        sm_id_new(r->id);
}

static enum MHD_Result send_reply(struct sm_request *r)
{
    if (r->response == NULL)
        return MHD_NO; /* lost for lack of memory: the connection is closed */
    sm_reply_complete(r);
    if (r->response == NULL)
        return MHD_NO;
    if (r->route != NULL && r->route->scope != NULL && r->http->params.answered != NULL)
        r->http->params.answered(r);
    enum MHD_Result queued = MHD_queue_response(r->connection, r->status, r->response);
    MHD_destroy_response(r->response);
    r->response = NULL;
    return queued;
}

static bool has_body(const struct sm_request *r)
{
    const char *length = sm_request_header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);

    return sm_request_header(r, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL ||
           (length != NULL && strcmp(length, "0") != 0);
}

static enum MHD_Result begin(struct sm_http *http, struct MHD_Connection *connection,
                             const char *path, const char *method, void **closure)
{
    struct sm_request *r = calloc(1, sizeof *r);

    if (r == NULL)
        return MHD_NO;
    *closure = r;
    atomic_fetch_add(&http->active, 1);
    sm_metric_add(SM_METRIC_HTTP_NOW, 1, NULL);
    r->http = http;
    r->park = &http->park;
    r->connection = connection;
    r->context = http->params.context;
    r->started_us = sm_clock_monotonic_us();
    r->started_ms = r->started_us / 1000;
    snprintf(r->method, sizeof r->method, "%s", method);
    set_request_id(r);
    sm_trace_id(r->trace, sm_request_header(r, "traceparent"));
    admit(r, path);
    if (!replied(r)) {
        r->again = r->route->handler;
        return MHD_YES;
    }
    if (!has_body(r))
        return MHD_YES; /* sent by the call that follows: a reply on this one always closes */
    sm_reply_header(r, MHD_HTTP_HEADER_CONNECTION, "close");
    return send_reply(r);
}

/* Runs handlers until one replies or really waits. */
static enum MHD_Result run(struct sm_request *r)
{
    do {
        sm_park_begin(r);
        r->again(r);
        if (!r->waiting)
            return send_reply(r);
    } while (!sm_park_enter(r));
    return MHD_YES;
}

/* A body must come at SM_HTTP_BODY_RATE at least, however long it is. */
static int64_t body_deadline_ms(const struct sm_request *r)
{
    return r->started_ms + SM_HTTP_BODY_DEADLINE_MS +
           (int64_t)r->body.capacity / (SM_HTTP_BODY_RATE / 1000);
}

static enum MHD_Result on_access(void *cls, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *upload_data,
                                 size_t *upload_data_size, void **closure)
{
    struct sm_request *r = *closure;

    (void)version;
    if (r == NULL)
        return begin(cls, connection, url, method, closure);
    if (*upload_data_size == 0)
        return replied(r) ? send_reply(r) : run(r);
    if (sm_clock_monotonic_ms() > body_deadline_ms(r) ||
        !sm_body_append(&r->body, upload_data, *upload_data_size))
        return MHD_NO;
    *upload_data_size = 0;
    return MHD_YES;
}

static void count(const struct sm_request *r)
{
    char status[] = "0xx";

    status[0] = (char)('0' + r->status / 100);
    sm_metric_observe(SM_METRIC_HTTP, sm_clock_monotonic_us() - r->started_us,
                      r->route == NULL ? "" : r->route->path, r->method, status);
    sm_metric_add(SM_METRIC_HTTP_NOW, -1, NULL);
}

/* Nothing that the client chose but its ids: a template in place of the path, no query. */
static void log_access(const struct sm_request *r, bool whole)
{
    bool sent = strcmp(r->method, "HEAD") != 0;

    sm_log("info", "request", "{s:s, s:s, s:s, s:i, s:I, s:I, s:b, s:I, s:s*, s:s*}", "request",
           r->id, "method", r->route == NULL ? "?" : r->method, "route",
           r->route == NULL ? "?" : r->route->path, "status", (int)r->status, "received",
           (json_int_t)r->body.bytes_count, "bytes", (json_int_t)(sent ? r->reply_bytes : 0),
           "whole", whole, "ms", (json_int_t)(sm_clock_monotonic_ms() - r->started_ms), "trace",
           r->trace[0] == '\0' ? NULL : r->trace, "key",
           r->caller.key_id[0] == '\0' ? NULL : r->caller.key_id);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **closure,
                         enum MHD_RequestTerminationCode how)
{
    struct sm_http *http = cls;
    struct sm_request *r = *closure;

    (void)connection;
    if (r == NULL)
        return;
    *closure = NULL;
    sm_park_forget(r);
    if (r->state_free != NULL)
        r->state_free(r->state);
    log_access(r, how == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    count(r);
    if (r->response != NULL)
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
    sm_log("warn", "http", "{s:s}", "text", text);
}

/* Percent decoding that leaves %00 alone: a decoded NUL would cut the text short of what was sent.
 */
static size_t unescape(void *cls, struct MHD_Connection *connection, char *text)
{
    (void)cls, (void)connection;
    return strstr(text, "%00") != NULL ? strlen(text) : MHD_http_unescape(text);
}

static struct MHD_Daemon *start_daemon(struct sm_http *http, int fd)
{
    const struct sm_http_params *p = &http->params;
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_LISTEN_SOCKET, fd, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, p->connections_max, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, p->idle_timeout_s, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, SM_HTTP_HEAD_BYTES, NULL},
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
        {MHD_OPTION_THREAD_POOL_SIZE, p->threads > 1 ? p->threads : 0, NULL},
        {MHD_OPTION_END, 0, NULL}};

    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG,
        0, NULL, NULL, on_access, http, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        http, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

enum sm_code sm_http_start(struct sm_http **out, const struct sm_http_params *params,
                           struct sm_err *err)
{
    int fd;
    struct sm_http *http = calloc(1, sizeof *http);

    *out = NULL;
    if (http == NULL)
        return sm_err_set(err, SM_NOMEM, "no memory for the HTTP daemon");
    http->params = *params;
    http->budget.max = params->body_bytes_max * SM_HTTP_BODIES_MAX;
    http->spool_budget.max = params->spool_bytes_max * SM_HTTP_SPOOLS_MAX;
    enum sm_code code = sm_listen(&fd, http->address, params->listen, err);
    if (code != SM_OK)
        goto out_free;
    if ((code = sm_park_start(&http->park, err)) != SM_OK)
        goto out_close;
    if ((http->daemon = start_daemon(http, fd)) == NULL) {
        code = sm_err_set(err, SM_IO, "libmicrohttpd %s does not start on %s", MHD_get_version(),
                          params->listen);
        sm_park_stop(&http->park);
        goto out_close;
    }
    *out = http;
    return SM_OK;

out_close:
    close(fd);
out_free:
    free(http);
    return code;
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
    if (http == NULL)
        return;
    /* Not MHD_quiesce_daemon: it and the pool's threads both take the listening socket out of the
     * epoll set, and who comes second aborts the process. New requests are answered "draining". */
    sm_park_drain(&http->park);
    await_idle(http, SM_HTTP_DRAIN_MS);
    /* Whoever still waits is resumed, and has a moment to say so to its client. */
    sm_park_end(&http->park);
    await_idle(http, SM_HTTP_DRAIN_MS / 10);
    MHD_stop_daemon(http->daemon);
    sm_park_stop(&http->park);
    free(http);
}

const char *sm_http_address(const struct sm_http *http)
{
    return http->address;
}

const char *sm_http_version(void)
{
    return MHD_get_version();
}
