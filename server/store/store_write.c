/* Writes: admit and finish, and how a job follows its items. Each write is a closure that the
 * writer thread runs inside a group, and whose effect on the counters is told after the commit.
 *
 * Moves between states go through sm_store_move_job and the statements beside it, each of which
 * names the state it leaves: a row that is elsewhere by then is not touched, and that is noticed by
 * the count of rows. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "server/base/id.h"
#include "server/store/state.h"
#include "server/store/store_impl.h"

/* --- jobs follow their items --- */

static const char *const move_sql[SM_STATES_COUNT] = {
    [SM_STATE_RUNNING] =
        "UPDATE job SET state = $to, started_ms = $now WHERE id = $id AND state = $from",
    [SM_STATE_SUCCEEDED] =
        "UPDATE job SET state = $to, finished_ms = $now WHERE id = $id AND state = $from",
    [SM_STATE_FAILED] =
        "UPDATE job SET state = $to, finished_ms = $now WHERE id = $id AND state = $from",
    [SM_STATE_CANCELLED] =
        "UPDATE job SET state = $to, finished_ms = $now WHERE id = $id AND state = $from",
};

/* `moved` is false when the job was not in `from`. */
enum sm_code sm_store_move_job(bool *moved, struct sm_db *db, const char *id, enum sm_state from,
                               enum sm_state to, struct sm_err *err)
{
    struct sm_stmt *q;
    int64_t changes;
    assert(sm_state_may(from, to));
    enum sm_code code = sm_db_query(&q, db, move_sql[to], err);
    if (code != SM_OK)
        return code;
    sm_stmt_text(q, "$id", id);
    sm_stmt_text(q, "$from", sm_state_name(from));
    sm_stmt_text(q, "$to", sm_state_name(to));
    sm_stmt_int(q, "$now", sm_clock_unix_ms());
    code = sm_stmt_run(q, &changes, err);
    *moved = code == SM_OK && changes == 1;
    return code;
}

/* Finishes a running job whose items are all finished. */
enum sm_code sm_store_settle_job(bool *finished, struct sm_db *db, const char *id,
                                 struct sm_err *err)
{
    struct sm_stmt *q;
    bool row;
    int items[SM_STATES_COUNT + 1] = {0};
    *finished = false;
    enum sm_code code = sm_db_query(
        &q, db, "SELECT state, COUNT(*) FROM item WHERE job_id = $id GROUP BY state", err);
    if (code != SM_OK)
        return code;
    sm_stmt_text(q, "$id", id);
    while ((code = sm_stmt_step(q, &row, err)) == SM_OK && row)
        items[sm_state_parse(sm_stmt_get_text(q, 0))] = (int)sm_stmt_get_int(q, 1);
    sm_stmt_reset(q);
    if (code != SM_OK)
        return code;
    enum sm_state to = sm_state_of_job(SM_STATE_RUNNING, items);
    if (to == SM_STATE_RUNNING)
        return SM_OK;
    return sm_store_move_job(finished, db, id, SM_STATE_RUNNING, to, err);
}

enum sm_code sm_store_drop_image(struct sm_db *db, const char *job_id, int index,
                                 struct sm_err *err)
{
    struct sm_stmt *q;
    enum sm_code code =
        sm_db_query(&q, db, "DELETE FROM image WHERE job_id = $job AND idx = $idx", err);
    if (code != SM_OK)
        return code;
    sm_stmt_text(q, "$job", job_id);
    sm_stmt_int(q, "$idx", index);
    return sm_stmt_run(q, NULL, err);
}

/* --- admit --- */

struct item_copy {
    char *name, *media_type;
    void *bytes;
    size_t bytes_count;
    char image_digest[65];
};

struct admission {
    struct sm_write write;
    struct sm_store *store;
    sm_store_done *done;
    void *arg;
    char id[SM_ID_BYTES], recipe_digest[65];
    char *pair, *recipe;
    int items_count;
    struct item_copy items[];
};

