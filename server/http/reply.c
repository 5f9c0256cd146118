/* Replies and the table of problems.
 *
 * The type of a problem is a link to its row in openapi.yaml, which the service itself serves, so
 * that the link leads to an explanation. Clients should decide by `code`. */
#include "server/http/reply.h"

#include <microhttpd.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/json.h"
#include "server/base/log.h"
#include "server/base/metrics.h"
#include "server/http/http_impl.h"
#include "server/http/rounding.h"

#define JSON_TYPE    "application/json"
#define PROBLEM_TYPE "application/problem+json"

#define STREAM_BLOCK_BYTES 16384
#define HSTS_S             31536000 /* one year, for Strict-Transport-Security */

static const struct {
    unsigned status;
    const char *code, *head; /* head: the beginning of the problem's JSON text */
} problems[] = {
#define ROW(NAME, status, code, title)                                                             \
    {status, code,                                                                                 \
     "{\"type\":\"/openapi.yaml#/components/x-problems/" code "\",\"title\":\"" title              \
     "\",\"status\":" #status ",\"code\":\"" code "\","},
    SM_PROBLEMS(ROW)
#undef ROW
};

/* Adds a header. If that fails, drops the whole reply: without the header it would be wrong. */
static void add_header(struct sm_request *request, const char *name, const char *value)
{
    if (!request->response ||
        (value && MHD_add_response_header(request->response, name, value) == MHD_YES))
        return;
    MHD_destroy_response(request->response);
    request->response = NULL;
}

static void set_response(struct sm_request *request, unsigned status, const char *media_type,
                         struct MHD_Response *response)
{
    request->response = response;
    request->status = status;
    request->reply_body = NULL;
    request->reply_bytes = 0;
    add_header(request, "X-Request-Id", request->id);
    if (media_type)
        add_header(request, MHD_HTTP_HEADER_CONTENT_TYPE, media_type);
}

void sm_reply_header(struct sm_request *request, const char *name, const char *format, ...)
{
    va_list args;
    char *value = NULL;
    va_start(args, format);
    if (vasprintf(&value, format, args) < 0)
        value = NULL;
    va_end(args);
    add_header(request, name, value);
    free(value);
}

const char *sm_reply_get_header(const struct sm_request *request, const char *name)
{
    return !request->response ? NULL : MHD_get_response_header(request->response, name);
}

const char *sm_reply_get_body(const struct sm_request *request, unsigned *status,
                              size_t *bytes_count)
{
    *status = request->status;
    *bytes_count = (size_t)request->reply_bytes;
    return !request->response ? NULL : request->reply_body;
}

/* Replies are data for programs: by default, a browser must not guess another type, run anything in
 * them, send their address to other sites, or store them. Headers that a handler has set stay. */
void sm_reply_complete(struct sm_request *request)
{
    static const struct {
        const char *name, *value;
    } headers[] = {
        {"X-Content-Type-Options", "nosniff"},
        {"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Cache-Control", "no-store"},
    };

    for (size_t i = 0; i < sizeof headers / sizeof *headers && request->response; i++)
        if (!sm_reply_get_header(request, headers[i].name))
            add_header(request, headers[i].name, headers[i].value);
    if (request->http->params.tls || request->https)
        sm_reply_header(request, "Strict-Transport-Security", "max-age=%d", HSTS_S);
    sm_cors_complete(request);
}

/* Fails closed: a reply that is not rounded here may go to a key that rounds only if its route says
 * so. Otherwise replies 500 and returns false. */
static bool may_reply(struct sm_request *request)
{
    const struct sm_route *route = request->route;
    if (!request->caller.rounds || (route && route->rounds))
        return true;
    sm_log("error", "figures_not_rounded", "{s:s, s:s}", "request", request->id, "operation",
           route ? route->operation : "");
    sm_reply_problem(request, SM_PROBLEM_INTERNAL, "see the log of the service, request %s",
                     request->id);
    return false;
}

void sm_reply_static(struct sm_request *request, unsigned status, const char *media_type,
                     const void *bytes, size_t bytes_count)
{
    /* In this mode libmicrohttpd only reads the bytes, although its parameter is not const. */
    set_response(request, status, media_type,
                 MHD_create_response_from_buffer(bytes_count, (void *)(uintptr_t)bytes,
                                                 MHD_RESPMEM_PERSISTENT));
    request->reply_body = bytes;
    request->reply_bytes = (int64_t)bytes_count;
}

void sm_reply_file(struct sm_request *request, unsigned status, const char *media_type, int fd)
{
    struct stat file;
    struct MHD_Response *response = NULL;
    if (!may_reply(request)) {
        close(fd);
        return;
    }
    if (fstat(fd, &file) == 0)
        response = MHD_create_response_from_fd64((uint64_t)file.st_size, fd);
    if (!response)
        close(fd);
    set_response(request, status, media_type, response);
}

/* Returns true if the client has closed its side of the connection. libmicrohttpd does not notice
 * this while a connection is suspended. A client that shuts down only its sending direction counts
 * as gone too: a reader of a stream must keep both directions open. */
static bool client_gone(const struct sm_request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct pollfd socket = {.events = POLLRDHUP};
    if (!info)
        return false;
    socket.fd = info->connect_fd;
    return poll(&socket, 1, 0) > 0;
}

/* Gives the next bytes of a stream to libmicrohttpd. While there are none, it suspends the
 * connection, because libmicrohttpd would call it in a busy loop. */
static ssize_t read_stream(void *arg, uint64_t at, char *bytes, size_t bytes_max)
{
    struct sm_request *request = arg;
    (void)at;
    do {
        if (client_gone(request))
            return MHD_CONTENT_READER_END_WITH_ERROR;
        sm_park_begin(request);
        int64_t n = request->stream(request, bytes, bytes_max);
        if (n == SM_STREAM_END)
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (n > 0)
            return (ssize_t)n;
    } while (!sm_park_enter(request));
    return 0;
}

void sm_reply_stream(struct sm_request *request, const char *media_type, sm_stream *stream)
{
    if (!may_reply(request))
        return;
    /* With a stream, libmicrohttpd 0.9.75 would send the last chunk of a body in reply to HEAD. */
    if (strcmp(request->method, "HEAD") == 0) {
        sm_reply_static(request, 200, media_type, "", 0);
        return;
    }
    request->stream = stream;
    set_response(request, 200, media_type,
                 MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES,
                                                   read_stream, request, NULL));
}

