/* POST /v1/scores: admits a job, suspends the request while the job runs, and answers.
 *
 *     headers    the pair is ready, the queue has room          400 404 503, before the body
 *     body       upload.c reads images and recipe               400 415 422
 *     cost       cost.c weighs each image, and all together     422
 *     history    one image whose score key is stored            200, no job
 *     admit      the job is committed                           from here on 202 is true
 *     wait       until the job has finished, the wait is over,  200 422, or 202
 *                or half of the connections wait
 *
 * `proceed` runs at every wake of the request, and either answers or suspends it again. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/cost.h"
#include "server/api/idempotency.h"
#include "server/api/upload.h"
#include "server/base/id.h"
#include "server/base/log.h"
#include "server/store/budget.h"

/* If the queue is full, a client should come back when a tenth of its work is done. */
#define RETRY_QUEUE_SHARE 10
#define RETRY_POLL_MAX_S  60 /* cheap images may overtake the queue, so a 202 says no more */

/* The state of a waiting request. */
struct submission {
    struct sm_ticket *ticket;
    char job_id[SM_ID_BYTES];
    int images_count;
    int64_t deadline_ms;
    struct sm_prefer prefer; /* wait_s is at most the configured wait_max_ms */
};

/* Returns whether the client wants a 202 without any wait. */
static bool at_once(const struct submission *s)
{
    return s->prefer.respond_async && !s->prefer.has_wait;
}

static void submission_free(void *state)
{
    struct submission *s = state;
    sm_ticket_release(s->ticket);
    free(s);
}

static void reply_queue_full(struct sm_request *request, const struct sm_err *err)
{
    sm_reply_problem(request, SM_PROBLEM_QUEUE_FULL, "%s", err->text);
    sm_api_retry_after(request,
                       sm_store_queued_cost_ms(sm_api_of(request)->store) / RETRY_QUEUE_SHARE,
                       SM_JOBS_WAIT_MAX_S);
}

/* Returns the pair that the request names, to be given back (sm_generation_give); NULL after a
 * reply. */
static struct sm_generation *find_pair(struct sm_request *request)
{
    const char *name = sm_request_query(request, "pair");
    if (name && name[0] != '\0')
        return sm_api_pair(request, name);
    sm_reply_problem(request, SM_PROBLEM_PAIR_MISSING, "say which pair: ?pair=NAME");
    return NULL;
}

void sm_api_post_scores_admit(struct sm_request *request)
{
    struct sm_api *api = sm_api_of(request);
    int64_t queued = sm_store_queued_count(api->store), max = api->config->queue_max;
    int64_t bytes = sm_store_queued_bytes(api->store), bytes_max = api->config->queue_bytes_max;
    int64_t cost_ms = sm_store_queued_cost_ms(api->store);
    int64_t cost_ms_max = api->config->queue_cost_ms_max;
    int64_t length = 0;
    struct sm_err err = {0};
    struct sm_generation *generation = find_pair(request);
    bool may = generation && sm_api_may_score(request, sm_generation_pair(generation), NULL);
    sm_generation_give(generation);
    if (!may || !sm_api_store_takes(request) || !sm_api_has_budget(request))
        return;
    sm_digits(&length, sm_request_header(request, "Content-Length"));
    if (queued >= max)
        sm_err_set(&err, SM_BUSY, "%lld images are queued, the limit is %lld", (long long)queued,
                   (long long)max);
    else if (bytes > 0 && bytes + length > bytes_max)
        sm_err_set(&err, SM_BUSY,
                   "the queue holds %lld bytes of at most %lld, no room for a body of %lld",
                   (long long)bytes, (long long)bytes_max, (long long)length);
    else if (cost_ms >= cost_ms_max)
        sm_err_set(&err, SM_BUSY, "the queue holds work of %lld ms, the limit is %lld",
                   (long long)cost_ms, (long long)cost_ms_max);
    if (err.code != SM_OK)
        reply_queue_full(request, &err);
}

/* Adds Preference-Applied: the request's preferences that this answer follows. `accepted`: it is a
 * 202. */
static void add_preference(struct sm_request *request, const struct submission *s, bool accepted)
{
    char text[64] = "";
    if (s->prefer.respond_async && accepted)
        snprintf(text, sizeof text, "respond-async%s", s->prefer.has_wait ? ", " : "");
    if (s->prefer.has_wait)
        snprintf(text + strlen(text), sizeof text - strlen(text), "wait=%lld",
                 (long long)s->prefer.wait_s);
    if (text[0] != '\0')
        sm_reply_header(request, "Preference-Applied", "%s", text);
}

