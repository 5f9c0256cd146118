/* The daemon over loopback with a table of its own: admission, spooled bodies, waits, wakes,
 * streams, drain. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "server/base/clock.h"
#include "server/http/http.h"

#define BODY_MAX  1000
#define SPOOL_MAX 100000

static struct sm_http *http;
static _Atomic(struct sm_request *) waiting; /* the last request of /wait */
static atomic_int freed, wakes_before;
static atomic_int
    wakers; /* threads that may still call wake: state_free waits for them, as it must */

static void count_free(void *state)
{
    (void)state;
    while (atomic_load(&wakers) > 0)
        usleep(1000);
    atomic_fetch_add(&freed, 1);
}

static void echo(struct sm_request *r)
{
    sm_reply_json(r, 200,
                  json_pack("{s:I, s:s, s:s}", "bytes", (json_int_t)r->body.bytes_count, "type",
                            r->media_type, "capture", r->capture));
}

/* The spooled body back from its file, which then is the reply's. */
static void echo_file(struct sm_request *r)
{
    if (!r->body.spooled)
        sm_reply_empty(r, 204);
    else
        sm_reply_file(r, 200, "application/zip", dup(r->body.fd));
}

/* Three events at intervals of the placeholder's milliseconds, the second after an empty turn. */
static int64_t say(struct sm_request *r, char *bytes, size_t bytes_max)
{
    long at = (long)(intptr_t)r->state;
    r->state = (void *)(intptr_t)(at + 1);
    if (at == 6 || sm_request_draining(r))
        return SM_STREAM_END;
    if (at % 2 == 0)
        return snprintf(bytes, bytes_max, "event %ld\n", at / 2);
    sm_request_wait(r, sm_clock_monotonic_ms() + strtol(r->capture, NULL, 10), NULL);
    atomic_store(&waiting, r);
    return 0;
}

static int64_t say_nothing(struct sm_request *r, char *bytes, size_t bytes_max)
{
    (void)r, (void)bytes, (void)bytes_max;
    return SM_STREAM_END;
}

static void stream(struct sm_request *r)
{
    r->state_free = count_free;
    sm_reply_stream(r, "text/event-stream", say);
}

/* Replies to a key that rounds. */
static void rounded(struct sm_request *r)
{
    r->caller.rounds = true;
    if (strcmp(r->capture, "file") == 0)
        sm_reply_file(r, 200, "application/json", memfd_create("reply", MFD_CLOEXEC));
    else if (strcmp(r->capture, "stream") == 0)
        sm_reply_stream(r, "text/event-stream", say_nothing);
    else
        sm_reply_text(r, 200, r->capture[0] == 'j' ? "application/json" : "text/csv", strdup("{}"));
}

static void refuse(struct sm_request *r)
{
    if (sm_request_query(r, "refuse"))
        sm_reply_problem(r, SM_PROBLEM_QUEUE_FULL, "refused");
}

static void waited(struct sm_request *r)
{
    sm_reply_json(r, 200, json_pack("{s:b}", "overdue", sm_request_overdue(r, r->deadline_ms)));
}

/* Waits for the milliseconds at the placeholder, 0 for ever; woken once before when a test wants
 * it. */
static void wait_for(struct sm_request *r)
{
    long ms = strtol(r->capture, NULL, 10);
    r->state_free = count_free;
    sm_request_wait(r, ms == 0 ? SM_NO_DEADLINE : sm_clock_monotonic_ms() + ms, waited);
    if (atomic_exchange(&wakes_before, 0) > 0)
        sm_request_wake(r);
    else
        atomic_store(&waiting, r);
}

/* Replies to requests with a key are held back while it is 1. */
static atomic_int held;

static void nothing(struct sm_request *r)
{
    (void)r;
}

static bool key_known(struct sm_request *r)
{
    return r->idempotency_key[0] != 'n';
}

static void key_enter(struct sm_request *r)
{
    r->idempotency = r;
    if (strcmp(r->idempotency_key, "used") == 0)
        sm_reply_problem(r, SM_PROBLEM_IDEMPOTENCY_KEY_REUSED, "%s", r->fingerprint);
}

static void key_leave(struct sm_request *r)
{
    if (atomic_load(&held) == 0)
        return;
    sm_request_wait(r, SM_NO_DEADLINE, nothing);
    atomic_store(&waiting, r);
}

static void key_forget(struct sm_request *r)
{
    r->idempotency = NULL;
    atomic_fetch_add(&freed, 1);
}