static void admission_free(struct admission *a)
{
    for (int i = 0; i < a->items_count; i++) {
        free(a->items[i].name);
        free(a->items[i].media_type);
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
    memcpy(a->id, job->id, sizeof a->id);
    memcpy(a->recipe_digest, job->recipe_digest, sizeof a->recipe_digest);
    a->pair = strdup(job->pair);
    a->recipe = sm_json_canonical(job->recipe); /* the text that the digest is of */
    bool whole = a->pair && a->recipe;
    for (int i = 0; i < job->items_count && whole; i++) {
        const struct sm_item_in *in = &job->items[i];
        struct item_copy *item = &a->items[i];
        memcpy(item->image_digest, in->image_digest, sizeof item->image_digest);
        item->name = strdup(in->name);
        item->media_type = strdup(in->media_type);
        item->bytes = malloc(in->bytes_count + 1);
        item->bytes_count = in->bytes_count;
        whole = item->name && item->media_type && item->bytes;
        if (whole && in->bytes_count > 0)
            memcpy(item->bytes, in->bytes, in->bytes_count);
    }
    if (whole)
        return a;
    admission_free(a);
    return NULL;
}

static enum sm_code insert_recipe(struct sm_db *db, const struct admission *a, struct sm_err *err)
{
    struct sm_stmt *q;
    enum sm_code code = sm_db_query(&q, db,
                                    "INSERT INTO recipe (digest, body) VALUES ($digest, $body) "
                                    "ON CONFLICT (digest) DO NOTHING",
                                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_text(q, "$digest", a->recipe_digest);
    sm_stmt_text(q, "$body", a->recipe);
    return sm_stmt_run(q, NULL, err);
}

static enum sm_code insert_job(struct sm_db *db, const struct admission *a, struct sm_err *err)
{
    struct sm_stmt *q;
    enum sm_code code = sm_db_query(&q, db,
                                    "INSERT INTO job (id, state, pair, recipe_digest, created_ms) "
                                    "VALUES ($id, 'queued', $pair, $recipe, $now)",
                                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_text(q, "$id", a->id);
    sm_stmt_text(q, "$pair", a->pair);
    sm_stmt_text(q, "$recipe", a->recipe_digest);
    sm_stmt_int(q, "$now", sm_clock_unix_ms());
    return sm_stmt_run(q, NULL, err);
}

static enum sm_code insert_item(struct sm_db *db, const struct admission *a, int index,
                                struct sm_err *err)
{
    const struct item_copy *item = &a->items[index];
    struct sm_stmt *q;
    enum sm_code code =
        sm_db_query(&q, db,
                    "INSERT INTO item (job_id, idx, state, name, media_type, image_digest) "
                    "VALUES ($job, $idx, 'queued', $name, $type, $digest)",
                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_text(q, "$job", a->id);
    sm_stmt_int(q, "$idx", index);
    sm_stmt_text(q, "$name", item->name);
    sm_stmt_text(q, "$type", item->media_type);
    sm_stmt_text(q, "$digest", item->image_digest);
    code = sm_stmt_run(q, NULL, err);
    if (code == SM_OK)
        code = sm_db_query(
            &q, db, "INSERT INTO image (job_id, idx, bytes) VALUES ($job, $idx, $bytes)", err);
    if (code != SM_OK)
        return code;
    sm_stmt_text(q, "$job", a->id);
    sm_stmt_int(q, "$idx", index);
    sm_stmt_blob(q, "$bytes", item->bytes, item->bytes_count);
    return sm_stmt_run(q, NULL, err);
}

static enum sm_code run_admission(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    const struct admission *a = (const struct admission *)write;
    enum sm_code code = insert_recipe(db, a, err);
    if (code == SM_OK)
        code = insert_job(db, a, err);
    for (int i = 0; i < a->items_count && code == SM_OK; i++)
        code = insert_item(db, a, i, err);
    return code;
}

static void admitted(struct sm_write *write, enum sm_code code, const struct sm_err *err)
{
    struct admission *a = (struct admission *)write;
    if (code == SM_OK)
        sm_store_count(a->store, a->items_count, 0);
    else
        sm_store_count(a->store, 0, -a->items_count);
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
    a->write = (struct sm_write){.run = run_admission, .done = admitted};
    a->store = store;
    a->done = done;
    a->arg = arg;
    sm_store_count(store, 0, a->items_count);
    sm_writer_post(store->writer, &a->write);
    return SM_OK;
}

/* --- finish --- */

struct finishing {
    struct sm_write write;
    const struct sm_finish *in;
    char *body;
    char score_id[SM_ID_BYTES];
    bool from_history, job_finished;
};

static enum sm_code insert_score(bool *inserted, struct sm_db *db, const struct finishing *f,
                                 struct sm_err *err)
{
    struct sm_stmt *q;
    int64_t changes;
    char id[SM_ID_BYTES];
    sm_id_new(id);
    enum sm_code code =
        sm_db_query(&q, db,
                    "INSERT INTO score (id, key, created_ms, pair, pair_digest, image_digest, "
                    "recipe_digest, m, "
                    "body) SELECT $id, $key, $now, job.pair, $pair_digest, item.image_digest, "
                    "job.recipe_digest, $m, $body FROM item JOIN job ON job.id = item.job_id "
                    "WHERE item.job_id = $job AND item.idx = $idx ON CONFLICT (key) DO NOTHING",
                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_text(q, "$id", id);
    sm_stmt_text(q, "$key", f->in->key);
    sm_stmt_int(q, "$now", sm_clock_unix_ms());
    sm_stmt_text(q, "$pair_digest", f->in->pair_digest);
    sm_stmt_double(q, "$m", f->in->m);
    sm_stmt_text(q, "$body", f->body);
    sm_stmt_text(q, "$job", f->in->job_id);
    sm_stmt_int(q, "$idx", f->in->index);
    code = sm_stmt_run(q, &changes, err);
    *inserted = code == SM_OK && changes == 1;
    return code;
}

/* The row of the key that stands, ours or an earlier one. */
static enum sm_code find_score(struct finishing *f, struct sm_db *db, struct sm_err *err)
{
    struct sm_stmt *q;
    bool row;
    enum sm_code code = sm_db_query(&q, db, "SELECT id FROM score WHERE key = $key", err);
    if (code != SM_OK)
        return code;
    sm_stmt_text(q, "$key", f->in->key);
    code = sm_stmt_step(q, &row, err);
    if (code == SM_OK && !row)
        code = sm_err_set(err, SM_NOT_FOUND, "no score with key %s", f->in->key);
    if (code == SM_OK)
        snprintf(f->score_id, sizeof f->score_id, "%s", sm_stmt_get_text(q, 0));
    sm_stmt_reset(q);
    return code;
}

/* running -> succeeded or failed, when the lease still is the owner's. */
static enum sm_code finish_item(struct sm_db *db, const struct finishing *f, struct sm_err *err)
{
    const struct sm_finish *in = f->in;
    bool failed = in->error_code != SM_OK;
    struct sm_stmt *q;
    int64_t changes;
    enum sm_code code = sm_db_query(
        &q, db,
        "UPDATE item SET state = $to, score_id = $score, from_history = $history, "
        "error_code = $code, error_detail = $detail, lease_owner = NULL, lease_until_ms = NULL "
        "WHERE job_id = $job AND idx = $idx AND state = 'running' AND lease_owner = $owner",
        err);
    if (code != SM_OK)
        return code;
    sm_stmt_text(q, "$to", sm_state_name(failed ? SM_STATE_FAILED : SM_STATE_SUCCEEDED));
    sm_stmt_text(q, "$score", failed ? NULL : f->score_id);
    sm_stmt_int(q, "$history", f->from_history);
    sm_stmt_text(q, "$code", failed ? sm_code_name(in->error_code) : NULL);
    sm_stmt_text(q, "$detail", failed ? in->error_text : NULL);
    sm_stmt_text(q, "$job", in->job_id);
    sm_stmt_int(q, "$idx", in->index);
    sm_stmt_text(q, "$owner", in->owner);
    code = sm_stmt_run(q, &changes, err);
    if (code == SM_OK && changes != 1)
        code = sm_err_set(err, SM_CONFLICT, "item %d of job %s is not leased to %s any more",
                          in->index, in->job_id, in->owner);
    return code;
}

static enum sm_code run_finish(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    struct finishing *f = (struct finishing *)write;
    enum sm_code code = SM_OK;
    if (f->in->error_code == SM_OK) {
        bool inserted = false;
        if (f->in->score)
            code = insert_score(&inserted, db, f, err);
        if (code == SM_OK)
            code = find_score(f, db, err);
        f->from_history = !inserted;
    }
    if (code == SM_OK)
        code = finish_item(db, f, err);
    if (code == SM_OK)
        code = sm_store_drop_image(db, f->in->job_id, f->in->index, err);
    if (code == SM_OK)
        code = sm_store_settle_job(&f->job_finished, db, f->in->job_id, err);
    return code;
}

enum sm_code sm_store_finish(struct sm_store *store, const struct sm_finish *finish,
                             char score_id[SM_ID_BYTES], bool *job_finished, struct sm_err *err)
{
    struct finishing f = {.write.run = run_finish, .in = finish};
    score_id[0] = 0;
    *job_finished = false;
    if (finish->score) {
        f.body = json_dumps(finish->score, JSON_COMPACT | JSON_REAL_PRECISION(17));
        if (!f.body)
            return sm_err_set(err, SM_NOMEM, "score of job %s: out of memory", finish->job_id);
    }
    enum sm_code code = sm_writer_call(store->writer, &f.write, err);
    if (code == SM_OK) {
        memcpy(score_id, f.score_id, sizeof f.score_id);
        *job_finished = f.job_finished;
        sm_store_count(store, 0, -1);
    }
    free(f.body);
    return code;
}
