/* Reads of audits. Progress comes from counts that the writes maintain, so it costs the same for 50
 * and for 50,000 items. Pages of items continue behind an index. */
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

/* --- one audit --- */

/* The document that rows are added to. */
struct building {
    const struct sm_audit_id *audit;
    json_t *to;
};

static enum sm_code add_cohort(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    const struct building *b = arg;
    const char *name = sm_cohort_name((enum sm_cohort)sm_stmt_get_int(q, 0));
    json_t *counts = json_pack("{s:I, s:I, s:I}", "items_count", (json_int_t)sm_stmt_get_int(q, 1),
                               "succeeded_count", (json_int_t)sm_stmt_get_int(q, 2), "failed_count",
                               (json_int_t)sm_stmt_get_int(q, 3));
    return json_object_set_new(b->to, name, counts) == 0 ? SM_OK
                                                         : sm_store_audit_no_memory(b->audit, err);
}

static enum sm_code add_failure(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    const struct building *b = arg;
    json_t *row = json_pack("{s:s, s:I}", "code", sm_stmt_get_text(q, 0), "count",
                            (json_int_t)sm_stmt_get_int(q, 1));
    return json_array_append_new(b->to, row) == 0 ? SM_OK : sm_store_audit_no_memory(b->audit, err);
}

/* Column 16 is the number of scores that still exist. Erasing an image deletes its score, if it had
 * one: those that had failed had none. There are few of these, so the statement names their index;
 * the planner itself would walk all items. */
static const char audit_sql[] =
    "SELECT job.state, job.revision, job.pair, job.recipe_digest, audit.spec, audit.reason, "
    "job.created_ms, job.started_ms, job.finished_ms, job.items_count, job.succeeded_count, "
    "job.failed_count, job.items_count - job.succeeded_count - job.failed_count - "
    "job.cancelled_count, audit.erased_count, NULLIF(job.request, ''), NULLIF(job.trace, ''), "
    "CASE WHEN audit.erased_count = 0 THEN job.succeeded_count ELSE job.succeeded_count - "
    "audit.erased_count + (SELECT count(*) FROM item INDEXED BY item_failed WHERE "
    "item.job_id = job.id AND item.state = 'failed' AND item.erased_ms IS NOT NULL) END, "
    "audit.pair_document, job.cost_ms, job.done_cost_ms FROM audit JOIN job ON job.id = "
    "audit.job_id WHERE audit.job_id = $id AND job.tenant_id = $tenant";

/* Reads columns of audit_sql. An audit that ended without some of its images, because they were
 * cancelled or erased, is partial. */
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

/* Returns the flags of the pair. Most pairs have none: their documents are not parsed. */
static json_t *flags_of_pair(const char *pair_document)
{
    if (!strstr(pair_document, "\"flags\":[{"))
        return json_array();
    json_t *pair = json_loads(pair_document, 0, NULL);
    json_t *flags = json_incref(json_object_get(pair, "flags"));
    json_decref(pair);
    return flags;
}

static enum sm_code document_of_row(json_t **out, const struct sm_stmt *q, const char *id,
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
    return *out ? SM_OK : sm_err_set(err, SM_NOMEM, "audit %s: out of memory", id);
}

/* A document and, unless NULL, its head. */
struct reading {
    const struct sm_audit_id *audit;
    json_t *document;
    struct sm_audit_head *head;
};

/* Reads columns of audit_sql. */
static enum sm_code read_document(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    struct reading *r = arg;
    if (r->head) {
        *r->head =
            (struct sm_audit_head){.audit = *r->audit,
                                   .revision = sm_stmt_get_int(q, 1),
                                   .state = sm_state_parse(sm_stmt_get_text(q, 0)),
                                   .finished = !sm_stmt_is_null(q, 8),
                                   .done_count = sm_stmt_get_int(q, 10) + sm_stmt_get_int(q, 11),
                                   .cost_ms = sm_stmt_get_int(q, 18),
                                   .done_cost_ms = sm_stmt_get_int(q, 19)};
        snprintf(r->head->pair, sizeof r->head->pair, "%s", sm_stmt_get_text(q, 2));
    }
    return document_of_row(&r->document, q, r->audit->id, err);
}

