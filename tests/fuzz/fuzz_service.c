/* Fuzzes the whole service: sends any bytes, in any pieces, over a connection to the real route
 * table, its handlers and a store. The first byte is the size of the pieces ('0': all at once); the
 * word SCORE-ID is replaced by the id of a stored score.
 *
 * http.c is included because its callbacks are static. This target runs libmicrohttpd's loop
 * itself, on one end of a socket pair, so it knows when an input's connection is over. The store is
 * made once, by a service that scores audits and a job. No worker runs afterwards; after an input
 * that changed the store, a new copy of it is used.
 *
 * Properties: the connection ends soon; each reply is complete, has a status that the service uses
 * and the headers of every reply, and is JSON if it says so; everything that was held for the
 * connection is released; every line of the log is JSON. */
#include "server/base/clock.h"
#include "server/http/http.c"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "core/base/file.h"
#include "core/base/sha256.h"
#include "server/api/api.h"
#include "server/api/idempotency.h"
#include "server/base/pulse.h"
#include "server/store/audits.h"
#include "tests/unit/server/store/own.h"

#define GOLDEN      "tests/golden/score"
#define AUDIT_ENDED "019b0000-0000-7000-8000-00000000000a"
#define AUDIT_OPEN  "019b0000-0000-7000-8000-00000000000b"
#define JOB_DONE    "019b0000-0000-7000-8000-00000000000c"
#define AUDIT_OTHER "019b0000-0000-7000-8000-00000000000d" /* has finished, with the same images */
#define PAIR        "p"
#define SCORE_WORD  "SCORE-ID"

#define HEAD_BYTES  (8 << 10) /* less than in the service, so that inputs stay short */
#define BODY_MAX    65536
#define INPUT_MAX   65536     /* a larger input would not fit into the socket */
#define REPLIES_MAX (1 << 20) /* bytes of the replies that are kept */
#define ENDS_IN_MS  20000
#define IDLE_TURNS  3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[] = "/dev/shm/sslmem-fuzz-XXXXXX", score_id[SM_ID_BYTES];
static struct sm_config config = {.metrics = "on",
                                  .kernels = "ref",
                                  .sandbox = "off",
                                  .body_bytes_max = BODY_MAX,
                                  .archive_bytes_max = BODY_MAX,
                                  .images_max = 3,
                                  .queue_max = 4,
                                  .queue_bytes_max = 1 << 20,
                                  .connections_per_client_max = 8,
                                  .streams_max = 2,
                                  .streams_per_client_max = 2,
                                  .head_deadline_ms = 60000,
                                  .body_deadline_ms = 60000,
                                  .body_rate_min_bytes_per_s = 1,
                                  .idempotency_keep_s = 3600,
                                  .idempotency_keys_max = 8,
                                  .auth_failures_max = 30,
                                  .audit_images_max = 20,
                                  .wait_default_ms = 1,
                                  .wait_max_ms = 1000};
static struct sm_api api;
static struct sm_pairs *pairs;
static struct sm_http server;
static bool changed; /* the store may differ from the copy */
static int log_fd;

/* --- the folder --- */

static const char *const leaves[] = {"db",
                                     "db-wal",
                                     "db-shm",
                                     "db.lock",
                                     "copy",
                                     "pairs/p/pair.json",
                                     "pairs/p/f0.safetensors",
                                     "pairs/p/g0.safetensors",
                                     "root/a.png"};
static const char *const folders[] = {"pairs", "pairs/p", "root"};

