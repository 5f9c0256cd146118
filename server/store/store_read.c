/* Reads: each takes a connection from the pool, runs one or two statements and gives it back before
 * any JSON is sent.
 *
 * Listing is by keyset: a page begins after the (value, id) of the row before it, so it costs the
 * same anywhere in the list, and rows that come in meanwhile neither repeat nor hide others. The
 * statement is put together from the clauses that the filter asks for, because "($pair IS NULL OR
 * pair = $pair)" would keep the database from using its indexes. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/id.h"
#include "server/store/state.h"
#include "server/store/store_impl.h"

#define SCORE_COLUMNS "id, created_ms, body"

static json_t *time_json(int64_t unix_ms)
{
    char text[32];
    sm_time_format(text, unix_ms);
    return json_string(text);
}

/* {"id","created", … body}. */
static enum sm_code score_document(json_t **out, const char *id, int64_t created_ms,
                                   const char *body, struct sm_err *err)
{
    json_error_t why;
    json_t *document =
        json_pack_ex(&why, 0, "{s:s, s:o}", "id", id, "created", time_json(created_ms));
    json_t *rest = json_loads(body, 0, &why);
    enum sm_code code = SM_OK;
    *out = NULL;
    if (!rest && json_error_code(&why) != json_error_out_of_memory)
        code = sm_err_set(err, SM_CORRUPT, "score %s: stored document: %s", id, why.text);
    else if (!document || !rest || json_object_update(document, rest) != 0)
        code = sm_err_set(err, SM_NOMEM, "score %s: out of memory", id);
    json_decref(rest);
    if (code == SM_OK)
        *out = document;
    else
        json_decref(document);
    return code;
}

/* Columns `first` to first + 2 of the row are SCORE_COLUMNS. */
static enum sm_code score_of_row(json_t **out, const struct sm_stmt *q, int first,
                                 struct sm_err *err)
{
    return score_document(out, sm_stmt_get_text(q, first), sm_stmt_get_int(q, first + 1),
                          sm_stmt_get_text(q, first + 2), err);
}

/* The same document without taking the body apart: its brace gives way to ours. */
static enum sm_code score_line(void *out, const struct sm_stmt *q, struct sm_err *err)
{
    char created[32], **line = out;
    const char *id = sm_stmt_get_text(q, 0), *body = sm_stmt_get_text(q, 2);
    if (body[0] != '{')
        return sm_err_set(err, SM_CORRUPT, "score %s: stored document is no object", id);
    sm_time_format(created, sm_stmt_get_int(q, 1));
    if (asprintf(line, "{\"id\":\"%s\",\"created\":\"%s\",%s\n", id, created, body + 1) < 0) {
        *line = NULL;
        return sm_err_set(err, SM_NOMEM, "score %s: out of memory", id);
    }
    return SM_OK;
}

static enum sm_code score_json(void *out, const struct sm_stmt *q, struct sm_err *err)
{
    return score_of_row(out, q, 0, err);
}

/* The only row of `sql`, read by `read` into out. */
static enum sm_code one_score(void *out,
                              enum sm_code (*read)(void *, const struct sm_stmt *, struct sm_err *),
                              struct sm_store *store, const char *sql, const char *value,
                              struct sm_err *err)
{
    struct sm_db *db;
    struct sm_stmt *q = NULL;
    bool row;
    enum sm_code code = sm_store_reader_take(&db, store, err);
    if (code != SM_OK)
        return code;
    code = sm_db_query(&q, db, sql, err);
    if (code != SM_OK)
        goto out;
    sm_stmt_text(q, "$value", value);
    code = sm_stmt_step(q, &row, err);
    if (code == SM_OK && !row)
        code = sm_err_set(err, SM_NOT_FOUND, "no score %s", value);
    if (code == SM_OK)
        code = read(out, q, err);
out:
    sm_stmt_reset(q);
    sm_store_reader_give(store, db);
    return code;
}

enum sm_code sm_store_score_line(char **out, struct sm_store *store, const char *id,
                                 struct sm_err *err)
{
    *out = NULL;
    return one_score(out, score_line, store,
                     "SELECT " SCORE_COLUMNS " FROM score WHERE id = $value", id, err);
}

enum sm_code sm_store_score_by_key(json_t **out, struct sm_store *store, const char *key,
                                   struct sm_err *err)
{
    *out = NULL;
    return one_score(out, score_json, store,
                     "SELECT " SCORE_COLUMNS " FROM score WHERE key = $value", key, err);
}

/* --- listing --- */

