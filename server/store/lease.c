/* Leases: who holds an item, and what becomes of it when its holder is gone.
 *
 * A claim counts a try. An item that took SM_ATTEMPTS_MAX workers with it is failed instead of
 * queued once more, so that one bad image cannot stop the service for good.
 *
 * Who ended a process is not known: an image, or somebody's kill -9. Two rules tell them apart in a
 * few rounds. What was lost goes behind everything that waits, so that the next end finds other
 * items in hand, unless it is the image's work. And an item that was in hand alone counts several
 * tries, which only one that ends every process it is in collects. */
#include <stdio.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/store/claim.h"
#include "server/store/impl.h"

/* An item whose lease has ended. */
struct lost {
    char job_id[SM_ID_BYTES];
    int index, cohort, attempt;
    int64_t cost_ms;
    bool too_often, job_cancelled;
};

/* Whether exactly one item is running. */
static enum sm_code one_runs(bool *out, struct sm_db *db, struct sm_err *err)
{
    struct sm_stmt *q;
    bool row;
    enum sm_code code = sm_db_query(&q, db,
                                    "SELECT COUNT(*) FROM item WHERE state = 'running' AND "
                                    "lease_until_ms IS NOT NULL",
                                    err);
    if (code != SM_OK)
        return code;
    code = sm_stmt_step(q, &row, err);
    *out = code == SM_OK && row && sm_stmt_get_int(q, 0) == 1;
    sm_stmt_reset(q);
    return code;
}

/* `found` is false when there is none. */
static enum sm_code next_lost(bool *found, struct lost *out, struct sm_db *db, int64_t now_ms,
                              struct sm_err *err)
{
    struct sm_stmt *q;
    enum sm_code code = sm_db_query(
        &q, db,
        "SELECT item.job_id, item.idx, COALESCE(item.cohort, -1), item.attempt, "
        "item.cost_ms, (SELECT state FROM job WHERE job.id = item.job_id) = 'cancelled' FROM item "
        "WHERE item.state = 'running' AND item.lease_until_ms < $now LIMIT 1",
        err);
    if (code != SM_OK)
        return code;
    sm_stmt_int(q, "$now", now_ms);
    code = sm_stmt_step(q, found, err);
    if (code == SM_OK && *found) {
        sm_stmt_get_id(out->job_id, q, 0);
        out->index = (int)sm_stmt_get_int(q, 1);
        out->cohort = (int)sm_stmt_get_int(q, 2);
        out->attempt = (int)sm_stmt_get_int(q, 3);
        out->cost_ms = sm_stmt_get_int(q, 4);
        out->job_cancelled = sm_stmt_get_int(q, 5) != 0;
    }
    sm_stmt_reset(q);
    return code;
}