enum sm_code sm_store_audit_document(json_t **out, struct sm_audit_head *head, struct sm_db *db,
                                     const struct sm_audit_id *audit, struct sm_err *err)
{
    struct reading r = {.audit = audit, .head = head};
    struct building cohorts = {.audit = audit}, failures = {.audit = audit};
    enum sm_code code = sm_store_audit_query(db, audit_sql, audit, read_document, &r, err);
    cohorts.to = json_object_get(r.document, "cohorts");
    failures.to = json_object_get(r.document, "failures");
    if (code == SM_OK)
        code = sm_db_each(NULL, db,
                          "SELECT cohort, items_count, succeeded_count, failed_count "
                          "FROM audit_cohort WHERE job_id = $id" OF_TENANT " ORDER BY cohort",
                          SM_BIND(BIND_AUDIT(audit)), add_cohort, &cohorts, err);
    if (code == SM_OK)
        code = sm_db_each(NULL, db,
                          "SELECT code, count FROM audit_failure WHERE job_id = $id" OF_TENANT
                          " ORDER BY code",
                          SM_BIND(BIND_AUDIT(audit)), add_failure, &failures, err);
    if (code != SM_OK) {
        json_decref(r.document);
        r.document = NULL;
    }
    *out = r.document;
    return code;
}

static enum sm_code read_audit(void *out, struct sm_db *db, const void *audit, struct sm_err *err)
{
    struct reading *r = out;
    return sm_store_audit_document(&r->document, r->head, db, audit, err);
}

enum sm_code sm_store_audit(json_t **out, struct sm_audit_head *head, struct sm_store *store,
                            const struct sm_audit_id *audit, struct sm_err *err)
{
    struct reading r = {.head = head};
    enum sm_code code = sm_store_snapshot(&r, store, read_audit, audit, err);
    *out = r.document;
    return code;
}

static enum sm_code read_head(void *out, struct sm_db *db, const void *arg, struct sm_err *err)
{
    const struct sm_audit_id *audit = arg;
    struct sm_audit_head *head = out;
    char state[16];
    bool found;
    enum sm_code code = sm_db_row(
        &found, db,
        "SELECT job.revision, job.state, job.finished_ms IS NOT NULL, job.pair, "
        "job.succeeded_count + job.failed_count, job.cost_ms, job.done_cost_ms FROM audit JOIN "
        "job ON job.id = audit.job_id WHERE audit.job_id = $id AND job.tenant_id = $tenant",
        SM_BIND(BIND_AUDIT(audit)),
        SM_COLUMNS(SM_GET_INT(&head->revision), SM_GET_TEXT(state, sizeof state),
                   SM_GET_BOOL(&head->finished), SM_GET_TEXT(head->pair, sizeof head->pair),
                   SM_GET_INT(&head->done_count), SM_GET_INT(&head->cost_ms),
                   SM_GET_INT(&head->done_cost_ms)),
        err);
    if (code == SM_OK && !found)
        code = sm_store_no_audit(audit, err);
    if (code == SM_OK)
        head->state = sm_state_parse(state);
    return code;
}

enum sm_code sm_store_audit_head(struct sm_audit_head *out, struct sm_store *store,
                                 const struct sm_audit_id *audit, struct sm_err *err)
{
    *out = (struct sm_audit_head){.audit = *audit};
    return sm_store_snapshot(out, store, read_head, audit, err);
}

struct scoring {
    const struct sm_audit_id *audit;
    struct sm_store_audit_scoring *out;
};

static enum sm_code read_scoring_row(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    const struct scoring *s = arg;
    snprintf(s->out->pair, sizeof s->out->pair, "%s", sm_stmt_get_text(q, 0));
    s->out->recipe = json_loads(sm_stmt_get_text(q, 1), 0, NULL);
    return s->out->recipe
               ? SM_OK
               : sm_err_set(err, SM_CORRUPT, "recipe of audit %s: stored document", s->audit->id);
}

