/* A client has one libcurl easy handle and sends one request at a time.
 *
 * A request is repeated if the server did not begin it (no connection, 429, 503), or if it broke
 * off in the middle. All tries of a POST carry the same Idempotency-Key, so the server carries it
 * out only once; while an earlier try is still running, the server answers 409, and the client
 * waits. Waits double from a quarter of a second to 30 s, unless Retry-After gives a time. */
#include "server/cmd/audit_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/escape.h"
#include "core/base/json.h"
#include "server/base/id.h"
#include "server/base/settings.h"
#include "server/base/token.h"
#include "server/http/tls.h"

#define TRIES_MAX         10
#define WAIT_MIN_MS       250
#define WAIT_MAX_MS       30000
#define CONNECT_MS        10000L
#define SILENCE_S         300L /* without a byte; evaluating a large audit takes seconds */
#define ANSWER_BYTES_MAX  ((size_t)64 << 20)
#define PROBLEM_BYTES_MAX ((size_t)64 << 10)
#define DEPTH_MAX         32

struct sm_client {
    CURL *curl;
    char *url;                  /* without a slash at its end */
    const char *ca_file;        /* NULL: the system's certificates */
    char token[SM_TOKEN_BYTES]; /* "": requests have no API key */
    char why[CURL_ERROR_SIZE];
};

/* A request, and the answer to its current try. */
struct exchange {
    const struct sm_client_call *call;
    struct sm_client *client;
    char idempotency_key[40]; /* in quotes; the same for all tries */
    struct sm_client_answer answer;
    size_t text_count;
    long retry_after_s; /* 0: no Retry-After */
    bool too_long, not_written;
};

void sm_client_close(struct sm_client *client)
{
    if (!client)
        return;
    curl_easy_cleanup(client->curl);
    free(client->url);
    explicit_bzero(client, sizeof *client);
    free(client);
    curl_global_cleanup();
}

static enum sm_code read_token(struct sm_client *client, const char *key_file, struct sm_err *err)
{
    struct sm_secret secret = {0};
    struct sm_token token;
    const char *text = sm_settings_variable("SSLMEM_KEY");
    enum sm_code code = SM_OK;
    if (!key_file && (!text || !*text))
        return SM_OK;
    if (key_file)
        code = sm_secret_read(&secret, "--key-file", key_file, err);
    if (code == SM_OK && !sm_token_read(&token, key_file ? secret.value : text))
        code = sm_err_set(err, SM_INVALID, "%s has no key of the form sslmem_PREFIX_SECRET",
                          key_file ? "--key-file" : "SSLMEM_KEY");
    if (code == SM_OK)
        memcpy(client->token, token.text, sizeof client->token);
    explicit_bzero(&secret, sizeof secret);
    explicit_bzero(&token, sizeof token);
    return code;
}

/* Finds the file of authorities and checks that it holds a certificate: for an empty file libcurl
 * says only that the server is not trusted. */
static enum sm_code read_ca(struct sm_client *client, const char *ca_file, struct sm_err *err)
{
    const char *variable = sm_settings_variable("SSL_CERT_FILE");
    struct sm_err why = {0};
    client->ca_file = ca_file ? ca_file : variable && *variable ? variable : NULL;
    bool https = strncasecmp(client->url, "https://", 8) == 0;
    if (ca_file && !https)
        return sm_err_set(err, SM_INVALID, "--ca-file: %.160s is not https", client->url);
    if (!client->ca_file || !https)
        return SM_OK;
    enum sm_code code = sm_tls_check_authorities(client->ca_file, &why);
    if (code != SM_OK)
        sm_err_set(err, code, "%s: %s", ca_file ? "--ca-file" : "SSL_CERT_FILE", why.text);
    return code;
}

enum sm_code sm_client_open(struct sm_client **out, const char *url, const char *key_file,
                            const char *ca_file, struct sm_err *err)
{
    struct sm_client *client = calloc(1, sizeof *client);
    size_t length = strlen(url);
    *out = NULL;
    if (!client)
        return sm_err_set(err, SM_NOMEM, "client: out of memory");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
        free(client);
        return sm_err_set(err, SM_INTERNAL, "libcurl cannot be started");
    }
    while (length > 0 && url[length - 1] == '/')
        length--;
    client->curl = curl_easy_init();
    client->url = strndup(url, length);
    if (!client->curl || !client->url) {
        sm_client_close(client);
        return sm_err_set(err, SM_NOMEM, "client: out of memory");
    }
    enum sm_code code = read_token(client, key_file, err);
    if (code == SM_OK)
        code = read_ca(client, ca_file, err);
    if (code == SM_OK)
        *out = client;
    else
        sm_client_close(client);
    return code;
}

/* --- one try --- */