void sm_reply_empty(struct sm_request *request, unsigned status)
{
    sm_reply_static(request, status, NULL, "", 0);
}

/* All JSON replies go through this function, so figures are rounded in this one place. */
void sm_reply_text(struct sm_request *request, unsigned status, const char *media_type, char *text)
{
    bool json = strcmp(media_type, JSON_TYPE) == 0;
    if (!json && !may_reply(request)) {
        free(text);
        return;
    }
    if (request->caller.rounds && json)
        text = sm_round_json(text, request->caller.digits, request->figures_sd);
    sm_reply_stored(request, status, media_type, text);
}

void sm_reply_stored(struct sm_request *request, unsigned status, const char *media_type,
                     char *text)
{
    struct MHD_Response *response =
        !text ? NULL : MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    set_response(request, status, media_type, response);
    if (!response) {
        free(text);
        return;
    }
    request->reply_body = text;
    request->reply_bytes = (int64_t)strlen(text);
}

/* Returns JSON as one line with its end, because users read replies in terminals and collect them
 * in files. The caller frees it; NULL when out of memory. */
static char *dump(const json_t *body)
{
    char *text = sm_json_text(body, JSON_COMPACT);
    size_t length = !text ? 0 : strlen(text);
    char *line = !text ? NULL : realloc(text, length + sizeof "\n");
    if (!line)
        free(text);
    else
        memcpy(line + length, "\n", sizeof "\n");
    return line;
}

void sm_reply_no_memory(struct sm_request *request)
{
    sm_reply_problem(request, SM_PROBLEM_INTERNAL, "out of memory");
}

void sm_reply_json(struct sm_request *request, unsigned status, json_t *body)
{
    if (!body) {
        sm_reply_no_memory(request);
        return;
    }
    sm_reply_text(request, status, JSON_TYPE, dump(body));
    json_decref(body);
}

void sm_reply_problem_with(struct sm_request *request, enum sm_problem problem, const char *member,
                           json_t *value, const char *detail)
{
    json_t *own =
        json_pack("{s:s, s:s, s:o*}", "detail", detail, "request_id", request->id, member, value);
    char *rest = sm_json_text(own, JSON_COMPACT | JSON_EMBED), *text = NULL;
    sm_metric_add(SM_METRIC_PROBLEMS, 1, problems[problem].code);
    if (rest && asprintf(&text, "%s%s}\n", problems[problem].head, rest) < 0)
        text = NULL;
    sm_reply_stored(request, problems[problem].status, PROBLEM_TYPE, text);
    free(rest);
    json_decref(own);
}

void sm_reply_problem(struct sm_request *request, enum sm_problem problem, const char *format, ...)
{
    char detail[512];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    sm_make_ascii(detail);
    sm_reply_problem_with(request, problem, "errors", NULL, detail);
}

void sm_reply_field_problem(struct sm_request *request, enum sm_problem problem,
                            const struct sm_err *err)
{
    struct sm_err clean = *err;
    sm_make_ascii(clean.text);
    sm_make_ascii(clean.pointer);
    sm_reply_problem_with(request, problem, "errors",
                          json_pack("[{s:s, s:s}]", "pointer", clean.pointer, "detail", clean.text),
                          clean.text);
}

void sm_reply_failure(struct sm_request *request, const struct sm_err *err)
{
    bool full = err->code == SM_FULL;
    bool store = full || err->code == SM_IO || err->code == SM_BUSY;
    struct sm_err clean = *err;
    sm_make_ascii(clean.text);
    sm_log("error", "request_failed", "{s:s, s:s, s:s}", "request", request->id, "code",
           sm_code_name(err->code), "text", clean.text);
    sm_reply_problem(request,
                     full    ? SM_PROBLEM_DISK_FULL
                     : store ? SM_PROBLEM_STORE_UNAVAILABLE
                             : SM_PROBLEM_INTERNAL,
                     "see the log of the service, request %s", request->id);
    if (store)
        sm_reply_header(request, MHD_HTTP_HEADER_RETRY_AFTER, "5");
}
