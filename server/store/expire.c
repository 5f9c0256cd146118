/* Each batch is a transaction of its own with a bounded number of rows, so that other writes can
 * run between batches. A pass goes through the kinds in order, scores last: deleting audits and
 * jobs releases scores, which the same pass can delete.
 *
 * Jobs are visited from the oldest id. An id begins with the time of creation, and a job ends after
 * its creation, so the visit stops at the first id younger than the period. Scores of audits are
 * skipped and stay, so the pass remembers the last score that it looked at. */
#include "server/store/expire.h"

#include <string.h>

#include "server/base/clock.h"
#include "server/base/id.h"
#include "server/base/log.h"
#include "server/base/metrics.h"
#include "server/store/audits_impl.h"

#define DAY_MS     INT64_C(86400000)
#define BATCH_ROWS 500
#define BATCH_JOBS 50 /* each with the images of a request */

struct batch {
    struct sm_write write;
    int64_t before_ms;
    char floor[SM_ID_BYTES]; /* the lowest id of the time before_ms */
    char after[SM_ID_BYTES]; /* the last score that was looked at */
    int64_t count;           /* rows deleted */
    bool more;
};

struct ids {
    char (*ids)[SM_ID_BYTES];
    int count;
};

static enum sm_code append_id(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    struct ids *list = arg;
    (void)err;
    sm_stmt_get_id(list->ids[list->count++], q, 0);
    return SM_OK;
}

/* Reads at most `max` ids. `sql` has $limit, and may have $before and $floor. */
static enum sm_code find_ids(char (*ids)[SM_ID_BYTES], int *count, struct sm_db *db,
                             const struct batch *b, const char *sql, int max, struct sm_err *err)
{
    struct ids list = {.ids = ids};
    enum sm_code code = sm_db_each(
        NULL, db, sql,
        SM_BIND(SM_INT(strstr(sql, "$before") ? "$before" : NULL, b->before_ms),
                SM_HEX(strstr(sql, "$floor") ? "$floor" : NULL, b->floor), SM_INT("$limit", max)),
        append_id, &list, err);
    *count = list.count;
    return code;
}

/* Runs a statement with $id, and perhaps $limit. */
static enum sm_code run_of(int64_t *changes, struct sm_db *db, const char *sql, const char *id,
                           struct sm_err *err)
{
    return sm_db_change(
        changes, db, sql,
        SM_BIND(SM_HEX("$id", id), SM_INT(strstr(sql, "$limit") ? "$limit" : NULL, BATCH_ROWS)),
        err);
}

static enum sm_code run_thumbnails(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    struct batch *b = (struct batch *)write;
    char id[1][SM_ID_BYTES];
    int found;
    enum sm_code code =
        find_ids(id, &found, db, b,
                 "SELECT id FROM job WHERE kind = 'audit' AND finished_ms < $before AND EXISTS "
                 "(SELECT 1 FROM thumbnail WHERE thumbnail.job_id = job.id) LIMIT $limit",
                 1, err);
    b->more = found > 0;
    if (code != SM_OK || !b->more)
        return code;
    return run_of(&b->count, db,
                  "DELETE FROM thumbnail WHERE job_id = $id AND idx IN (SELECT idx FROM thumbnail "
                  "WHERE job_id = $id ORDER BY idx LIMIT $limit)",
                  id[0], err);
}

/* Reads the id of the first audit that `sql` selects, of any tenant; `sql` may name $before. */
static enum sm_code find_audit(bool *found, struct sm_audit_id *out, struct sm_db *db,
                               const struct batch *b, const char *sql, struct sm_err *err)
{
    const char *before = strstr(sql, "$before") ? "$before" : NULL;
    return sm_db_row(found, db, sql, SM_BIND(SM_INT(before, b->before_ms)),
                     SM_COLUMNS(SM_GET_ID(out->id), SM_GET_INT(&out->tenant)), err);
}

/* Continues the deletion of an audit, if one is unfinished; else begins with the next audit. */
static enum sm_code run_audits(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    struct batch *b = (struct batch *)write;
    struct sm_audit_id audit;
    bool found, more;
    enum sm_code code =
        find_audit(&found, &audit, db, b,
                   "SELECT id, tenant_id FROM job WHERE kind = 'audit' AND NOT EXISTS "
                   "(SELECT 1 FROM audit WHERE audit.job_id = job.id) LIMIT 1",
                   err);
    b->more = true;
    if (code != SM_OK || found)
        return code == SM_OK ? sm_store_audit_delete_chunk(&more, db, &audit, err) : code;
    code = find_audit(&found, &audit, db, b,
                      "SELECT id, tenant_id FROM job WHERE kind = 'audit' AND finished_ms < "
                      "$before LIMIT 1",
                      err);
    b->more = found;
    if (code != SM_OK || !found)
        return code;
    b->count = 1;
    return sm_store_audit_hide(db, &audit, -1, err);
}

