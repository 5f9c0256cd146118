/* Copies items from database to database, row by row and without parsing a score: a read
 * connection of the source gives the rows to a write of the target. A write takes the items of one
 * range of indexes, so memory stays bounded and a commit serves about CHUNK_ITEMS items. */
#include "server/store/audits_shards.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/sha256.h"
#include "server/store/audits_impl.h"

#define CHUNK_ITEMS 500

/* --- the list --- */

struct listing {
    struct sm_audit_list *list;
    struct sm_db *db;
    struct sm_shapes shapes;
    uint8_t digest[SM_SHA256_BYTES]; /* of all lines so far */
};

static const char *text_or_none(const char *text)
{
    return text ? text : "";
}

/* Makes the digest that of (digest so far, digest of the field), so no field runs into the next. */
static void add_field(struct listing *l, const char *text)
{
    uint8_t both[2 * SM_SHA256_BYTES];
    memcpy(both, l->digest, SM_SHA256_BYTES);
    sm_sha256(both + SM_SHA256_BYTES, text, strlen(text));
    sm_sha256(l->digest, both, sizeof both);
}

/* A database from elsewhere may hold what no audit stores; whoever reads the items next relies on
 * these checks. */
static enum sm_code check_item(const struct sm_stmt *q, struct sm_err *err)
{
    int64_t cohort = sm_stmt_get_int(q, 1);
    bool whole = cohort >= 0 && cohort < SM_COHORTS;
    for (int i = 2; i <= 4; i++)
        whole = whole && !sm_stmt_is_null(q, i);
    whole = whole && sm_stmt_is_null(q, 6) == sm_stmt_is_null(q, 7);
    return whole ? SM_OK
                 : sm_err_set(err, SM_CORRUPT, "item %lld is not one of an audit",
                              (long long)sm_stmt_get_int(q, 0));
}

/* Refuses a score of another image than its item, and one whose column m is not that of its
 * document: reports read the document, lists of scores the column. */
static enum sm_code check_score(struct listing *l, const struct sm_stmt *q, struct sm_err *err)
{
    const struct sm_shape *shape;
    double values[SM_NUMBERS], m = sm_stmt_is_null(q, 9) ? NAN : sm_stmt_get_double(q, 9);
    char item[65], score[65];
    long long index = (long long)sm_stmt_get_int(q, 0);
    sm_stmt_get_digest(item, q, 5);
    sm_stmt_get_digest(score, q, 8);
    if (strcmp(item, score) != 0)
        return sm_err_set(err, SM_CORRUPT,
                          "item %lld is image %.16s and has the score of image %.16s", index,
                          item[0] ? item : "none", score);
    enum sm_code code = sm_store_find_shape(&shape, &l->shapes, l->db, sm_stmt_get_int(q, 10), err);
    if (code != SM_OK)
        return code;
    sm_document_read(values, &shape->numbers, text_or_none(sm_stmt_get_text(q, 11)));
    for (int i = 0; i < SM_NUMBERS; i++)
        if (isinf(values[i]))
            return sm_err_set(err, SM_CORRUPT, "item %lld: its score has the number %g", index,
                              values[i]);
    bool has_m = isfinite(m), told = isfinite(values[SM_NUMBER_M]); /* neither without g */
    if (has_m != told || (has_m && m != values[SM_NUMBER_M]))
        return sm_err_set(err, SM_CORRUPT,
                          "item %lld: m is %.17g in its row and %.17g in the document of its score",
                          index, m, values[SM_NUMBER_M]);
    return SM_OK;
}

static enum sm_code list_item(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    struct listing *l = arg;
    char text[80], digest[65];
    enum sm_code code = check_item(q, err);
    if (code == SM_OK && !sm_stmt_is_null(q, 12))
        code = check_score(l, q, err);
    if (code != SM_OK)
        return code;
    sm_stmt_get_digest(digest, q, 5);
    snprintf(text, sizeof text, "%lld %lld", (long long)sm_stmt_get_int(q, 0),
             (long long)sm_stmt_get_int(q, 1));
    add_field(l, text);
    for (int i = 2; i <= 4; i++)
        add_field(l, sm_stmt_get_text(q, i));
    add_field(l, digest);
    l->list->count++;
    return SM_OK;
}

