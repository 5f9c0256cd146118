/* Keys in flight are a list in memory, for one process serves a database: an entry is listed from
 * the whole body to the moment before the reply is sent. It is a few hundred at most, one a
 * connection, so it is walked.
 *
 * An answer is kept by the writer thread while the request waits. A request that is over before
 * that leaves its entry to the write. */
#include "server/api/idempotency.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/handlers.h"
#include "server/base/log.h"

struct entry {
    struct sm_idempotency_claim idempotency;
    char score[SM_ID_BYTES]; /* sm_api_idempotency_about */
    struct sm_idempotency *retries;
    struct sm_request *request;       /* NULL: over, the write frees the entry */
    enum { RUNS, KEEPS, KEPT } state; /* KEPT: nothing is left to keep */
    struct entry *next, **link;
};

struct sm_idempotency {
    pthread_mutex_t lock; /* guards all below, and state and request of entries */
    pthread_cond_t kept;
    struct entry *first;
    int writes_count; /* under way */
};

/* What a client needs of an answer's headers; the rest is of the connection or of the moment. */
static const char *const kept_headers[] = {"Content-Type", "Location", "ETag", "Retry-After",
                                           "Preference-Applied"};

enum sm_code sm_idempotency_start(struct sm_idempotency **out, struct sm_err *err)
{
    struct sm_idempotency *retries = calloc(1, sizeof *retries);
    *out = retries;
    if (!retries)
        return sm_err_set(err, SM_NOMEM, "retries: out of memory");
    pthread_mutex_init(&retries->lock, NULL);
    pthread_cond_init(&retries->kept, NULL);
    return SM_OK;
}

void sm_idempotency_stop(struct sm_idempotency *retries)
{
    if (!retries)
        return;
    pthread_mutex_lock(&retries->lock);
    while (retries->writes_count > 0)
        pthread_cond_wait(&retries->kept, &retries->lock);
    assert(!retries->first); /* every request is over */
    pthread_mutex_unlock(&retries->lock);
    pthread_cond_destroy(&retries->kept);
    pthread_mutex_destroy(&retries->lock);
    free(retries);
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
    pthread_mutex_lock(&entry->retries->lock);
    entry->state = KEPT;
    pthread_mutex_unlock(&entry->retries->lock);
}

/* --- the list --- */

/* False when the key is in flight already. */
static bool list(struct entry *entry)
{
    struct sm_idempotency *retries = entry->retries;
    pthread_mutex_lock(&retries->lock);
    struct entry *other = retries->first;
    while (other && (strcmp(other->idempotency.key, entry->idempotency.key) != 0 ||
                     strcmp(other->idempotency.scope, entry->idempotency.scope) != 0))
        other = other->next;
    if (!other) {
        entry->next = retries->first;
        if (entry->next)
            entry->next->link = &entry->next;
        entry->link = &retries->first;
        retries->first = entry;
    }
    pthread_mutex_unlock(&retries->lock);
    return !other;
}

/* Takes the entry from its request: out of the list, and freed now or by the write. */
static void release(struct sm_request *request)
{
    struct entry *entry = request->idempotency;
    if (!entry)
        return;
    request->idempotency = NULL;
    pthread_mutex_lock(&entry->retries->lock);
    *entry->link = entry->next;
    if (entry->next)
        entry->next->link = entry->link;
    entry->request = NULL;
    bool free_now = entry->state != KEEPS;
    pthread_mutex_unlock(&entry->retries->lock);
    if (free_now)
        free(entry);
}

/* --- coming in --- */

/* Whose they are: of one API key, for another of its tenant may see other figures. */
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

/* The stored answer, with this request's own id. */
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

/* No answer is there, but what the request made. */
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
    entry->retries = api->retries;
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
        /* An answer made anew is kept, what is kept already is not kept again. */
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
            break; /* the store will say that there is no memory */
    }
    return headers;
}

/* On the writer thread. */
static void kept(void *arg, enum sm_code code, const struct sm_err *err)
{
    struct entry *entry = arg;
    struct sm_idempotency *retries = entry->retries;
    if (code != SM_OK)
        sm_log("error", "idempotency_answer_dropped", "{s:s}", "detail", err->text);
    pthread_mutex_lock(&retries->lock);
    bool over = !entry->request;
    entry->state = KEPT;
    if (!over)
        sm_request_wake(entry->request);
    retries->writes_count--;
    pthread_cond_signal(&retries->kept);
    pthread_mutex_unlock(&retries->lock);
    if (over)
        free(entry);
}

/* Begins to keep the reply; false when it is none to keep, or cannot be. */
static bool keep(struct sm_request *request, struct entry *entry)
{
    unsigned status;
    size_t body_bytes;
    struct sm_err err = {0};
    const char *body = sm_reply_get_body(request, &status, &body_bytes);
    if (!body || status / 100 != 2 || body_bytes > SM_IDEMPOTENCY_ANSWER_BYTES_MAX)
        return false;
    json_t *headers = headers_of(request);
    pthread_mutex_lock(&entry->retries->lock);
    entry->state = KEEPS;
    entry->retries->writes_count++;
    pthread_mutex_unlock(&entry->retries->lock);
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
    pthread_mutex_lock(&entry->retries->lock);
    int state = entry->state;
    pthread_mutex_unlock(&entry->retries->lock);
    if ((state == RUNS && keep(request, entry)) || (state == KEEPS && !sm_request_ending(request)))
        sm_request_wait(request, SM_NO_DEADLINE, nothing);
    else
        release(request);
}

const struct sm_idempotency_hooks sm_api_idempotency_hooks = {known, enter, leave, release};