static const char *leaf(const char *name)
{
    static char path[2][128];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static void put(const char *name, const void *bytes, size_t bytes_count)
{
    FILE *file = fopen(leaf(name), "w");
    if (!file || fwrite(bytes, 1, bytes_count, file) != bytes_count || fclose(file) != 0)
        abort();
}

static void copy(const char *to, const char *from)
{
    struct sm_file file;
    struct sm_err err;
    if (sm_file_map(&file, from, 1 << 24, &err) != SM_OK)
        abort(); /* must run in the root of the repository */
    put(to, file.bytes, file.bytes_count);
    sm_file_release(&file);
}

static void make_folder(void)
{
    static const char pair[] =
        "{\"f\": [\"f0.safetensors\"], \"g\": [\"g0.safetensors\"], \"encoder\": {\"heads\": 3}, "
        "\"recipe\": {\"augment\": \"dino-global\", \"views\": 2}}";
    if (!mkdtemp(folder))
        abort();
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (mkdir(leaf(folders[i]), 0700) != 0)
            abort();
    put("pairs/p/pair.json", pair, sizeof pair - 1);
    copy("pairs/p/f0.safetensors", GOLDEN "/vit/f0.safetensors");
    copy("pairs/p/g0.safetensors", GOLDEN "/vit/g0.safetensors");
    copy("root/a.png", GOLDEN "/tall.png");
}

/* --- the service --- */

static void must(enum sm_code code, const struct sm_err *err)
{
    if (code == SM_OK)
        return;
    fprintf(stderr, "%s\n", err->text);
    abort();
}

static void start(int workers)
{
    struct sm_err err = {0};
    api = (struct sm_api){.config = &config, .pairs = pairs};
    must(sm_store_open(&api.store, config.db, &err), &err);
    sm_store_idempotency_set(api.store, 1000 * config.idempotency_keep_s,
                             config.idempotency_keys_max);
    struct sm_jobs_params jobs = {.store = api.store,
                                  .pairs = pairs,
                                  .workers = workers,
                                  .queue_max = config.queue_max,
                                  .queue_bytes_max = config.queue_bytes_max};
    must(sm_jobs_start(&api.jobs, &jobs, &err), &err);
    must(sm_api_start(&api, &err), &err);
}

static void stop(void)
{
    sm_api_stop(&api);
    sm_jobs_stop(api.jobs);
    sm_store_close(api.store);
}

static struct sm_generation *take_pair(void)
{
    struct sm_generation *generation;
    struct sm_err err;
    must(sm_pairs_take(&generation, pairs, PAIR, &err), &err);
    return generation;
}

static void make_audit(const char *id, struct sm_file picture, size_t images_count)
{
    struct sm_store_audit_in in = {.pair = PAIR};
    struct sm_generation *generation = take_pair();
    const struct sm_pair *pair = sm_generation_pair(generation);
    struct sm_store_audit_added added;
    struct sm_err err;
    json_t *recipe = sm_recipe_json(sm_pair_recipe(pair)), *document = sm_pair_json(pair);
    json_t *spec = json_pack("{s:s, s:b, s:i, s:[s]}", "name", "n", "keep_thumbnails", 1,
                             "resamples", 8, "gates", "auc<=0.6");
    in.audit = *OWN(id);
    in.recipe = recipe;
    in.pair_document = document;
    in.spec = spec;
    must(sm_recipe_digest(in.recipe_digest, sm_pair_recipe(pair), &err), &err);
    must(sm_store_audit_create(api.store, &in, &err), &err);
    for (size_t i = 0; i < images_count; i++) {
        /* A byte behind the end of the picture makes another image. */
        uint8_t bytes[8192];
        memcpy(bytes, picture.bytes, picture.bytes_count);
        bytes[picture.bytes_count] = (uint8_t)i;
        struct sm_store_audit_image_in image = {.cohort = (enum sm_cohort)(i % SM_COHORTS),
                                                .name = "a,\"b\".png",
                                                .class_label = "=1",
                                                .group = "",
                                                .bytes = bytes,
                                                .bytes_count = picture.bytes_count + (i > 0)};
        sm_sha256_hex(image.image_digest, bytes, image.bytes_count);
        must(sm_store_audit_add(&added, api.store, OWN(id),
                                &(struct sm_store_audit_intake){
                                    .images = &image, .images_count = 1, .items_max = 100},
                                &err),
             &err);
    }
    json_decref(recipe);
    json_decref(document);
    json_decref(spec);
    sm_generation_give(generation);
}

static void admitted(void *arg, enum sm_code code, const struct sm_err *err)
{
    must(code, err);
    atomic_store((atomic_bool *)arg, true);
}

static void make_job(struct sm_file picture)
{
    struct sm_generation *generation = take_pair();
    const struct sm_pair *pair = sm_generation_pair(generation);
    struct sm_item_in item = {
        .name = "a.png", .bytes = picture.bytes, .bytes_count = picture.bytes_count};
    struct sm_job_in job = {.id = JOB_DONE, .pair = PAIR, .items = &item, .items_count = 1};
    atomic_bool done = false;
    struct sm_err err;
    json_t *recipe = sm_recipe_json(sm_pair_recipe(pair));
    sm_sha256_hex(item.image_digest, picture.bytes, picture.bytes_count);
    must(sm_recipe_digest(job.recipe_digest, sm_pair_recipe(pair), &err), &err);
    job.recipe = recipe;
    must(sm_store_admit(api.store, &job, admitted, &done, &err), &err);
    while (!atomic_load(&done))
        usleep(1000);
    json_decref(recipe);
    sm_generation_give(generation);
}

static bool has_ended(const char *id)
{
    struct sm_err err;
    struct sm_audit_head head;
    must(sm_store_audit_head(&head, api.store, OWN(id), &err), &err);
    return head.finished;
}

static void find_score(void)
{
    const struct sm_score_filter filter = {.limit = 1};
    struct sm_score_page page;
    struct sm_err err;
    must(sm_store_scores(&page, api.store, &filter, &err), &err);
    json_t *list = json_loads(page.scores, 0, NULL);
    const char *id = json_string_value(json_object_get(json_array_get(list, 0), "id"));
    if (!id)
        abort();
    snprintf(score_id, sizeof score_id, "%s", id);
    json_decref(list);
    free(page.scores);
}

/* Makes the store that the inputs find: two finished audits, an open one, and a scored job. */
static void make_copy(void)
{
    struct sm_file picture;
    struct sm_err err;
    must(sm_file_map(&picture, GOLDEN "/wide.png", 8000, &err), &err);
    start(1);
    make_audit(AUDIT_ENDED, picture, 12);
    make_audit(AUDIT_OTHER, picture, 9);
    make_audit(AUDIT_OPEN, picture, 2);
    make_job(picture);
    must(sm_store_audit_move(api.store, OWN(AUDIT_ENDED), SM_AUDIT_START, NULL, &err), &err);
    must(sm_store_audit_move(api.store, OWN(AUDIT_OTHER), SM_AUDIT_START, NULL, &err), &err);
    while (!has_ended(AUDIT_ENDED) || !has_ended(AUDIT_OTHER) ||
           sm_store_queued_count(api.store) > 0)
        usleep(1000);
    find_score();
    stop();
    sm_file_release(&picture);
    copy("copy", config.db);
}

static void restore(void)
{
    stop();
    unlink(leaf("db-wal"));
    unlink(leaf("db-shm"));
    copy("db", leaf("copy"));
    start(0);
    changed = false;
}

/* --- the daemon --- */

static void on_over(void *cls, struct MHD_Connection *connection, void **closure,
                    enum MHD_RequestTerminationCode how)
{
    const struct sm_request *r = *closure;
    changed |= r && strcmp(r->method, "GET") != 0 && strcmp(r->method, "HEAD") != 0 && r->route &&
               (r->status == 0 || r->status < 300);
    on_completed(cls, connection, closure, how);
}

static void start_server(void)
{
    struct sm_err err;
    server.params = (struct sm_http_params){
        .routes = sm_api_routes,
        .idempotency = &sm_api_idempotency_hooks,
        .authorize = sm_api_authorize,
        .answered = sm_api_log_access,
        .context = &api,
        .connections_max = 16,
        .idle_timeout_s = 60,
        .spool = folder,
        .limits = {.body_bytes_max = config.body_bytes_max,
                   .spool_bytes_max = config.archive_bytes_max,
                   .connections_per_client_max = config.connections_per_client_max,
                   .streams_max = config.streams_max,
                   .streams_per_client_max = config.streams_per_client_max,
                   .head_deadline_ms = config.head_deadline_ms,
                   .body_deadline_ms = config.body_deadline_ms,
                   .body_rate_min = config.body_rate_min_bytes_per_s}};
    sm_clients_init(&server.clients);
    must(sm_connections_start(&server.connections, 0, &err), &err);
    sm_http_set_limits(&server, &server.params.limits);
    must(sm_park_start(&server.park, SM_HTTP_WAITING_MAX(server.params.connections_max), &err),
         &err);
    server.daemon = MHD_start_daemon(
        MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        on_access, &server, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_UNESCAPE_CALLBACK,
        unescape, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_over, &server, MHD_OPTION_NOTIFY_CONNECTION,
        sm_client_connection, &server, MHD_OPTION_URI_LOG_CALLBACK, sm_client_url, &server,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_END);
    if (!server.daemon)
        abort();
}

static void start_metrics(void)
{
    static const char *routes[64];
#define ROW(NAME, status, code, title) code,
    static const char *const problems[] = {SM_PROBLEMS(ROW) NULL};
#undef ROW
    struct sm_err err;

    for (int i = 0; sm_api_routes[i].method; i++)
        routes[i] = sm_api_routes[i].path;
    must(sm_metrics_start(&(struct sm_metrics_sets){routes, problems}, &err), &err);
}

static void tidy(void)
{
    stop();
    for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++)
        unlink(leaf(leaves[i]));
    for (size_t i = sizeof folders / sizeof *folders; i-- > 0;)
        rmdir(leaf(folders[i]));
    rmdir(folder);
}

