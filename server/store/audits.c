/* The life of an audit: create, move, cancel, delete.
 *
 * Moves are a table of the states that they leave and the state that they lead to. A move that lets
 * workers claim items adds them to the count of waiting items after its commit. A move that forbids
 * it subtracts them before the commit, so that no worker tries to claim them meanwhile, and adds
 * them again if the transaction fails.
 *
 * Cancelling and deleting touch every item, 50,000 and more. They work in chunks, each a write of
 * its own, so that other writes get their turn. The first write makes the new state visible:
 * cancelled, or hidden (the row of `audit` is deleted, the row of `job` is not yet). The next start
 * finishes chunks that a crash left over. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "server/base/clock.h"
#include "server/store/audits_impl.h"
#include "server/store/budget.h"

#define CHUNK_ITEMS 500

enum sm_code sm_store_no_audit(const struct sm_audit_id *audit, struct sm_err *err)
{
    return sm_err_set(err, SM_NOT_FOUND, "no audit with id %s", audit->id);
}

enum sm_code sm_store_audit_no_memory(const struct sm_audit_id *audit, struct sm_err *err)
{
    return sm_err_set(err, SM_NOMEM, "audit %s: out of memory", audit->id);
}

enum sm_code sm_store_audit_query(struct sm_db *db, const char *sql,
                                  const struct sm_audit_id *audit, sm_db_on_row *on_row, void *arg,
                                  struct sm_err *err)
{
    int64_t rows;
    enum sm_code code = sm_db_each(&rows, db, sql, SM_BIND(BIND_AUDIT(audit)), on_row, arg, err);
    return code == SM_OK && rows == 0 ? sm_store_no_audit(audit, err) : code;
}

enum sm_code sm_store_audit_row(struct sm_job_row *out, struct sm_db *db,
                                const struct sm_audit_id *audit, struct sm_err *err)
{
    bool found;
    enum sm_code code = sm_db_row(&found, db, "SELECT 1 FROM audit WHERE job_id = $id" OF_TENANT,
                                  SM_BIND(BIND_AUDIT(audit)), NULL, err);
    if (code == SM_OK && !found)
        code = sm_store_no_audit(audit, err);
    return code == SM_OK ? sm_store_read_job_row(out, db, audit->id, err) : code;
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
    return sm_db_change(
        NULL, db,
        "INSERT INTO job (id, tenant_id, kind, state, pair, recipe_digest, created_ms, "
        "items_count, queued_count, request, trace, turn_ms) VALUES ($id, $tenant, 'audit', "
        "'open', $pair, $recipe, $now, 0, 0, $request, $trace, $now)",
        SM_BIND(BIND_AUDIT(&in->audit), SM_TEXT("$pair", in->pair),
                SM_HEX("$recipe", in->recipe_digest), SM_TEXT("$request", in->origin.request),
                SM_TEXT("$trace", in->origin.trace), SM_INT("$now", sm_clock_unix_ms())),
        err);
}

static enum sm_code insert_audit(struct sm_db *db, const struct creating *c, struct sm_err *err)
{
    bool keeps = json_is_true(json_object_get(c->in->spec, "keep_thumbnails"));
    bool pixels = json_is_true(json_object_get(c->in->spec, "controls"));
    return sm_db_change(NULL, db,
                        "INSERT INTO audit (job_id, spec, pair_document, keep_thumbnails, "
                        "keep_pixels) VALUES ($id, $spec, $pair, $thumbnails, $pixels)",
                        SM_BIND(SM_HEX("$id", c->in->audit.id), SM_TEXT("$spec", c->spec),
                                SM_TEXT("$pair", c->pair_document), SM_INT("$thumbnails", keeps),
                                SM_INT("$pixels", pixels)),
                        err);
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
               ? sm_store_idempotency_claim(c->store, db, c->in->idempotency, c->in->audit.id, err)
               : code;
}

enum sm_code sm_store_audit_create(struct sm_store *store, const struct sm_store_audit_in *in,
                                   struct sm_err *err)
{
    struct creating c = {.write.run = run_create, .store = store, .in = in};
    c.recipe = sm_json_canonical(in->recipe); /* the text that recipe_digest hashes */
    c.spec = sm_json_text(in->spec, JSON_COMPACT);
    c.pair_document = sm_json_text(in->pair_document, JSON_COMPACT);
    enum sm_code code = c.recipe && c.spec && c.pair_document
                            ? sm_writer_call(store->writer, &c.write, err)
                            : sm_store_audit_no_memory(&in->audit, err);
    free(c.recipe);
    free(c.spec);
    free(c.pair_document);
    return code;
}