static enum sm_code read_list(void *out, struct sm_db *db, const void *audit, struct sm_err *err)
{
    ((struct listing *)out)->db = db;
    return sm_db_each(
        NULL, db,
        "SELECT item.idx, item.cohort, item.name, item.class_label, "
        "item.group_label, item.image_digest, item.error_code, item.error_detail, "
        "score.image_digest, score.m, score.shape_id, score.own, item.score_id FROM item "
        "LEFT JOIN score ON score.id = item.score_id "
        "WHERE item.job_id = $id" OF_TENANT " ORDER BY item.idx",
        SM_BIND(BIND_AUDIT((const struct sm_audit_id *)audit)), list_item, out, err);
}

enum sm_code sm_store_audit_list(struct sm_audit_list *out, struct sm_store *store,
                                 const struct sm_audit_id *audit, struct sm_err *err)
{
    struct listing l = {.list = out};
    *out = (struct sm_audit_list){0};
    enum sm_code code = sm_store_snapshot(&l, store, read_list, audit, err);
    sm_store_release_shapes(&l.shapes);
    if (code == SM_OK && out->count == 0)
        code = sm_store_no_audit(audit, err);
    sm_hex(out->digest, l.digest, sizeof l.digest);
    return code;
}

/* --- copies --- */

struct copying {
    struct sm_write write;
    const struct sm_audit_id *audit;
    const struct sm_audit_source *from;
    struct sm_db *from_db, *db;
    const char *sql; /* reads the rows of the source; binds $first and $end, which is excluded */
    sm_db_on_row *copy;
    bool own;           /* only the shard's own items: `sql` binds $part and $count too */
    int64_t first, end; /* indexes of this write */
    struct sm_cohort_change cohorts[SM_COHORTS];
    struct sm_job_change change;
};

static enum sm_code copy_listed(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    struct copying *c = arg;
    char digest[65];
    int64_t cost_ms = sm_stmt_get_int(q, 6);
    enum sm_code code = check_item(q, err);
    if (code != SM_OK)
        return code;
    sm_stmt_get_digest(digest, q, 5);
    c->cohorts[sm_stmt_get_int(q, 1)].items++;
    c->change.items++;
    c->change.cancelled++;
    c->change.cost_ms += cost_ms;
    return sm_db_change(
        NULL, c->db,
        "INSERT INTO item (job_id, idx, state, name, image_digest, cohort, class_label, "
        "group_label, cost_ms) VALUES ($job, $idx, 'cancelled', $name, $digest, $cohort, $class, "
        "$group, $cost)",
        SM_BIND(SM_HEX("$job", c->audit->id), SM_INT("$idx", sm_stmt_get_int(q, 0)),
                SM_TEXT("$name", sm_stmt_get_text(q, 2)),
                SM_HEX(digest[0] ? "$digest" : NULL, digest),
                SM_INT("$cohort", sm_stmt_get_int(q, 1)), SM_TEXT("$class", sm_stmt_get_text(q, 3)),
                SM_TEXT("$group", sm_stmt_get_text(q, 4)), SM_INT("$cost", cost_ms)),
        err);
}

/* Stores the score of the row unless the target has its key; `id` receives that of the target. */
static enum sm_code copy_score(char id[SM_ID_BYTES], const struct copying *c,
                               const struct sm_stmt *q, struct sm_err *err)
{
    char key[65], image[65], shape[65];
    int64_t shape_id, same_image = 0;
    double m = sm_stmt_get_double(q, 11), stored = 0;
    sm_stmt_get_id(id, q, 7);
    sm_stmt_get_digest(key, q, 8);
    sm_stmt_get_digest(image, q, 10);
    sm_stmt_get_digest(shape, q, 13);
    enum sm_code code =
        sm_store_put_shape(&shape_id, c->db, shape, text_or_none(sm_stmt_get_text(q, 14)), err);
    if (code == SM_OK)
        code = sm_db_change(
            NULL, c->db,
            "INSERT INTO score (id, tenant_id, key, pair, image_digest, m, shape_id, own) "
            "VALUES ($score, $tenant, $key, $pair, $image, $m, $shape, $own) "
            "ON CONFLICT (tenant_id, key) DO NOTHING",
            SM_BIND(SM_HEX("$score", id), SM_INT("$tenant", c->audit->tenant), SM_HEX("$key", key),
                    SM_TEXT("$pair", sm_stmt_get_text(q, 9)), SM_HEX("$image", image),
                    SM_DOUBLE(sm_stmt_is_null(q, 11) ? NULL : "$m", m), SM_INT("$shape", shape_id),
                    SM_TEXT("$own", sm_stmt_get_text(q, 12))),
            err);
    if (code == SM_OK)
        code = sm_db_row(
            NULL, c->db,
            "SELECT id, m, image_digest = $image FROM score WHERE key = $key AND tenant_id = "
            "$tenant",
            SM_BIND(SM_HEX("$key", key), SM_INT("$tenant", c->audit->tenant),
                    SM_HEX("$image", image)),
            SM_COLUMNS(SM_GET_ID(id), SM_GET_DOUBLE(&stored), SM_GET_INT(&same_image)), err);
    if (code == SM_OK && (stored != m || !same_image))
        code = sm_err_set(
            err, SM_CORRUPT, "item %lld: m is %.17g, and %.17g%s in another score of the same key",
            (long long)sm_stmt_get_int(q, 0), m, stored, same_image ? "" : ", of another image,");
    return code;
}

