/* Claims and leases.
 *
 * A claim takes the oldest job's first queued item: ids are UUIDv7, so their order is the order of
 * admission, and the partial index `item_queued` holds nothing but the candidates. It waits in
 * memory, on the count of what is queued, and goes to the database only for an item that is there.
 *
 * A claim counts a try. An item that took SM_ATTEMPTS_MAX workers with it is failed instead of
 * queued once more, so that one bad image cannot stop the service for good. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/base/id.h"
#include "server/base/metrics.h"
#include "server/store/state.h"
#include "server/store/store_impl.h"

/* --- claim --- */

struct claiming {
    struct sm_write write;
    struct sm_claim *claim;
    const char *owner;
};

/* Fills what the item's own row knows; SM_NOT_FOUND when nothing is queued. */
static enum sm_code lease_item(struct sm_claim *claim, struct sm_db *db, const char *owner,
                               struct sm_err *err)
{
    struct sm_stmt *q;
    bool row;
    enum sm_code code = sm_db_query(
        &q, db,
        "UPDATE item SET state = 'running', attempt = attempt + 1, lease_owner = $owner, "
        "lease_until_ms = $until WHERE state = 'queued' AND (job_id, idx) = "
        "(SELECT job_id, idx FROM item WHERE state = 'queued' ORDER BY job_id, idx LIMIT 1) "
        "RETURNING job_id, idx, attempt, image_digest",
        err);
    if (code != SM_OK)
        return code;
    sm_stmt_text(q, "$owner", owner);
    sm_stmt_int(q, "$until", sm_clock_unix_ms() + SM_LEASE_MS);
    code = sm_stmt_step(q, &row, err);
    if (code == SM_OK && !row)
        code = sm_err_set(err, SM_NOT_FOUND, "no item is queued");
    if (code == SM_OK) {
        snprintf(claim->job_id, sizeof claim->job_id, "%s", sm_stmt_get_text(q, 0));
        claim->index = (int)sm_stmt_get_int(q, 1);
        claim->attempt = (int)sm_stmt_get_int(q, 2);
        snprintf(claim->image_digest, sizeof claim->image_digest, "%s", sm_stmt_get_text(q, 3));
    }
    sm_stmt_reset(q);
    return code;
}

static enum sm_code claim_of_row(struct sm_claim *claim, const struct sm_stmt *q,
                                 struct sm_err *err)
{
    json_error_t why;
    snprintf(claim->pair, sizeof claim->pair, "%s", sm_stmt_get_text(q, 0));
    snprintf(claim->recipe_digest, sizeof claim->recipe_digest, "%s", sm_stmt_get_text(q, 1));
    claim->recipe = json_loads(sm_stmt_get_text(q, 2), 0, &why);
    if (!claim->recipe)
        return sm_err_set(err, SM_CORRUPT, "recipe %s: stored document: %s", claim->recipe_digest,
                          why.text);
    const void *bytes = sm_stmt_get_blob(q, 3, &claim->bytes_count);
    claim->bytes = malloc(claim->bytes_count + 1);
    if (!claim->bytes)
        return sm_err_set(err, SM_NOMEM, "image of %zu bytes: out of memory", claim->bytes_count);
    if (claim->bytes_count > 0)
        memcpy(claim->bytes, bytes, claim->bytes_count);
    return SM_OK;
}