static const struct {
    const char *after, *order;
    bool by_time;
} orders[] = {
    [SM_ORDER_NEWEST] = {" AND (created_ms, id) < ($after, $after_id)",
                         " ORDER BY created_ms DESC, id DESC", true},
    [SM_ORDER_OLDEST] = {" AND (created_ms, id) > ($after, $after_id)", " ORDER BY created_ms, id",
                         true},
    [SM_ORDER_HIGHEST] = {" AND (m, id) < ($after, $after_id)", " ORDER BY m DESC, id DESC", false},
    [SM_ORDER_LOWEST] = {" AND (m, id) > ($after, $after_id)", " ORDER BY m, id", false},
};

static void scores_sql(char *out, size_t out_bytes, const struct sm_score_filter *filter)
{
    int length =
        snprintf(out, out_bytes,
                 "SELECT " SCORE_COLUMNS ", m FROM score WHERE 1 = 1%s%s%s%s%s%s%s%s LIMIT $limit",
                 filter->pair ? " AND pair = $pair" : "",
                 filter->image_digest ? " AND image_digest = $image" : "",
                 filter->has_since ? " AND created_ms >= $since" : "",
                 filter->has_until ? " AND created_ms < $until" : "",
                 filter->has_min ? " AND m >= $min" : "", filter->has_max ? " AND m <= $max" : "",
                 filter->has_after ? orders[filter->order].after : "", orders[filter->order].order);
    assert(length > 0 && (size_t)length < out_bytes);
    (void)length;
}

static void scores_bind(struct sm_stmt *q, const struct sm_score_filter *filter)
{
    if (filter->pair)
        sm_stmt_text(q, "$pair", filter->pair);
    if (filter->image_digest)
        sm_stmt_text(q, "$image", filter->image_digest);
    if (filter->has_since)
        sm_stmt_int(q, "$since", filter->since_ms);
    if (filter->has_until)
        sm_stmt_int(q, "$until", filter->until_ms);
    if (filter->has_min)
        sm_stmt_double(q, "$min", filter->min);
    if (filter->has_max)
        sm_stmt_double(q, "$max", filter->max);
    if (filter->has_after) {
        sm_stmt_double(q, "$after", filter->after_value);
        sm_stmt_text(q, "$after_id", filter->after_id);
    }
    sm_stmt_int(q, "$limit", filter->limit + 1); /* one more tells whether there are more */
}

static enum sm_code scores_collect(struct sm_score_page *page, struct sm_stmt *q,
                                   const struct sm_score_filter *filter, struct sm_err *err)
{
    bool row;
    enum sm_code code;
    while ((code = sm_stmt_step(q, &row, err)) == SM_OK && row) {
        json_t *score;
        if (json_array_size(page->scores) == (size_t)filter->limit) {
            page->more = true;
            break;
        }
        code = score_of_row(&score, q, 0, err);
        if (code != SM_OK)
            break;
        if (json_array_append_new(page->scores, score) != 0)
            return sm_err_set(err, SM_NOMEM, "page of scores: out of memory");
        page->last_value = orders[filter->order].by_time ? (double)sm_stmt_get_int(q, 1)
                                                         : sm_stmt_get_double(q, 3);
        snprintf(page->last_id, sizeof page->last_id, "%s", sm_stmt_get_text(q, 0));
    }
    return code;
}

enum sm_code sm_store_scores(struct sm_score_page *out, struct sm_store *store,
                             const struct sm_score_filter *filter, struct sm_err *err)
{
    char sql[600];
    struct sm_db *db;
    struct sm_stmt *q = NULL;
    assert(filter->limit >= 1 && filter->limit <= SM_SCORES_LIMIT_MAX);
    *out = (struct sm_score_page){0};
    struct sm_score_page page = {.scores = json_array()};
    if (!page.scores)
        return sm_err_set(err, SM_NOMEM, "page of scores: out of memory");
    enum sm_code code = sm_store_reader_take(&db, store, err);
    if (code != SM_OK) {
        json_decref(page.scores);
        return code;
    }
    scores_sql(sql, sizeof sql, filter);
    code = sm_db_query(&q, db, sql, err);
    if (code == SM_OK) {
        scores_bind(q, filter);
        code = scores_collect(&page, q, filter, err);
    }
    sm_stmt_reset(q);
    sm_store_reader_give(store, db);
    if (code != SM_OK)
        json_decref(page.scores);
    else
        *out = page;
    return code;
}

/* --- jobs --- */

static const char job_sql[] =
    "SELECT id, state, pair, recipe_digest, created_ms, started_ms, finished_ms "
    "FROM job WHERE id = $id";

static const char items_sql[] =
    "SELECT idx, state, name, item.image_digest, from_history, error_code, error_detail, score_id, "
    "score.created_ms, score.body "
    "FROM item LEFT JOIN score ON score.id = item.score_id WHERE job_id = $id ORDER BY idx";