/* Replies with a score. Takes the reference. */
static void reply_score(struct sm_request *request, json_t *score, bool from_history,
                        const char *job_id)
{
    sm_api_log_read(request, json_string_value(json_object_get(score, "id")));
    if (json_object_set_new(score, "from_history", json_boolean(from_history)) != 0 ||
        (job_id && json_object_set_new(score, "job", json_string(job_id)) != 0)) {
        json_decref(score);
        score = NULL;
    }
    sm_reply_json(request, 200, score);
}

/* Replies why an image could not be scored: the problem for the error code that its item stored. */
static void reply_item_error(struct sm_request *request, const json_t *error, const char *job_id)
{
    const struct {
        const char *code;
        enum sm_problem problem;
    } rows[] = {{sm_code_name(SM_UNSUPPORTED), SM_PROBLEM_IMAGE_UNSUPPORTED},
                {sm_code_name(SM_CORRUPT), SM_PROBLEM_IMAGE_CORRUPT},
                {sm_code_name(SM_LIMIT), SM_PROBLEM_IMAGE_LIMIT},
                {sm_code_name(SM_INVALID),
                 SM_PROBLEM_RECIPE_INVALID}, /* views of a wrong size for the encoders */
                {SM_ERASED, SM_PROBLEM_IMAGE_ERASED}};
    const char *code = json_string_value(json_object_get(error, "code"));
    const char *detail = json_string_value(json_object_get(error, "detail"));

    for (size_t i = 0; code && i < sizeof rows / sizeof *rows; i++)
        if (strcmp(code, rows[i].code) == 0) {
            sm_reply_problem(request, rows[i].problem, "%s", !detail ? code : detail);
            return;
        }
    sm_reply_problem(request, SM_PROBLEM_INTERNAL, "the image was not scored, see job %s", job_id);
}

static void reply_job(struct sm_request *request, const struct submission *s, unsigned status)
{
    json_t *job;
    struct sm_err err = {0};
    if (sm_store_job(&job, sm_api_of(request)->store, request->caller.tenant, s->job_id, &err) !=
        SM_OK) {
        sm_reply_failure(request, &err);
        return;
    }
    sm_api_log_read(request, s->job_id);
    sm_reply_json(request, status, job);
    if (status == 202) {
        sm_reply_header(request, "Location", "/v1/jobs/%s", s->job_id);
        sm_api_retry_after(request, sm_store_queued_cost_ms(sm_api_of(request)->store),
                           RETRY_POLL_MAX_S);
    }
}

static void add_timing(struct sm_request *request, const struct submission *s)
{
    struct sm_timing t;
    if (sm_ticket_timing(&t, s->ticket))
        sm_reply_header(request, "Server-Timing",
                        "queue;dur=%.3f, decode;dur=%.3f, encode;dur=%.3f, commit;dur=%.3f",
                        (double)t.queue_us / 1e3, (double)t.decode_us / 1e3,
                        (double)t.encode_us / 1e3, (double)t.commit_us / 1e3);
}

/* Replies about the only image of a finished job: its score or its error. */
static void reply_single(struct sm_request *request, const struct submission *s)
{
    json_t *job;
    struct sm_err err = {0};
    if (sm_store_job(&job, sm_api_of(request)->store, request->caller.tenant, s->job_id, &err) !=
        SM_OK) {
        sm_reply_failure(request, &err);
        return;
    }
    json_t *item = json_array_get(json_object_get(job, "items"), 0);
    json_t *score = json_object_get(item, "score");
    if (score)
        reply_score(request, json_incref(score),
                    json_is_true(json_object_get(item, "from_history")), s->job_id);
    else if (json_object_get(item, "erased"))
        sm_reply_problem(request, SM_PROBLEM_IMAGE_ERASED, "the image was erased");
    else
        reply_item_error(request, json_object_get(item, "error"), s->job_id);
    if (s->ticket && !request->caller.rounds) /* times reveal how many views were drawn */
        add_timing(request, s);
    json_decref(job);
}

/* Replies why nothing was admitted or charged. Without a ticket the queue had no room; with one the
 * store refused the write or failed. */
static void reply_admission_failure(struct sm_request *request, const struct submission *s,
                                    const struct sm_err *err)
{
    if (!s->ticket && err->code == SM_BUSY)
        reply_queue_full(request, err);
    else if (err->code == SM_FULL)
        sm_api_reply_full(request, err);
    else if (err->code == SM_INVALID)
        sm_reply_problem(request, SM_PROBLEM_PAIR_UNKNOWN, "%s", err->text);
    else if (!sm_api_reply_refusal(request, err))
        sm_reply_failure(request, err);
}