/* --- moves --- */

static const struct {
    const char *done; /* participle for "it must be … to be …" */
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
    const struct sm_audit_id *audit;
    const char *reason;
    const struct sm_idempotency_claim *idempotency;
    const struct sm_caller *caller;
    enum sm_store_audit_move move;
    int64_t withheld_count; /* subtracted from the waiting items; added again if this fails */
    int64_t freed_count;    /* to be added to the waiting items after the commit */
};

static enum sm_code keep_reason(struct sm_db *db, const struct moving *m, struct sm_err *err)
{
    return sm_db_change(NULL, db, "UPDATE audit SET reason = $reason WHERE job_id = $id" OF_TENANT,
                        SM_BIND(BIND_AUDIT(m->audit),
                                SM_TEXT("$reason", m->move == SM_AUDIT_PAUSE ? m->reason : NULL)),
                        err);
}

/* Checks that the images may be scored: the pair is loaded, results have room, and the budget pays
 * for a start. */
static enum sm_code check_run(struct sm_db *db, const struct moving *m,
                              const struct sm_job_row *job, struct sm_err *err)
{
    char pair[64] = "";
    int64_t cost_ms = 0;
    struct sm_charge charge = {0};
    enum sm_code code = SM_OK;
    if (moves[m->move].to == SM_STATE_RUNNING) {
        code = sm_db_row(NULL, db,
                         "SELECT pair, cost_ms FROM job WHERE id = $id AND tenant_id = $tenant",
                         SM_BIND(BIND_AUDIT(m->audit)),
                         SM_COLUMNS(SM_GET_TEXT(pair, sizeof pair), SM_GET_INT(&cost_ms)), err);
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
    const char *id = m->audit->id;
    struct sm_job_row job;
    bool done;
    enum sm_code code = sm_store_audit_row(&job, db, m->audit, err);
    if (code != SM_OK)
        return code;
    if (!moves[m->move].from[job.state])
        return sm_err_set(err, SM_CONFLICT, "audit %s is %s, it must be %s to be %s", id,
                          sm_state_name(job.state), moves[m->move].from_text, moves[m->move].done);
    if (m->move == SM_AUDIT_START && job.items_count == 0)
        return sm_err_set(err, SM_CONFLICT,
                          "audit %s has 0 images, it must have at least 1 to be started", id);
    if ((code = check_run(db, m, &job, err)) != SM_OK)
        return code;
    count_move(m, &job);
    code = sm_store_move_job(&done, db, id, job.state, moves[m->move].to, err);
    if (code == SM_OK)
        code = keep_reason(db, m, err);
    job.state = moves[m->move].to;
    if (code == SM_OK) /* a started audit may have failed items only */
        code = sm_store_settle_job(&done, db, id, &job, err);
    return code == SM_OK ? sm_store_idempotency_claim(m->store, db, m->idempotency, id, err) : code;
}

/* --- work by chunks --- */

struct chunk {
    struct sm_write write;
    const struct sm_audit_id *audit;
    int64_t revision; /* the one to delete; -1: any */
    bool more;
};

/* MAX of no rows is a row of NULL. */
static enum sm_code read_last(void *arg, const struct sm_stmt *row, struct sm_err *err)
{
    int64_t *last = arg;
    (void)err;
    if (!sm_stmt_is_null(row, 0))
        *last = sm_stmt_get_int(row, 0);
    return SM_OK;
}

/* Finds the index of the last item of the next chunk by `sql`; -1: no item is left. */
static enum sm_code chunk_end(int64_t *last, struct sm_db *db, const char *sql,
                              const struct sm_audit_id *audit, struct sm_err *err)
{
    *last = -1;
    return sm_db_each(NULL, db, sql, SM_BIND(BIND_AUDIT(audit), SM_INT("$limit", CHUNK_ITEMS)),
                      read_last, last, err);
}

/* Runs a statement about the audit's items up to index `last`. */
static enum sm_code run_to(int64_t *changes, struct sm_db *db, const char *sql,
                           const struct sm_audit_id *audit, int64_t last, struct sm_err *err)
{
    return sm_db_change(changes, db, sql, SM_BIND(BIND_AUDIT(audit), SM_INT("$last", last)), err);
}

static enum sm_code run_cancel(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    struct chunk *c = (struct chunk *)write;
    struct sm_job_row job;
    int64_t last, count = 0;
    enum sm_code code =
        chunk_end(&last, db,
                  "SELECT MAX(idx) FROM (SELECT idx FROM item WHERE job_id = $id AND "
                  "state = 'queued'" OF_TENANT " ORDER BY attempt, idx LIMIT $limit) AS chunk",
                  c->audit, err);
    c->more = code == SM_OK && last >= 0;
    if (!c->more)
        return code;
    code = run_to(NULL, db,
                  "DELETE FROM image WHERE job_id = $id AND idx IN (SELECT idx FROM item "
                  "WHERE job_id = $id AND state = 'queued' AND idx <= $last)" OF_TENANT,
                  c->audit, last, err);
    if (code == SM_OK)
        code = run_to(&count, db,
                      "UPDATE item SET state = 'cancelled' WHERE job_id = $id AND "
                      "state = 'queued' AND idx <= $last" OF_TENANT,
                      c->audit, last, err);
    if (code == SM_OK)
        code =
            sm_store_change_job(&job, db, c->audit->id,
                                &(struct sm_job_change){.queued = -count, .cancelled = count}, err);
    return code;
}

struct score_ids {
    char ids[CHUNK_ITEMS][SM_ID_BYTES];
    int count;
};

static enum sm_code append_score(void *arg, const struct sm_stmt *row, struct sm_err *err)
{
    struct score_ids *scores = arg;
    (void)err;
    assert(scores->count < CHUNK_ITEMS);
    sm_stmt_get_id(scores->ids[scores->count++], row, 0);
    return SM_OK;
}

/* Deletes a score that no item has any more. Scores of a tenant serve all its items, audits or
 * not. */
static enum sm_code drop_score(struct sm_db *db, const char *score_id, struct sm_err *err)
{
    return sm_db_change(NULL, db,
                        "DELETE FROM score WHERE id = $score AND NOT EXISTS "
                        "(SELECT 1 FROM item WHERE score_id = $score)",
                        SM_BIND(SM_HEX("$score", score_id)), err);
}

static enum sm_code delete_items(struct sm_db *db, const struct sm_audit_id *audit, int64_t last,
                                 struct sm_err *err)
{
    static const char *const sql[] = {
        "DELETE FROM thumbnail WHERE job_id = $id AND idx <= $last" OF_TENANT,
        "DELETE FROM image WHERE job_id = $id AND idx <= $last" OF_TENANT,
        "DELETE FROM item WHERE job_id = $id AND idx <= $last" OF_TENANT,
    };
    struct score_ids scores = {.count = 0};
    enum sm_code code =
        sm_db_each(NULL, db,
                   "SELECT score_id FROM item WHERE job_id = $id AND "
                   "idx <= $last AND score_id IS NOT NULL" OF_TENANT,
                   SM_BIND(BIND_AUDIT(audit), SM_INT("$last", last)), append_score, &scores, err);
    for (size_t i = 0; i < sizeof sql / sizeof *sql && code == SM_OK; i++)
        code = run_to(NULL, db, sql[i], audit, last, err);
    for (int i = 0; i < scores.count && code == SM_OK; i++)
        code = drop_score(db, scores.ids[i], err);
    return code;
}

enum sm_code sm_store_audit_delete_chunk(bool *more, struct sm_db *db,
                                         const struct sm_audit_id *audit, struct sm_err *err)
{
    int64_t last;
    enum sm_code code =
        chunk_end(&last, db,
                  "SELECT MAX(idx) FROM (SELECT idx FROM item WHERE job_id = $id" OF_TENANT
                  " ORDER BY idx LIMIT $limit) AS chunk",
                  audit, err);
    *more = code == SM_OK && last >= 0;
    if (*more)
        return delete_items(db, audit, last, err);
    return code == SM_OK
               ? sm_db_change(NULL, db, "DELETE FROM job WHERE id = $id AND tenant_id = $tenant",
                              SM_BIND(BIND_AUDIT(audit)), err)
               : code;
}

static enum sm_code run_delete(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    struct chunk *c = (struct chunk *)write;
    return sm_store_audit_delete_chunk(&c->more, db, c->audit, err);
}

enum sm_code sm_store_audit_hide(struct sm_db *db, const struct sm_audit_id *audit,
                                 int64_t revision, struct sm_err *err)
{
    static const char *const sql[] = {
        "DELETE FROM audit_failure WHERE job_id = $id" OF_TENANT,
        "DELETE FROM audit_cohort WHERE job_id = $id" OF_TENANT,
        "DELETE FROM audit WHERE job_id = $id" OF_TENANT,
    };
    struct sm_job_row job;
    enum sm_code code = sm_store_audit_row(&job, db, audit, err);
    if (code == SM_OK && revision >= 0 && job.revision != revision)
        code = sm_err_set(err, SM_CONFLICT, "audit %s is at revision %lld, not at %lld", audit->id,
                          (long long)job.revision, (long long)revision);
    if (code == SM_OK && job.state == SM_STATE_RUNNING)
        code = sm_err_set(err, SM_CONFLICT,
                          "audit %s is running, it must be paused, cancelled or finished to be "
                          "deleted",
                          audit->id);
    for (size_t i = 0; i < sizeof sql / sizeof *sql && code == SM_OK; i++)
        code = sm_db_change(NULL, db, sql[i], SM_BIND(BIND_AUDIT(audit)), err);
    return code;
}

static enum sm_code run_hide(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    const struct chunk *c = (const struct chunk *)write;
    return sm_store_audit_hide(db, c->audit, c->revision, err);
}

/* Runs chunk after chunk through the writer. */
static enum sm_code call_chunks(struct sm_store *store, sm_write_run *run,
                                const struct sm_audit_id *audit, struct sm_err *err)
{
    struct chunk c = {.write = {.run = run, .mode = SM_WRITE_ALONE}, .audit = audit, .more = true};
    enum sm_code code = SM_OK;
    while (code == SM_OK && c.more)
        code = sm_writer_call(store->writer, &c.write, err);
    return code;
}

static enum sm_code call_move(struct sm_store *store, struct moving *m, struct sm_err *err)
{
    /* Alone: a result that does not fit on a full disk ends its whole transaction, which must not
     * hold the pause that the result causes. */
    m->write = (struct sm_write){.run = run_move, .mode = SM_WRITE_ALONE};
    m->store = store;
    enum sm_code code = sm_writer_call(store->writer, &m->write, err);
    if (code != SM_OK)
        sm_store_count(store, m->withheld_count, 0);
    else if (m->freed_count > 0)
        sm_store_count(store, m->freed_count, 0);
    if (code == SM_OK && m->move == SM_AUDIT_CANCEL)
        code = call_chunks(store, run_cancel, m->audit, err);
    return code;
}

enum sm_code sm_store_audit_move(struct sm_store *store, const struct sm_audit_id *audit,
                                 enum sm_store_audit_move move, const char *reason,
                                 struct sm_err *err)
{
    return call_move(store, &(struct moving){.audit = audit, .move = move, .reason = reason}, err);
}

enum sm_code sm_store_audit_order(struct sm_store *store, const struct sm_audit_id *audit,
                                  const struct sm_store_audit_order *order, struct sm_err *err)
{
    return call_move(store,
                     &(struct moving){.audit = audit,
                                      .move = order->move,
                                      .idempotency = order->idempotency,
                                      .caller = order->caller},
                     err);
}

enum sm_code sm_store_audit_delete(struct sm_store *store, const struct sm_audit_id *audit,
                                   int64_t revision, struct sm_err *err)
{
    struct chunk hide = {
        .write = {.run = run_hide, .mode = SM_WRITE_ALONE}, .audit = audit, .revision = revision};
    enum sm_code code = sm_writer_call(store->writer, &hide.write, err);
    return code == SM_OK ? call_chunks(store, run_delete, audit, err) : code;
}

/* --- after a crash --- */

static enum sm_code end_chunks(struct sm_db *db, sm_write_run *run, const struct sm_audit_id *audit,
                               struct sm_err *err)
{
    struct chunk c = {.audit = audit, .more = true};
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

/* Jobs of all tenants: each row gives its own. */
enum sm_code sm_store_audits_recover(struct sm_db *db, struct sm_err *err)
{
    static const struct {
        const char *sql;
        sm_write_run *run;
    } left[] = {
        {"SELECT id, tenant_id FROM job WHERE queued_count > 0 AND state = 'cancelled' LIMIT 1",
         run_cancel},
        {"SELECT id, tenant_id FROM job WHERE kind = 'audit' AND NOT EXISTS "
         "(SELECT 1 FROM audit WHERE audit.job_id = job.id) LIMIT 1",
         run_delete},
    };
    struct sm_audit_id audit;
    enum sm_code code = SM_OK;
    for (size_t i = 0; i < sizeof left / sizeof *left && code == SM_OK; i++) {
        bool found = true;
        while (code == SM_OK && found) {
            code = sm_db_row(&found, db, left[i].sql, NULL,
                             SM_COLUMNS(SM_GET_ID(audit.id), SM_GET_INT(&audit.tenant)), err);
            if (code == SM_OK && found)
                code = end_chunks(db, left[i].run, &audit, err);
        }
    }
    return code;
}
