/* The state of a job follows from its items. A job's row counts its items by state, so that neither
 * its end nor its progress needs a query over all items. A write that changes an item changes these
 * counts in the same transaction, through this file.
 *
 * A statement that changes a state names the state before it. If the row has another state by then,
 * the statement changes no row, which the number of changes shows. */
#include <assert.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/store/impl.h"

#define JOB_ROW                                                                                    \
    "kind, state, items_count, queued_count, succeeded_count, failed_count, cancelled_count, "     \
    "revision"

static enum sm_code read_row(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    struct sm_job_row *out = arg;
    (void)err;
    *out = (struct sm_job_row){.audit = strcmp(sm_stmt_get_text(q, 0), "audit") == 0,
                               .state = sm_state_parse(sm_stmt_get_text(q, 1)),
                               .items_count = sm_stmt_get_int(q, 2),
                               .revision = sm_stmt_get_int(q, 7)};
    out->items[SM_STATE_QUEUED] = sm_stmt_get_int(q, 3);
    out->items[SM_STATE_SUCCEEDED] = sm_stmt_get_int(q, 4);
    out->items[SM_STATE_FAILED] = sm_stmt_get_int(q, 5);
    out->items[SM_STATE_CANCELLED] = sm_stmt_get_int(q, 6);
    int64_t running = out->items_count;
    for (int i = 0; i < SM_STATES_COUNT; i++)
        running -= out->items[i];
    out->items[SM_STATE_RUNNING] = running;
    return SM_OK;
}

/* Reads the JOB_ROW that `sql` returns; SM_NOT_FOUND if it returns none. */
static enum sm_code query_row(struct sm_job_row *out, struct sm_db *db, const char *sql,
                              const struct sm_bind *binds, const char *id, struct sm_err *err)
{
    int64_t rows;
    enum sm_code code = sm_db_each(&rows, db, sql, binds, read_row, out, err);
    if (code == SM_OK && rows == 0)
        code = sm_err_set(err, SM_NOT_FOUND, "no job with id %s", id);
    return code;
}

enum sm_code sm_store_read_job_row(struct sm_job_row *out, struct sm_db *db, const char *id,
                                   struct sm_err *err)
{
    return query_row(out, db, "SELECT " JOB_ROW " FROM job WHERE id = $id",
                     SM_BIND(SM_HEX("$id", id)), id, err);
}

enum sm_code sm_store_change_job(struct sm_job_row *out, struct sm_db *db, const char *id,
                                 const struct sm_job_change *change, struct sm_err *err)
{
    return query_row(
        out, db,
        "UPDATE job SET revision = revision + 1, items_count = items_count + $items, "
        "queued_count = queued_count + $queued, succeeded_count = succeeded_count + $succeeded, "
        "failed_count = failed_count + $failed, cancelled_count = cancelled_count + $cancelled, "
        "cost_ms = cost_ms + $cost, done_cost_ms = done_cost_ms + $done, item_cost_ms = "
        "CASE WHEN item_cost_ms < $dearest THEN $dearest ELSE item_cost_ms END "
        "WHERE id = $id RETURNING " JOB_ROW,
        SM_BIND(SM_HEX("$id", id), SM_INT("$items", change->items),
                SM_INT("$queued", change->queued), SM_INT("$succeeded", change->succeeded),
                SM_INT("$failed", change->failed), SM_INT("$cancelled", change->cancelled),
                SM_INT("$cost", change->cost_ms), SM_INT("$done", change->done_cost_ms),
                SM_INT("$dearest", change->item_cost_ms)),
        id, err);
}

#define MOVE_SQL(time)                                                                             \
    "UPDATE job SET state = $to, revision = revision + 1" time " WHERE id = $id AND state = $from"

static const struct {
    const char *sql;
    bool has_time;
} moves[SM_STATES_COUNT] = {
    [SM_STATE_RUNNING] = {MOVE_SQL(", started_ms = COALESCE(started_ms, $now)"), true},
    [SM_STATE_PAUSED] = {MOVE_SQL(""), false},
    [SM_STATE_SUCCEEDED] = {MOVE_SQL(", finished_ms = $now"), true},
    [SM_STATE_FAILED] = {MOVE_SQL(", finished_ms = $now"), true},
    [SM_STATE_CANCELLED] = {MOVE_SQL(", finished_ms = $now"), true},
};