/* Replaces libsodium's random numbers, so that ids differ between runs only by their time. */
static uint32_t draw(void)
{
    static _Atomic uint32_t state = 1;
    return atomic_fetch_add(&state, 0x9e3779b9) * 0x85ebca6b;
}

static void draw_bytes(void *const out, const size_t count)
{
    for (size_t i = 0; i < count; i++)
        ((uint8_t *)out)[i] = (uint8_t)(draw() >> 24);
}

static const char *name_random(void)
{
    return "fuzz";
}

static void prepare(void)
{
    static struct randombytes_implementation random = {
        .implementation_name = name_random, .random = draw, .buf = draw_bytes};
    struct sm_err err;
    log_fd = memfd_create("log", MFD_CLOEXEC);
    if (log_fd < 0 || fcntl(log_fd, F_SETFL, O_APPEND) != 0)
        abort();
    sm_log_to(log_fd);
    randombytes_set_implementation(&random);
    sm_blas_single_thread();
    make_folder();
    snprintf(config.pairs, sizeof config.pairs, "%s", leaf("pairs"));
    snprintf(config.db, sizeof config.db, "%s", leaf("db"));
    snprintf(config.data_root, sizeof config.data_root, "%s", leaf("root"));
    start_metrics();
    sm_pulses_set_bound(ENDS_IN_MS);
    must(sm_pairs_load(&pairs, config.pairs, config.kernels, &err), &err);
    make_copy();
    start(0);
    atexit(tidy);
    start_server();
}