static enum sm_code copy_thumbnail(const struct copying *c, const struct sm_stmt *q,
                                   struct sm_err *err)
{
    size_t bytes_count;
    const void *png = sm_stmt_get_blob(q, 15, &bytes_count);
    return sm_db_change(NULL, c->db,
                        "INSERT INTO thumbnail (job_id, idx, png) VALUES ($job, $idx, $png)",
                        SM_BIND(SM_HEX("$job", c->audit->id), SM_INT("$idx", sm_stmt_get_int(q, 0)),
                                SM_BLOB("$png", png, bytes_count)),
                        err);
}

/* Counts the item in the audit and, if it failed, its error. */
static enum sm_code count_result(struct copying *c, const struct sm_stmt *q, bool failed,
                                 struct sm_err *err)
{
    struct sm_cohort_change *cohort = &c->cohorts[sm_stmt_get_int(q, 1)];
    cohort->failed += failed;
    cohort->succeeded += !failed;
    c->change.failed += failed;
    c->change.succeeded += !failed;
    c->change.cancelled--;
    c->change.done_cost_ms += sm_stmt_get_int(q, 3);
    return failed ? sm_store_count_failure(c->db, c->audit->id, sm_stmt_get_text(q, 5), err)
                  : SM_OK;
}

static enum sm_code copy_result(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    struct copying *c = arg;
    char score_id[SM_ID_BYTES] = "";
    int64_t cohort = sm_stmt_get_int(q, 1), changes = 0;
    size_t pixels_bytes;
    const void *pixels = sm_stmt_get_blob(q, 16, &pixels_bytes);
    bool failed = !sm_stmt_is_null(q, 5);
    if (cohort < 0 || cohort >= SM_COHORTS || failed == !sm_stmt_is_null(q, 7))
        return sm_err_set(err, SM_CORRUPT, "item %lld is not one of an audit",
                          (long long)sm_stmt_get_int(q, 0));
    enum sm_code code = failed ? SM_OK : copy_score(score_id, c, q, err);
    if (code == SM_OK)
        code = sm_db_change(
            &changes, c->db,
            "UPDATE item SET state = $state, score_id = $score, from_history = $history, "
            "error_code = $code, error_detail = $detail, pixels = $pixels WHERE job_id = $id AND "
            "idx = $idx AND "
            "state = 'cancelled'" OF_TENANT,
            SM_BIND(BIND_AUDIT(c->audit), SM_INT("$idx", sm_stmt_get_int(q, 0)),
                    SM_TEXT("$state", sm_state_name(failed ? SM_STATE_FAILED : SM_STATE_SUCCEEDED)),
                    SM_HEX(failed ? NULL : "$score", score_id),
                    SM_INT("$history", sm_stmt_get_int(q, 4)),
                    SM_TEXT("$code", sm_stmt_get_text(q, 5)),
                    SM_TEXT("$detail", sm_stmt_get_text(q, 6)),
                    SM_BLOB(pixels ? "$pixels" : NULL, pixels, pixels_bytes)),
            err);
    if (code == SM_OK && changes == 0)
        code = sm_err_set(err, SM_CONFLICT, "item %lld has its result already, or does not exist",
                          (long long)sm_stmt_get_int(q, 0));
    if (code == SM_OK && !sm_stmt_is_null(q, 15))
        code = copy_thumbnail(c, q, err);
    return code == SM_OK ? count_result(c, q, failed, err) : code;
}