static size_t take_bytes(char *bytes, size_t size, size_t n, void *arg)
{
    struct exchange *x = arg;
    size_t count = size * n;
    long status = 0;
    curl_easy_getinfo(x->client->curl, CURLINFO_RESPONSE_CODE, &status);
    bool good = status >= 200 && status < 300;
    if (good && x->call->into) {
        x->not_written = fwrite(bytes, 1, count, x->call->into) != count;
        return x->not_written ? 0 : count;
    }
    x->too_long = x->text_count + count > (good ? ANSWER_BYTES_MAX : PROBLEM_BYTES_MAX);
    char *text = x->too_long ? NULL : realloc(x->answer.text, x->text_count + count + 1);
    if (!text)
        return 0;
    memcpy(text + x->text_count, bytes, count);
    x->answer.text = text;
    x->text_count += count;
    text[x->text_count] = '\0';
    return count;
}

/* Returns the trimmed value of the header line if it has this name, else NULL. */
static const char *value_of(char *line, const char *name)
{
    size_t length = strlen(name);
    if (strncasecmp(line, name, length) != 0 || line[length] != ':')
        return NULL;
    line += length + 1 + strspn(line + length + 1, " \t");
    line[strcspn(line, "\r\n")] = '\0';
    return line;
}

static size_t take_header(char *bytes, size_t size, size_t n, void *arg)
{
    struct exchange *x = arg;
    char line[256];
    const char *value;
    snprintf(line, sizeof line, "%.*s", (int)(size * n < 255 ? size * n : 255), bytes);
    if ((value = value_of(line, "ETag")))
        snprintf(x->answer.etag, sizeof x->answer.etag, "%.63s", value);
    else if ((value = value_of(line, SM_COMPLETENESS_HEADER)))
        sm_completeness_parse(&x->answer.completeness, value);
    else if ((value = value_of(line, "Retry-After")))
        x->retry_after_s = strtol(value, NULL, 10);
    return size * n;
}

static int look_for_stop(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)arg, (void)a, (void)b, (void)c, (void)d;
    return atomic_load(&sm_stop_asked);
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
    char line[256];
    snprintf(line, sizeof line, "%s: %s", name, value);
    return curl_slist_append(list, line);
}

static void set_body(CURL *curl, const struct sm_client_call *call)
{
    if (call->file) {
        fseek(call->file, 0, SEEK_END);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)ftell(call->file));
        rewind(call->file);
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_READDATA, call->file);
    } else {
        const char *text = call->text ? call->text : "";
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(text));
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text);
    }
}

static CURLcode try_once(struct exchange *x, const char *url)
{
    const struct sm_client_call *call = x->call;
    CURL *curl = x->client->curl;
    struct curl_slist *headers = NULL;
    curl_easy_reset(curl);
    x->client->why[0] = '\0';
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, x->client->why);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    if (x->client->ca_file) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, x->client->ca_file);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, SILENCE_S);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_for_stop);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, x);
    if (call->method && strcmp(call->method, "POST") == 0) {
        set_body(curl, call);
        headers = add_header(headers, "Content-Type",
                             call->media_type ? call->media_type : "application/json");
        headers = add_header(headers, "Idempotency-Key", x->idempotency_key);
    } else if (call->method) {
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method);
    }
    if (x->client->token[0]) {
        char bearer[80];
        snprintf(bearer, sizeof bearer, "Bearer %s", x->client->token);
        headers = add_header(headers, "Authorization", bearer);
        explicit_bzero(bearer, sizeof bearer);
    }
    if (call->etag && *call->etag)
        headers = add_header(headers, "If-None-Match", call->etag);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    CURLcode done = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &x->answer.status);
    curl_slist_free_all(headers);
    return done;
}

/* --- outcome --- */

static enum sm_code code_of(long status)
{
    static const struct {
        long status;
        enum sm_code code;
    } rows[] = {{404, SM_NOT_FOUND}, {409, SM_CONFLICT}, {413, SM_LIMIT}, {415, SM_UNSUPPORTED},
                {429, SM_BUSY},      {503, SM_BUSY},     {507, SM_FULL}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].status == status)
            return rows[i].code;
    return status >= 400 && status < 500 ? SM_INVALID : SM_IO;
}

/* Sets the error from the status and the detail of the problem document. */
static enum sm_code refusal(const struct exchange *x, struct sm_err *err)
{
    json_t *problem = NULL;
    if (x->answer.text)
        sm_json_parse(&problem, x->answer.text, x->text_count, PROBLEM_BYTES_MAX, DEPTH_MAX, NULL);
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    enum sm_code code =
        sm_err_set(err, code_of(x->answer.status), "%.80s: %ld: %.140s", x->client->url,
                   x->answer.status, detail ? detail : "no problem document");
    json_decref(problem);
    return code;
}

/* Sets an error that says in GnuTLS's words what is wrong with the server's certificate; libcurl
 * has the same words for every case. */
static enum sm_code mistrust(const struct exchange *x, struct sm_err *err)
{
    long status = 0;
    char text[111];
    curl_easy_getinfo(x->client->curl, CURLINFO_SSL_VERIFYRESULT, &status);
    if (status == 0) /* a trusted certificate of another host */
        return sm_err_set(err, SM_IO, "%.80s: %.150s", x->client->url, x->client->why);
    bool unknown = sm_tls_say_distrust(text, sizeof text, (unsigned)status);
    return sm_err_set(err, SM_IO, "%.80s: %s%s", x->client->url, text,
                      unknown ? "--ca-file names a private authority" : "");
}