static enum sm_code read_scoring(void *out, struct sm_db *db, const void *audit, struct sm_err *err)
{
    struct scoring s = {audit, out};
    return sm_store_audit_query(db,
                                "SELECT job.pair, recipe.body FROM job JOIN recipe ON "
                                "recipe.digest = job.recipe_digest WHERE job.id = $id AND "
                                "job.tenant_id = $tenant",
                                audit, read_scoring_row, &s, err);
}

enum sm_code sm_store_audit_scoring(struct sm_store_audit_scoring *out, struct sm_store *store,
                                    const struct sm_audit_id *audit, struct sm_err *err)
{
    *out = (struct sm_store_audit_scoring){0};
    return sm_store_snapshot(out, store, read_scoring, audit, err);
}

/* --- all audits --- */

struct listing {
    int64_t tenant;
    const char *after;
    int limit;
};

struct ids {
    struct sm_audit_id audits[SM_SCORES_LIMIT_MAX + 1];
    int64_t tenant;
    int count;
};

static enum sm_code append_id(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    struct ids *ids = arg;
    struct sm_audit_id *audit = &ids->audits[ids->count++];
    (void)err;
    audit->tenant = ids->tenant;
    sm_stmt_get_id(audit->id, q, 0);
    return SM_OK;
}

#define EXISTING                                                                                   \
    " AND EXISTS (SELECT 1 FROM audit WHERE audit.job_id = job.id) ORDER BY id DESC LIMIT $limit"

/* Reads all ids before any document, so that one statement at a time is in use. */
static enum sm_code read_ids(struct ids *out, struct sm_db *db, const struct listing *l,
                             struct sm_err *err)
{
    bool first = l->after[0] == '\0';
    *out = (struct ids){.tenant = l->tenant};
    return sm_db_each(
        NULL, db,
        first ? "SELECT id FROM job WHERE kind = 'audit' AND tenant_id = $tenant" EXISTING
              : "SELECT id FROM job WHERE kind = 'audit' AND tenant_id = $tenant AND id < "
                "$after" EXISTING,
        SM_BIND(SM_INT("$tenant", l->tenant), SM_HEX(first ? NULL : "$after", l->after),
                SM_INT("$limit", l->limit + 1)),
        append_id, out, err);
}

static enum sm_code read_audits(void *out, struct sm_db *db, const void *arg, struct sm_err *err)
{
    const struct listing *l = arg;
    struct sm_store_audit_page *page = out;
    struct ids ids;
    enum sm_code code = read_ids(&ids, db, l, err);
    for (int i = 0; i < ids.count && i < l->limit && code == SM_OK; i++) {
        json_t *document;
        code = sm_store_audit_document(&document, &page->heads[i], db, &ids.audits[i], err);
        if (code == SM_OK && json_array_append_new(page->audits, document) != 0)
            code = sm_store_audit_no_memory(&ids.audits[i], err);
        page->count++;
    }
    page->more = ids.count > l->limit;
    return code;
}

enum sm_code sm_store_audits(struct sm_store_audit_page *out, struct sm_store *store,
                             int64_t tenant, const char *after, int limit, struct sm_err *err)
{
    const struct listing listing = {.tenant = tenant, .after = after, .limit = limit};
    assert(limit >= 1 && limit <= SM_SCORES_LIMIT_MAX);
    *out = (struct sm_store_audit_page){.audits = json_array(),
                                        .heads = calloc((size_t)limit, sizeof *out->heads)};
    enum sm_code code = out->audits && out->heads
                            ? sm_store_snapshot(out, store, read_audits, &listing, err)
                            : sm_err_set(err, SM_NOMEM, "page of audits: out of memory");
    if (code != SM_OK)
        sm_store_audit_page_release(out);
    return code;
}

void sm_store_audit_page_release(struct sm_store_audit_page *page)
{
    json_decref(page->audits);
    free(page->heads);
    *page = (struct sm_store_audit_page){0};
}