static enum sm_code load_item(struct sm_claim *claim, struct sm_db *db, struct sm_err *err)
{
    struct sm_stmt *q;
    bool row;
    enum sm_code code =
        sm_db_query(&q, db,
                    "SELECT job.pair, job.recipe_digest, recipe.body, image.bytes FROM job "
                    "JOIN recipe ON recipe.digest = job.recipe_digest "
                    "JOIN image ON image.job_id = job.id AND image.idx = $idx WHERE job.id = $job",
                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_text(q, "$job", claim->job_id);
    sm_stmt_int(q, "$idx", claim->index);
    code = sm_stmt_step(q, &row, err);
    if (code == SM_OK)
        code = row ? claim_of_row(claim, q, err)
                   : sm_err_set(err, SM_CORRUPT, "item %d of job %s has no image", claim->index,
                                claim->job_id);
    sm_stmt_reset(q);
    return code;
}

static enum sm_code run_claim(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    struct claiming *c = (struct claiming *)write;
    bool moved;
    enum sm_code code = lease_item(c->claim, db, c->owner, err);
    if (code == SM_OK)
        code = load_item(c->claim, db, err);
    if (code == SM_OK)
        code =
            sm_store_move_job(&moved, db, c->claim->job_id, SM_STATE_QUEUED, SM_STATE_RUNNING, err);
    return code;
}

/* Waits until something is queued and takes it out of the count; false when the time is over. */
static bool await_item(struct sm_store *store, int64_t until_ms)
{
    struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    pthread_mutex_lock(&store->mutex);
    while (store->waiting_count <= 0 &&
           pthread_cond_timedwait(&store->came, &store->mutex, &until) == 0)
        ;
    bool came = store->waiting_count > 0;
    store->waiting_count -= came;
    pthread_mutex_unlock(&store->mutex);
    return came;
}

enum sm_code sm_store_claim(struct sm_claim *out, struct sm_store *store, const char *owner,
                            int timeout_ms, struct sm_err *err)
{
    int64_t until_ms = sm_clock_monotonic_ms() + timeout_ms;
    *out = (struct sm_claim){0};
    while (await_item(store, until_ms)) {
        struct sm_claim claim = {0};
        struct sm_err why = {0};
        struct claiming c = {.write.run = run_claim, .claim = &claim, .owner = owner};
        enum sm_code code = sm_writer_call(store->writer, &c.write, &why);
        if (code == SM_OK) {
            *out = claim;
            return SM_OK;
        }
        sm_claim_release(&claim);
        if (code != SM_NOT_FOUND) {
            sm_store_count(store, 1, 0);
            return sm_err_set(err, code, "%s", why.text);
        }
    }
    return sm_err_set(err, SM_NOT_FOUND, "no item is queued");
}

void sm_claim_release(struct sm_claim *claim)
{
    json_decref(claim->recipe);
    free(claim->bytes);
    *claim = (struct sm_claim){0};
}

/* --- leases --- */

/* One item that was lost too often. */
static enum sm_code give_up(struct sm_db *db, const char *job_id, int index, struct sm_err *err)
{
    struct sm_stmt *q;
    char detail[120];
    bool finished;
    snprintf(detail, sizeof detail,
             "lost %d times: each time the service ended or stalled while scoring it",
             SM_ATTEMPTS_MAX);
    enum sm_code code =
        sm_db_query(&q, db,
                    "UPDATE item SET state = 'failed', error_code = $code, error_detail = $detail, "
                    "lease_owner = NULL, lease_until_ms = NULL WHERE job_id = $job AND idx = $idx",
                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_text(q, "$code", sm_code_name(SM_INTERNAL));
    sm_stmt_text(q, "$detail", detail);
    sm_stmt_text(q, "$job", job_id);
    sm_stmt_int(q, "$idx", index);
    code = sm_stmt_run(q, NULL, err);
    if (code == SM_OK)
        code = sm_store_drop_image(db, job_id, index, err);
    if (code == SM_OK)
        code = sm_store_settle_job(&finished, db, job_id, err);
    return code;
}

/* The next item to give up; `found` is false when there is none. */
static enum sm_code next_lost(bool *found, char job_id[SM_ID_BYTES], int *index, struct sm_db *db,
                              int64_t now_ms, struct sm_err *err)
{
    struct sm_stmt *q;
    enum sm_code code = sm_db_query(&q, db,
                                    "SELECT job_id, idx FROM item WHERE state = 'running' "
                                    "AND lease_until_ms < $now AND attempt >= $max LIMIT 1",
                                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_int(q, "$now", now_ms);
    sm_stmt_int(q, "$max", SM_ATTEMPTS_MAX);
    code = sm_stmt_step(q, found, err);
    if (code == SM_OK && *found) {
        snprintf(job_id, SM_ID_BYTES, "%s", sm_stmt_get_text(q, 0));
        *index = (int)sm_stmt_get_int(q, 1);
    }
    sm_stmt_reset(q);
    return code;
}

enum sm_code sm_store_requeue(struct sm_requeued *out, struct sm_db *db, int64_t now_ms,
                              struct sm_err *err)
{
    struct sm_stmt *q;
    char job_id[SM_ID_BYTES];
    int index = 0;
    bool found = true;
    enum sm_code code = SM_OK;
    *out = (struct sm_requeued){0};
    while (code == SM_OK) {
        code = next_lost(&found, job_id, &index, db, now_ms, err);
        if (code != SM_OK || !found)
            break;
        code = give_up(db, job_id, index, err);
        out->failed_count++;
    }
    if (code == SM_OK)
        code =
            sm_db_query(&q, db,
                        "UPDATE item SET state = 'queued', lease_owner = NULL, "
                        "lease_until_ms = NULL WHERE state = 'running' AND lease_until_ms < $now",
                        err);
    if (code != SM_OK)
        return code;
    sm_stmt_int(q, "$now", now_ms);
    return sm_stmt_run(q, &out->queued_count, err);
}

struct beating {
    struct sm_write write;
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
        code = sm_store_requeue(&b->requeued, db, now_ms, err);
    return code;
}

enum sm_code sm_store_heartbeat(struct sm_store *store, const char *owner, struct sm_err *err)
{
    struct beating b = {.write.run = run_heartbeat, .owner = owner};
    enum sm_code code = sm_writer_call(store->writer, &b.write, err);
    sm_metric_add(SM_METRIC_LEASES, b.requeued.queued_count, "queued");
    sm_metric_add(SM_METRIC_LEASES, b.requeued.failed_count, "failed");
    if (code == SM_OK && b.requeued.queued_count + b.requeued.failed_count > 0)
        sm_store_count(store, b.requeued.queued_count, -b.requeued.failed_count);
    return code;
}
