/* Reads of audits. Progress comes from counts that the writes keep, so it costs the same for 50 and
 * for 50,000 items; pages of items go by index. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/store/audits_impl.h"

static json_t *time_json(const struct sm_stmt *q, int column)
{
    char text[32];
    if (sm_stmt_is_null(q, column))
        return json_null();
    sm_time_format(text, sm_stmt_get_int(q, column));
    return json_string(text);
}

static enum sm_code out_of_memory(const char *id, struct sm_err *err)
{
    return sm_err_set(err, SM_NOMEM, "audit %s: out of memory", id);
}

/* --- one audit --- */

static enum sm_code add_cohorts(json_t *cohorts, struct sm_db *db, const char *id,
                                struct sm_err *err)
{
    struct sm_stmt *q;
    bool row;
    enum sm_code code = sm_db_query(&q, db,
                                    "SELECT cohort, items_count, succeeded_count, failed_count "
                                    "FROM audit_cohort WHERE job_id = $id ORDER BY cohort",
                                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$id", id);
    while ((code = sm_stmt_step(q, &row, err)) == SM_OK && row) {
        json_t *counts = json_pack(
            "{s:I, s:I, s:I}", "items_count", (json_int_t)sm_stmt_get_int(q, 1), "succeeded_count",
            (json_int_t)sm_stmt_get_int(q, 2), "failed_count", (json_int_t)sm_stmt_get_int(q, 3));
        const char *name = sm_cohort_name((enum sm_cohort)sm_stmt_get_int(q, 0));
        if (json_object_set_new(cohorts, name, counts) != 0) {
            code = out_of_memory(id, err);
            break;
        }
    }
    sm_stmt_reset(q);
    return code;
}

static enum sm_code add_failures(json_t *failures, struct sm_db *db, const char *id,
                                 struct sm_err *err)
{
    struct sm_stmt *q;
    bool row;
    enum sm_code code = sm_db_query(
        &q, db, "SELECT code, count FROM audit_failure WHERE job_id = $id ORDER BY code", err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$id", id);
    while ((code = sm_stmt_step(q, &row, err)) == SM_OK && row)
        if (json_array_append_new(failures,
                                  json_pack("{s:s, s:I}", "code", sm_stmt_get_text(q, 0), "count",
                                            (json_int_t)sm_stmt_get_int(q, 1))) != 0) {
            code = out_of_memory(id, err);
            break;
        }
    sm_stmt_reset(q);
    return code;
}

/* The last column is the number of scores that are still there. Erased images took theirs along,
 * but for those that had failed: of these there are few, so their index is named; by itself the
 * planner walks all items. */
static const char audit_sql[] =
    "SELECT job.state, job.revision, job.pair, job.recipe_digest, audit.spec, audit.reason, "
    "job.created_ms, job.started_ms, job.finished_ms, job.items_count, job.succeeded_count, "
    "job.failed_count, job.items_count - job.succeeded_count - job.failed_count - "
    "job.cancelled_count, audit.erased_count, NULLIF(job.request, ''), NULLIF(job.trace, ''), "
    "CASE WHEN audit.erased_count = 0 THEN job.succeeded_count ELSE job.succeeded_count - "
    "audit.erased_count + (SELECT count(*) FROM item INDEXED BY item_failed WHERE "
    "item.job_id = job.id AND item.state = 'failed' AND item.erased_ms IS NOT NULL) END, "
    "audit.pair_document, job.cost_ms, job.done_cost_ms FROM audit JOIN job ON job.id = "
    "audit.job_id WHERE audit.job_id = $id";

/* Of audit_sql. What ended without an image, by a cancellation or by an erasure, is not whole. */
static json_t *completeness_of_row(const struct sm_stmt *q)
{
    enum sm_state state = sm_state_parse(sm_stmt_get_text(q, 0));
    int64_t total = sm_stmt_get_int(q, 9), tried = sm_stmt_get_int(q, 10) + sm_stmt_get_int(q, 11),
            erased = sm_stmt_get_int(q, 13);
    bool ended = state == SM_STATE_SUCCEEDED || state == SM_STATE_FAILED;
    struct sm_completeness completeness = {SM_COMPLETION_PARTIAL, sm_stmt_get_int(q, 16), total};
    if (state == SM_STATE_CANCELLED)
        completeness.state = SM_COMPLETION_CANCELLED;
    else if (ended && tried == total && erased == 0)
        completeness.state = SM_COMPLETION_COMPLETE;
    return sm_completeness_json(&completeness);
}

/* Those of the pair; most have none, and are not parsed. */
static json_t *flags_of_pair(const char *pair_document)
{
    if (!strstr(pair_document, "\"flags\":[{"))
        return json_array();
    json_t *pair = json_loads(pair_document, 0, NULL);
    json_t *flags = json_incref(json_object_get(pair, "flags"));
    json_decref(pair);
    return flags;
}

static enum sm_code audit_of_row(json_t **out, const struct sm_stmt *q, const char *id,
                                 struct sm_err *err)
{
    json_error_t why;
    char recipe[65];
    json_t *spec = json_loads(sm_stmt_get_text(q, 4), 0, &why);
    if (!spec)
        return sm_err_set(err, SM_CORRUPT, "audit %s: stored specification: %s", id, why.text);
    sm_stmt_get_digest(recipe, q, 3);
    *out = json_pack(
        "{s:s, s:O, s:s, s:s*, s:I, s:s, s:s, s:O, s:o, s:o, s:o, s:I, s:I, s:I, s:I, "
        "s:I, s:I, s:I, s:o, s:{}, s:[], s:o, "
        "s:s*, s:s*}",
        "id", id, "name", json_object_get(spec, "name"), "state", sm_stmt_get_text(q, 0), "reason",
        sm_stmt_get_text(q, 5), "revision", (json_int_t)sm_stmt_get_int(q, 1), "pair",
        sm_stmt_get_text(q, 2), "recipe", recipe, "spec", spec, "created", time_json(q, 6),
        "started", time_json(q, 7), "finished", time_json(q, 8), "items_count",
        (json_int_t)sm_stmt_get_int(q, 9), "waiting_count", (json_int_t)sm_stmt_get_int(q, 12),
        "succeeded_count", (json_int_t)sm_stmt_get_int(q, 10), "failed_count",
        (json_int_t)sm_stmt_get_int(q, 11), "erased_count", (json_int_t)sm_stmt_get_int(q, 13),
        "cost_ms", (json_int_t)sm_stmt_get_int(q, 18), "done_cost_ms",
        (json_int_t)sm_stmt_get_int(q, 19), "completeness", completeness_of_row(q), "cohorts",
        "failures", "flags", flags_of_pair(sm_stmt_get_text(q, 17)), "request_id",
        sm_stmt_get_text(q, 14), "trace_id", sm_stmt_get_text(q, 15));
    json_decref(spec);
    return *out ? SM_OK : out_of_memory(id, err);
}

enum sm_code sm_store_audit_document(json_t **out, struct sm_db *db, const char *id,
                                     struct sm_err *err)
{
    struct sm_stmt *q;
    bool row;
    *out = NULL;
    enum sm_code code = sm_db_query(&q, db, audit_sql, err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$id", id);
    code = sm_stmt_step(q, &row, err);
    if (code == SM_OK)
        code = row ? audit_of_row(out, q, id, err)
                   : sm_err_set(err, SM_NOT_FOUND, "no audit with id %s", id);
    sm_stmt_reset(q);
    if (code == SM_OK)
        code = add_cohorts(json_object_get(*out, "cohorts"), db, id, err);
    if (code == SM_OK)
        code = add_failures(json_object_get(*out, "failures"), db, id, err);
    if (code != SM_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return code;
}

static enum sm_code read_audit(void *out, struct sm_db *db, const void *id, struct sm_err *err)
{
    return sm_store_audit_document(out, db, id, err);
}

enum sm_code sm_store_audit(json_t **out, struct sm_store *store, const char *id,
                            struct sm_err *err)
{
    *out = NULL;
    return sm_store_snapshot(out, store, read_audit, id, err);
}

struct ownership {
    int64_t tenant;
    const char *id;
};

static enum sm_code read_owned(void *out, struct sm_db *db, const void *arg, struct sm_err *err)
{
    const struct ownership *o = arg;
    struct sm_stmt *q;
    bool row;
    (void)out;
    enum sm_code code = sm_db_query(&q, db,
                                    "SELECT 1 FROM job JOIN audit ON audit.job_id = job.id "
                                    "WHERE job.id = $id AND job.tenant_id = $tenant",
                                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$id", o->id);
    sm_stmt_int(q, "$tenant", o->tenant);
    code = sm_stmt_step(q, &row, err);
    if (code == SM_OK && !row)
        code = sm_err_set(err, SM_NOT_FOUND, "no audit with id %s", o->id);
    sm_stmt_reset(q);
    return code;
}

enum sm_code sm_store_audit_owned(struct sm_store *store, int64_t tenant, const char *id,
                                  struct sm_err *err)
{
    return sm_store_snapshot(NULL, store, read_owned, &(struct ownership){tenant, id}, err);
}

static enum sm_code read_revision(void *out, struct sm_db *db, const void *id, struct sm_err *err)
{
    struct sm_stmt *q;
    bool row;
    int64_t *revision = out;
    enum sm_code code = sm_db_query(&q, db,
                                    "SELECT job.revision FROM audit JOIN job ON job.id = "
                                    "audit.job_id WHERE audit.job_id = $id",
                                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$id", id);
    code = sm_stmt_step(q, &row, err);
    if (code == SM_OK && row)
        *revision = sm_stmt_get_int(q, 0);
    sm_stmt_reset(q);
    return code;
}

int64_t sm_store_audit_revision(struct sm_store *store, const char *id)
{
    int64_t revision = -1;
    return sm_store_snapshot(&revision, store, read_revision, id, NULL) == SM_OK ? revision : -1;
}

static enum sm_code read_scoring(void *out, struct sm_db *db, const void *id, struct sm_err *err)
{
    struct sm_store_audit_scoring *s = out;
    struct sm_stmt *q;
    bool row;
    enum sm_code code = sm_db_query(&q, db,
                                    "SELECT job.pair, recipe.body FROM job JOIN recipe ON "
                                    "recipe.digest = job.recipe_digest WHERE job.id = $id",
                                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$id", id);
    code = sm_stmt_step(q, &row, err);
    if (code == SM_OK && !row)
        code = sm_err_set(err, SM_NOT_FOUND, "no audit with id %s", (const char *)id);
    if (code == SM_OK) {
        snprintf(s->pair, sizeof s->pair, "%s", sm_stmt_get_text(q, 0));
        s->recipe = json_loads(sm_stmt_get_text(q, 1), 0, NULL);
        if (!s->recipe)
            code = sm_err_set(err, SM_CORRUPT, "recipe of audit %s: stored document",
                              (const char *)id);
    }
    sm_stmt_reset(q);
    return code;
}

enum sm_code sm_store_audit_scoring(struct sm_store_audit_scoring *out, struct sm_store *store,
                                    const char *id, struct sm_err *err)
{
    *out = (struct sm_store_audit_scoring){0};
    return sm_store_snapshot(out, store, read_scoring, id, err);
}

/* --- all audits --- */

struct listing {
    int64_t tenant;
    const char *after;
    int limit;
};

#define IS_THERE                                                                                   \
    " AND EXISTS (SELECT 1 FROM audit WHERE audit.job_id = job.id) ORDER BY id DESC LIMIT $limit"

/* The ids first, so that one statement at a time is in use. */
static enum sm_code read_ids(char (*ids)[SM_ID_BYTES], int *count, struct sm_db *db,
                             const struct listing *l, struct sm_err *err)
{
    bool first = l->after[0] == '\0', row;
    struct sm_stmt *q;
    *count = 0;
    enum sm_code code = sm_db_query(
        &q, db,
        first ? "SELECT id FROM job WHERE kind = 'audit' AND tenant_id = $tenant" IS_THERE
              : "SELECT id FROM job WHERE kind = 'audit' AND tenant_id = $tenant AND id < "
                "$after" IS_THERE,
        err);
    if (code != SM_OK)
        return code;
    sm_stmt_int(q, "$tenant", l->tenant);
    if (!first)
        sm_stmt_hex(q, "$after", l->after);
    sm_stmt_int(q, "$limit", l->limit + 1);
    while ((code = sm_stmt_step(q, &row, err)) == SM_OK && row)
        sm_stmt_get_id(ids[(*count)++], q, 0);
    sm_stmt_reset(q);
    return code;
}

static enum sm_code read_audits(void *out, struct sm_db *db, const void *arg, struct sm_err *err)
{
    const struct listing *l = arg;
    char ids[SM_SCORES_LIMIT_MAX + 1][SM_ID_BYTES];
    json_t **page = out, *audit;
    int count;
    enum sm_code code = read_ids(ids, &count, db, l, err);
    for (int i = 0; i < count && i < l->limit && code == SM_OK; i++) {
        code = sm_store_audit_document(&audit, db, ids[i], err);
        if (code == SM_OK && json_array_append_new(json_object_get(*page, "audits"), audit) != 0)
            code = out_of_memory(ids[i], err);
    }
    if (code == SM_OK && json_object_set_new(*page, "more", json_boolean(count > l->limit)) != 0)
        code = sm_err_set(err, SM_NOMEM, "page of audits: out of memory");
    return code;
}

enum sm_code sm_store_audits(json_t **out, struct sm_store *store, int64_t tenant,
                             const char *after, int limit, struct sm_err *err)
{
    assert(limit >= 1 && limit <= SM_SCORES_LIMIT_MAX);
    *out = json_pack("{s:[]}", "audits");
    if (!*out)
        return sm_err_set(err, SM_NOMEM, "page of audits: out of memory");
    const struct listing listing = {.tenant = tenant, .after = after, .limit = limit};
    enum sm_code code = sm_store_snapshot(out, store, read_audits, &listing, err);
    if (code != SM_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return code;
}

static enum sm_code read_spread(void *out, struct sm_db *db, const void *id, struct sm_err *err)
{
    struct sm_stmt *q;
    bool row;
    char recipe[65];
    enum sm_code code = sm_db_query(&q, db,
                                    "SELECT audit.pair_document, job.recipe_digest FROM audit JOIN "
                                    "job ON job.id = audit.job_id WHERE audit.job_id = $id",
                                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$id", id);
    code = sm_stmt_step(q, &row, err);
    if (code == SM_OK && row) {
        json_t *pair = json_loads(sm_stmt_get_text(q, 0), 0, NULL);
        const json_t *reference = json_object_get(pair, "reference");
        const char *own = json_string_value(json_object_get(reference, "recipe_digest"));
        sm_stmt_get_digest(recipe, q, 1);
        if (own && strcmp(own, recipe) == 0)
            *(double *)out = json_number_value(json_object_get(reference, "sd"));
        json_decref(pair);
    }
    sm_stmt_reset(q);
    return code;
}

enum sm_code sm_store_audit_spread(double *out, struct sm_store *store, const char *id,
                                   struct sm_err *err)
{
    *out = 0;
    return sm_store_snapshot(out, store, read_spread, id, err);
}

/* --- items --- */

struct items {
    const char *id;
    const struct sm_store_audit_items_filter *filter;
};

/* The state stands in the text, where the partial indexes of states can be seen to apply. */
static enum sm_code query_items(struct sm_stmt **q, struct sm_db *db, const struct items *in,
                                struct sm_err *err)
{
    const struct sm_store_audit_items_filter *f = in->filter;
    char sql[600], state[64] = "";
    if (f->state)
        snprintf(state, sizeof state, " AND item.state = '%s'",
                 sm_state_name(sm_state_parse(f->state)));
    int length = snprintf(
        sql, sizeof sql,
        "SELECT item.idx, item.cohort, item.name, item.class_label, item.group_label, "
        "item.image_digest, item.state, item.score_id, item.error_code, item.error_detail, "
        "score.m, score.shape_id, score.own, item.erased_ms FROM item LEFT JOIN score ON "
        "score.id = item.score_id WHERE item.job_id = $id AND item.idx > $after%s%s "
        "ORDER BY item.idx LIMIT $limit",
        f->cohort >= 0 ? " AND item.cohort = $cohort" : "", state);
    assert(length > 0 && (size_t)length < sizeof sql);
    (void)length;
    enum sm_code code = sm_db_query(q, db, sql, err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(*q, "$id", in->id);
    sm_stmt_int(*q, "$after", f->after);
    if (f->cohort >= 0)
        sm_stmt_int(*q, "$cohort", f->cohort);
    sm_stmt_int(*q, "$limit", f->limit + 1);
    return SM_OK;
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* {"score","m","m_se"} of a scored item. */
static enum sm_code score_of_row(json_t **out, const struct sm_stmt *q, struct sm_shapes *shapes,
                                 struct sm_db *db, struct sm_err *err)
{
    const struct sm_shape *shape;
    double values[SM_NUMBERS];
    char id[SM_ID_BYTES];
    enum sm_code code = sm_store_find_shape(&shape, shapes, db, sm_stmt_get_int(q, 11), err);
    if (code != SM_OK)
        return code;
    sm_document_read(values, &shape->numbers, sm_stmt_get_text(q, 12));
    sm_stmt_get_id(id, q, 7);
    *out = json_pack("{s:s, s:o, s:o}", "score", id, "m", number(sm_stmt_get_double(q, 10)), "m_se",
                     number(values[SM_NUMBER_M_SE]));
    return *out ? SM_OK : sm_err_set(err, SM_NOMEM, "score %s: out of memory", id);
}

static enum sm_code item_of_row(json_t **out, const struct sm_stmt *q, struct sm_shapes *shapes,
                                struct sm_db *db, struct sm_err *err)
{
    char image[65];
    json_t *score = NULL, *error = NULL;
    if (!sm_stmt_is_null(q, 7)) {
        enum sm_code code = score_of_row(&score, q, shapes, db, err);
        if (code != SM_OK)
            return code;
    }
    if (!sm_stmt_is_null(q, 8))
        error = json_pack("{s:s, s:s}", "code", sm_stmt_get_text(q, 8), "detail",
                          sm_stmt_get_text(q, 9));
    sm_stmt_get_digest(image, q, 5);
    *out = json_pack("{s:I, s:s, s:s, s:s, s:s, s:s*, s:s, s:o*, s:o*}", "index",
                     (json_int_t)sm_stmt_get_int(q, 0), "cohort",
                     sm_cohort_name((enum sm_cohort)sm_stmt_get_int(q, 1)), "name",
                     sm_stmt_get_text(q, 2), "class", sm_stmt_get_text(q, 3), "group",
                     sm_stmt_get_text(q, 4), "image", image[0] ? image : NULL, "state",
                     sm_stmt_get_text(q, 6), "error", error, "erased",
                     sm_stmt_is_null(q, 13) ? NULL : time_json(q, 13));
    bool whole = *out && (!score || json_object_update(*out, score) == 0);
    json_decref(score);
    return whole ? SM_OK : sm_err_set(err, SM_NOMEM, "item of an audit: out of memory");
}

static enum sm_code collect_items(json_t *page, struct sm_shapes *shapes, struct sm_db *db,
                                  const struct items *in, struct sm_err *err)
{
    json_t *items = json_object_get(page, "items"), *item;
    struct sm_stmt *q;
    bool row, more = false;
    enum sm_code code = query_items(&q, db, in, err);
    while (code == SM_OK && (code = sm_stmt_step(q, &row, err)) == SM_OK && row) {
        more = json_array_size(items) == (size_t)in->filter->limit;
        if (more)
            break;
        item = NULL;
        code = item_of_row(&item, q, shapes, db, err);
        if (code == SM_OK && json_array_append(items, item) != 0)
            code = out_of_memory(in->id, err);
        json_decref(item);
    }
    sm_stmt_reset(q);
    if (code == SM_OK && json_object_set_new(page, "more", json_boolean(more)) != 0)
        code = out_of_memory(in->id, err);
    return code;
}

/* Scores are not read without the flags of their pair. */
static enum sm_code add_flags(json_t *page, struct sm_db *db, const char *id, struct sm_err *err)
{
    struct sm_stmt *q;
    bool row;
    enum sm_code code =
        sm_db_query(&q, db, "SELECT pair_document FROM audit WHERE job_id = $id", err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$id", id);
    code = sm_stmt_step(q, &row, err);
    if (code == SM_OK && row &&
        json_object_set_new(page, "flags", flags_of_pair(sm_stmt_get_text(q, 0))) != 0)
        code = out_of_memory(id, err);
    sm_stmt_reset(q);
    return code;
}

static enum sm_code read_items(void *out, struct sm_db *db, const void *arg, struct sm_err *err)
{
    const struct items *in = arg;
    json_t **page = out;
    struct sm_shapes shapes = {0};
    struct sm_job_row job;
    enum sm_code code = sm_store_audit_row(&job, db, in->id, err);
    if (code == SM_OK)
        code = collect_items(*page, &shapes, db, in, err);
    if (code == SM_OK)
        code = add_flags(*page, db, in->id, err);
    sm_store_release_shapes(&shapes);
    return code;
}

enum sm_code sm_store_audit_items(json_t **out, struct sm_store *store, const char *id,
                                  const struct sm_store_audit_items_filter *filter,
                                  struct sm_err *err)
{
    assert(filter->limit >= 1);
    *out = NULL;
    if (filter->state && sm_state_parse(filter->state) == SM_STATES_COUNT)
        return sm_err_set(err, SM_INVALID, "'%.32s' is no state of an item", filter->state);
    *out = json_pack("{s:[]}", "items");
    if (!*out)
        return out_of_memory(id, err);
    enum sm_code code =
        sm_store_snapshot(out, store, read_items, &(struct items){.id = id, .filter = filter}, err);
    if (code != SM_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return code;
}

/* --- thumbnails --- */

struct thumbnail {
    const char *id;
    int64_t index;
    size_t *bytes_count;
};

static enum sm_code read_thumbnail(void *out, struct sm_db *db, const void *arg, struct sm_err *err)
{
    const struct thumbnail *t = arg;
    void **bytes = out;
    struct sm_stmt *q;
    bool row;
    enum sm_code code =
        sm_db_query(&q, db, "SELECT png FROM thumbnail WHERE job_id = $id AND idx = $idx", err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$id", t->id);
    sm_stmt_int(q, "$idx", t->index);
    code = sm_stmt_step(q, &row, err);
    if (code == SM_OK && row) {
        const void *png = sm_stmt_get_blob(q, 0, t->bytes_count);
        *bytes = malloc(*t->bytes_count + 1);
        if (*bytes && *t->bytes_count > 0)
            memcpy(*bytes, png, *t->bytes_count);
    }
    sm_stmt_reset(q);
    return code;
}

void *sm_store_audit_thumbnail(struct sm_store *store, const char *id, int64_t index,
                               size_t *bytes_count)
{
    void *bytes = NULL;
    *bytes_count = 0;
    sm_store_snapshot(&bytes, store, read_thumbnail,
                      &(struct thumbnail){.id = id, .index = index, .bytes_count = bytes_count},
                      NULL);
    return bytes;
}
