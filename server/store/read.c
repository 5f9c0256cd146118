/* Each read takes a connection from the pool, runs one or two statements and returns it before the
 * answer is sent.
 *
 * Listings use keyset pagination: a page begins after the (value, id) of the last row of the page
 * before. So every page costs the same, and new rows neither repeat nor hide others. The statement
 * is composed of the clauses that the filter needs, because "($pair IS NULL OR pair = $pair)" would
 * keep the database from using its indexes. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/base/id.h"
#include "server/db/document.h"
#include "server/store/impl.h"

/* The shape is read by a subquery, so that a listing always uses an index of the scores. */
#define SCORE_COLUMNS                                                                              \
    "score.id, score.created_ms, score.image_digest, score.key, score.own, "                       \
    "(SELECT body FROM shape WHERE shape.id = score.shape_id)"
#define SCORE_COLUMNS_COUNT 6

static json_t *time_json(int64_t unix_ms)
{
    char text[32];
    sm_time_format(text, unix_ms);
    return json_string(text);
}

static int64_t created_ms(const struct sm_stmt *q, int column, const char *id)
{
    return sm_stmt_is_null(q, column) ? sm_id_unix_ms(id) : sm_stmt_get_int(q, column);
}

/* Joins the document of a score. The columns from `first` on are SCORE_COLUMNS. */
static enum sm_code line_of_row(char **out, const struct sm_stmt *q, int first, struct sm_err *err)
{
    char id[SM_ID_BYTES], created[32], image[65], key[65];
    sm_stmt_get_id(id, q, first);
    sm_time_format(created, created_ms(q, first + 1, id));
    sm_stmt_get_digest(image, q, first + 2);
    sm_stmt_get_digest(key, q, first + 3);
    return sm_document_join(out,
                            &(struct sm_document_parts){.id = id,
                                                        .created = created,
                                                        .image = image,
                                                        .score_key = key,
                                                        .own = sm_stmt_get_text(q, first + 4),
                                                        .shape = sm_stmt_get_text(q, first + 5)},
                            err);
}

static enum sm_code score_of_row(json_t **out, const struct sm_stmt *q, int first,
                                 struct sm_err *err)
{
    char *line;
    json_error_t why;
    *out = NULL;
    enum sm_code code = line_of_row(&line, q, first, err);
    if (code != SM_OK)
        return code;
    *out = json_loads(line, 0, &why);
    if (!*out && json_error_code(&why) == json_error_out_of_memory)
        code = sm_err_set(err, SM_NOMEM, "score: out of memory");
    else if (!*out)
        code = sm_err_set(err, SM_CORRUPT, "score %.36s: stored document: %s", line + 7, why.text);
    free(line);
    return code;
}

static enum sm_code score_line(void *out, const struct sm_stmt *q, struct sm_err *err)
{
    return line_of_row(out, q, 0, err);
}

static enum sm_code score_json(void *out, const struct sm_stmt *q, struct sm_err *err)
{
    return score_of_row(out, q, 0, err);
}

/* Reads the only row of `sql` into `out` with `read`. */
static enum sm_code one_score(void *out, sm_db_on_row *read, struct sm_store *store,
                              const char *sql, int64_t tenant, const char *value,
                              struct sm_err *err)
{
    struct sm_db *db;
    int64_t rows;
    enum sm_code code = sm_store_reader_take(&db, store, err);
    if (code != SM_OK)
        return code;
    code = sm_db_each(&rows, db, sql, SM_BIND(SM_INT("$tenant", tenant), SM_HEX("$value", value)),
                      read, out, err);
    sm_store_reader_give(store, db);
    if (code == SM_OK && rows == 0)
        code = sm_err_set(err, SM_NOT_FOUND, "no score %s", value);
    return code;
}

enum sm_code sm_store_score_line(char **out, struct sm_store *store, int64_t tenant, const char *id,
                                 struct sm_err *err)
{
    *out = NULL;
    return one_score(out, score_line, store,
                     "SELECT " SCORE_COLUMNS " FROM score WHERE id = $value AND "
                     "tenant_id = $tenant",
                     tenant, id, err);
}

