/* The life of an audit: made, moved, cancelled, deleted.
 *
 * Moves are a table: from which states, to which one. A move that lets items be claimed adds them
 * to the count of what waits after its commit; one that forbids it takes them out before, so that
 * no claim goes for them in between, and puts them back when it fails.
 *
 * Cancelling and deleting touch every item, 50,000 and more. They go through the items in chunks,
 * each a write of its own, so that other writes find their turn. The first write makes the new
 * state visible: cancelled, or not there any more (its row of `audit` is gone while that of `job`
 * still stands). What a crash leaves of the chunks is done at the next start. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "server/base/clock.h"
#include "server/store/audits_impl.h"
#include "server/store/budget.h"

#define CHUNK_ITEMS 500

enum sm_code sm_store_audit_row(struct sm_job_row *out, struct sm_db *db, const char *id,
                                struct sm_err *err)
{
    struct sm_stmt *q;
    bool row;
    enum sm_code code = sm_db_query(&q, db, "SELECT 1 FROM audit WHERE job_id = $id", err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$id", id);
    code = sm_stmt_step(q, &row, err);
    sm_stmt_reset(q);
    if (code == SM_OK && !row)
        code = sm_err_set(err, SM_NOT_FOUND, "no audit with id %s", id);
    return code == SM_OK ? sm_store_read_job_row(out, db, id, err) : code;
}

/* --- create --- */

struct creating {
    struct sm_write write;
    const struct sm_store *store;
    const struct sm_store_audit_in *in;
    char *recipe, *spec, *pair_document;
};