/* Replies about a committed job: with its result if `finished`, else with a 202. */
static void answer(struct sm_request *request, const struct submission *s, bool finished)
{
    bool accepted = !finished || at_once(s);
    if (accepted || s->images_count > 1)
        reply_job(request, s, accepted ? 202 : 200);
    else
        reply_single(request, s);
    add_preference(request, s, accepted);
}

static void proceed(struct sm_request *request)
{
    const struct submission *s = request->state;
    struct sm_err err = {0};
    switch (sm_ticket_state(s->ticket, &err)) {
    case SM_TICKET_PENDING:
        if (!sm_request_ending(request)) {
            sm_request_wait(request, SM_NO_DEADLINE, proceed);
            return;
        }
        sm_reply_problem(request, SM_PROBLEM_DRAINING, "the service is stopping");
        add_preference(request, s, false);
        break;
    case SM_TICKET_FAILED:
        reply_admission_failure(request, s, &err);
        add_preference(request, s, false);
        break;
    case SM_TICKET_ADMITTED:
        if (at_once(s) || sm_request_overdue(request, s->deadline_ms) ||
            sm_request_crowded(request))
            answer(request, s, false);
        else
            sm_request_wait(request, s->deadline_ms, proceed);
        break;
    case SM_TICKET_FINISHED:
        answer(request, s, true);
        break;
    }
}

/* Reads the preferences and sets the time until which the request waits. */
static void read_preference(struct submission *s, struct sm_request *request)
{
    const struct sm_config *config = sm_api_of(request)->config;
    int64_t wait_ms = config->wait_default_ms, max_s = config->wait_max_ms / 1000;
    s->prefer = sm_request_prefer(request);
    if (s->prefer.wait_s > max_s)
        s->prefer.wait_s = max_s;
    if (s->prefer.has_wait)
        wait_ms = s->prefer.wait_s * 1000;
    s->deadline_ms = request->started_ms + wait_ms;
}

void sm_api_reply_submitted(struct sm_request *request, const char *job_id)
{
    struct submission s = {0};
    struct sm_err err = {0};
    json_t *job;
    enum sm_code code =
        sm_store_job(&job, sm_api_of(request)->store, request->caller.tenant, job_id, &err);
    if (code == SM_NOT_FOUND)
        sm_reply_problem(request, SM_PROBLEM_JOB_UNKNOWN, "there is no job '%s'", job_id);
    else if (code != SM_OK)
        sm_reply_failure(request, &err);
    if (code != SM_OK)
        return;
    snprintf(s.job_id, sizeof s.job_id, "%s", job_id);
    s.images_count = (int)json_integer_value(json_object_get(job, "items_count"));
    read_preference(&s, request);
    answer(request, &s, !json_is_null(json_object_get(job, "finished")));
    json_decref(job);
}

/* The state of an answer from history that is charged to a budget. The answer waits for the commit
 * of the charge, and so does recall_free, because the writer thread uses the object. */
struct recall {
    struct submission submission;
    struct sm_request *request;
    json_t *score;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t paid;
    bool done;
    struct sm_err err;
};

/* Called on the writer thread when the charge is committed or has failed. */
static void recall_paid(void *arg, enum sm_code code, const struct sm_err *err)
{
    struct recall *r = arg;
    pthread_mutex_lock(&r->lock);
    r->done = true;
    if (code != SM_OK)
        r->err = *err;
    pthread_cond_signal(&r->paid);
    sm_request_wake(r->request);
    pthread_mutex_unlock(&r->lock);
}

static void recall_free(void *state)
{
    struct recall *r = state;
    pthread_mutex_lock(&r->lock);
    while (!r->done)
        pthread_cond_wait(&r->paid, &r->lock);
    pthread_mutex_unlock(&r->lock);
    pthread_cond_destroy(&r->paid);
    pthread_mutex_destroy(&r->lock);
    json_decref(r->score);
    free(r);
}

static void recall_proceed(struct sm_request *request)
{
    struct recall *r = request->state;
    pthread_mutex_lock(&r->lock);
    bool done = r->done;
    pthread_mutex_unlock(&r->lock);
    if (!done && !sm_request_ending(request)) {
        sm_request_wait(request, SM_NO_DEADLINE, recall_proceed);
        return;
    }
    if (!done)
        sm_reply_problem(request, SM_PROBLEM_DRAINING, "the service is stopping");
    else if (r->err.code == SM_OK)
        reply_score(request, json_incref(r->score), true, NULL);
    else
        reply_admission_failure(request, &r->submission, &r->err);
    add_preference(request, &r->submission, false);
}

/* Charges for a score from history and replies with it. Takes the reference. Replaces the request's
 * state, a submission, with a recall. */