static enum sm_code failure(const struct exchange *x, CURLcode done, struct sm_err *err)
{
    const char *why = x->client->why[0] ? x->client->why : curl_easy_strerror(done);
    if (atomic_load(&sm_stop_asked))
        return sm_err_set(err, SM_CANCELLED, "stopped");
    if (x->not_written)
        return sm_err_set(err, SM_IO, "the answer cannot be written: %s", strerror(errno));
    if (x->too_long)
        return sm_err_set(err, SM_LIMIT, "%.80s: an answer of over %zu bytes", x->client->url,
                          x->text_count);
    if (done == CURLE_PEER_FAILED_VERIFICATION)
        return mistrust(x, err);
    return sm_err_set(err, done == CURLE_COULDNT_CONNECT ? SM_BUSY : SM_IO, "%.80s: %.150s",
                      x->client->url, why);
}

/* Returns whether another try may succeed and does no harm. A 409 is repeated only if it has a
 * Retry-After: then the server is still working on an earlier try. */
static bool may_repeat(const struct exchange *x, CURLcode done)
{
    if (atomic_load(&sm_stop_asked) || x->not_written || x->too_long)
        return false;
    if (done == CURLE_OK)
        return x->answer.status == 429 || x->answer.status == 503 ||
               (x->answer.status == 409 && x->retry_after_s > 0);
    if (done == CURLE_COULDNT_CONNECT)
        return true;
    bool broken = done == CURLE_GOT_NOTHING || done == CURLE_RECV_ERROR ||
                  done == CURLE_SEND_ERROR || done == CURLE_PARTIAL_FILE;
    bool safe = !x->call->method || strcmp(x->call->method, "POST") == 0;
    return broken && safe && !(x->call->into && ftell(x->call->into) != 0);
}

static enum sm_code repeat(struct exchange *x, const char *url, struct sm_err *err)
{
    int64_t wait_ms = WAIT_MIN_MS;
    for (int tries = 1;; tries++) {
        CURLcode done = try_once(x, url);
        bool good = done == CURLE_OK && (x->answer.status / 100 == 2 || x->answer.status == 304);
        if (good)
            return SM_OK;
        if (done == CURLE_OK)
            refusal(x, err);
        else
            failure(x, done, err);
        if (tries == TRIES_MAX || !may_repeat(x, done))
            return err->code;
        if (tries == 1 && done == CURLE_COULDNT_CONNECT)
            fprintf(stderr, "sslmem: %s; trying again\n", sm_shown(err->text));
        int64_t asked_ms = 1000 * (int64_t)x->retry_after_s;
        int64_t now_ms = asked_ms > 0 && asked_ms <= WAIT_MAX_MS ? asked_ms : wait_ms;
        if (sm_stop_wait(now_ms, err) != SM_OK)
            return err->code;
        wait_ms = 2 * wait_ms < WAIT_MAX_MS ? 2 * wait_ms : WAIT_MAX_MS;
        free(x->answer.text);
        struct exchange next = {.call = x->call, .client = x->client};
        memcpy(next.idempotency_key, x->idempotency_key, sizeof next.idempotency_key);
        *x = next;
    }
}

enum sm_code sm_client_send(struct sm_client_answer *out, struct sm_client *client,
                            const struct sm_client_call *call, struct sm_err *err)
{
    struct exchange x = {.call = call, .client = client};
    struct sm_err last = {0};
    char id[37];
    size_t bytes = strlen(client->url) + strlen(call->path) + 1;
    char *url = malloc(bytes);
    if (!url)
        return sm_err_set(err, SM_NOMEM, "client: out of memory");
    snprintf(url, bytes, "%s%s", client->url, call->path);
    sm_id_new(id);
    snprintf(x.idempotency_key, sizeof x.idempotency_key, "\"%s\"", id);
    enum sm_code code = repeat(&x, url, &last);
    free(url);
    if (code == SM_OK && !x.answer.text && !(x.answer.text = strdup("")))
        code = sm_err_set(&last, SM_NOMEM, "client: out of memory");
    if (code != SM_OK && err)
        *err = last;
    if (code == SM_OK && out)
        *out = x.answer;
    else
        free(x.answer.text);
    return code;
}

enum sm_code sm_client_json(json_t **out, struct sm_client *client,
                            const struct sm_client_call *call, struct sm_err *err)
{
    struct sm_client_answer answer;
    struct sm_err why = {0};
    enum sm_code code = sm_client_send(&answer, client, call, err);
    *out = NULL;
    if (code != SM_OK)
        return code;
    size_t count = strlen(answer.text);
    if (count > 0 && sm_json_parse(out, answer.text, count, count, DEPTH_MAX, &why) != SM_OK)
        code = sm_err_set(err, SM_CORRUPT, "%.80s: the answer is no JSON: %.120s", client->url,
                          why.text);
    free(answer.text);
    return code;
}
