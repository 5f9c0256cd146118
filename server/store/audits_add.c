/* Adds images to an open audit, all images of a call in one transaction. Items follow the existing
 * ones, in the order given. The index `item_cohort` finds duplicates. */
#include <string.h>

#include "server/store/audits_impl.h"
#include "server/store/budget.h"

struct adding {
    struct sm_write write;
    const struct sm_audit_id *audit;
    const struct sm_store_audit_intake *in;
    struct sm_store_audit_added added;
    int64_t failed_count; /* of the added items */
    int64_t others_count; /* of the added items: those of other shards */
    int64_t cost_ms;      /* of the added items in all */
    int64_t item_cost_ms; /* of the most expensive added item */
};

static enum sm_code read_open(struct sm_job_row *job, struct sm_db *db,
                              const struct sm_audit_id *audit, struct sm_err *err)
{
    enum sm_code code = sm_store_audit_row(job, db, audit, err);
    if (code == SM_OK && job->state != SM_STATE_OPEN)
        code = sm_err_set(err, SM_CONFLICT, "audit %s is %s, it must be open to take images",
                          audit->id, sm_state_name(job->state));
    return code;
}

/* Images without a digest are compared by name. */
static enum sm_code is_there(bool *out, struct sm_db *db, const struct sm_audit_id *audit,
                             const struct sm_store_audit_image_in *image, struct sm_err *err)
{
    bool known = image->image_digest[0] != '\0';
    return sm_db_row(
        out, db,
        known ? "SELECT 1 FROM item WHERE job_id = $id AND cohort = $cohort AND "
                "image_digest = $digest AND cohort IS NOT NULL AND score_id IS NULL" OF_TENANT
                " LIMIT 1"
              : "SELECT 1 FROM item WHERE job_id = $id AND cohort = $cohort AND image_digest "
                "IS NULL AND name = $name AND cohort IS NOT NULL AND score_id IS NULL" OF_TENANT
                " LIMIT 1",
        SM_BIND(BIND_AUDIT(audit), SM_INT("$cohort", (int)image->cohort),
                SM_HEX(known ? "$digest" : NULL, image->image_digest),
                SM_TEXT(known ? NULL : "$name", image->name)),
        NULL, err);
}

static int64_t cost_of(const struct sm_store_audit_image_in *image)
{
    return image->cost_ms > 0 ? image->cost_ms : 1;
}

/* Returns the state in which the image becomes an item. */
static enum sm_state state_of(const struct sm_shard *shard,
                              const struct sm_store_audit_image_in *image, int64_t index)
{
    if (shard->count > 0 && index % shard->count != shard->part)
        return SM_STATE_CANCELLED;
    return image->failed != SM_OK ? SM_STATE_FAILED : SM_STATE_QUEUED;
}

static enum sm_code insert_item(struct sm_db *db, const char *id,
                                const struct sm_store_audit_image_in *image, int64_t index,
                                enum sm_state state, struct sm_err *err)
{
    bool failed = state == SM_STATE_FAILED;
    return sm_db_change(
        NULL, db,
        "INSERT INTO item (job_id, idx, state, name, image_digest, cohort, class_label, "
        "group_label, error_code, error_detail, cost_ms) VALUES ($job, $idx, $state, $name, "
        "$digest, $cohort, $class, $group, $code, $detail, $cost)",
        SM_BIND(SM_HEX("$job", id), SM_INT("$idx", index), SM_TEXT("$state", sm_state_name(state)),
                SM_TEXT("$name", image->name), SM_HEX("$digest", image->image_digest),
                SM_INT("$cohort", (int)image->cohort), SM_TEXT("$class", image->class_label),
                SM_TEXT("$group", image->group),
                SM_TEXT("$code", failed ? sm_code_name(image->failed) : NULL),
                SM_TEXT("$detail", failed ? image->failed_text : NULL),
                SM_INT("$cost", cost_of(image))),
        err);
}