static const struct sm_idempotency_hooks hooks = {key_known, key_enter, key_leave, key_forget};

static const struct sm_route routes[] = {
    {"POST", "/echo", "echo", .scope = SM_PUBLIC, .accepts = "image/png", .query = "refuse",
     .admit = refuse, .handler = echo},
    {"GET", "/echo/{x}", "one", .scope = SM_PUBLIC, .query = "a b", .handler = echo},
    {"POST", "/file", "file", .scope = SM_PUBLIC, .accepts = "application/zip, image/png",
     .spools = "application/zip", .handler = echo_file},
    {"GET", "/wait/{ms}", "wait", .scope = SM_PUBLIC, .handler = wait_for},
    {"GET", "/stream/{ms}", "stream", .scope = SM_PUBLIC, .handler = stream},
    {"GET", "/exact/{kind}", "exact", .scope = SM_PUBLIC, .exact = true, .handler = rounded},
    {"GET", "/plain/{kind}", "plain", .scope = SM_PUBLIC, .handler = rounded},
    {"GET", "/rounds/{kind}", "rounds", .scope = SM_PUBLIC, .rounds = true, .handler = rounded},
    {0},
};

static int start(void **state)
{
    struct sm_err err = {0};
    const struct sm_http_params params = {.listen = "127.0.0.1:0",
                                          .routes = routes,
                                          .idempotency = &hooks,
                                          .threads = 2,
                                          .connections_max = 64,
                                          .idle_timeout_s = 5,
                                          .spool = "/tmp",
                                          .limits = {.body_bytes_max = BODY_MAX,
                                                     .spool_bytes_max = SPOOL_MAX,
                                                     .connections_per_client_max = 64,
                                                     .streams_max = 8,
                                                     .streams_per_client_max = 8,
                                                     .head_deadline_ms = 1000,
                                                     .body_deadline_ms = 60000,
                                                     .body_rate_min = 1000}};
    (void)state;
    atomic_store(&freed, 0);
    atomic_store(&waiting, NULL);
    return sm_http_start(&http, &params, &err) == SM_OK ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    sm_http_stop(http);
    http = NULL;
    return 0;
}

