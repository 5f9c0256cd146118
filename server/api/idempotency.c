/* Requests with an idempotency key that are running are a list in memory, because one process
 * serves a database. A request is listed from the time its body is complete until just before its
 * reply is sent. The list is short, at most one entry per connection, so it is searched linearly.
 *
 * The writer thread stores an answer while its request waits. If the request ends before that, the
 * write frees the entry. */
#include "server/api/idempotency.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/handlers.h"
#include "server/base/log.h"

struct entry {
    struct sm_idempotency_claim idempotency;
    char score[SM_ID_BYTES]; /* id from sm_api_idempotency_about, or "" */
    struct sm_idempotency *table;
    struct sm_request *request;       /* NULL: the request is over, the write frees the entry */
    enum { RUNS, KEEPS, KEPT } state; /* KEEPS: being stored; KEPT: nothing left to store */
    struct entry *next, **link;
};

struct sm_idempotency {
    pthread_mutex_t lock; /* guards all below, and state and request of entries */
    pthread_cond_t kept;
    struct entry *first;
    int writes_count; /* answers being stored */
};

/* Headers that are stored with an answer; the others belong to the connection or the moment. */
static const char *const kept_headers[] = {"Content-Type", "Location", "ETag", "Retry-After",
                                           "Preference-Applied"};

enum sm_code sm_idempotency_start(struct sm_idempotency **out, struct sm_err *err)
{
    struct sm_idempotency *table = calloc(1, sizeof *table);
    *out = table;
    if (!table)
        return sm_err_set(err, SM_NOMEM, "idempotency: out of memory");
    pthread_mutex_init(&table->lock, NULL);
    pthread_cond_init(&table->kept, NULL);
    return SM_OK;
}

void sm_idempotency_stop(struct sm_idempotency *table)
{
    if (!table)
        return;
    pthread_mutex_lock(&table->lock);
    while (table->writes_count > 0)
        pthread_cond_wait(&table->kept, &table->lock);
    assert(!table->first); /* every request is over */
    pthread_mutex_unlock(&table->lock);
    pthread_cond_destroy(&table->kept);
    pthread_mutex_destroy(&table->lock);
    free(table);
}

const struct sm_idempotency_claim *sm_api_idempotency_claim(const struct sm_request *request)
{
    const struct entry *entry = request->idempotency;
    return !entry ? NULL : &entry->idempotency;
}

void sm_api_idempotency_about(struct sm_request *request, const char *score_id)
{
    struct entry *entry = request->idempotency;
    if (entry)
        snprintf(entry->score, sizeof entry->score, "%s", score_id);
}

void sm_api_idempotency_skip(struct sm_request *request)
{
    struct entry *entry = request->idempotency;
    if (!entry)
        return;
    pthread_mutex_lock(&entry->table->lock);
    entry->state = KEPT;
    pthread_mutex_unlock(&entry->table->lock);
}

/* --- the list --- */

/* Adds the entry to the list; false if a request with the same key is running. */
static bool list(struct entry *entry)
{
    struct sm_idempotency *table = entry->table;
    pthread_mutex_lock(&table->lock);
    struct entry *other = table->first;
    while (other && (strcmp(other->idempotency.key, entry->idempotency.key) != 0 ||
                     strcmp(other->idempotency.scope, entry->idempotency.scope) != 0))
        other = other->next;
    if (!other) {
        entry->next = table->first;
        if (entry->next)
            entry->next->link = &entry->next;
        entry->link = &table->first;
        table->first = entry;
    }
    pthread_mutex_unlock(&table->lock);
    return !other;
}

/* Takes the entry away from its request and off the list. Frees it, unless a write is storing the
 * answer: then the write frees it. */
static void release(struct sm_request *request)
{
    struct entry *entry = request->idempotency;
    if (!entry)
        return;
    request->idempotency = NULL;
    pthread_mutex_lock(&entry->table->lock);
    *entry->link = entry->next;
    if (entry->next)
        entry->next->link = entry->link;
    entry->request = NULL;
    bool free_now = entry->state != KEEPS;
    pthread_mutex_unlock(&entry->table->lock);
    if (free_now)
        free(entry);
}

/* --- coming in --- */

/* Idempotency keys belong to one API key: another API key of the tenant may see other figures. */
static const char *scope_of(const struct sm_request *request)
{
    return request->caller.api_key_id;
}

static bool known(struct sm_request *request)
{
    struct sm_idempotency_answer answer;
    enum sm_code code = sm_store_idempotency_answer(
        &answer, sm_api_of(request)->store, scope_of(request), request->idempotency_key, NULL);
    if (code == SM_OK)
        sm_idempotency_answer_release(&answer);
    return code == SM_OK;
}

/* Replies with the stored answer, under this request's own request id. */
static void replay(struct sm_request *request, const struct sm_idempotency_answer *answer)
{
    const char *type = json_string_value(json_object_get(answer->headers, "Content-Type"));
    const char *name;
    json_t *value;
    sm_reply_stored(request, (unsigned)answer->status, type, strdup(answer->body));
    json_object_foreach(answer->headers, name, value) if (strcmp(name, "Content-Type") != 0)
        sm_reply_header(request, name, "%s", json_string_value(value));
    sm_reply_header(request, "Idempotent-Replayed", "true");
}

/* Replies with a new answer about the job or audit `id` that an earlier try made or moved, because
 * no answer is stored. */
