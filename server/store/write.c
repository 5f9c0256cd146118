/* Two writes: admit and finish. The writer thread runs them inside a group, and the counters change
 * after the commit. Work without the database (copies, documents) is done on the caller's thread
 * before. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/sha256.h"
#include "server/base/clock.h"
#include "server/base/id.h"
#include "server/db/document.h"
#include "server/store/budget.h"
#include "server/store/claim.h"
#include "server/store/idempotency.h"
#include "server/store/impl.h"

/* The longest wait of an admission for the commit of a result. */
#define PATIENCE_MS 10

/* --- admit --- */

struct item_copy {
    char *name;
    void *bytes;
    size_t bytes_count;
    int64_t cost_ms;
    char image_digest[65];
};

struct admission {
    struct sm_write write;
    struct sm_store *store;
    sm_store_done *done;
    void *arg;
    char id[SM_ID_BYTES], recipe_digest[65];
    int64_t tenant;
    char *pair, *recipe;
    struct sm_idempotency_claim idempotency;
    struct sm_charge charge;
    struct sm_origin origin;
    int items_count;
    int64_t bytes_count;  /* size of all images */
    int64_t cost_ms;      /* cost of all items */
    int64_t item_cost_ms; /* cost of the dearest item */
    bool posted;          /* counted in the store's posted_count */
    struct item_copy items[];
};

static void admission_free(struct admission *a)
{
    for (int i = 0; i < a->items_count; i++) {
        free(a->items[i].name);
        free(a->items[i].bytes);
    }
    free(a->pair);
    free(a->recipe);
    free(a);
}

/* Copies all of the job; NULL if memory ran out. */
static struct admission *admission_copy(const struct sm_job_in *job)
{
    struct admission *a = calloc(1, sizeof *a + (size_t)job->items_count * sizeof *a->items);
    if (!a)
        return NULL;
    a->items_count = job->items_count;
    a->tenant = job->tenant;
    memcpy(a->id, job->id, sizeof a->id);
    memcpy(a->recipe_digest, job->recipe_digest, sizeof a->recipe_digest);
    if (job->idempotency)
        a->idempotency = *job->idempotency;
    if (job->charge)
        a->charge = *job->charge;
    a->origin = job->origin;
    a->pair = strdup(job->pair);
    a->recipe = sm_json_canonical(job->recipe); /* the digest is of this text */
    bool whole = a->pair && a->recipe;
    for (int i = 0; i < job->items_count && whole; i++) {
        const struct sm_item_in *in = &job->items[i];
        struct item_copy *item = &a->items[i];
        memcpy(item->image_digest, in->image_digest, sizeof item->image_digest);
        item->name = strdup(in->name);
        item->bytes = malloc(in->bytes_count + 1);
        item->bytes_count = in->bytes_count;
        item->cost_ms = in->cost_ms > 0 ? in->cost_ms : 1;
        a->cost_ms += item->cost_ms;
        a->charge.amount.cost_ms = a->cost_ms;
        a->item_cost_ms = item->cost_ms > a->item_cost_ms ? item->cost_ms : a->item_cost_ms;
        a->bytes_count += (int64_t)in->bytes_count;
        whole = item->name && item->bytes;
        if (whole && in->bytes_count > 0)
            memcpy(item->bytes, in->bytes, in->bytes_count);
    }
    if (whole)
        return a;
    admission_free(a);
    return NULL;
}

static enum sm_code insert_job(struct sm_db *db, const struct admission *a, struct sm_err *err)
{
    return sm_db_change(
        NULL, db,
        "INSERT INTO job (id, tenant_id, kind, state, pair, "
        "recipe_digest, created_ms, items_count, queued_count, "
        "request, trace, cost_ms, item_cost_ms, turn_ms) VALUES "
        "($id, $tenant, 'score', 'queued', $pair, $recipe, $now, "
        "$items, $items, $request, $trace, $cost, $dearest, $now + "
        "$dearest)",
        SM_BIND(SM_HEX("$id", a->id), SM_INT("$tenant", a->tenant), SM_TEXT("$pair", a->pair),
                SM_HEX("$recipe", a->recipe_digest), SM_INT("$items", a->items_count),
                SM_TEXT("$request", a->origin.request), SM_TEXT("$trace", a->origin.trace),
                SM_INT("$cost", a->cost_ms), SM_INT("$dearest", a->item_cost_ms),
                SM_INT("$now", sm_clock_unix_ms())),
        err);
}