static enum sm_code run_copy(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    struct copying *c = (struct copying *)write;
    const struct sm_shard *shard = &c->from->shard;
    struct sm_job_row job;
    enum sm_code code = sm_store_audit_row(&job, db, c->audit, err);
    if (code == SM_OK && job.state != SM_STATE_OPEN)
        code = sm_err_set(err, SM_CONFLICT, "audit %s is %s, it must be open to take results",
                          c->audit->id, sm_state_name(job.state));
    if (code != SM_OK)
        return code;
    c->db = db;
    memset(c->cohorts, 0, sizeof c->cohorts);
    c->change = (struct sm_job_change){0};
    code = sm_db_each(NULL, c->from_db, c->sql,
                      SM_BIND(BIND_AUDIT(&c->from->audit), SM_INT("$first", c->first),
                              SM_INT("$end", c->end), SM_INT(c->own ? "$part" : NULL, shard->part),
                              SM_INT(c->own ? "$count" : NULL, shard->count)),
                      c->copy, c, err);
    for (int i = 0; i < SM_COHORTS && code == SM_OK; i++)
        if (c->cohorts[i].items + c->cohorts[i].succeeded + c->cohorts[i].failed > 0)
            code = sm_store_count_cohort(db, c->audit->id, i, &c->cohorts[i], err);
    return code == SM_OK ? sm_store_change_job(&job, db, c->audit->id, &c->change, err) : code;
}

/* Runs a write for each range of indexes of the source; `step` indexes give about CHUNK_ITEMS rows.
 */
static enum sm_code copy_all(struct sm_store *store, struct copying *c, int64_t step,
                             struct sm_err *err)
{
    struct sm_job_row job;
    enum sm_code code = sm_store_reader_take(&c->from_db, c->from->store, err);
    if (code != SM_OK)
        return code;
    c->write.run = run_copy;
    code = sm_store_audit_row(&job, c->from_db, &c->from->audit, err);
    for (c->first = 0; code == SM_OK && c->first < job.items_count; c->first = c->end) {
        c->end = c->first + step;
        c->write.growth_bytes = sm_store_growth(CHUNK_ITEMS, 0);
        code = sm_writer_call(store->writer, &c->write, err);
    }
    sm_store_reader_give(c->from->store, c->from_db);
    return code;
}

enum sm_code sm_store_audit_copy_list(struct sm_store *store, const struct sm_audit_id *audit,
                                      const struct sm_audit_source *from, struct sm_err *err)
{
    static const char sql[] =
        "SELECT item.idx, item.cohort, item.name, item.class_label, item.group_label, "
        "item.image_digest, item.cost_ms, item.cost_ms FROM item WHERE item.job_id = $id AND "
        "item.idx >= $first AND item.idx < $end" OF_TENANT " ORDER BY item.idx";
    struct copying c = {.audit = audit, .from = from, .sql = sql, .copy = copy_listed};
    return copy_all(store, &c, CHUNK_ITEMS, err);
}

enum sm_code sm_store_audit_copy_results(struct sm_store *store, const struct sm_audit_id *audit,
                                         const struct sm_audit_source *from, struct sm_err *err)
{
    static const char sql[] =
        "SELECT item.idx, item.cohort, item.state, item.cost_ms, item.from_history, "
        "item.error_code, item.error_detail, score.id, score.key, score.pair, "
        "score.image_digest, score.m, score.own, shape.digest, shape.body, thumbnail.png, "
        "item.pixels "
        "FROM item LEFT JOIN score ON score.id = item.score_id "
        "LEFT JOIN shape ON shape.id = score.shape_id "
        "LEFT JOIN thumbnail ON thumbnail.job_id = item.job_id AND thumbnail.idx = item.idx "
        "WHERE item.job_id = $id AND item.idx >= $first AND item.idx < $end AND "
        "item.idx % $count = $part AND item.state IN ('succeeded', 'failed')" OF_TENANT
        " ORDER BY item.idx";
    struct copying c = {.audit = audit, .from = from, .sql = sql, .copy = copy_result, .own = true};
    return copy_all(store, &c, CHUNK_ITEMS * from->shard.count, err);
}