static void reply_resource(struct sm_request *request, const char *id)
{
    struct sm_audit_id audit = {.tenant = request->caller.tenant};
    struct sm_audit_head head;
    struct sm_err err = {0};
    json_t *document;
    if (request->route->handler == sm_api_post_scores) {
        sm_api_reply_submitted(request, id);
        return;
    }
    bool made = request->route->handler == sm_api_post_audit;
    snprintf(audit.id, sizeof audit.id, "%s", id);
    enum sm_code code = sm_store_audit(&document, &head, sm_api_of(request)->store, &audit, &err);
    if (code == SM_OK) {
        sm_api_reply_audit(request, made ? 201 : 200, document, head.revision);
        if (made)
            sm_reply_header(request, "Location", "/v1/audits/%s", id);
    } else if (code == SM_NOT_FOUND) {
        sm_reply_problem(request, SM_PROBLEM_AUDIT_UNKNOWN, "audit %s, made by this key, is gone",
                         id);
    } else {
        sm_reply_failure(request, &err);
    }
}

static void reply_known(struct sm_request *request, const struct sm_idempotency_answer *answer)
{
    if (strcmp(answer->fingerprint, request->fingerprint) != 0)
        sm_reply_problem(request, SM_PROBLEM_IDEMPOTENCY_KEY_REUSED,
                         "this Idempotency-Key was used for another request: path, query, "
                         "Content-Type and body must be the same");
    else if (answer->status != 0)
        replay(request, answer);
    else
        reply_resource(request, answer->resource);
}

static void enter(struct sm_request *request)
{
    struct sm_api *api = sm_api_of(request);
    struct entry *entry = calloc(1, sizeof *entry);
    struct sm_idempotency_answer answer;
    struct sm_err err = {0};
    if (!entry) {
        sm_reply_no_memory(request);
        return;
    }
    entry->table = api->idempotency;
    entry->request = request;
    snprintf(entry->idempotency.scope, sizeof entry->idempotency.scope, "%s", scope_of(request));
    memcpy(entry->idempotency.key, request->idempotency_key, sizeof entry->idempotency.key);
    memcpy(entry->idempotency.fingerprint, request->fingerprint,
           sizeof entry->idempotency.fingerprint);
    if (!list(entry)) {
        free(entry);
        sm_reply_problem(request, SM_PROBLEM_IDEMPOTENCY_IN_FLIGHT,
                         "a request with this Idempotency-Key is under way");
        sm_reply_header(request, "Retry-After", "1");
        return;
    }
    request->idempotency = entry;
    enum sm_code code = sm_store_idempotency_answer(&answer, api->store, entry->idempotency.scope,
                                                    entry->idempotency.key, &err);
    if (code == SM_OK) {
        reply_known(request, &answer);
        /* A new answer will be stored; a replayed one, or a refusal, will not. */
        if (answer.status != 0 || strcmp(answer.fingerprint, request->fingerprint) != 0)
            release(request);
        sm_idempotency_answer_release(&answer);
    } else if (code != SM_NOT_FOUND) {
        sm_reply_failure(request, &err);
        release(request);
    }
}

/* --- going out --- */

static json_t *headers_of(const struct sm_request *request)
{
    json_t *headers = json_object();
    for (size_t i = 0; i < sizeof kept_headers / sizeof *kept_headers; i++) {
        const char *value = sm_reply_get_header(request, kept_headers[i]);
        if (value && json_object_set_new(headers, kept_headers[i], json_string(value)) != 0)
            break; /* out of memory, which the store will report */
    }
    return headers;
}

/* Called on the writer thread when the answer is stored, or could not be. */
static void kept(void *arg, enum sm_code code, const struct sm_err *err)
{
    struct entry *entry = arg;
    struct sm_idempotency *table = entry->table;
    if (code != SM_OK)
        sm_log("error", "idempotency_answer_dropped", "{s:s}", "detail", err->text);
    pthread_mutex_lock(&table->lock);
    bool over = !entry->request;
    entry->state = KEPT;
    if (!over)
        sm_request_wake(entry->request);
    table->writes_count--;
    pthread_cond_signal(&table->kept);
    pthread_mutex_unlock(&table->lock);
    if (over)
        free(entry);
}

/* Begins to store the reply; false if it is no 2xx or too long to be stored. */
static bool keep(struct sm_request *request, struct entry *entry)
{
    unsigned status;
    size_t body_bytes;
    struct sm_err err = {0};
    const char *body = sm_reply_get_body(request, &status, &body_bytes);
    if (!body || status / 100 != 2 || body_bytes > SM_IDEMPOTENCY_ANSWER_BYTES_MAX)
        return false;
    json_t *headers = headers_of(request);
    pthread_mutex_lock(&entry->table->lock);
    entry->state = KEEPS;
    entry->table->writes_count++;
    pthread_mutex_unlock(&entry->table->lock);
    const struct sm_idempotency_answer_in answer = {.idempotency = &entry->idempotency,
                                                    .score = entry->score,
                                                    .status = (int)status,
                                                    .headers = headers,
                                                    .body = body,
                                                    .body_bytes = body_bytes};
    enum sm_code code =
        sm_store_idempotency_keep(sm_api_of(request)->store, &answer, kept, entry, &err);
    json_decref(headers);
    if (code != SM_OK)
        kept(entry, code, &err);
    return true;
}

static void nothing(struct sm_request *request)
{
    (void)request;
}

static void leave(struct sm_request *request)
{
    struct entry *entry = request->idempotency;
    pthread_mutex_lock(&entry->table->lock);
    int state = entry->state;
    pthread_mutex_unlock(&entry->table->lock);
    if ((state == RUNS && keep(request, entry)) || (state == KEEPS && !sm_request_ending(request)))
        sm_request_wait(request, SM_NO_DEADLINE, nothing);
    else
        release(request);
}

const struct sm_idempotency_hooks sm_api_idempotency_hooks = {known, enter, leave, release};
