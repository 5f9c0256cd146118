/* Leases: which worker holds an item, and what happens to the item when its worker is lost.
 *
 * A claim counts as a try. After SM_ATTEMPTS_MAX tries a lost item fails and is not queued again,
 * so that an image which crashes the service cannot stop it for ever.
 *
 * The cause of a crash is not known: it may be an image or a kill -9. Two rules separate the two
 * after a few restarts. A lost item goes behind all waiting jobs, so that the next crash finds
 * other items running, unless this item causes it. And an item that was running alone counts
 * several tries, which only an item that crashes every process collects. */
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
    bool too_often; /* it was tried SM_ATTEMPTS_MAX times */
    bool job_cancelled;
};

/* Tells whether exactly one item is running. */
static enum sm_code one_runs(bool *out, struct sm_db *db, struct sm_err *err)
{
    int64_t count = 0;
    enum sm_code code = sm_db_row(NULL, db,
                                  "SELECT COUNT(*) FROM item WHERE state = 'running' AND "
                                  "lease_until_ms IS NOT NULL",
                                  NULL, SM_COLUMNS(SM_GET_INT(&count)), err);
    *out = count == 1;
    return code;
}

static enum sm_code next_lost(bool *found, struct lost *out, struct sm_db *db, int64_t now_ms,
                              struct sm_err *err)
{
    return sm_db_row(
        found, db,
        "SELECT item.job_id, item.idx, COALESCE(item.cohort, -1), item.attempt, "
        "item.cost_ms, (SELECT state FROM job WHERE job.id = item.job_id) = 'cancelled' FROM item "
        "WHERE item.state = 'running' AND item.lease_until_ms < $now LIMIT 1",
        SM_BIND(SM_INT("$now", now_ms)),
        SM_COLUMNS(SM_GET_ID(out->job_id), SM_GET_INT32(&out->index), SM_GET_INT32(&out->cohort),
                   SM_GET_INT32(&out->attempt), SM_GET_INT(&out->cost_ms),
                   SM_GET_BOOL(&out->job_cancelled)),
        err);
}

static enum sm_code unlease(struct sm_db *db, const struct lost *lost, enum sm_state to,
                            struct sm_err *err)
{
    char detail[160];
    bool failed = to == SM_STATE_FAILED;
    snprintf(detail, sizeof detail,
             "the service ended or stalled each time it was scored: %d tries of at most %d, an end "
             "with nothing else in hand counts %d",
             lost->attempt, SM_ATTEMPTS_MAX, SM_ATTEMPTS_ALONE);
    return sm_db_change(NULL, db,
                        "UPDATE item SET state = $to, error_code = $code, error_detail = $detail, "
                        "attempt = $attempt, lease_owner = NULL, lease_until_ms = NULL "
                        "WHERE job_id = $job AND idx = $idx",
                        SM_BIND(SM_TEXT("$to", sm_state_name(to)),
                                SM_TEXT("$code", failed ? sm_code_name(SM_INTERNAL) : NULL),
                                SM_TEXT("$detail", failed ? detail : NULL),
                                SM_INT("$attempt", lost->attempt), SM_HEX("$job", lost->job_id),
                                SM_INT("$idx", lost->index)),
                        err);
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

/* Puts a plain job behind the waiting jobs. Within its job, the number of tries orders the item. */
static enum sm_code put_behind(struct sm_db *db, const struct lost *lost, struct sm_err *err)
{
    return sm_db_change(
        NULL, db, "UPDATE job SET turn_ms = $now + item_cost_ms WHERE id = $job AND kind = 'score'",
        SM_BIND(SM_HEX("$job", lost->job_id), SM_INT("$now", sm_clock_unix_ms())), err);
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

/* Handles one item per query: there are never more leases than workers. */
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
    enum sm_code code = sm_db_change(
        NULL, db,
        "UPDATE item SET lease_until_ms = $until "
        "WHERE state = 'running' AND lease_owner = $owner",
        SM_BIND(SM_INT("$until", now_ms + SM_LEASE_MS), SM_TEXT("$owner", b->owner)), err);
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

/* --- requeue --- */

struct releasing {
    struct sm_write write;
    const struct sm_claim *claim;
    const char *owner;
    struct sm_requeued requeued;
};

/* Subtracts the try that the claim counted: a requeued item did not fail. */
static enum sm_code forget_try(struct lost *out, struct sm_db *db, const struct releasing *r,
                               struct sm_err *err)
{
    bool found;
    *out = (struct lost){.index = r->claim->index};
    memcpy(out->job_id, r->claim->job_id, sizeof out->job_id);
    enum sm_code code =
        sm_db_row(&found, db,
                  "UPDATE item SET attempt = attempt - 1 WHERE job_id = $job AND idx = $idx AND "
                  "state = 'running' AND lease_owner = $owner RETURNING COALESCE(cohort, -1), "
                  "(SELECT state FROM job WHERE job.id = item.job_id) = 'cancelled', attempt, "
                  "cost_ms",
                  SM_BIND(SM_HEX("$job", r->claim->job_id), SM_INT("$idx", r->claim->index),
                          SM_TEXT("$owner", r->owner)),
                  SM_COLUMNS(SM_GET_INT32(&out->cohort), SM_GET_BOOL(&out->job_cancelled),
                             SM_GET_INT32(&out->attempt), SM_GET_INT(&out->cost_ms)),
                  err);
    if (code == SM_OK && !found)
        code = sm_err_set(err, SM_CONFLICT, "item %d of job %s is not claimed by %s",
                          r->claim->index, r->claim->job_id, r->owner);
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