static enum sm_code read_spread_row(void *out, const struct sm_stmt *q, struct sm_err *err)
{
    char recipe[65];
    json_t *pair = json_loads(sm_stmt_get_text(q, 0), 0, NULL);
    const json_t *reference = json_object_get(pair, "reference");
    const char *own = json_string_value(json_object_get(reference, "recipe_digest"));
    (void)err;
    sm_stmt_get_digest(recipe, q, 1);
    if (own && strcmp(own, recipe) == 0)
        *(double *)out = json_number_value(json_object_get(reference, "sd"));
    json_decref(pair);
    return SM_OK;
}

static enum sm_code read_spread(void *out, struct sm_db *db, const void *audit, struct sm_err *err)
{
    return sm_store_audit_query(db,
                                "SELECT audit.pair_document, job.recipe_digest FROM audit JOIN "
                                "job ON job.id = audit.job_id WHERE audit.job_id = $id AND "
                                "job.tenant_id = $tenant",
                                audit, read_spread_row, out, err);
}

enum sm_code sm_store_audit_spread(double *out, struct sm_store *store,
                                   const struct sm_audit_id *audit, struct sm_err *err)
{
    *out = 0;
    return sm_store_snapshot(out, store, read_spread, audit, err);
}

/* --- items --- */

struct items {
    const struct sm_audit_id *audit;
    const struct sm_store_audit_items_filter *filter;
    struct sm_store_audit_items_page *page;
    struct sm_shapes shapes;
    struct sm_db *db;
};

/* The statement holds the state as text, because a partial index on a state applies only when the
 * planner sees which state. */