static void pay_and_reply(struct sm_request *request, json_t *score)
{
    const struct sm_charge charge = {.caller = request->caller, .amount.scores = 1};
    struct recall *r = calloc(1, sizeof *r);
    struct sm_err err = {0};
    if (!r) {
        json_decref(score);
        sm_reply_no_memory(request);
        return;
    }
    r->submission = *(const struct submission *)request->state;
    r->request = request;
    r->score = score;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->paid, NULL);
    submission_free(request->state);
    request->state = r;
    request->state_free = recall_free;
    if (sm_store_spend(sm_api_of(request)->store, &charge, recall_paid, r, &err) != SM_OK)
        recall_paid(r, err.code, &err);
    recall_proceed(request);
}

/* Answers from history if the score with the same score key is stored. Returns false if it is not,
 * or if no decoder takes the image. */
static bool reply_known(struct sm_request *request, const struct sm_pair *pair,
                        const struct sm_upload *upload)
{
    const struct sm_item_in *item = &upload->items[0];
    char key[65];
    const char *decoder;
    json_t *score = NULL;
    struct sm_err err = {0};
    enum sm_code code = sm_image_find_decoder(&decoder, item->bytes, item->bytes_count, &err);
    if (code != SM_OK)
        return false;
    code = sm_score_key(key, pair, upload->recipe_digest, item->image_digest, decoder, &err);
    if (code == SM_OK)
        code = sm_store_score_by_key(&score, sm_api_of(request)->store, request->caller.tenant, key,
                                     &err);
    if (code == SM_OK) {
        sm_api_idempotency_about(request, json_string_value(json_object_get(score, "id")));
        if (request->caller.scores_per_day > 0) {
            pay_and_reply(request, score);
            return true;
        }
        reply_score(request, score, true, NULL);
    } else if (code != SM_NOT_FOUND)
        sm_reply_failure(request, &err);
    if (code != SM_NOT_FOUND)
        add_preference(request, request->state, false);
    return code != SM_NOT_FOUND;
}

/* Logs the job together with its request and the client's trace. */
static void log_submitted(const struct sm_request *request, const struct sm_job_in *job)
{
    sm_log("info", "job_submitted", "{s:s, s:s, s:s, s:i, s:s*}", "job", job->id, "request",
           request->id, "pair", job->pair, "items", job->items_count, "trace",
           sm_api_trace(request));
}

static void submit(struct sm_request *request, struct submission *s, const struct sm_pair *pair,
                   const struct sm_upload *upload)
{
    const struct sm_charge charge = {.caller = request->caller, .amount.scores = s->images_count};
    struct sm_job_in job = {.tenant = request->caller.tenant,
                            .pair = sm_pair_name(pair),
                            .recipe = sm_recipe_json(&upload->recipe),
                            .items = upload->items,
                            .items_count = upload->items_count,
                            .idempotency = sm_api_idempotency_claim(request),
                            .charge = &charge,
                            .patient = !at_once(s),
                            .origin = sm_api_origin(request)};
    struct sm_err err = {0};
    memcpy(job.id, s->job_id, sizeof job.id);
    memcpy(job.recipe_digest, upload->recipe_digest, sizeof job.recipe_digest);
    if (!job.recipe)
        sm_reply_no_memory(request);
    else if (sm_jobs_submit(&s->ticket, sm_api_of(request)->jobs, &job, sm_request_wake, request,
                            &err) == SM_OK) {
        log_submitted(request, &job);
        proceed(request);
    } else
        reply_admission_failure(request, s, &err);
    json_decref((json_t *)(uintptr_t)job.recipe);
}

static void post(struct sm_request *request, const struct sm_pair *pair)
{
    struct sm_upload upload;
    if (!sm_upload_read(&upload, request, pair, sm_api_of(request)->config->images_max))
        return;
    if (!sm_api_may_score(request, pair, upload.recipe_digest)) {
        sm_upload_release(&upload);
        return;
    }
    struct submission *s = calloc(1, sizeof *s);
    if (!s) {
        sm_reply_no_memory(request);
        sm_upload_release(&upload);
        return;
    }
    request->state = s;
    request->state_free = submission_free;
    s->images_count = upload.items_count;
    sm_id_new(s->job_id);
    read_preference(s, request);
    if (sm_api_weigh(request, upload.items, upload.items_count, pair, &upload.recipe) &&
        (at_once(s) || upload.items_count > 1 || !reply_known(request, pair, &upload)))
        submit(request, s, pair, &upload);
    sm_upload_release(&upload);
}

void sm_api_post_scores(struct sm_request *request)
{
    struct sm_generation *generation = find_pair(request);
    if (generation)
        post(request, sm_generation_pair(generation));
    sm_generation_give(generation);
}