enum sm_code sm_store_move_job(bool *moved, struct sm_db *db, const char *id, enum sm_state from,
                               enum sm_state to, struct sm_err *err)
{
    int64_t changes = 0;
    assert(sm_state_may(from, to));
    enum sm_code code =
        sm_db_change(&changes, db, moves[to].sql,
                     SM_BIND(SM_HEX("$id", id), SM_TEXT("$from", sm_state_name(from)),
                             SM_TEXT("$to", sm_state_name(to)),
                             SM_INT(moves[to].has_time ? "$now" : NULL, sm_clock_unix_ms())),
                     err);
    *moved = code == SM_OK && changes == 1;
    return code;
}

enum sm_code sm_store_settle_job(bool *finished, struct sm_db *db, const char *id,
                                 const struct sm_job_row *row, struct sm_err *err)
{
    enum sm_state to = sm_state_of_job(row->state, row->items);
    *finished = false;
    if (to == row->state)
        return SM_OK;
    return sm_store_move_job(finished, db, id, row->state, to, err);
}

enum sm_code sm_store_drop_image(int64_t *bytes_count, struct sm_db *db, const char *job_id,
                                 int index, struct sm_err *err)
{
    const struct sm_bind *binds = SM_BIND(SM_HEX("$job", job_id), SM_INT("$idx", index));
    *bytes_count = 0;
    enum sm_code code =
        sm_db_row(NULL, db, "SELECT length(bytes) FROM image WHERE job_id = $job AND idx = $idx",
                  binds, SM_COLUMNS(SM_GET_INT(bytes_count)), err);
    if (code == SM_OK)
        code = sm_db_change(NULL, db, "DELETE FROM image WHERE job_id = $job AND idx = $idx", binds,
                            err);
    return code;
}

enum sm_code sm_store_put_recipe(struct sm_db *db, const char *digest, const char *body,
                                 struct sm_err *err)
{
    return sm_db_change(NULL, db,
                        "INSERT INTO recipe (digest, body) VALUES ($digest, $body) "
                        "ON CONFLICT (digest) DO NOTHING",
                        SM_BIND(SM_HEX("$digest", digest), SM_TEXT("$body", body)), err);
}

/* --- progress of audits --- */

enum sm_code sm_store_count_cohort(struct sm_db *db, const char *job_id, int cohort,
                                   const struct sm_cohort_change *change, struct sm_err *err)
{
    return sm_db_change(
        NULL, db,
        "INSERT INTO audit_cohort (job_id, cohort, items_count, succeeded_count, failed_count) "
        "VALUES ($job, $cohort, $items, $succeeded, $failed) "
        "ON CONFLICT (job_id, cohort) DO UPDATE SET "
        "items_count = audit_cohort.items_count + excluded.items_count, "
        "succeeded_count = audit_cohort.succeeded_count + excluded.succeeded_count, "
        "failed_count = audit_cohort.failed_count + excluded.failed_count",
        SM_BIND(SM_HEX("$job", job_id), SM_INT("$cohort", cohort), SM_INT("$items", change->items),
                SM_INT("$succeeded", change->succeeded), SM_INT("$failed", change->failed)),
        err);
}

enum sm_code sm_store_count_failure(struct sm_db *db, const char *job_id, const char *error_code,
                                    struct sm_err *err)
{
    return sm_db_change(NULL, db,
                        "INSERT INTO audit_failure (job_id, code, count) VALUES ($job, $code, 1) "
                        "ON CONFLICT (job_id, code) DO UPDATE SET count = audit_failure.count + 1",
                        SM_BIND(SM_HEX("$job", job_id), SM_TEXT("$code", error_code)), err);
}

enum sm_code sm_store_end_item(struct sm_job_row *row, bool *job_finished, struct sm_db *db,
                               const struct sm_item_end *end, struct sm_err *err)
{
    struct sm_job_change change = {.queued = -(int64_t)end->was_queued,
                                   .succeeded = end->to == SM_STATE_SUCCEEDED,
                                   .failed = end->to == SM_STATE_FAILED,
                                   .cancelled = end->to == SM_STATE_CANCELLED,
                                   .done_cost_ms = end->cost_ms};
    enum sm_code code = SM_OK;
    if (end->cohort >= 0)
        code = sm_store_count_cohort(
            db, end->job_id, end->cohort,
            &(struct sm_cohort_change){.succeeded = change.succeeded, .failed = change.failed},
            err);
    if (code == SM_OK && end->cohort >= 0 && end->to == SM_STATE_FAILED)
        code = sm_store_count_failure(db, end->job_id, end->error_code, err);
    if (code == SM_OK)
        code = sm_store_change_job(row, db, end->job_id, &change, err);
    if (code == SM_OK)
        code = sm_store_settle_job(job_finished, db, end->job_id, row, err);
    return code;
}