static void write_items_sql(char out[700], const struct sm_store_audit_items_filter *f)
{
    char state[64] = "";
    if (f->state)
        snprintf(state, sizeof state, " AND item.state = '%s'",
                 sm_state_name(sm_state_parse(f->state)));
    int length = snprintf(
        out, 700,
        "SELECT item.idx, item.cohort, item.name, item.class_label, item.group_label, "
        "item.image_digest, item.state, item.score_id, item.error_code, item.error_detail, "
        "score.shape_id, score.own, item.erased_ms FROM item LEFT JOIN score ON "
        "score.id = item.score_id WHERE item.job_id = $id AND item.idx > $after%s%s" OF_TENANT
        " ORDER BY item.idx LIMIT $limit",
        f->cohort >= 0 ? " AND item.cohort = $cohort" : "", state);
    assert(length > 0 && length < 700);
    (void)length;
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* Makes {"score","m","m_se"} of a scored item. */
static enum sm_code score_of_row(json_t **out, const struct sm_stmt *q, struct sm_shapes *shapes,
                                 struct sm_db *db, struct sm_err *err)
{
    const struct sm_shape *shape;
    double values[SM_NUMBERS];
    char id[SM_ID_BYTES];
    enum sm_code code = sm_store_find_shape(&shape, shapes, db, sm_stmt_get_int(q, 10), err);
    if (code != SM_OK)
        return code;
    sm_document_read(values, &shape->numbers, sm_stmt_get_text(q, 11));
    sm_stmt_get_id(id, q, 7);
    *out = json_pack("{s:s, s:o, s:o}", "score", id, "m", number(values[SM_NUMBER_M]), "m_se",
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
                     sm_stmt_is_null(q, 12) ? NULL : time_json(q, 12));
    bool whole = *out && (!score || json_object_update(*out, score) == 0);
    json_decref(score);
    return whole ? SM_OK : sm_err_set(err, SM_NOMEM, "item of an audit: out of memory");
}

/* The row behind the page only tells that there are more. */
static enum sm_code append_item(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    struct items *in = arg;
    json_t *item = NULL;
    in->page->more = json_array_size(in->page->items) == (size_t)in->filter->limit;
    if (in->page->more)
        return SM_OK;
    enum sm_code code = item_of_row(&item, q, &in->shapes, in->db, err);
    if (code == SM_OK && json_array_append(in->page->items, item) != 0)
        code = sm_store_audit_no_memory(in->audit, err);
    json_decref(item);
    in->page->last = sm_stmt_get_int(q, 0);
    return code;
}

static enum sm_code read_flags(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    struct items *in = arg;
    in->page->flags = flags_of_pair(sm_stmt_get_text(q, 0));
    return in->page->flags ? SM_OK : sm_store_audit_no_memory(in->audit, err);
}

/* A page carries the flags of the pair, so that nobody reads scores without them. */
static enum sm_code read_items(void *out, struct sm_db *db, const void *arg, struct sm_err *err)
{
    struct items *in = out;
    const struct sm_store_audit_items_filter *f = in->filter;
    bool has_cohort = f->cohort >= 0;
    char sql[700];
    (void)arg;
    in->db = db;
    write_items_sql(sql, f);
    enum sm_code code =
        sm_store_audit_query(db, "SELECT pair_document FROM audit WHERE job_id = $id" OF_TENANT,
                             in->audit, read_flags, in, err);
    if (code == SM_OK)
        code = sm_db_each(NULL, db, sql,
                          SM_BIND(BIND_AUDIT(in->audit), SM_INT("$after", f->after),
                                  SM_INT(has_cohort ? "$cohort" : NULL, f->cohort),
                                  SM_INT("$limit", f->limit + 1)),
                          append_item, in, err);
    return code;
}

enum sm_code sm_store_audit_items(struct sm_store_audit_items_page *out, struct sm_store *store,
                                  const struct sm_audit_id *audit,
                                  const struct sm_store_audit_items_filter *filter,
                                  struct sm_err *err)
{
    struct items in = {.audit = audit, .filter = filter, .page = out};
    assert(filter->limit >= 1);
    *out = (struct sm_store_audit_items_page){0};
    if (filter->state && sm_state_parse(filter->state) == SM_STATES_COUNT)
        return sm_err_set(err, SM_INVALID, "'%.32s' is no state of an item", filter->state);
    if (!(out->items = json_array()))
        return sm_store_audit_no_memory(audit, err);
    enum sm_code code = sm_store_snapshot(&in, store, read_items, NULL, err);
    sm_store_release_shapes(&in.shapes);
    if (code != SM_OK)
        sm_store_audit_items_page_release(out);
    return code;
}

void sm_store_audit_items_page_release(struct sm_store_audit_items_page *page)
{
    json_decref(page->items);
    json_decref(page->flags);
    *page = (struct sm_store_audit_items_page){0};
}

/* --- thumbnails --- */

struct thumbnail {
    const struct sm_audit_id *audit;
    int64_t index;
    void *bytes;
    size_t bytes_count;
};

static enum sm_code copy_thumbnail(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    struct thumbnail *t = arg;
    const void *png = sm_stmt_get_blob(q, 0, &t->bytes_count);
    t->bytes = malloc(t->bytes_count + 1);
    if (!t->bytes)
        return sm_store_audit_no_memory(t->audit, err);
    if (t->bytes_count > 0)
        memcpy(t->bytes, png, t->bytes_count);
    return SM_OK;
}

static enum sm_code read_thumbnail(void *out, struct sm_db *db, const void *arg, struct sm_err *err)
{
    struct thumbnail *t = out;
    (void)arg;
    return sm_db_each(
        NULL, db, "SELECT png FROM thumbnail WHERE job_id = $id AND idx = $idx" OF_TENANT,
        SM_BIND(BIND_AUDIT(t->audit), SM_INT("$idx", t->index)), copy_thumbnail, t, err);
}

void *sm_store_audit_thumbnail(struct sm_store *store, const struct sm_audit_id *audit,
                               int64_t index, size_t *bytes_count)
{
    struct thumbnail t = {.audit = audit, .index = index};
    sm_store_snapshot(&t, store, read_thumbnail, NULL, NULL);
    *bytes_count = t.bytes ? t.bytes_count : 0;
    return t.bytes;
}