static int dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    to.sin_port = htons((uint16_t)strtol(strrchr(sm_http_address(http), ':') + 1, NULL, 10));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void put(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Everything until the server closes, or the head and body of one answer when it keeps the
 * connection. */
static const char *get(int fd)
{
    static char text[8192];
    size_t n = 0;
    ssize_t got;
    while ((got = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0) {
        n += (size_t)got;
        text[n] = '\0';
        const char *head_end = strstr(text, "\r\n\r\n");
        const char *length = strstr(text, "Content-Length: ");
        if (head_end && length && strlen(head_end + 4) >= strtoul(length + 16, NULL, 10))
            break;
        if (head_end && !length)
            break;
    }
    text[n] = '\0';
    return text;
}

static void check(const char *request, const char *const *expected)
{
    int fd = dial();
    put(fd, request);
    const char *answer = get(fd);
    for (; *expected; expected++)
        if (!strstr(answer, *expected))
            fail_msg("%s\n-> no '%s' in:\n%s", request, *expected, answer);
    close(fd);
}

#define CHECK(request, ...) check(request, (const char *const[]){__VA_ARGS__, NULL})
#define HOST                " HTTP/1.1\r\nHost: x\r\n"

static void test_what_is_not_rounded_fails_closed(void **state)
{
    (void)state;
    CHECK("GET /plain/json" HOST "\r\n", " 200 ");
    CHECK("GET /plain/file" HOST "\r\n", " 500 ", "\"internal\"", "see the log of the service");
    CHECK("GET /plain/stream" HOST "\r\n", " 500 ", "\"internal\"");
    CHECK("HEAD /plain/stream" HOST "\r\n", " 500 ");
    CHECK("GET /plain/csv" HOST "\r\n", " 500 ", "\"internal\"");
    CHECK("GET /exact/file" HOST "\r\n", " 500 ");
    CHECK("GET /rounds/file" HOST "\r\n", " 200 ");
    CHECK("GET /rounds/stream" HOST "\r\n", " 200 ");
    CHECK("GET /rounds/csv" HOST "\r\n", " 200 ");
}

static void test_admission(void **state)
{
    (void)state;
    CHECK("GET /echo/7?a=1" HOST "\r\n", " 200 ", "\"capture\":\"7\"", "X-Request-Id: ");
    CHECK("GET /echo/a%20b" HOST "X-Request-Id: my-id\r\n\r\n", "\"capture\":\"a b\"",
          "X-Request-Id: my-id\r\n");
    CHECK("GET /nothing" HOST "\r\n", " 404 ", "route_unknown", "application/problem+json");
    CHECK("GET /echo" HOST "\r\n", " 405 ", "Allow: POST, OPTIONS\r\n", "method_not_allowed");
    CHECK("OPTIONS /echo/1" HOST "\r\n", " 204 ", "Allow: GET, HEAD, OPTIONS\r\n");
    CHECK("GET /echo/1?c=1" HOST "\r\n", " 400 ", "query_unknown", "'c'");
    CHECK("GET /echo/1?a=1&a=2" HOST "\r\n", " 400 ", "query_invalid", "twice");
    CHECK("GET /echo/1?a" HOST "\r\n", " 400 ", "query_invalid");
    CHECK("GET /echo/1%00" HOST "\r\n", " 200 ", "\"capture\":\"1%00\"");
    CHECK("GET /echo/1" HOST "Content-Length: 3\r\n\r\nabc", " 400 ", "body_unexpected");
    CHECK("GET /echo/1" HOST "Content-Length: 0\r\nContent-Length: 3\r\n\r\nabc", " 400 ",
          "header_invalid", "Content-Length is given twice", "Connection: close");
    CHECK("POST /echo" HOST "\r\n", " 411 ", "length_required");
    CHECK("POST /echo" HOST "Transfer-Encoding: chunked\r\nContent-Type: image/png\r\n\r\n",
          " 411 ");
    CHECK("POST /echo" HOST "Content-Length: 1\r\nContent-Type: image/gif\r\n\r\nx", " 415 ",
          "Accept-Post: image/png\r\n");
    CHECK("POST /echo?refuse=1" HOST "Content-Length: 9\r\nContent-Type: image/png\r\n\r\n",
          " 503 ", "queue_full", "Connection: close");
    CHECK("POST /echo" HOST "Content-Length: 1000\r\nContent-Type: image/gif\r\n\r\n", " 415 ");
    CHECK("POST /echo" HOST "Content-Length: 1001\r\nContent-Type: image/png\r\n\r\n", " 413 ",
          "1001 bytes, the limit is 1000 bytes");
    CHECK("POST /echo" HOST "Content-Length: 1001\r\nContent-Type: image/png\r\n"
          "Expect: 100-continue\r\n\r\n",
          "HTTP/1.1 413 ");
    CHECK("POST /echo" HOST "Content-Length: 3\r\nContent-Type: Image/PNG; a=b\r\n\r\nabc", " 200 ",
          "\"bytes\":3", "\"type\":\"image/png\"");
    CHECK("POST /echo" HOST "Content-Length: 0\r\nContent-Type: image/png\r\n\r\n", "\"bytes\":0");
}

/* Two requests on one connection, the first refused without a body: the second is answered. */
static void test_keep_alive(void **state)
{
    int fd = dial();
    (void)state;
    put(fd, "GET /nothing" HOST "\r\n");
    assert_non_null(strstr(get(fd), " 404 "));
    put(fd, "HEAD /echo/1" HOST "\r\n");
    usleep(50000);
    char head[1024] = {0};
    assert_true(recv(fd, head, sizeof head - 1, 0) > 0);
    assert_non_null(strstr(head, " 200 "));
    assert_string_equal(strstr(head, "\r\n\r\n"), "\r\n\r\n");
    close(fd);
}

/* A body in single bytes. */
static void test_slow_body(void **state)
{
    int fd = dial();
    (void)state;
    put(fd, "POST /echo" HOST "Content-Length: 20\r\nContent-Type: image/png\r\n\r\n");
    for (int i = 0; i < 20; i++) {
        put(fd, "x");
        usleep(1000);
    }
    assert_non_null(strstr(get(fd), "\"bytes\":20"));
    close(fd);
}

/* Sends a body of `count` bytes to /file and reads all that comes back; returns its bytes. */
static size_t put_file(int fd, size_t count, char *text, size_t text_max)
{
    char line[256];
    size_t n = 0;
    ssize_t got;
    snprintf(line, sizeof line,
             "POST /file" HOST "Connection: close\r\nContent-Type: application/zip\r\n"
             "Content-Length: %zu\r\n\r\n",
             count);
    put(fd, line);
    for (size_t at = 0; at < count; at++) {
        char c = (char)('a' + at % 26);
        if (send(fd, &c, 1, MSG_NOSIGNAL | (at + 1 < count ? MSG_MORE : 0)) != 1)
            break;
    }
    while (n < text_max && (got = recv(fd, text + n, text_max - n, 0)) > 0)
        n += (size_t)got;
    return n;
}

/* Longer than bodies in memory may be; its limit is one of its own. */
static void test_spooled_body(void **state)
{
    static char text[SPOOL_MAX + 4096];
    int fd = dial();
    (void)state;
    size_t n = put_file(fd, SPOOL_MAX, text, sizeof text);
    assert_true(n > SPOOL_MAX);
    const char *body = text + n - SPOOL_MAX;
    for (size_t i = 0; i < SPOOL_MAX; i++)
        assert_int_equal(body[i], 'a' + i % 26);
    close(fd);
    CHECK("POST /file" HOST "Content-Length: 100001\r\nContent-Type: application/zip\r\n\r\n",
          " 413 ", "100001 bytes, the limit is 100000 bytes");
    CHECK("POST /file" HOST "Content-Length: 1001\r\nContent-Type: image/png\r\n\r\n", " 413 ",
          "1001 bytes, the limit is 1000 bytes");
    CHECK("POST /file" HOST "Content-Length: 1\r\nContent-Type: image/png\r\n\r\nx", " 204 ");
    CHECK("POST /file" HOST "Content-Length: 0\r\nContent-Type: application/zip\r\n\r\n", " 200 ",
          "Content-Length: 0\r\n");
}

/* Four of the largest at once; the fifth is told so on its headers. */
static void test_spool_budget(void **state)
{
    int fds[SM_HTTP_SPOOLS_MAX];
    static const char head[] = "POST /file" HOST "Content-Type: application/zip\r\n"
                               "Content-Length: 100000\r\n\r\n";
    (void)state;
    for (int i = 0; i < SM_HTTP_SPOOLS_MAX; i++) {
        fds[i] = dial();
        put(fds[i], head);
    }
    usleep(100000);
    CHECK(head, " 503 ", "\"busy\"", "Retry-After: 5", "no room for a body of 100000 bytes now");
    for (int i = 0; i < SM_HTTP_SPOOLS_MAX; i++)
        close(fds[i]);
    usleep(100000);
    static char text[SPOOL_MAX + 4096];
    int fd = dial();
    assert_true(put_file(fd, SPOOL_MAX, text, sizeof text) > SPOOL_MAX);
    close(fd);
}

static struct sm_request *await_waiting(void)
{
    struct sm_request *r;
    while (!(r = atomic_exchange(&waiting, NULL)))
        usleep(1000);
    usleep(20000); /* it parks after its handler has returned */
    return r;
}

static void test_wake(void **state)
{
    int fd = dial();
    (void)state;
    put(fd, "GET /wait/60000" HOST "\r\n");
    struct sm_request *r = await_waiting();
    atomic_store(&wakers, 1);
    sm_request_wake(r);
    sm_request_wake(r); /* as a second event may: no second resume */
    atomic_store(&wakers, 0);
    assert_non_null(strstr(get(fd), "\"overdue\":false"));
    close(fd);
}

static void test_wake_before_wait(void **state)
{
    (void)state;
    atomic_store(&wakes_before, 1);
    CHECK("GET /wait/60000" HOST "\r\n", "\"overdue\":false");
}

static void test_deadline(void **state)
{
    int64_t began = sm_clock_monotonic_ms();
    (void)state;
    CHECK("GET /wait/100" HOST "\r\n", "\"overdue\":true");
    int64_t took = sm_clock_monotonic_ms() - began;
    assert_true(took >= 100 && took < 2000);
}

static void *wake_often(void *arg)
{
    for (int i = 0; i < 200; i++)
        sm_request_wake(arg);
    atomic_fetch_sub(&wakers, 1);
    return NULL;
}

/* Deadlines in an order other than that of arrival, and wakes from many threads at once. */
static void test_many(void **state)
{
    enum { N = 24 };
    int fds[N];
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < N; i++) {
        char line[64];
        fds[i] = dial();
        snprintf(line, sizeof line, "GET /wait/%d" HOST "\r\n", 50 + (i * 37) % 200);
        put(fds[i], line);
    }
    for (int i = 0; i < N; i++) {
        assert_non_null(strstr(get(fds[i]), "\"overdue\":true"));
        close(fds[i]);
    }
    atomic_store(&waiting, NULL);
    int fd = dial();
    put(fd, "GET /wait/60000" HOST "\r\n");
    struct sm_request *r = await_waiting();
    atomic_store(&wakers, 4);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, wake_often, r);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_non_null(strstr(get(fd), " 200 "));
    close(fd);
}