static enum sm_code unlease(struct sm_db *db, const struct lost *lost, enum sm_state to,
                            struct sm_err *err)
{
    struct sm_stmt *q;
    char detail[160];
    bool failed = to == SM_STATE_FAILED;
    snprintf(detail, sizeof detail,
             "the service ended or stalled each time it was scored: %d tries of at most %d, an end "
             "with nothing else in hand counts %d",
             lost->attempt, SM_ATTEMPTS_MAX, SM_ATTEMPTS_ALONE);
    enum sm_code code =
        sm_db_query(&q, db,
                    "UPDATE item SET state = $to, error_code = $code, error_detail = $detail, "
                    "attempt = $attempt, lease_owner = NULL, lease_until_ms = NULL "
                    "WHERE job_id = $job AND idx = $idx",
                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_text(q, "$to", sm_state_name(to));
    sm_stmt_text(q, "$code", failed ? sm_code_name(SM_INTERNAL) : NULL);
    sm_stmt_text(q, "$detail", failed ? detail : NULL);
    sm_stmt_int(q, "$attempt", lost->attempt);
    sm_stmt_hex(q, "$job", lost->job_id);
    sm_stmt_int(q, "$idx", lost->index);
    return sm_stmt_run(q, NULL, err);
}

static enum sm_code queue_again(struct sm_requeued *out, struct sm_db *db, const struct lost *lost,
                                struct sm_err *err)
{
    struct sm_job_row job;
    enum sm_code code = unlease(db, lost, SM_STATE_QUEUED, err);
    if (code == SM_OK)
        code =
            sm_store_change_job(&job, db, lost->job_id, &(struct sm_job_change){.queued = 1}, err);
    if (code != SM_OK)
        return code;
    out->queued_count++;
    out->claimable_count += job.state == SM_STATE_QUEUED || job.state == SM_STATE_RUNNING;
    return SM_OK;
}

/* Behind the jobs that wait; within its job the number of tries does the same. */
static enum sm_code put_behind(struct sm_db *db, const struct lost *lost, struct sm_err *err)
{
    struct sm_stmt *q;
    enum sm_code code = sm_db_query(
        &q, db, "UPDATE job SET turn_ms = $now + item_cost_ms WHERE id = $job AND kind = 'score'",
        err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$job", lost->job_id);
    sm_stmt_int(q, "$now", sm_clock_unix_ms());
    return sm_stmt_run(q, NULL, err);
}

static enum sm_code give_up(struct sm_requeued *out, struct sm_db *db, const struct lost *lost,
                            struct sm_err *err)
{
    struct sm_item_end end = {.job_id = lost->job_id,
                              .to = lost->too_often ? SM_STATE_FAILED : SM_STATE_CANCELLED,
                              .cohort = lost->cohort,
                              .cost_ms = lost->cost_ms,
                              .error_code = sm_code_name(SM_INTERNAL)};
    struct sm_job_row job;
    bool finished;
    int64_t bytes = 0;
    enum sm_code code = unlease(db, lost, end.to, err);
    if (code == SM_OK)
        code = sm_store_drop_image(&bytes, db, lost->job_id, lost->index, err);
    if (code == SM_OK)
        code = sm_store_end_item(&job, &finished, db, &end, err);
    if (code != SM_OK)
        return code;
    out->failed_count += lost->too_often;
    out->plain_ended_count += !job.audit;
    out->plain_ended_bytes += job.audit ? 0 : bytes;
    out->plain_ended_cost_ms += job.audit ? 0 : lost->cost_ms;
    return SM_OK;
}

/* One by one: there are never more leases than workers. */
enum sm_code sm_store_requeue_expired(struct sm_requeued *out, struct sm_db *db, int64_t now_ms,
                                      struct sm_err *err)
{
    bool found = true, alone = false;
    *out = (struct sm_requeued){0};
    enum sm_code code = now_ms == SM_LEASES_ALL ? one_runs(&alone, db, err) : SM_OK;
    while (code == SM_OK) {
        struct lost lost;
        code = next_lost(&found, &lost, db, now_ms, err);
        if (code != SM_OK || !found)
            break;
        lost.attempt += alone ? SM_ATTEMPTS_ALONE - 1 : 0;
        lost.too_often = lost.attempt >= SM_ATTEMPTS_MAX;
        code = put_behind(db, &lost, err);
        if (code != SM_OK)
            break;
        code = lost.too_often || lost.job_cancelled ? give_up(out, db, &lost, err)
                                                    : queue_again(out, db, &lost, err);
    }
    return code;
}

struct beating {
    struct sm_write write;
    const struct sm_store *store;
    const char *owner;
    struct sm_requeued requeued;
};

static enum sm_code run_heartbeat(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    struct beating *b = (struct beating *)write;
    int64_t now_ms = sm_clock_unix_ms();
    struct sm_stmt *q;
    enum sm_code code = sm_db_query(&q, db,
                                    "UPDATE item SET lease_until_ms = $until "
                                    "WHERE state = 'running' AND lease_owner = $owner",
                                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_int(q, "$until", now_ms + SM_LEASE_MS);
    sm_stmt_text(q, "$owner", b->owner);
    code = sm_stmt_run(q, NULL, err);
    if (code == SM_OK)
        code = sm_store_requeue_expired(&b->requeued, db, now_ms, err);
    return code == SM_OK ? sm_store_idempotency_sweep(b->store, db, err) : code;
}

enum sm_code sm_store_heartbeat(struct sm_store *store, const char *owner, struct sm_err *err)
{
    struct beating b = {
        .write = {.run = run_heartbeat, .room = SM_ROOM_USE}, .store = store, .owner = owner};
    enum sm_code code = sm_writer_call(store->writer, &b.write, err);
    sm_metric_add(SM_METRIC_LEASES, b.requeued.queued_count, "queued");
    sm_metric_add(SM_METRIC_LEASES, b.requeued.failed_count, "failed");
    if (code == SM_OK && b.requeued.claimable_count + b.requeued.plain_ended_count > 0)
        sm_store_count(store, b.requeued.claimable_count, -b.requeued.plain_ended_count);
    if (code == SM_OK)
        sm_store_count_load(store, -b.requeued.plain_ended_bytes, -b.requeued.plain_ended_cost_ms);
    return code;
}

/* --- giving back --- */

struct releasing {
    struct sm_write write;
    const struct sm_claim *claim;
    const char *owner;
    struct sm_requeued requeued;
};

/* As if the claim had not been: it is not a try that failed. */
static enum sm_code forget_try(struct lost *out, struct sm_db *db, const struct releasing *r,
                               struct sm_err *err)
{
    struct sm_stmt *q;
    bool row;
    enum sm_code code =
        sm_db_query(&q, db,
                    "UPDATE item SET attempt = attempt - 1 WHERE job_id = $job AND idx = $idx AND "
                    "state = 'running' AND lease_owner = $owner RETURNING COALESCE(cohort, -1), "
                    "(SELECT state FROM job WHERE job.id = item.job_id) = 'cancelled', attempt, "
                    "cost_ms",
                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$job", r->claim->job_id);
    sm_stmt_int(q, "$idx", r->claim->index);
    sm_stmt_text(q, "$owner", r->owner);
    code = sm_stmt_step(q, &row, err);
    if (code == SM_OK && !row)
        code = sm_err_set(err, SM_CONFLICT, "item %d of job %s is not claimed by %s",
                          r->claim->index, r->claim->job_id, r->owner);
    if (code == SM_OK) {
        *out = (struct lost){.index = r->claim->index, .cohort = (int)sm_stmt_get_int(q, 0)};
        memcpy(out->job_id, r->claim->job_id, sizeof out->job_id);
        out->job_cancelled = sm_stmt_get_int(q, 1) != 0;
        out->attempt = (int)sm_stmt_get_int(q, 2);
        out->cost_ms = sm_stmt_get_int(q, 3);
    }
    sm_stmt_reset(q);
    return code;
}

static enum sm_code run_release(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    struct releasing *r = (struct releasing *)write;
    struct lost lost;
    enum sm_code code = forget_try(&lost, db, r, err);
    if (code == SM_OK)
        code = lost.job_cancelled ? give_up(&r->requeued, db, &lost, err)
                                  : queue_again(&r->requeued, db, &lost, err);
    return code;
}

enum sm_code sm_store_requeue(struct sm_store *store, const struct sm_claim *claim,
                              const char *owner, struct sm_err *err)
{
    struct releasing r = {
        .write = {.run = run_release, .room = SM_ROOM_USE}, .claim = claim, .owner = owner};
    enum sm_code code = sm_writer_call(store->writer, &r.write, err);
    if (code == SM_OK)
        sm_store_count(store, r.requeued.claimable_count, -r.requeued.plain_ended_count);
    if (code == SM_OK)
        sm_store_count_load(store, -r.requeued.plain_ended_bytes, -r.requeued.plain_ended_cost_ms);
    return code;
}