static enum sm_code insert_item(struct sm_db *db, const struct admission *a, int index,
                                struct sm_err *err)
{
    const struct item_copy *item = &a->items[index];
    enum sm_code code = sm_db_change(
        NULL, db,
        "INSERT INTO item (job_id, idx, state, name, image_digest, "
        "cost_ms) VALUES ($job, $idx, 'queued', $name, $digest, $cost)",
        SM_BIND(SM_HEX("$job", a->id), SM_INT("$idx", index), SM_TEXT("$name", item->name),
                SM_HEX("$digest", item->image_digest), SM_INT("$cost", item->cost_ms)),
        err);
    if (code == SM_OK)
        code = sm_db_change(NULL, db,
                            "INSERT INTO image (job_id, idx, bytes) VALUES ($job, $idx, $bytes)",
                            SM_BIND(SM_HEX("$job", a->id), SM_INT("$idx", index),
                                    SM_BLOB("$bytes", item->bytes, item->bytes_count)),
                            err);
    return code;
}

/* From here on room.c counts the job's images as unfinished items. */
static void count_posted(struct admission *a)
{
    pthread_mutex_lock(&a->store->mutex);
    a->store->posted_count -= a->posted ? a->items_count : 0;
    pthread_mutex_unlock(&a->store->mutex);
    a->posted = false;
}

static enum sm_code run_admission(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    struct admission *a = (struct admission *)write;
    count_posted(a);
    enum sm_code code = sm_store_check_pair(a->store, a->pair, err);
    if (code == SM_OK)
        code = sm_store_charge(db, &a->charge, err);
    if (code == SM_OK)
        code = sm_store_put_recipe(db, a->recipe_digest, a->recipe, err);
    if (code == SM_OK)
        code = insert_job(db, a, err);
    for (int i = 0; i < a->items_count && code == SM_OK; i++)
        code = insert_item(db, a, i, err);
    return code == SM_OK ? sm_store_idempotency_claim(a->store, db, &a->idempotency, a->id, err)
                         : code;
}

static void admitted(struct sm_write *write, enum sm_code code, const struct sm_err *err)
{
    struct admission *a = (struct admission *)write;
    count_posted(a); /* in case run_admission was not called */
    if (code == SM_OK) {
        sm_store_count(a->store, a->items_count, 0);
    } else {
        sm_store_count(a->store, 0, -a->items_count);
        sm_store_count_load(a->store, -a->bytes_count, -a->cost_ms);
    }
    a->done(a->arg, code, err);
    admission_free(a);
}

enum sm_code sm_store_admit(struct sm_store *store, const struct sm_job_in *job,
                            sm_store_done *done, void *arg, struct sm_err *err)
{
    assert(job->items_count > 0);
    struct admission *a = admission_copy(job);
    if (!a)
        return sm_err_set(err, SM_NOMEM, "job %s: out of memory", job->id);
    a->write = (struct sm_write){.run = run_admission,
                                 .done = admitted,
                                 .growth_bytes = sm_store_growth(a->items_count, a->bytes_count)};
    a->store = store;
    a->done = done;
    a->arg = arg;
    pthread_mutex_lock(&store->mutex);
    a->write.patience_ms = job->patient && !store->standing ? PATIENCE_MS : 0;
    store->active_count += a->items_count;
    store->posted_count += a->items_count;
    pthread_mutex_unlock(&store->mutex);
    a->posted = true;
    sm_store_count_load(store, a->bytes_count, a->cost_ms);
    sm_writer_post(store->writer, &a->write);
    return SM_OK;
}

/* --- finish --- */

struct sm_finishing {
    struct sm_write write;
    struct sm_store *store;
    const struct sm_finish *in;
    struct sm_document document;
    char shape_digest[SM_SHA256_HEX];
    char score_id[SM_ID_BYTES];
    bool from_history, job_finished, plain;
    int64_t dropped_bytes, cost_ms;
    bool ended; /* guarded by the store's mutex, as are the next two */
    enum sm_code code;
    struct sm_err err;
};

/* Reads the item's cohort (-1: none) and cost; SM_CONFLICT unless its lease is the owner's. */
static enum sm_code check_lease(struct sm_item_end *end, struct sm_db *db,
                                const struct sm_finish *in, struct sm_err *err)
{
    bool found;
    enum sm_code code = sm_db_row(
        &found, db,
        "SELECT COALESCE(cohort, -1), cost_ms FROM item WHERE job_id = $job AND idx = $idx "
        "AND state = 'running' AND lease_owner = $owner",
        SM_BIND(SM_HEX("$job", in->job_id), SM_INT("$idx", in->index),
                SM_TEXT("$owner", in->owner)),
        SM_COLUMNS(SM_GET_INT32(&end->cohort), SM_GET_INT(&end->cost_ms)), err);
    if (code == SM_OK && !found)
        code = sm_err_set(err, SM_CONFLICT, "item %d of job %s is not leased to %s any more",
                          in->index, in->job_id, in->owner);
    return code;
}