/* The client leaves while it waits: nothing happens until the deadline, then the request is freed.
 */
static void test_client_gone(void **state)
{
    int fd = dial();
    (void)state;
    put(fd, "GET /wait/200" HOST "\r\n");
    await_waiting();
    close(fd);
    for (int i = 0; i < 200 && atomic_load(&freed) == 0; i++)
        usleep(10000);
    assert_int_equal(atomic_load(&freed), 1);
}

/* Until the server closes. */
static const char *get_all(int fd)
{
    static char text[8192];
    size_t n = 0;
    ssize_t got;
    while ((got = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    return text;
}

static void test_stream(void **state)
{
    int fd = dial();
    int64_t began = sm_clock_monotonic_ms();
    (void)state;
    put(fd, "GET /stream/100" HOST "Connection: close\r\n\r\n");
    const char *text = get_all(fd);
    int64_t took = sm_clock_monotonic_ms() - began;
    assert_non_null(strstr(text, "Content-Type: text/event-stream\r\n"));
    assert_non_null(strstr(text, "event 0\n"));
    assert_non_null(strstr(text, "event 1\n"));
    assert_non_null(strstr(text, "event 2\n"));
    assert_true(took >= 300 && took < 3000);
    assert_int_equal(atomic_load(&freed), 1);
    close(fd);
}

/* What is woken comes at once. */
static void test_stream_wakes(void **state)
{
    int fd = dial();
    int64_t began = sm_clock_monotonic_ms();
    (void)state;
    put(fd, "GET /stream/60000" HOST "Connection: close\r\n\r\n");
    for (int i = 0; i < 3; i++) {
        struct sm_request *r = await_waiting();
        atomic_store(&wakers, 1);
        sm_request_wake(r);
        atomic_store(&wakers, 0);
    }
    assert_non_null(strstr(get_all(fd), "event 2\n"));
    assert_true(sm_clock_monotonic_ms() - began < 5000);
    close(fd);
}

/* A stream ends with the drain, and does not hold it up. */
static void test_stream_drains(void **state)
{
    int fd = dial(), other = dial();
    int64_t began = sm_clock_monotonic_ms();
    put(fd, "GET /stream/60000" HOST "Connection: close\r\n\r\n");
    await_waiting();
    put(other, "HEAD /stream/60000" HOST "Connection: close\r\n\r\n");
    const char *text = get_all(other); /* no body, no wait */
    assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n");
    stop(state);
    assert_true(sm_clock_monotonic_ms() - began < 3000);
    text = get_all(fd);
    assert_non_null(strstr(text, "event 0\n"));
    assert_null(strstr(text, "event 1\n"));
    assert_int_equal(atomic_load(&freed), 2);
    close(fd);
    close(other);
}

/* Stopping ends a wait with a deadline at once and one without at the end of the drain; both
 * answer. */
static void test_drain(void **state)
{
    int with = dial(), without = dial();
    int64_t began = sm_clock_monotonic_ms();
    put(with, "GET /wait/60000" HOST "\r\n");
    await_waiting();
    put(without, "GET /wait/0" HOST "\r\n");
    await_waiting();
    stop(state);
    int64_t took = sm_clock_monotonic_ms() - began;
    assert_true(took >= SM_HTTP_DRAIN_MS && took < SM_HTTP_DRAIN_MS + 3000);
    assert_non_null(strstr(get(with), "\"overdue\":true"));
    assert_non_null(strstr(get(without), "\"overdue\":true"));
    assert_int_equal(atomic_load(&freed), 2);
    close(with);
    close(without);
}

static void post_with_key(int fd, const char *key, const char *more)
{
    char text[512];
    snprintf(text, sizeof text,
             "POST /echo%s" HOST "Idempotency-Key: %s\r\nContent-Type: image/png\r\n"
             "Content-Length: 3\r\n\r\nabc",
             more, key);
    put(fd, text);
}

/* What is said of a key on the headers, and with the body. */
static void test_keys(void **state)
{
    static const char *const bad[] = {"", "a b", "\"a", "a\r\nIdempotency-Key: b"};
    static const struct {
        const char *key, *status;
    } rows[] = {{"new", " 503 "}, {"used", " 422 "}, {"old", " 503 "}}; /* it is asked in the end */
    int fd;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        post_with_key(fd = dial(), bad[i], "");
        assert_non_null(strstr(get(fd), "idempotency_key_invalid"));
        close(fd);
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        post_with_key(fd = dial(), rows[i].key, "?refuse=1");
        assert_non_null(strstr(get(fd), rows[i].status));
        close(fd);
    }
    post_with_key(fd = dial(), "new", "");
    assert_non_null(strstr(get(fd), "\"bytes\":3"));
    close(fd);
    CHECK("GET /echo/1" HOST "Idempotency-Key: \r\n\r\n", " 200 "); /* not of this method */
}

/* A reply that is held back is not sent by a wake that is not for it. */
static void test_held_reply(void **state)
{
    int fd = dial();
    char byte;
    (void)state;
    atomic_store(&held, 1);
    post_with_key(fd, "new", "");
    for (int i = 0; i < 3; i++) {
        sm_request_wake(await_waiting());
        usleep(20000);
        assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK), -1);
    }
    struct sm_request *r = await_waiting();
    atomic_store(&held, 0);
    sm_request_wake(r);
    assert_non_null(strstr(get(fd), "\"bytes\":3"));
    close(fd);
    for (int i = 0; i < 1000 && atomic_load(&freed) == 0; i++)
        usleep(1000);
    assert_int_equal(atomic_load(&freed), 1);
}