/* --- replies --- */

static bool is_status(long status)
{
    static const int known[] = {100, 200, 201, 202, 204, 304, 400, 403, 404, 405, 409,
                                411, 412, 413, 414, 415, 422, 429, 431, 503, 505, 507};
    size_t i = 0;
    while (i < sizeof known / sizeof *known && known[i] != status)
        i++;
    return i < sizeof known / sizeof *known;
}

/* Returns the value of a header in the head that ends at `end`; NULL if the head lacks it. */
static const char *find_header(const char *head, const char *end, const char *name)
{
    size_t n = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line && line < end;
         line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, n) == 0 && strncmp(line + 2 + n, ": ", 2) == 0)
            return line + 2 + n + 2;
    return NULL;
}

static void check_json(const char *body, size_t bytes_count, long status, bool problem)
{
    json_t *document = json_loadb(body, bytes_count, JSON_REJECT_DUPLICATES, NULL);
    assert(document != NULL);
    if (problem) {
        assert(json_integer_value(json_object_get(document, "status")) == status);
        assert(json_is_string(json_object_get(document, "code")) && status >= 400);
    }
    json_decref(document);
}

/* Checks a reply of the service; replies of libmicrohttpd itself have no request id. */
static void check_reply(const char *head, const char *body, size_t body_bytes, long status)
{
    const char *type = find_header(head, body, "Content-Type");
    assert(find_header(head, body, "X-Content-Type-Options") != NULL);
    assert(find_header(head, body, "Cache-Control") != NULL);
    assert(find_header(head, body, "Referrer-Policy") != NULL);
    if (!type || body_bytes == 0)
        return;
    if (strncmp(type, "application/problem+json\r", 25) == 0)
        check_json(body, body_bytes, status, true);
    else if (strncmp(type, "application/json\r", 17) == 0)
        check_json(body, body_bytes, status, false);
}