/* RETURNING would make SQLite search the scores for rows that refer to the new shape. */
enum sm_code sm_store_put_shape(int64_t *id, struct sm_db *db, const char *digest, const char *body,
                                struct sm_err *err)
{
    static const char find[] = "SELECT id FROM shape WHERE digest = $digest";
    const struct sm_bind *binds = SM_BIND(SM_HEX("$digest", digest));
    const struct sm_column *columns = SM_COLUMNS(SM_GET_INT(id));
    bool found;
    enum sm_code code = sm_db_row(&found, db, find, binds, columns, err);
    if (code != SM_OK || found)
        return code;
    code = sm_db_change(NULL, db, "INSERT INTO shape (digest, body) VALUES ($digest, $body)",
                        SM_BIND(SM_HEX("$digest", digest), SM_TEXT("$body", body)), err);
    return code == SM_OK ? sm_db_row(NULL, db, find, binds, columns, err) : code;
}

static enum sm_code insert_score(bool *inserted, struct sm_db *db, const struct sm_finishing *f,
                                 struct sm_err *err)
{
    int64_t changes = 0, shape_id = 0;
    char id[SM_ID_BYTES];
    sm_id_new(id);
    enum sm_code code = sm_store_put_shape(&shape_id, db, f->shape_digest, f->document.shape, err);
    if (code == SM_OK)
        code =
            sm_db_change(&changes, db,
                         "INSERT INTO score (id, tenant_id, key, pair, image_digest, m, "
                         "shape_id, own) SELECT $id, tenant_id, $key, pair, $image, $m, $shape, "
                         "$own FROM job WHERE id = $job ON CONFLICT (tenant_id, key) DO NOTHING",
                         SM_BIND(SM_HEX("$id", id), SM_HEX("$key", f->in->score_key),
                                 SM_HEX("$image", f->in->image_digest), SM_DOUBLE("$m", f->in->m),
                                 SM_INT("$shape", shape_id), SM_TEXT("$own", f->document.own),
                                 SM_HEX("$job", f->in->job_id)),
                         err);
    *inserted = code == SM_OK && changes == 1;
    return code;
}

/* Finds the score of the key, which may be an earlier one. */
static enum sm_code find_score(struct sm_finishing *f, struct sm_db *db, struct sm_err *err)
{
    bool found;
    enum sm_code code =
        sm_db_row(&found, db,
                  "SELECT id FROM score WHERE key = $key AND tenant_id = "
                  "(SELECT tenant_id FROM job WHERE id = $job)",
                  SM_BIND(SM_HEX("$job", f->in->job_id), SM_HEX("$key", f->in->score_key)),
                  SM_COLUMNS(SM_GET_ID(f->score_id)), err);
    if (code == SM_OK && !found)
        code = sm_err_set(err, SM_NOT_FOUND, "no score with key %s", f->in->score_key);
    return code;
}

/* Moves the item from running to succeeded or failed. */
static enum sm_code finish_item(struct sm_db *db, const struct sm_finishing *f, struct sm_err *err)
{
    const struct sm_finish *in = f->in;
    bool failed = in->error_code != SM_OK;
    return sm_db_change(
        NULL, db,
        "UPDATE item SET state = $to, score_id = $score, from_history = $history, "
        "error_code = $code, error_detail = $detail, pixels = $pixels, lease_owner = NULL, "
        "lease_until_ms = NULL WHERE job_id = $job AND idx = $idx",
        SM_BIND(SM_TEXT("$to", sm_state_name(failed ? SM_STATE_FAILED : SM_STATE_SUCCEEDED)),
                SM_HEX("$score", failed ? NULL : f->score_id), SM_INT("$history", f->from_history),
                SM_TEXT("$code", failed ? sm_code_name(in->error_code) : NULL),
                SM_TEXT("$detail", failed ? in->error_text : NULL),
                SM_BLOB(in->pixels ? "$pixels" : NULL, in->pixels, in->pixels_bytes),
                SM_HEX("$job", in->job_id), SM_INT("$idx", in->index)),
        err);
}

static enum sm_code insert_thumbnail(struct sm_db *db, const struct sm_finish *in,
                                     struct sm_err *err)
{
    return sm_db_change(NULL, db,
                        "INSERT INTO thumbnail (job_id, idx, png) VALUES ($job, $idx, $png)",
                        SM_BIND(SM_HEX("$job", in->job_id), SM_INT("$idx", in->index),
                                SM_BLOB("$png", in->thumbnail, in->thumbnail_bytes)),
                        err);
}