static json_t *optional_time(const struct sm_stmt *q, int column)
{
    return sm_stmt_is_null(q, column) ? json_null() : time_json(sm_stmt_get_int(q, column));
}

static enum sm_code item_of_row(json_t **out, const struct sm_stmt *q, struct sm_err *err)
{
    json_t *score = NULL, *error = NULL;
    if (!sm_stmt_is_null(q, 7)) {
        enum sm_code code = score_of_row(&score, q, 7, err);
        if (code != SM_OK)
            return code;
    }
    if (!sm_stmt_is_null(q, 5))
        error = json_pack("{s:s, s:s}", "code", sm_stmt_get_text(q, 5), "detail",
                          sm_stmt_get_text(q, 6));
    *out = json_pack("{s:I, s:s, s:s, s:s, s:o*, s:b, s:o*}", "index",
                     (json_int_t)sm_stmt_get_int(q, 0), "state", sm_stmt_get_text(q, 1), "name",
                     sm_stmt_get_text(q, 2), "image", sm_stmt_get_text(q, 3), "score", score,
                     "from_history", (int)sm_stmt_get_int(q, 4), "error", error);
    return *out ? SM_OK : sm_err_set(err, SM_NOMEM, "item of a job: out of memory");
}

static enum sm_code read_items(json_t *items, int counts[SM_STATES_COUNT + 1], struct sm_db *db,
                               const char *id, struct sm_err *err)
{
    struct sm_stmt *q;
    bool row;
    enum sm_code code = sm_db_query(&q, db, items_sql, err);
    if (code != SM_OK)
        return code;
    sm_stmt_text(q, "$id", id);
    while ((code = sm_stmt_step(q, &row, err)) == SM_OK && row) {
        json_t *item;
        code = item_of_row(&item, q, err);
        if (code == SM_OK && json_array_append_new(items, item) != 0)
            code = sm_err_set(err, SM_NOMEM, "items of job %s: out of memory", id);
        if (code != SM_OK)
            break;
        counts[sm_state_parse(sm_stmt_get_text(q, 1))]++;
    }
    sm_stmt_reset(q);
    return code;
}

static enum sm_code read_job(json_t **out, struct sm_db *db, const char *id, struct sm_err *err)
{
    struct sm_stmt *q;
    bool row;
    enum sm_code code = sm_db_query(&q, db, job_sql, err);
    if (code != SM_OK)
        return code;
    sm_stmt_text(q, "$id", id);
    code = sm_stmt_step(q, &row, err);
    if (code == SM_OK && !row)
        code = sm_err_set(err, SM_NOT_FOUND, "no job with id %s", id);
    if (code == SM_OK) {
        *out = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "id", sm_stmt_get_text(q, 0),
                         "state", sm_stmt_get_text(q, 1), "pair", sm_stmt_get_text(q, 2), "recipe",
                         sm_stmt_get_text(q, 3), "created", time_json(sm_stmt_get_int(q, 4)),
                         "started", optional_time(q, 5), "finished", optional_time(q, 6));
        if (!*out)
            code = sm_err_set(err, SM_NOMEM, "job %s: out of memory", id);
    }
    sm_stmt_reset(q);
    return code;
}

/* Job and items come from one snapshot, so that the state agrees with the items. */
enum sm_code sm_store_job(json_t **out, struct sm_store *store, const char *id, struct sm_err *err)
{
    struct sm_db *db;
    json_t *job = NULL, *items = json_array();
    int counts[SM_STATES_COUNT + 1] = {0}; /* the last: a state that we do not know */
    *out = NULL;
    enum sm_code code = sm_store_reader_take(&db, store, err);
    if (code != SM_OK) {
        json_decref(items);
        return code;
    }
    code = sm_db_exec(db, "BEGIN", err);
    if (code == SM_OK)
        code = read_job(&job, db, id, err);
    if (code == SM_OK)
        code = read_items(items, counts, db, id, err);
    sm_db_rollback(db);
    sm_store_reader_give(store, db);
    if (code == SM_OK) {
        json_t *rest = json_pack("{s:i, s:i, s:i, s:O}", "items_count", (int)json_array_size(items),
                                 "succeeded_count", counts[SM_STATE_SUCCEEDED], "failed_count",
                                 counts[SM_STATE_FAILED], "items", items);
        if (!rest || json_object_update(job, rest) != 0)
            code = sm_err_set(err, SM_NOMEM, "job %s: out of memory", id);
        json_decref(rest);
    }
    json_decref(items);
    if (code == SM_OK)
        *out = job;
    else
        json_decref(job);
    return code;
}