static void check_replies(const char *text, size_t text_bytes)
{
    const char *end = text + text_bytes;
    while (text < end) {
        assert(strncmp(text, "HTTP/1.", 7) == 0);
        long status = strtol(text + 8, NULL, 10);
        const char *head_end = strstr(text, "\r\n\r\n");
        assert(is_status(status) && head_end);
        const char *body = head_end + 4;
        const char *length = find_header(text, body, "Content-Length");
        if (find_header(text, body, "Transfer-Encoding"))
            return; /* a stream: the client left before its end */
        size_t bytes = !length ? 0 : strtoul(length, NULL, 10);
        /* The answer to HEAD has no body. */
        if (body == end || strncmp(body, "HTTP/1.", 7) == 0)
            bytes = 0;
        assert(bytes <= (size_t)(end - body));
        if (find_header(text, body, "X-Request-Id"))
            check_reply(text, body, bytes, status);
        text = body + bytes;
    }
}

static void check_log(void)
{
    static char text[1 << 16];
    ssize_t n = pread(log_fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return;
    text[n] = '\0';
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        json_t *document = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, NULL);
        assert(document && !json_object_get(document, "fields_lost"));
        json_decref(document);
    }
    if (ftruncate(log_fd, 0) != 0)
        abort();
}

/* Counts the header lines of the first request that say where its body ends; 0 if the head is not
 * complete or has a line end that is not CR LF. */
static int count_framing_lines(const char *request)
{
    const char *end = strstr(request, "\r\n\r\n");
    int lines = 0;
    for (const char *at = request; end && at < end; at++) {
        if ((*at == '\n') != (at > request && at[-1] == '\r'))
            return 0; /* CR or LF alone */
        if (*at == '\n')
            lines += strncasecmp(at + 1, "Content-Length:", 15) == 0 ||
                     strncasecmp(at + 1, "Transfer-Encoding:", 18) == 0;
    }
    return !end ? 0 : lines;
}

/* If the first request says more than once where its body ends, it must be refused, and no second
 * request may be read behind it: that would be request smuggling. */
static void check_framing(const char *request, const char *replies)
{
    if (count_framing_lines(request) < 2 || replies[0] == '\0')
        return;
    const char *first = strstr(replies, "\nX-Request-Id");
    assert(strtol(replies + 8, NULL, 10) >= 400);
    assert(!first || !strstr(first + 1, "\nX-Request-Id"));
}

/* --- the connection --- */

struct client {
    int fd;
    char *replies;
    size_t replies_bytes;
    bool over;
};

/* Reads the bytes that have arrived; false if there are none. */
static bool drain(struct client *c)
{
    char rest[4096];
    size_t room = REPLIES_MAX - c->replies_bytes;
    ssize_t n = recv(c->fd, room > 0 ? c->replies + c->replies_bytes : rest,
                     room > 0 ? room : sizeof rest, MSG_DONTWAIT);
    if (n > 0 && room > 0)
        c->replies_bytes += (size_t)n;
    c->over = n == 0 || (n < 0 && errno != EAGAIN);
    return n > 0;
}