static enum sm_code run_jobs(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    struct batch *b = (struct batch *)write;
    char ids[BATCH_JOBS][SM_ID_BYTES];
    int found;
    enum sm_code code = find_ids(ids, &found, db, b,
                                 "SELECT id FROM job WHERE id < $floor AND kind = 'score' AND "
                                 "finished_ms < $before ORDER BY id LIMIT $limit",
                                 BATCH_JOBS, err);
    for (int i = 0; i < found && code == SM_OK; i++) {
        code = run_of(NULL, db, "DELETE FROM item WHERE job_id = $id", ids[i], err);
        if (code == SM_OK)
            code = run_of(NULL, db, "DELETE FROM job WHERE id = $id", ids[i], err);
    }
    b->count = found;
    b->more = found == BATCH_JOBS;
    return code;
}

/* Finds the last score of the next batch; `more` is false if no score is left. */
static enum sm_code next_scores(char last[SM_ID_BYTES], bool *more, struct sm_db *db,
                                const struct batch *b, struct sm_err *err)
{
    last[0] = '\0';
    enum sm_code code = sm_db_row(NULL, db,
                                  "SELECT MAX(id) FROM (SELECT id FROM score WHERE id > $after "
                                  "AND id < $floor ORDER BY id LIMIT $limit) AS chunk",
                                  SM_BIND(SM_HEX("$after", b->after), SM_HEX("$floor", b->floor),
                                          SM_INT("$limit", BATCH_ROWS)),
                                  SM_COLUMNS(SM_GET_ID(last)), err);
    *more = code == SM_OK && last[0];
    return code;
}

static enum sm_code run_scores(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    /* Items of finished plain jobs let go of their scores first; scores of other items stay. */
    static const char *const sql[] = {
        "UPDATE item SET score_id = NULL WHERE score_id IN (SELECT score.id FROM score WHERE "
        "score.id > $after AND score.id <= $last AND NOT EXISTS (SELECT 1 FROM item AS held JOIN "
        "job ON job.id = held.job_id WHERE held.score_id = score.id AND "
        "(job.kind = 'audit' OR job.finished_ms IS NULL)))",
        "DELETE FROM score WHERE id > $after AND id <= $last AND NOT EXISTS "
        "(SELECT 1 FROM item WHERE item.score_id = score.id)",
    };
    struct batch *b = (struct batch *)write;
    char last[SM_ID_BYTES];
    enum sm_code code = next_scores(last, &b->more, db, b, err);
    for (size_t i = 0; i < 2 && code == SM_OK && b->more; i++)
        code = sm_db_change(&b->count, db, sql[i],
                            SM_BIND(SM_HEX("$after", b->after), SM_HEX("$last", last)), err);
    if (code == SM_OK && b->more)
        memcpy(b->after, last, sizeof last);
    return code;
}

static const struct {
    sm_write_run *run;
    const char *table;
} kinds[SM_EXPIRES] = {
    [SM_EXPIRE_THUMBNAILS] = {run_thumbnails, "thumbnails"},
    [SM_EXPIRE_AUDITS] = {run_audits, "audits"},
    [SM_EXPIRE_JOBS] = {run_jobs, "jobs"},
    [SM_EXPIRE_SCORES] = {run_scores, "scores"},
};

/* Runs one batch of the current kind; goes to the next kind when nothing is left. */
static enum sm_code step(struct sm_expiry *e, struct sm_store *store, int64_t now_ms,
                         struct sm_err *err)
{
    struct batch b = {.write = {.run = kinds[e->at].run, .mode = SM_WRITE_ALONE},
                      .before_ms = now_ms - e->days[e->at] * DAY_MS};
    enum sm_code code = SM_OK;
    memcpy(b.after, e->after, sizeof b.after);
    if (e->days[e->at] > 0) {
        sm_id_floor(b.floor, b.before_ms);
        code = sm_writer_call(store->writer, &b.write, err);
    }
    if (code != SM_OK)
        return code;
    memcpy(e->after, b.after, sizeof e->after);
    e->counts[e->at] += b.count;
    sm_metric_add(SM_METRIC_EXPIRED, b.count, kinds[e->at].table);
    e->at += !b.more;
    return SM_OK;
}

static void end_pass(struct sm_expiry *e)
{
    int64_t total = 0;
    for (int i = 0; i < SM_EXPIRES; i++)
        total += e->counts[i];
    if (total > 0)
        sm_log("info", "expired", "{s:I, s:I, s:I, s:I}", kinds[0].table, (json_int_t)e->counts[0],
               kinds[1].table, (json_int_t)e->counts[1], kinds[2].table, (json_int_t)e->counts[2],
               kinds[3].table, (json_int_t)e->counts[3]);
    e->at = 0;
    e->after[0] = '\0';
}

enum sm_code sm_store_expire(bool *done, struct sm_expiry *expiry, struct sm_store *store,
                             int64_t now_ms, int64_t limit_ms, struct sm_err *err)
{
    int64_t until_ms = sm_clock_monotonic_ms() + limit_ms;
    enum sm_code code = SM_OK;
    *done = false;
    if (expiry->after[0] == '\0')
        sm_id_floor(expiry->after, 0);
    if (expiry->at == 0)
        memset(expiry->counts, 0, sizeof expiry->counts);
    do
        code = step(expiry, store, now_ms, err);
    while (code == SM_OK && expiry->at < SM_EXPIRES && sm_clock_monotonic_ms() < until_ms);
    *done = code == SM_OK && expiry->at == SM_EXPIRES;
    if (*done)
        end_pass(expiry);
    return code;
}