enum sm_code sm_store_score_by_key(json_t **out, struct sm_store *store, int64_t tenant,
                                   const char *key, struct sm_err *err)
{
    *out = NULL;
    return one_score(out, score_json, store,
                     "SELECT " SCORE_COLUMNS " FROM score WHERE key = $value AND "
                     "tenant_id = $tenant",
                     tenant, key, err);
}

/* --- listing: an id begins with the time of creation, so the order of ids is that of time --- */

static const struct {
    const char *after, *order;
    bool by_time;
} orders[] = {
    [SM_ORDER_NEWEST] = {" AND id < $after_id", " ORDER BY id DESC", true},
    [SM_ORDER_OLDEST] = {" AND id > $after_id", " ORDER BY id", true},
    [SM_ORDER_HIGHEST] = {" AND (m, id) < ($after, $after_id)",
                          " AND m IS NOT NULL ORDER BY m DESC, id DESC", false},
    [SM_ORDER_LOWEST] = {" AND (m, id) > ($after, $after_id)", " AND m IS NOT NULL ORDER BY m, id",
                         false},
};

/* Scores of pairs without g have no m: the orders of m leave them out.
 *
 * A column inside an expression does not take part in the choice of an index. That forces the index
 * of the image, which has few scores, and, in order of time, an index that needs no sorting, in
 * spite of a bound of m. */
struct clauses {
    const char *pair, *min, *max;
};
static const struct clauses indexed = {" AND pair = $pair", " AND m >= $min", " AND m <= $max"};
static const struct clauses by_time = {" AND pair = $pair", " AND m + 0.0 >= $min",
                                       " AND m + 0.0 <= $max"};
static const struct clauses of_image = {" AND pair || '' = $pair", " AND m + 0.0 >= $min",
                                        " AND m + 0.0 <= $max"};

static void scores_sql(char *out, size_t out_bytes, const struct sm_score_filter *filter)
{
    const struct clauses *clauses = &indexed;
    if (filter->image_digest)
        clauses = &of_image;
    else if (orders[filter->order].by_time)
        clauses = &by_time;
    int length = snprintf(
        out, out_bytes,
        "SELECT " SCORE_COLUMNS
        ", m FROM score WHERE tenant_id = $tenant%s%s%s%s%s%s%s%s LIMIT $limit",
        filter->pair ? clauses->pair : "", filter->image_digest ? " AND image_digest = $image" : "",
        filter->has_since ? " AND id >= $since" : "", filter->has_until ? " AND id < $until" : "",
        filter->has_min ? clauses->min : "", filter->has_max ? clauses->max : "",
        filter->has_after ? orders[filter->order].after : "", orders[filter->order].order);
    assert(length > 0 && (size_t)length < out_bytes);
    (void)length;
}

struct collecting {
    struct sm_score_page page;
    const struct sm_score_filter *filter;
    FILE *text;
};

/* Appends a document to the page as text, without parsing it. The statement returns one row more
 * than the page holds; that row only shows that more rows follow. */
static enum sm_code collect_score(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    struct collecting *c = arg;
    struct sm_score_page *page = &c->page;
    char *line;
    page->more = page->count == c->filter->limit;
    if (page->more)
        return SM_OK;
    enum sm_code code = line_of_row(&line, q, 0, err);
    if (code != SM_OK)
        return code;
    fprintf(c->text, "%s%.*s", page->count ? "," : "", (int)strlen(line) - 1, line);
    free(line);
    char *id = page->ids[page->count++];
    sm_stmt_get_id(id, q, 0);
    page->last_value = orders[c->filter->order].by_time
                           ? (double)created_ms(q, 1, id)
                           : sm_stmt_get_double(q, SCORE_COLUMNS_COUNT);
    return SM_OK;
}