/* Stores the item's score if it comes with one, and finds the stored score of its key. */
static enum sm_code settle_score(struct sm_finishing *f, struct sm_db *db, struct sm_err *err)
{
    bool inserted = false;
    enum sm_code code = f->in->score ? insert_score(&inserted, db, f, err) : SM_OK;
    f->from_history = !inserted;
    return code == SM_OK ? find_score(f, db, err) : code;
}

static enum sm_code run_finish(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    struct sm_finishing *f = (struct sm_finishing *)write;
    const struct sm_finish *in = f->in;
    bool failed = in->error_code != SM_OK;
    struct sm_item_end end = {.job_id = in->job_id,
                              .to = failed ? SM_STATE_FAILED : SM_STATE_SUCCEEDED,
                              .error_code = sm_code_name(in->error_code)};
    struct sm_job_row job;
    enum sm_code code = check_lease(&end, db, in, err);
    if (code == SM_OK && !failed)
        code = settle_score(f, db, err);
    if (code == SM_OK)
        code = finish_item(db, f, err);
    if (code == SM_OK && in->thumbnail)
        code = insert_thumbnail(db, in, err);
    if (code == SM_OK)
        code = sm_store_drop_image(&f->dropped_bytes, db, in->job_id, in->index, err);
    if (code == SM_OK)
        code = sm_store_end_item(&job, &f->job_finished, db, &end, err);
    f->plain = code == SM_OK && !job.audit;
    f->cost_ms = end.cost_ms;
    if (code == SM_OK && in->next)
        sm_store_finish_ran(in->next);
    return code;
}

/* The owner may free the finishing once the mutex is released. */
static void finished(struct sm_write *write, enum sm_code code, const struct sm_err *err)
{
    struct sm_finishing *f = (struct sm_finishing *)write;
    struct sm_store *store = f->store;
    if (code == SM_OK)
        sm_store_count(store, 0, -f->plain);
    if (code == SM_OK && f->plain)
        sm_store_count_load(store, -f->dropped_bytes, -f->cost_ms);
    if (code == SM_OK && f->in->done)
        f->in->done(f->in->arg, f->job_finished);
    if (code != SM_OK && f->in->next)
        sm_store_finish_failed(f->in->next);
    pthread_mutex_lock(&store->mutex);
    f->ended = true;
    f->code = code;
    f->err = *err;
    pthread_cond_broadcast(&store->served);
    pthread_mutex_unlock(&store->mutex);
}

enum sm_code sm_store_finish_begin(struct sm_finishing **out, struct sm_store *store,
                                   const struct sm_finish *finish, struct sm_err *err)
{
    struct sm_finishing *f = calloc(1, sizeof *f);
    enum sm_code code = SM_OK;
    *out = f;
    if (!f)
        return sm_err_set(err, SM_NOMEM, "result of job %s: out of memory", finish->job_id);
    f->write = (struct sm_write){.run = run_finish, .done = finished, .room = SM_ROOM_USE};
    f->store = store;
    f->in = finish;
    if (finish->score)
        code = sm_document_split(&f->document, finish->score, finish->image_digest,
                                 finish->score_key, err);
    if (code != SM_OK) {
        free(f);
        *out = NULL;
        return code;
    }
    if (finish->score)
        sm_sha256_hex(f->shape_digest, f->document.shape, strlen(f->document.shape));
    if (finish->next)
        sm_store_await_finish(finish->next);
    sm_writer_post(store->writer, &f->write);
    return SM_OK;
}

bool sm_store_finish_ended(struct sm_finishing *f)
{
    pthread_mutex_lock(&f->store->mutex);
    bool ended = f->ended;
    pthread_mutex_unlock(&f->store->mutex);
    return ended;
}

enum sm_code sm_store_finish_end(struct sm_finishing *f, char score_id[SM_ID_BYTES],
                                 bool *job_finished, struct sm_err *err)
{
    pthread_mutex_lock(&f->store->mutex);
    while (!f->ended)
        pthread_cond_wait(&f->store->served, &f->store->mutex);
    pthread_mutex_unlock(&f->store->mutex);
    enum sm_code code = f->code;
    score_id[0] = 0;
    *job_finished = code == SM_OK && f->job_finished;
    if (code == SM_OK)
        memcpy(score_id, f->score_id, sizeof f->score_id);
    else if (err)
        *err = f->err;
    sm_document_release(&f->document);
    free(f);
    return code;
}

enum sm_code sm_store_finish(struct sm_store *store, const struct sm_finish *finish,
                             char score_id[SM_ID_BYTES], bool *job_finished, struct sm_err *err)
{
    struct sm_finishing *f;
    score_id[0] = 0;
    *job_finished = false;
    enum sm_code code = sm_store_finish_begin(&f, store, finish, err);
    return code == SM_OK ? sm_store_finish_end(f, score_id, job_finished, err) : code;
}
