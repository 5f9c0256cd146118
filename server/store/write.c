/* Writes: admit and finish. Each is a closure that the writer thread runs inside a group, and whose
 * effect on the counters is told after the commit. What needs no database (copies, documents) is
 * done before, on the caller's thread. */
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
#include "server/store/idempotency.h"
#include "server/store/impl.h"

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
    int64_t bytes_count;  /* of all images */
    int64_t cost_ms;      /* of all */
    int64_t item_cost_ms; /* of the dearest */
    bool posted;          /* in the store's posted_count */
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

/* Everything of the job, in memory of its own; NULL when out of memory. */
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
    a->recipe = sm_json_canonical(job->recipe); /* the text that the digest is of */
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
    struct sm_stmt *q;
    enum sm_code code = sm_db_query(&q, db,
                                    "INSERT INTO job (id, tenant_id, kind, state, pair, "
                                    "recipe_digest, created_ms, items_count, queued_count, "
                                    "request, trace, cost_ms, item_cost_ms, turn_ms) VALUES "
                                    "($id, $tenant, 'score', 'queued', $pair, $recipe, $now, "
                                    "$items, $items, $request, $trace, $cost, $dearest, $now + "
                                    "$dearest)",
                                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$id", a->id);
    sm_stmt_int(q, "$tenant", a->tenant);
    sm_stmt_text(q, "$pair", a->pair);
    sm_stmt_hex(q, "$recipe", a->recipe_digest);
    sm_stmt_int(q, "$items", a->items_count);
    sm_stmt_text(q, "$request", a->origin.request);
    sm_stmt_text(q, "$trace", a->origin.trace);
    sm_stmt_int(q, "$cost", a->cost_ms);
    sm_stmt_int(q, "$dearest", a->item_cost_ms);
    sm_stmt_int(q, "$now", sm_clock_unix_ms());
    return sm_stmt_run(q, NULL, err);
}