/* Runs the statement of scores_sql and collects its rows. */
static enum sm_code query_scores(struct collecting *c, struct sm_db *db, struct sm_err *err)
{
    const struct sm_score_filter *f = c->filter;
    bool by_value = f->has_after && !orders[f->order].by_time;
    char sql[600], since[SM_ID_BYTES], until[SM_ID_BYTES];
    sm_id_floor(since, f->since_ms);
    sm_id_floor(until, f->until_ms);
    scores_sql(sql, sizeof sql, f);
    return sm_db_each(NULL, db, sql,
                      SM_BIND(SM_INT("$tenant", f->tenant),
                              SM_TEXT(f->pair ? "$pair" : NULL, f->pair),
                              SM_HEX(f->image_digest ? "$image" : NULL, f->image_digest),
                              SM_HEX(f->has_since ? "$since" : NULL, since),
                              SM_HEX(f->has_until ? "$until" : NULL, until),
                              SM_DOUBLE(f->has_min ? "$min" : NULL, f->min),
                              SM_DOUBLE(f->has_max ? "$max" : NULL, f->max),
                              SM_DOUBLE(by_value ? "$after" : NULL, f->after_value),
                              SM_HEX(f->has_after ? "$after_id" : NULL, f->after_id),
                              SM_INT("$limit", f->limit + 1)),
                      collect_score, c, err);
}

enum sm_code sm_store_scores(struct sm_score_page *out, struct sm_store *store,
                             const struct sm_score_filter *filter, struct sm_err *err)
{
    struct collecting c = {.filter = filter};
    struct sm_db *db;
    size_t bytes_count;
    assert(filter->limit >= 1 && filter->limit <= SM_SCORES_LIMIT_MAX);
    *out = (struct sm_score_page){0};
    enum sm_code code = sm_store_reader_take(&db, store, err);
    if (code != SM_OK)
        return code;
    c.text = open_memstream(&c.page.scores, &bytes_count);
    if (c.text) {
        fputc('[', c.text);
        code = query_scores(&c, db, err);
        fputc(']', c.text);
    }
    sm_store_reader_give(store, db);
    if (!c.text || fclose(c.text) != 0)
        code = sm_err_set(err, SM_NOMEM, "page of scores: out of memory");
    if (code != SM_OK)
        free(c.page.scores);
    else
        *out = c.page;
    return code;
}

/* --- jobs --- */

static const char job_sql[] =
    "SELECT state, pair, recipe_digest, created_ms, started_ms, finished_ms, "
    "NULLIF(request, ''), NULLIF(trace, '') FROM job WHERE id = $id AND tenant_id = $tenant";

static const char items_sql[] =
    "SELECT item.idx, item.state, item.name, item.image_digest, item.from_history, "
    "item.error_code, item.error_detail, item.erased_ms, " SCORE_COLUMNS
    " FROM item LEFT JOIN score ON score.id = item.score_id "
    "WHERE item.job_id = $id ORDER BY item.idx";

static json_t *optional_time(const struct sm_stmt *q, int column)
{
    return sm_stmt_is_null(q, column) ? json_null() : time_json(sm_stmt_get_int(q, column));
}

static enum sm_code item_of_row(json_t **out, const struct sm_stmt *q, struct sm_err *err)
{
    json_t *score = NULL, *error = NULL;
    char image[65];
    sm_stmt_get_digest(image, q, 3);
    if (!sm_stmt_is_null(q, 8)) {
        enum sm_code code = score_of_row(&score, q, 8, err);
        if (code != SM_OK)
            return code;
    }
    if (!sm_stmt_is_null(q, 5))
        error = json_pack("{s:s, s:s}", "code", sm_stmt_get_text(q, 5), "detail",
                          sm_stmt_get_text(q, 6));
    json_t *erased = sm_stmt_is_null(q, 7) ? NULL : time_json(sm_stmt_get_int(q, 7));
    *out = json_pack("{s:I, s:s, s:s, s:s*, s:o*, s:b, s:o*, s:o*}", "index",
                     (json_int_t)sm_stmt_get_int(q, 0), "state", sm_stmt_get_text(q, 1), "name",
                     sm_stmt_get_text(q, 2), "image", image[0] ? image : NULL, "score", score,
                     "from_history", (int)sm_stmt_get_int(q, 4), "error", error, "erased", erased);
    return *out ? SM_OK : sm_err_set(err, SM_NOMEM, "item of a job: out of memory");
}