/* A table with a row that names no scope, or one that no key can have, is not served. */
static void test_scopes_must_be_named(void **state)
{
    static const struct {
        const char *scope, *text;
    } rows[] = {
        {NULL, "route GET /x has the scope '', it must be SM_PUBLIC or some of: score read audit "
               "admin metrics"},
        {"", "route GET /x has the scope ''"},
        {" ", "route GET /x has the scope ' '"},
        {"reed", "route GET /x has the scope 'reed'"},
        {"read " SM_PUBLIC, "route GET /x has the scope 'read public'"},
        {"read audit", NULL},
        {SM_PUBLIC, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct sm_route table[] = {
            {"GET", "/y", "y", .scope = SM_PUBLIC, .handler = echo},
            {"GET", "/x", "x", .scope = rows[i].scope, .handler = echo},
            {0},
        };
        const struct sm_http_params params = {.listen = "127.0.0.1:0",
                                              .routes = table,
                                              .threads = 1,
                                              .connections_max = 8,
                                              .idle_timeout_s = 1};
        struct sm_http *other;
        struct sm_err err = {0};
        assert_int_equal(sm_http_start(&other, &params, &err), rows[i].text ? SM_INVALID : SM_OK);
        if (rows[i].text) {
            assert_null(other);
            assert_non_null(strstr(err.text, rows[i].text));
        } else {
            sm_http_stop(other);
        }
    }
}

static void test_listen_errors(void **state)
{
    static const char *const bad[] = {"",           "8080",        "localhost:1",
                                      "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:123456",
                                      "::1:80",     ":80"};
    struct sm_http *other;
    struct sm_http_params params = {
        .routes = routes, .threads = 1, .connections_max = 8, .idle_timeout_s = 1};
    struct sm_err err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        params.listen = bad[i];
        assert_int_equal(sm_http_start(&other, &params, &err), SM_INVALID);
        assert_null(other);
    }
    params.listen = sm_http_address(http);
    assert_int_equal(sm_http_start(&other, &params, &err), SM_IO);
    assert_non_null(strstr(err.text, "Address already in use"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(test_scopes_must_be_named),
        TEST(test_admission),
        TEST(test_what_is_not_rounded_fails_closed),
        TEST(test_keep_alive),
        TEST(test_slow_body),
        TEST(test_wake),
        TEST(test_wake_before_wait),
        TEST(test_deadline),
        TEST(test_many),
        TEST(test_client_gone),
        TEST(test_drain),
        TEST(test_spooled_body),
        TEST(test_spool_budget),
        TEST(test_stream),
        TEST(test_stream_wakes),
        TEST(test_stream_drains),
        TEST(test_listen_errors),
        TEST(test_keys),
        TEST(test_held_reply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