static enum sm_code insert_job(struct sm_db *db, const struct sm_store_audit_in *in,
                               struct sm_err *err)
{
    struct sm_stmt *q;
    enum sm_code code = sm_db_query(
        &q, db,
        "INSERT INTO job (id, tenant_id, kind, state, pair, recipe_digest, created_ms, "
        "items_count, queued_count, request, trace, turn_ms) VALUES ($id, $tenant, 'audit', "
        "'open', $pair, $recipe, $now, 0, 0, $request, $trace, $now)",
        err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$id", in->id);
    sm_stmt_int(q, "$tenant", in->tenant);
    sm_stmt_text(q, "$pair", in->pair);
    sm_stmt_hex(q, "$recipe", in->recipe_digest);
    sm_stmt_text(q, "$request", in->origin.request);
    sm_stmt_text(q, "$trace", in->origin.trace);
    sm_stmt_int(q, "$now", sm_clock_unix_ms());
    return sm_stmt_run(q, NULL, err);
}

static enum sm_code insert_audit(struct sm_db *db, const struct creating *c, struct sm_err *err)
{
    struct sm_stmt *q;
    enum sm_code code =
        sm_db_query(&q, db,
                    "INSERT INTO audit (job_id, spec, pair_document, keep_thumbnails) "
                    "VALUES ($id, $spec, $pair, $thumbnails)",
                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$id", c->in->id);
    sm_stmt_text(q, "$spec", c->spec);
    sm_stmt_text(q, "$pair", c->pair_document);
    sm_stmt_int(q, "$thumbnails", json_is_true(json_object_get(c->in->spec, "keep_thumbnails")));
    return sm_stmt_run(q, NULL, err);
}

static enum sm_code run_create(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    const struct creating *c = (const struct creating *)write;
    enum sm_code code = sm_store_check_caller(db, c->in->caller, err);
    if (code == SM_OK)
        code = sm_store_put_recipe(db, c->in->recipe_digest, c->recipe, err);
    if (code == SM_OK)
        code = insert_job(db, c->in, err);
    if (code == SM_OK)
        code = insert_audit(db, c, err);
    return code == SM_OK
               ? sm_store_idempotency_claim(c->store, db, c->in->idempotency, c->in->id, err)
               : code;
}

enum sm_code sm_store_audit_create(struct sm_store *store, const struct sm_store_audit_in *in,
                                   struct sm_err *err)
{
    const size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(17);
    struct creating c = {.write.run = run_create, .store = store, .in = in};
    c.recipe = sm_json_canonical(in->recipe); /* the text that the digest is of */
    c.spec = json_dumps(in->spec, flags);
    c.pair_document = json_dumps(in->pair_document, flags);
    enum sm_code code = c.recipe && c.spec && c.pair_document
                            ? sm_writer_call(store->writer, &c.write, err)
                            : sm_err_set(err, SM_NOMEM, "audit %s: out of memory", in->id);
    free(c.recipe);
    free(c.spec);
    free(c.pair_document);
    return code;
}

/* --- moves --- */

static const struct {
    const char *done; /* "to be …" */
    enum sm_state to;
    bool from[SM_STATES_COUNT];
    const char *from_text;
} moves[] = {
    [SM_AUDIT_START] = {"started", SM_STATE_RUNNING, {[SM_STATE_OPEN] = true}, "open"},
    [SM_AUDIT_PAUSE] = {"paused", SM_STATE_PAUSED, {[SM_STATE_RUNNING] = true}, "running"},
    [SM_AUDIT_RESUME] = {"resumed", SM_STATE_RUNNING, {[SM_STATE_PAUSED] = true}, "paused"},
    [SM_AUDIT_CANCEL] =
        {"cancelled",
         SM_STATE_CANCELLED,
         {[SM_STATE_OPEN] = true, [SM_STATE_RUNNING] = true, [SM_STATE_PAUSED] = true},
         "open, running or paused"},
};

struct moving {
    struct sm_write write;
    struct sm_store *store;
    const char *id, *reason;
    const struct sm_idempotency_claim *idempotency;
    const struct sm_caller *caller;
    enum sm_store_audit_move move;
    int64_t withheld_count; /* taken out of the count of what waits, for good if this commits */
    int64_t freed_count;    /* to be added to it after the commit */
};

static enum sm_code keep_reason(struct sm_db *db, const struct moving *m, struct sm_err *err)
{
    struct sm_stmt *q;
    enum sm_code code =
        sm_db_query(&q, db, "UPDATE audit SET reason = $reason WHERE job_id = $id", err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$id", m->id);
    sm_stmt_text(q, "$reason", m->move == SM_AUDIT_PAUSE ? m->reason : NULL);
    return sm_stmt_run(q, NULL, err);
}

static enum sm_code read_pair(char out[64], int64_t *cost_ms, struct sm_db *db, const char *id,
                              struct sm_err *err)
{
    struct sm_stmt *q;
    bool row;
    enum sm_code code = sm_db_query(&q, db, "SELECT pair, cost_ms FROM job WHERE id = $id", err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$id", id);
    code = sm_stmt_step(q, &row, err);
    snprintf(out, 64, "%s", code == SM_OK && row ? sm_stmt_get_text(q, 0) : "");
    *cost_ms = code == SM_OK && row ? sm_stmt_get_int(q, 1) : 0;
    sm_stmt_reset(q);
    return code;
}

/* Whether the images may be scored: the pair is there, results have room, a start is paid for. */
static enum sm_code check_run(struct sm_db *db, const struct moving *m,
                              const struct sm_job_row *job, struct sm_err *err)
{
    char pair[64];
    int64_t cost_ms = 0;
    struct sm_charge charge = {0};
    enum sm_code code = SM_OK;
    if (moves[m->move].to == SM_STATE_RUNNING) {
        code = read_pair(pair, &cost_ms, db, m->id, err);
        if (code == SM_OK)
            code = sm_store_check_pair(m->store, pair, err);
        if (code == SM_OK)
            code = sm_store_check_room(m->store, db, err);
    }
    if (m->caller)
        charge.caller = *m->caller;
    if (m->move == SM_AUDIT_START)
        charge.amount = (struct sm_amount){.scores = job->items_count, .cost_ms = cost_ms};
    return code == SM_OK ? sm_store_charge(db, &charge, err) : code;
}

static void count_move(struct moving *m, const struct sm_job_row *job)
{
    int64_t queued = job->items[SM_STATE_QUEUED];
    if (moves[m->move].to == SM_STATE_RUNNING)
        m->freed_count = queued;
    else if (job->state == SM_STATE_RUNNING) {
        m->withheld_count = queued;
        sm_store_count(m->store, -queued, 0);
    }
}

static enum sm_code run_move(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    struct moving *m = (struct moving *)write;
    struct sm_job_row job;
    bool done;
    enum sm_code code = sm_store_audit_row(&job, db, m->id, err);
    if (code != SM_OK)
        return code;
    if (!moves[m->move].from[job.state])
        return sm_err_set(err, SM_CONFLICT, "audit %s is %s, it must be %s to be %s", m->id,
                          sm_state_name(job.state), moves[m->move].from_text, moves[m->move].done);
    if (m->move == SM_AUDIT_START && job.items_count == 0)
        return sm_err_set(err, SM_CONFLICT,
                          "audit %s has 0 images, it must have at least 1 to be started", m->id);
    if ((code = check_run(db, m, &job, err)) != SM_OK)
        return code;
    count_move(m, &job);
    code = sm_store_move_job(&done, db, m->id, job.state, moves[m->move].to, err);
    if (code == SM_OK)
        code = keep_reason(db, m, err);
    job.state = moves[m->move].to;
    if (code == SM_OK) /* started with nothing but failures */
        code = sm_store_settle_job(&done, db, m->id, &job, err);
    return code == SM_OK ? sm_store_idempotency_claim(m->store, db, m->idempotency, m->id, err)
                         : code;
}

/* --- work by chunks --- */

struct chunk {
    struct sm_write write;
    const char *id;
    int64_t revision; /* of a deletion */
    bool more;
};

/* Index of the last item of the next chunk; -1 when there are none. `sql` finds it. */
static enum sm_code chunk_end(int64_t *last, struct sm_db *db, const char *sql, const char *id,
                              struct sm_err *err)
{
    struct sm_stmt *q;
    bool row;
    enum sm_code code = sm_db_query(&q, db, sql, err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$id", id);
    sm_stmt_int(q, "$limit", CHUNK_ITEMS);
    code = sm_stmt_step(q, &row, err);
    if (code == SM_OK)
        *last = row && !sm_stmt_is_null(q, 0) ? sm_stmt_get_int(q, 0) : -1;
    sm_stmt_reset(q);
    return code;
}

/* A statement about the items of $id up to $last. */
static enum sm_code run_to(int64_t *changes, struct sm_db *db, const char *sql, const char *id,
                           int64_t last, struct sm_err *err)
{
    struct sm_stmt *q;
    enum sm_code code = sm_db_query(&q, db, sql, err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$id", id);
    sm_stmt_int(q, "$last", last);
    return sm_stmt_run(q, changes, err);
}

static enum sm_code run_cancel(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    struct chunk *c = (struct chunk *)write;
    struct sm_job_row job;
    int64_t last, count = 0;
    enum sm_code code =
        chunk_end(&last, db,
                  "SELECT MAX(idx) FROM (SELECT idx FROM item WHERE job_id = $id AND "
                  "state = 'queued' ORDER BY attempt, idx LIMIT $limit) AS chunk",
                  c->id, err);
    c->more = code == SM_OK && last >= 0;
    if (!c->more)
        return code;
    code = run_to(NULL, db,
                  "DELETE FROM image WHERE job_id = $id AND idx IN (SELECT idx FROM item "
                  "WHERE job_id = $id AND state = 'queued' AND idx <= $last)",
                  c->id, last, err);
    if (code == SM_OK)
        code = run_to(&count, db,
                      "UPDATE item SET state = 'cancelled' WHERE job_id = $id AND "
                      "state = 'queued' AND idx <= $last",
                      c->id, last, err);
    if (code == SM_OK)
        code = sm_store_change_job(
            &job, db, c->id, &(struct sm_job_change){.queued = -count, .cancelled = count}, err);
    return code;
}

/* Ids of the scores of the items up to `last`. */
static enum sm_code read_scores(char (*ids)[SM_ID_BYTES], int *count, struct sm_db *db,
                                const char *id, int64_t last, struct sm_err *err)
{
    struct sm_stmt *q;
    bool row;
    *count = 0;
    enum sm_code code = sm_db_query(&q, db,
                                    "SELECT score_id FROM item WHERE job_id = $id AND "
                                    "idx <= $last AND score_id IS NOT NULL",
                                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$id", id);
    sm_stmt_int(q, "$last", last);
    while ((code = sm_stmt_step(q, &row, err)) == SM_OK && row) {
        assert(*count < CHUNK_ITEMS);
        sm_stmt_get_id(ids[(*count)++], q, 0);
    }
    sm_stmt_reset(q);
    return code;
}

/* Deletes a score that no item has any more. */
static enum sm_code drop_score(struct sm_db *db, const char *score_id, struct sm_err *err)
{
    struct sm_stmt *q;
    enum sm_code code = sm_db_query(&q, db,
                                    "DELETE FROM score WHERE id = $score AND NOT EXISTS "
                                    "(SELECT 1 FROM item WHERE score_id = $score)",
                                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$score", score_id);
    return sm_stmt_run(q, NULL, err);
}

static enum sm_code delete_items(struct sm_db *db, const char *id, int64_t last, struct sm_err *err)
{
    static const char *const sql[] = {
        "DELETE FROM thumbnail WHERE job_id = $id AND idx <= $last",
        "DELETE FROM image WHERE job_id = $id AND idx <= $last",
        "DELETE FROM item WHERE job_id = $id AND idx <= $last",
    };
    char scores[CHUNK_ITEMS][SM_ID_BYTES];
    int scores_count;
    enum sm_code code = read_scores(scores, &scores_count, db, id, last, err);
    for (size_t i = 0; i < sizeof sql / sizeof *sql && code == SM_OK; i++)
        code = run_to(NULL, db, sql[i], id, last, err);
    for (int i = 0; i < scores_count && code == SM_OK; i++)
        code = drop_score(db, scores[i], err);
    return code;
}

static enum sm_code delete_row(struct sm_db *db, const char *sql, const char *id,
                               struct sm_err *err)
{
    struct sm_stmt *q;
    enum sm_code code = sm_db_query(&q, db, sql, err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$id", id);
    return sm_stmt_run(q, NULL, err);
}

enum sm_code sm_store_delete_chunk(bool *more, struct sm_db *db, const char *id, struct sm_err *err)
{
    int64_t last;
    enum sm_code code = chunk_end(&last, db,
                                  "SELECT MAX(idx) FROM (SELECT idx FROM item WHERE job_id = $id "
                                  "ORDER BY idx LIMIT $limit) AS chunk",
                                  id, err);
    *more = code == SM_OK && last >= 0;
    if (*more)
        return delete_items(db, id, last, err);
    return code == SM_OK ? delete_row(db, "DELETE FROM job WHERE id = $id", id, err) : code;
}

static enum sm_code run_delete(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    struct chunk *c = (struct chunk *)write;
    return sm_store_delete_chunk(&c->more, db, c->id, err);
}

enum sm_code sm_store_audit_hide(struct sm_db *db, const char *id, int64_t revision,
                                 struct sm_err *err)
{
    static const char *const sql[] = {
        "DELETE FROM audit_failure WHERE job_id = $id",
        "DELETE FROM audit_cohort WHERE job_id = $id",
        "DELETE FROM audit WHERE job_id = $id",
    };
    struct sm_job_row job;
    enum sm_code code = sm_store_audit_row(&job, db, id, err);
    if (code == SM_OK && revision >= 0 && job.revision != revision)
        code = sm_err_set(err, SM_CONFLICT, "audit %s is at revision %lld, not at %lld", id,
                          (long long)job.revision, (long long)revision);
    if (code == SM_OK && job.state == SM_STATE_RUNNING)
        code = sm_err_set(err, SM_CONFLICT,
                          "audit %s is running, it must be paused, cancelled or finished to be "
                          "deleted",
                          id);
    for (size_t i = 0; i < sizeof sql / sizeof *sql && code == SM_OK; i++)
        code = delete_row(db, sql[i], id, err);
    return code;
}

static enum sm_code run_hide(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    const struct chunk *c = (const struct chunk *)write;
    return sm_store_audit_hide(db, c->id, c->revision, err);
}

/* Every chunk through the writer. */
static enum sm_code call_chunks(struct sm_store *store, sm_write_run *run, const char *id,
                                struct sm_err *err)
{
    struct chunk c = {.write = {.run = run, .mode = SM_WRITE_ALONE}, .id = id, .more = true};
    enum sm_code code = SM_OK;
    while (code == SM_OK && c.more)
        code = sm_writer_call(store->writer, &c.write, err);
    return code;
}

static enum sm_code call_move(struct sm_store *store, struct moving *m, struct sm_err *err)
{
    /* Alone: a full disk ends the transaction of the result that does not fit, and must not end
     * that of the pause which it is the reason for. */
    m->write = (struct sm_write){.run = run_move, .mode = SM_WRITE_ALONE};
    m->store = store;
    enum sm_code code = sm_writer_call(store->writer, &m->write, err);
    if (code != SM_OK)
        sm_store_count(store, m->withheld_count, 0);
    else if (m->freed_count > 0)
        sm_store_count(store, m->freed_count, 0);
    if (code == SM_OK && m->move == SM_AUDIT_CANCEL)
        code = call_chunks(store, run_cancel, m->id, err);
    return code;
}

enum sm_code sm_store_audit_move(struct sm_store *store, const char *id,
                                 enum sm_store_audit_move move, const char *reason,
                                 struct sm_err *err)
{
    return call_move(store, &(struct moving){.id = id, .move = move, .reason = reason}, err);
}

enum sm_code sm_store_audit_order(struct sm_store *store, const char *id,
                                  const struct sm_store_audit_order *order, struct sm_err *err)
{
    return call_move(store,
                     &(struct moving){.id = id,
                                      .move = order->move,
                                      .idempotency = order->idempotency,
                                      .caller = order->caller},
                     err);
}

enum sm_code sm_store_audit_delete(struct sm_store *store, const char *id, struct sm_err *err)
{
    return sm_store_audit_delete_at(store, id, -1, err);
}

enum sm_code sm_store_audit_delete_at(struct sm_store *store, const char *id, int64_t revision,
                                      struct sm_err *err)
{
    struct chunk hide = {
        .write = {.run = run_hide, .mode = SM_WRITE_ALONE}, .id = id, .revision = revision};
    enum sm_code code = sm_writer_call(store->writer, &hide.write, err);
    return code == SM_OK ? call_chunks(store, run_delete, id, err) : code;
}

/* --- what a crash left --- */

/* First id that `sql` finds; `found` is false when there is none. */
static enum sm_code find_left(bool *found, char id[SM_ID_BYTES], struct sm_db *db, const char *sql,
                              struct sm_err *err)
{
    struct sm_stmt *q;
    enum sm_code code = sm_db_query(&q, db, sql, err);
    if (code != SM_OK)
        return code;
    code = sm_stmt_step(q, found, err);
    if (code == SM_OK && *found)
        sm_stmt_get_id(id, q, 0);
    sm_stmt_reset(q);
    return code;
}

static enum sm_code end_chunks(struct sm_db *db, sm_write_run *run, const char *id,
                               struct sm_err *err)
{
    struct chunk c = {.id = id, .more = true};
    enum sm_code code = SM_OK;
    while (code == SM_OK && c.more) {
        code = sm_db_begin(db, err);
        if (code == SM_OK)
            code = run(&c.write, db, err);
        if (code == SM_OK)
            code = sm_db_commit(db, err);
    }
    sm_db_rollback(db);
    return code;
}

enum sm_code sm_store_audits_recover(struct sm_db *db, struct sm_err *err)
{
    static const struct {
        const char *sql;
        sm_write_run *run;
    } left[] = {
        {"SELECT id FROM job WHERE queued_count > 0 AND state = 'cancelled' LIMIT 1", run_cancel},
        {"SELECT id FROM job WHERE kind = 'audit' AND NOT EXISTS "
         "(SELECT 1 FROM audit WHERE audit.job_id = job.id) LIMIT 1",
         run_delete},
    };
    char id[SM_ID_BYTES];
    enum sm_code code = SM_OK;
    for (size_t i = 0; i < sizeof left / sizeof *left && code == SM_OK; i++) {
        bool found = true;
        while (code == SM_OK && found) {
            code = find_left(&found, id, db, left[i].sql, err);
            if (code == SM_OK && found)
                code = end_chunks(db, left[i].run, id, err);
        }
    }
    return code;
}