/* A job that is being read. */
struct reading {
    const char *id;
    json_t *job, *items;
    int counts[SM_STATES_COUNT + 1]; /* of items by state; the last: of an unknown state */
};

static enum sm_code append_item(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    struct reading *r = arg;
    json_t *item;
    enum sm_code code = item_of_row(&item, q, err);
    if (code == SM_OK && json_array_append_new(r->items, item) != 0)
        code = sm_err_set(err, SM_NOMEM, "items of job %s: out of memory", r->id);
    if (code == SM_OK)
        r->counts[sm_state_parse(sm_stmt_get_text(q, 1))]++;
    return code;
}

static enum sm_code job_of_row(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    struct reading *r = arg;
    char recipe[65];
    sm_stmt_get_digest(recipe, q, 2);
    r->job = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:s*, s:s*}", "id", r->id, "state",
                       sm_stmt_get_text(q, 0), "pair", sm_stmt_get_text(q, 1), "recipe", recipe,
                       "created", time_json(sm_stmt_get_int(q, 3)), "started", optional_time(q, 4),
                       "finished", optional_time(q, 5), "request_id", sm_stmt_get_text(q, 6),
                       "trace_id", sm_stmt_get_text(q, 7));
    return r->job ? SM_OK : sm_err_set(err, SM_NOMEM, "job %s: out of memory", r->id);
}

static enum sm_code read_job(struct reading *r, struct sm_db *db, int64_t tenant,
                             struct sm_err *err)
{
    int64_t rows;
    enum sm_code code =
        sm_db_each(&rows, db, job_sql, SM_BIND(SM_HEX("$id", r->id), SM_INT("$tenant", tenant)),
                   job_of_row, r, err);
    if (code == SM_OK && rows == 0)
        code = sm_err_set(err, SM_NOT_FOUND, "no job with id %s", r->id);
    if (code == SM_OK)
        code = sm_db_each(NULL, db, items_sql, SM_BIND(SM_HEX("$id", r->id)), append_item, r, err);
    return code;
}

static enum sm_code add_items(struct reading *r, struct sm_err *err)
{
    json_t *rest = json_pack("{s:i, s:i, s:i, s:O}", "items_count", (int)json_array_size(r->items),
                             "succeeded_count", r->counts[SM_STATE_SUCCEEDED], "failed_count",
                             r->counts[SM_STATE_FAILED], "items", r->items);
    bool added = rest && json_object_update(r->job, rest) == 0;
    json_decref(rest);
    return added ? SM_OK : sm_err_set(err, SM_NOMEM, "job %s: out of memory", r->id);
}

/* Reads job and items in one snapshot, so that the job's state agrees with its items. */
enum sm_code sm_store_job(json_t **out, struct sm_store *store, int64_t tenant, const char *id,
                          struct sm_err *err)
{
    struct reading r = {.id = id};
    struct sm_db *db;
    *out = NULL;
    enum sm_code code = sm_store_reader_take(&db, store, err);
    if (code != SM_OK)
        return code;
    r.items = json_array();
    code = sm_db_exec(db, "BEGIN", err);
    if (code == SM_OK)
        code = read_job(&r, db, tenant, err);
    sm_db_rollback(db);
    sm_store_reader_give(store, db);
    if (code == SM_OK)
        code = add_items(&r, err);
    json_decref(r.items);
    if (code == SM_OK)
        *out = r.job;
    else
        json_decref(r.job);
    return code;
}