static enum sm_code insert_image(struct sm_db *db, const char *id,
                                 const struct sm_store_audit_image_in *image, int64_t index,
                                 struct sm_err *err)
{
    const char *sql = image->bytes
                          ? "INSERT INTO image (job_id, idx, bytes) VALUES ($job, $idx, $bytes)"
                          : "INSERT INTO image (job_id, idx, path) VALUES ($job, $idx, $path)";
    return sm_db_change(
        NULL, db, sql,
        SM_BIND(SM_HEX("$job", id), SM_INT("$idx", index),
                SM_BLOB(image->bytes ? "$bytes" : NULL, image->bytes, image->bytes_count),
                SM_TEXT(image->bytes ? NULL : "$path", image->path)),
        err);
}

static enum sm_code add_one(struct adding *a, struct sm_cohort_change *cohorts, struct sm_db *db,
                            const struct sm_store_audit_image_in *image, int64_t items_count,
                            struct sm_err *err)
{
    int64_t index = items_count + a->added.added_count;
    const char *id = a->audit->id;
    enum sm_state state = state_of(&a->in->shard, image, index);
    bool there, failed = state == SM_STATE_FAILED, queued = state == SM_STATE_QUEUED;
    enum sm_code code = is_there(&there, db, a->audit, image, err);
    if (code != SM_OK)
        return code;
    if (there) {
        a->added.duplicate_count++;
        return SM_OK;
    }
    if (index >= a->in->items_max)
        return sm_err_set(err, SM_LIMIT, "audit %s has %lld images of at most %lld, no room for %s",
                          id, (long long)index, (long long)a->in->items_max, image->name);
    code = insert_item(db, id, image, index, state, err);
    if (code == SM_OK && queued)
        code = insert_image(db, id, image, index, err);
    else if (code == SM_OK && failed)
        code = sm_store_count_failure(db, id, sm_code_name(image->failed), err);
    a->added.added_count++;
    a->failed_count += failed;
    a->others_count += state == SM_STATE_CANCELLED;
    a->cost_ms += queued ? cost_of(image) : 0;
    a->item_cost_ms = cost_of(image) > a->item_cost_ms ? cost_of(image) : a->item_cost_ms;
    cohorts[image->cohort].items++;
    cohorts[image->cohort].failed += failed;
    return code;
}

static enum sm_code run_add(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    struct adding *a = (struct adding *)write;
    struct sm_cohort_change cohorts[SM_COHORTS] = {0};
    struct sm_job_row job;
    enum sm_code code = sm_store_check_caller(db, a->in->caller, err);
    if (code == SM_OK)
        code = read_open(&job, db, a->audit, err);
    for (size_t i = 0; i < a->in->images_count && code == SM_OK; i++)
        code = add_one(a, cohorts, db, &a->in->images[i], job.items_count, err);
    for (int i = 0; i < SM_COHORTS && code == SM_OK; i++)
        if (cohorts[i].items > 0)
            code = sm_store_count_cohort(db, a->audit->id, i, &cohorts[i], err);
    if (code != SM_OK || a->added.added_count == 0)
        return code;
    struct sm_job_change change = {.items = a->added.added_count,
                                   .queued =
                                       a->added.added_count - a->failed_count - a->others_count,
                                   .failed = a->failed_count,
                                   .cancelled = a->others_count,
                                   .cost_ms = a->cost_ms,
                                   .item_cost_ms = a->item_cost_ms};
    return sm_store_change_job(&job, db, a->audit->id, &change, err);
}

enum sm_code sm_store_audit_add(struct sm_store_audit_added *out, struct sm_store *store,
                                const struct sm_audit_id *audit,
                                const struct sm_store_audit_intake *in, struct sm_err *err)
{
    struct adding a = {.write.run = run_add, .audit = audit, .in = in};
    int64_t bytes_count = 0;
    for (size_t i = 0; i < in->images_count; i++)
        bytes_count += (int64_t)in->images[i].bytes_count;
    a.write.growth_bytes = sm_store_growth((int64_t)in->images_count, bytes_count);
    enum sm_code code = sm_writer_call(store->writer, &a.write, err);
    *out = code == SM_OK ? a.added : (struct sm_store_audit_added){0};
    return code;
}