/* Returns a suspended request: a stream if `streams`, else one that waits for work. NULL: none. */
static struct sm_request *find_waiting(bool streams)
{
    pthread_mutex_lock(&server.park.lock);
    struct sm_request *r = server.park.first;
    while (r && (r->stream != NULL) != streams)
        r = r->park_next;
    pthread_mutex_unlock(&server.park.lock);
    return r;
}

/* Runs the daemon's loop until the connection is over or, with `idle_ends`, nothing more happens.
 * Streams of events are woken at once instead of at their time. */
static void turn(struct client *c, bool idle_ends)
{
    int64_t until_ms = sm_clock_monotonic_ms() + ENDS_IN_MS;
    for (int idle = 0; !c->over && !(idle_ends && idle >= IDLE_TURNS); idle++) {
        bool works = find_waiting(false) != NULL;
        MHD_run_wait(server.daemon, works);
        while (drain(c))
            idle = -1;
        struct sm_request *stream = idle_ends ? NULL : find_waiting(true);
        if (stream)
            sm_request_wake(stream);
        if (works)
            idle = -1;
        assert(sm_clock_monotonic_ms() < until_ms);
    }
}

static void converse(struct client *c, const char *bytes, size_t bytes_count, size_t piece)
{
    static const struct sockaddr_in from = {.sin_family = AF_INET};
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
        abort();
    c->fd = fds[1];
    if (MHD_add_connection(server.daemon, fds[0], (const struct sockaddr *)&from, sizeof from) !=
        MHD_YES)
        abort();
    for (size_t at = 0; at < bytes_count && !c->over;) {
        size_t n = bytes_count - at < piece ? bytes_count - at : piece;
        ssize_t sent = send(c->fd, bytes + at, n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            break; /* the service refused the request and reads no more */
        at += sent > 0 ? (size_t)sent : 0;
        if (at < bytes_count) {
            MHD_run_wait(server.daemon, 0);
            drain(c);
        }
    }
    turn(c, true); /* replies come first: a client that shuts down gets none */
    shutdown(c->fd, SHUT_WR);
    turn(c, false);
    while (atomic_load(&server.active) > 0)
        MHD_run_wait(server.daemon, 1);
    close(c->fd);
}

/* --- the input --- */

static char *with_score_id(size_t *bytes_count, const uint8_t *data, size_t size)
{
    size_t n = strlen(SCORE_WORD), room = size + size / n * SM_ID_BYTES + 1, used = 0;
    char *out = malloc(room);
    if (!out)
        abort();
    for (size_t i = 0; i < size;) {
        bool word = size - i >= n && memcmp(data + i, SCORE_WORD, n) == 0;
        memcpy(out + used, word ? (const void *)score_id : data + i, word ? SM_ID_BYTES - 1 : 1);
        used += word ? SM_ID_BYTES - 1 : 1;
        i += word ? n : 1;
    }
    out[used] = '\0';
    *bytes_count = used;
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char replies[REPLIES_MAX + 1];
    struct client c = {.replies = replies};
    size_t bytes_count;
    if (log_fd == 0)
        prepare();
    if (size == 0 || size > INPUT_MAX)
        return 0;
    char *bytes = with_score_id(&bytes_count, data + 1, size - 1);
    converse(&c, bytes, bytes_count, data[0] == '0' || data[0] == 0 ? SIZE_MAX : data[0]);
    replies[c.replies_bytes] = '\0';
    check_framing(bytes, replies);
    free(bytes);
    if (c.replies_bytes < REPLIES_MAX && strlen(replies) == c.replies_bytes)
        check_replies(replies, c.replies_bytes);
    assert(atomic_load(&server.budget.used) == 0 && atomic_load(&server.spool_budget.used) == 0);
    assert(!find_waiting(false) && !find_waiting(true));
    assert(atomic_load(&server.streams) == 0);
    check_log();
    if (changed)
        restore();
    return 0;
}