static enum sm_code insert_item(struct sm_db *db, const struct admission *a, int index,
                                struct sm_err *err)
{
    const struct item_copy *item = &a->items[index];
    struct sm_stmt *q;
    enum sm_code code = sm_db_query(&q, db,
                                    "INSERT INTO item (job_id, idx, state, name, image_digest, "
                                    "cost_ms) VALUES ($job, $idx, 'queued', $name, $digest, $cost)",
                                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$job", a->id);
    sm_stmt_int(q, "$idx", index);
    sm_stmt_text(q, "$name", item->name);
    sm_stmt_hex(q, "$digest", item->image_digest);
    sm_stmt_int(q, "$cost", item->cost_ms);
    code = sm_stmt_run(q, NULL, err);
    if (code == SM_OK)
        code = sm_db_query(
            &q, db, "INSERT INTO image (job_id, idx, bytes) VALUES ($job, $idx, $bytes)", err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$job", a->id);
    sm_stmt_int(q, "$idx", index);
    sm_stmt_blob(q, "$bytes", item->bytes, item->bytes_count);
    return sm_stmt_run(q, NULL, err);
}

/* From now on its images are among those that wait for a result. */
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
    count_posted(a); /* it may not have run */
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
    store->active_count += a->items_count;
    store->posted_count += a->items_count;
    pthread_mutex_unlock(&store->mutex);
    a->posted = true;
    sm_store_count_load(store, a->bytes_count, a->cost_ms);
    sm_writer_post(store->writer, &a->write);
    return SM_OK;
}

/* --- finish --- */

struct finishing {
    struct sm_write write;
    const struct sm_finish *in;
    struct sm_document document;
    char shape_digest[SM_SHA256_HEX];
    char score_id[SM_ID_BYTES];
    bool from_history, job_finished, plain;
    int64_t dropped_bytes, cost_ms;
};

/* SM_CONFLICT unless the lease still is the owner's; else the item's cohort, or -1, and cost. */
static enum sm_code check_lease(struct sm_item_end *end, struct sm_db *db,
                                const struct sm_finish *in, struct sm_err *err)
{
    struct sm_stmt *q;
    bool row;
    enum sm_code code = sm_db_query(
        &q, db,
        "SELECT COALESCE(cohort, -1), cost_ms FROM item WHERE job_id = $job AND idx = $idx "
        "AND state = 'running' AND lease_owner = $owner",
        err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$job", in->job_id);
    sm_stmt_int(q, "$idx", in->index);
    sm_stmt_text(q, "$owner", in->owner);
    code = sm_stmt_step(q, &row, err);
    if (code == SM_OK && !row)
        code = sm_err_set(err, SM_CONFLICT, "item %d of job %s is not leased to %s any more",
                          in->index, in->job_id, in->owner);
    if (code == SM_OK) {
        end->cohort = (int)sm_stmt_get_int(q, 0);
        end->cost_ms = sm_stmt_get_int(q, 1);
    }
    sm_stmt_reset(q);
    return code;
}

static enum sm_code find_shape(int64_t *id, bool *found, struct sm_db *db,
                               const struct finishing *f, struct sm_err *err)
{
    struct sm_stmt *q;
    enum sm_code code = sm_db_query(&q, db, "SELECT id FROM shape WHERE digest = $digest", err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$digest", f->shape_digest);
    code = sm_stmt_step(q, found, err);
    if (code == SM_OK && *found)
        *id = sm_stmt_get_int(q, 0);
    sm_stmt_reset(q);
    return code;
}

/* The row of the document's shape, made when it is new. Its id is asked for afterwards: RETURNING
 * would make SQLite look through the scores for rows that refer to the new one. */
static enum sm_code put_shape(int64_t *id, struct sm_db *db, const struct finishing *f,
                              struct sm_err *err)
{
    struct sm_stmt *q;
    bool found;
    enum sm_code code = find_shape(id, &found, db, f, err);
    if (code != SM_OK || found)
        return code;
    code = sm_db_query(&q, db, "INSERT INTO shape (digest, body) VALUES ($digest, $body)", err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$digest", f->shape_digest);
    sm_stmt_text(q, "$body", f->document.shape);
    code = sm_stmt_run(q, NULL, err);
    return code == SM_OK ? find_shape(id, &found, db, f, err) : code;
}

static enum sm_code insert_score(bool *inserted, struct sm_db *db, const struct finishing *f,
                                 struct sm_err *err)
{
    struct sm_stmt *q;
    int64_t changes, shape_id = 0;
    char id[SM_ID_BYTES];
    sm_id_new(id);
    enum sm_code code = put_shape(&shape_id, db, f, err);
    if (code == SM_OK)
        code = sm_db_query(&q, db,
                           "INSERT INTO score (id, tenant_id, key, pair, image_digest, m, "
                           "shape_id, own) SELECT $id, tenant_id, $key, pair, $image, $m, $shape, "
                           "$own FROM job WHERE id = $job ON CONFLICT (tenant_id, key) DO NOTHING",
                           err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$id", id);
    sm_stmt_hex(q, "$key", f->in->score_key);
    sm_stmt_hex(q, "$image", f->in->image_digest);
    sm_stmt_double(q, "$m", f->in->m);
    sm_stmt_int(q, "$shape", shape_id);
    sm_stmt_text(q, "$own", f->document.own);
    sm_stmt_hex(q, "$job", f->in->job_id);
    code = sm_stmt_run(q, &changes, err);
    *inserted = code == SM_OK && changes == 1;
    return code;
}

/* The row of the key that stands, ours or an earlier one. */
static enum sm_code find_score(struct finishing *f, struct sm_db *db, struct sm_err *err)
{
    struct sm_stmt *q;
    bool row;
    enum sm_code code = sm_db_query(&q, db,
                                    "SELECT id FROM score WHERE key = $key AND tenant_id = "
                                    "(SELECT tenant_id FROM job WHERE id = $job)",
                                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$job", f->in->job_id);
    sm_stmt_hex(q, "$key", f->in->score_key);
    code = sm_stmt_step(q, &row, err);
    if (code == SM_OK && !row)
        code = sm_err_set(err, SM_NOT_FOUND, "no score with key %s", f->in->score_key);
    if (code == SM_OK)
        sm_stmt_get_id(f->score_id, q, 0);
    sm_stmt_reset(q);
    return code;
}

/* running -> succeeded or failed. */
static enum sm_code finish_item(struct sm_db *db, const struct finishing *f, struct sm_err *err)
{
    const struct sm_finish *in = f->in;
    bool failed = in->error_code != SM_OK;
    struct sm_stmt *q;
    enum sm_code code = sm_db_query(
        &q, db,
        "UPDATE item SET state = $to, score_id = $score, from_history = $history, "
        "error_code = $code, error_detail = $detail, lease_owner = NULL, lease_until_ms = NULL "
        "WHERE job_id = $job AND idx = $idx",
        err);
    if (code != SM_OK)
        return code;
    sm_stmt_text(q, "$to", sm_state_name(failed ? SM_STATE_FAILED : SM_STATE_SUCCEEDED));
    sm_stmt_hex(q, "$score", failed ? NULL : f->score_id);
    sm_stmt_int(q, "$history", f->from_history);
    sm_stmt_text(q, "$code", failed ? sm_code_name(in->error_code) : NULL);
    sm_stmt_text(q, "$detail", failed ? in->error_text : NULL);
    sm_stmt_hex(q, "$job", in->job_id);
    sm_stmt_int(q, "$idx", in->index);
    return sm_stmt_run(q, NULL, err);
}

static enum sm_code insert_thumbnail(struct sm_db *db, const struct sm_finish *in,
                                     struct sm_err *err)
{
    struct sm_stmt *q;
    enum sm_code code = sm_db_query(
        &q, db, "INSERT INTO thumbnail (job_id, idx, png) VALUES ($job, $idx, $png)", err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$job", in->job_id);
    sm_stmt_int(q, "$idx", in->index);
    sm_stmt_blob(q, "$png", in->thumbnail, in->thumbnail_bytes);
    return sm_stmt_run(q, NULL, err);
}

/* The score of the item: the one it comes with, or that of its key. */
static enum sm_code settle_score(struct finishing *f, struct sm_db *db, struct sm_err *err)
{
    bool inserted = false;
    enum sm_code code = f->in->score ? insert_score(&inserted, db, f, err) : SM_OK;
    f->from_history = !inserted;
    return code == SM_OK ? find_score(f, db, err) : code;
}

static enum sm_code run_finish(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    struct finishing *f = (struct finishing *)write;
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
    return code;
}

enum sm_code sm_store_finish(struct sm_store *store, const struct sm_finish *finish,
                             char score_id[SM_ID_BYTES], bool *job_finished, struct sm_err *err)
{
    struct finishing f = {.write = {.run = run_finish, .room = SM_ROOM_USE}, .in = finish};
    enum sm_code code = SM_OK;
    score_id[0] = 0;
    *job_finished = false;
    if (finish->score) {
        code = sm_document_split(&f.document, finish->score, finish->image_digest,
                                 finish->score_key, err);
        if (code != SM_OK)
            return code;
        sm_sha256_hex(f.shape_digest, f.document.shape, strlen(f.document.shape));
    }
    code = sm_writer_call(store->writer, &f.write, err);
    if (code == SM_OK) {
        memcpy(score_id, f.score_id, sizeof f.score_id);
        *job_finished = f.job_finished;
        sm_store_count(store, 0, -f.plain);
        if (f.plain)
            sm_store_count_load(store, -f.dropped_bytes, -f.cost_ms);
    }
    sm_document_release(&f.document);
    return code;
}
