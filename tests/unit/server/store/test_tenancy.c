/* Every call of the store about an audit, made for another tenant: SM_NOT_FOUND or nothing, and not
 * a byte of the database changes. The prototypes of the headers say which calls there are, so a new
 * one without a row here fails; and every statement about an audit must have its tenant. */
#include "core/base/file.h"
#include "server/store/audits_impl.h"
#include "server/store/audits_shards.h"
#include "tests/unit/server/store/audit_fixture.h"

enum { OTHER = 1 };

/* --- calls; SM_NOT_FOUND also for an empty answer --- */

static enum sm_code call_create(const struct sm_audit_id *audit)
{
    json_t *document = json_pack("{s:s}", "name", "n");
    struct sm_store_audit_in in = {.audit = *audit,
                                   .pair = "alpha",
                                   .recipe = document,
                                   .pair_document = document,
                                   .spec = document};
    memset(in.recipe_digest, 'a', 64);
    enum sm_code code = sm_store_audit_create(store, &in, &err);
    json_decref(document);
    return code;
}

static enum sm_code call_add(const struct sm_audit_id *audit)
{
    struct sm_store_audit_added added;
    struct sm_store_audit_image_in image = {.cohort = SM_COHORT_SHARED,
                                            .name = "new",
                                            .class_label = "",
                                            .group = "",
                                            .bytes = "new",
                                            .bytes_count = 3};
    digest_of(image.image_digest, 99);
    return sm_store_audit_add(
        &added, store, audit,
        &(struct sm_store_audit_intake){.images = &image, .images_count = 1, .items_max = MANY},
        &err);
}

static enum sm_code call_scoring(const struct sm_audit_id *audit)
{
    struct sm_store_audit_scoring scoring;
    enum sm_code code = sm_store_audit_scoring(&scoring, store, audit, &err);
    json_decref(scoring.recipe);
    return code;
}

static enum sm_code call_move(const struct sm_audit_id *audit)
{
    return sm_store_audit_move(store, audit, SM_AUDIT_START, NULL, &err);
}

static enum sm_code call_order(const struct sm_audit_id *audit)
{
    return sm_store_audit_order(store, audit,
                                &(struct sm_store_audit_order){.move = SM_AUDIT_CANCEL}, &err);
}

static enum sm_code call_delete(const struct sm_audit_id *audit)
{
    return sm_store_audit_delete(store, audit, -1, &err);
}

static enum sm_code call_head(const struct sm_audit_id *audit)
{
    struct sm_audit_head head;
    enum sm_code code = sm_store_audit_head(&head, store, audit, &err);
    assert_true(code != SM_OK || (head.state == SM_STATE_SUCCEEDED && head.finished));
    return code;
}

static enum sm_code call_audit(const struct sm_audit_id *audit)
{
    json_t *document;
    struct sm_audit_head head = {0}, same;
    enum sm_code code = sm_store_audit(&document, &head, store, audit, &err);
    if (code == SM_OK) { /* the same by both ways */
        assert_code(SM_OK, sm_store_audit_head(&same, store, audit, &err));
        assert_memory_equal(&same.audit, &head.audit, sizeof same.audit);
        assert_string_equal(same.pair, head.pair);
        assert_int_equal(same.revision, head.revision);
        assert_int_equal(same.state, head.state);
        assert_int_equal(same.finished, head.finished);
        assert_int_equal(same.done_count, head.done_count);
        assert_int_equal(same.cost_ms, head.cost_ms);
        assert_int_equal(same.done_cost_ms, head.done_cost_ms);
        assert_int_equal(head.done_count, 1);
    }
    json_decref(document);
    return code;
}

static enum sm_code call_audits(const struct sm_audit_id *audit)
{
    struct sm_store_audit_page page;
    enum sm_code code = sm_store_audits(&page, store, audit->tenant, "", 5, &err);
    int count = page.count;
    sm_store_audit_page_release(&page);
    return code == SM_OK && count == 0 ? SM_NOT_FOUND : code;
}

static enum sm_code call_spread(const struct sm_audit_id *audit)
{
    double sd;
    return sm_store_audit_spread(&sd, store, audit, &err);
}

static enum sm_code call_items(const struct sm_audit_id *audit)
{
    struct sm_store_audit_items_page page;
    const struct sm_store_audit_items_filter all = {-1, NULL, -1, 5};
    enum sm_code code = sm_store_audit_items(&page, store, audit, &all, &err);
    sm_store_audit_items_page_release(&page);
    return code;
}

static enum sm_code call_record(const struct sm_audit_id *audit)
{
    struct sm_store_audit_record record;
    enum sm_code code = sm_store_audit_record(&record, store, audit, &err);
    if (code == SM_OK)
        sm_store_audit_record_release(&record);
    return code;
}

static enum sm_code call_thumbnail(const struct sm_audit_id *audit)
{
    size_t bytes_count;
    void *png = sm_store_audit_thumbnail(store, audit, 0, &bytes_count);
    free(png);
    return png ? SM_OK : SM_NOT_FOUND;
}

static enum sm_code call_list(const struct sm_audit_id *audit)
{
    struct sm_audit_list list;
    return sm_store_audit_list(&list, store, audit, &err);
}

/* Into itself: its own list is there already. */
static enum sm_code call_copy_list(const struct sm_audit_id *audit)
{
    const struct sm_audit_source from = {store, owned_by(SM_TENANT_DEFAULT, audit->id).at[0], {0}};
    return sm_store_audit_copy_list(store, audit, &from, &err);
}

static enum sm_code call_copy_results(const struct sm_audit_id *audit)
{
    const struct sm_audit_source from = {
        store, owned_by(SM_TENANT_DEFAULT, audit->id).at[0], {.part = 0, .count = 1}};
    return sm_store_audit_copy_results(store, audit, &from, &err);
}

/* --- statements --- */

static int checked_count;

static bool selects_by_id(const char *sql)
{
    while ((sql = strstr(sql, "= $id")))
        if (*(sql += strlen("= $id")) != 'x')
            return true;
    return false;
}

/* Every statement about job $id has the tenant, but those of jobs.c: they are steps of workers,
 * which serve all tenants, and of writes that have read the audit's row. */
static void check_statement(const char *sql)
{
    static const char *const others[] = {
        "SELECT kind, state, items_count",
        "UPDATE job SET revision = revision + 1, items_count",
        "UPDATE job SET state = $to",
    };
    if (!selects_by_id(sql))
        return;
    checked_count++;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strncmp(sql, others[i], strlen(others[i])) == 0)
            return;
    if (!strstr(sql, "$tenant"))
        fail_msg("no tenant: %s", sql);
}

static void check_statements(const struct sm_db *db)
{
    for (int i = 0; i < SM_DB_STATEMENTS_MAX; i++)
        if (sm_db_statement(db, i))
            check_statement(sm_db_statement(db, i));
}

/* A connection keeps its last statements only: checked after each call. */
static void check_all_statements(void)
{
    check_statements(store->write_db);
    for (int i = 0; i < store->readers_count; i++)
        check_statements(store->readers[i]);
}

/* --- steps inside a transaction --- */

typedef enum sm_code step(struct sm_db *db, const struct sm_audit_id *audit);

static struct sm_db *steps_db; /* opening it may write, so it is opened before all calls */

static enum sm_code in_transaction(step *run, const struct sm_audit_id *audit)
{
    assert_code(SM_OK, sm_db_begin(steps_db, &err));
    enum sm_code code = run(steps_db, audit);
    check_statements(steps_db);
    if (code == SM_OK)
        assert_code(SM_OK, sm_db_commit(steps_db, &err));
    sm_db_rollback(steps_db);
    return code;
}

static enum sm_code pass(void *arg, const struct sm_stmt *row, struct sm_err *why)
{
    (void)arg, (void)row, (void)why;
    return SM_OK;
}

static enum sm_code step_query(struct sm_db *db, const struct sm_audit_id *audit)
{
    return sm_store_audit_query(db, "SELECT 1 FROM audit WHERE job_id = $id" OF_TENANT, audit, pass,
                                NULL, &err);
}

static enum sm_code step_row(struct sm_db *db, const struct sm_audit_id *audit)
{
    struct sm_job_row job;
    return sm_store_audit_row(&job, db, audit, &err);
}

static enum sm_code step_document(struct sm_db *db, const struct sm_audit_id *audit)
{
    json_t *document;
    enum sm_code code = sm_store_audit_document(&document, NULL, db, audit, &err);
    json_decref(document);
    return code;
}

static enum sm_code step_hide(struct sm_db *db, const struct sm_audit_id *audit)
{
    return sm_store_audit_hide(db, audit, -1, &err);
}

static enum sm_code step_chunk(struct sm_db *db, const struct sm_audit_id *audit)
{
    bool more;
    enum sm_code code = sm_store_audit_delete_chunk(&more, db, audit, &err);
    return code == SM_OK && !more ? SM_NOT_FOUND : code;
}

static enum sm_code call_query(const struct sm_audit_id *audit)
{
    return in_transaction(step_query, audit);
}

static enum sm_code call_row(const struct sm_audit_id *audit)
{
    return in_transaction(step_row, audit);
}

static enum sm_code call_document(const struct sm_audit_id *audit)
{
    return in_transaction(step_document, audit);
}

static enum sm_code call_hide(const struct sm_audit_id *audit)
{
    return in_transaction(step_hide, audit);
}

static enum sm_code call_chunk(const struct sm_audit_id *audit)
{
    return in_transaction(step_chunk, audit);
}

/* --- the table --- */

static const struct {
    const char *name;
    enum sm_code (*call)(const struct sm_audit_id *audit); /* NULL: not about one audit */
    const char *state;                                     /* of the audit that it is called for */
    enum sm_code other, own;
} rows[] = {
    /* The id is taken: by its own tenant and by another. */
    {"sm_store_audit_create", call_create, "open", SM_INTERNAL, SM_INTERNAL},
    {"sm_store_audit_add", call_add, "open", SM_NOT_FOUND, SM_OK},
    {"sm_store_audit_scoring", call_scoring, "open", SM_NOT_FOUND, SM_OK},
    {"sm_store_audit_move", call_move, "open", SM_NOT_FOUND, SM_OK},
    {"sm_store_audit_order", call_order, "paused", SM_NOT_FOUND, SM_OK},
    {"sm_store_audit_delete", call_delete, "succeeded", SM_NOT_FOUND, SM_OK},
    {"sm_store_audit_head", call_head, "succeeded", SM_NOT_FOUND, SM_OK},
    {"sm_store_audit", call_audit, "succeeded", SM_NOT_FOUND, SM_OK},
    {"sm_store_audits", call_audits, "open", SM_NOT_FOUND, SM_OK},
    {"sm_store_audit_spread", call_spread, "open", SM_NOT_FOUND, SM_OK},
    {"sm_store_audit_items", call_items, "open", SM_NOT_FOUND, SM_OK},
    {"sm_store_audit_record", call_record, "open", SM_NOT_FOUND, SM_OK},
    {"sm_store_audit_thumbnail", call_thumbnail, "thumbnail", SM_NOT_FOUND, SM_OK},
    {"sm_store_audit_list", call_list, "open", SM_NOT_FOUND, SM_OK},
    {"sm_store_audit_copy_list", call_copy_list, "open", SM_NOT_FOUND, SM_INTERNAL},
    {"sm_store_audit_copy_results", call_copy_results, "open", SM_NOT_FOUND, SM_OK},
    {"sm_store_audit_query", call_query, "open", SM_NOT_FOUND, SM_OK},
    {"sm_store_audit_row", call_row, "open", SM_NOT_FOUND, SM_OK},
    {"sm_store_audit_document", call_document, "open", SM_NOT_FOUND, SM_OK},
    {"sm_store_audit_hide", call_hide, "open", SM_NOT_FOUND, SM_OK},
    {"sm_store_audit_delete_chunk", call_chunk, "open", SM_NOT_FOUND, SM_OK},
    {.name = "sm_store_set_digest_key"},
    {.name = "sm_store_find_shape"}, /* of a score that the caller has read */
    {.name = "sm_store_read"},       /* a type */
    {.name = "sm_store_snapshot"},
};

static void make_audit(char id[SM_ID_BYTES], const char *state, int image)
{
    if (strcmp(state, "thumbnail") != 0) {
        audit_in(id, state, image);
        return;
    }
    struct sm_claim claim;
    char score_id[SM_ID_BYTES];
    bool finished;
    create_audit(id, true);
    assert_code(SM_OK, add_images(id, SM_COHORT_SHARED, image, 1));
    assert_code(SM_OK, move(id, SM_AUDIT_START));
    claim_one(&claim);
    json_t *score = json_pack("{s:f}", "m", .25);
    assert_code(SM_OK, sm_store_finish(store,
                                       &(struct sm_finish){.job_id = id,
                                                           .index = claim.index,
                                                           .owner = "w",
                                                           .score_key = key_of("thumb"),
                                                           .score = score,
                                                           .image_digest = claim.image_digest,
                                                           .thumbnail = "PNG",
                                                           .thumbnail_bytes = 3},
                                       score_id, &finished, &err));
    json_decref(score);
    sm_claim_free(&claim);
}

/* SHA-256 of the database and its log. */
static void hash_database(char out[2][65])
{
    static const char *const suffixes[] = {"", "-wal"};
    for (int i = 0; i < 2; i++) {
        char path[320];
        struct sm_file file;
        snprintf(path, sizeof path, "%s%s", scratch.db, suffixes[i]);
        assert_code(SM_OK, sm_file_map(&file, path, INT64_MAX, &err));
        sm_sha256_hex(out[i], file.bytes, file.bytes_count);
        sm_file_release(&file);
    }
}

static void another_tenant_has_no_audit(void **state)
{
    (void)state;
    assert_code(SM_OK, sm_db_open(&steps_db, scratch.db, SM_DB_WRITE, &err));
    assert_code(SM_OK, sm_db_exec(steps_db, "INSERT INTO tenant (id, name) VALUES (1, 'b')", &err));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char id[SM_ID_BYTES], before[2][65], after[2][65];
        if (!rows[i].call)
            continue;
        make_audit(id, rows[i].state, (int)i);
        hash_database(before);
        enum sm_code code = rows[i].call(owned_by(OTHER, id).at);
        if (code != rows[i].other)
            fail_msg("%s of another tenant: %s", rows[i].name, sm_code_name(code));
        hash_database(after);
        if (memcmp(before, after, sizeof before) != 0)
            fail_msg("%s of another tenant changed the database", rows[i].name);
        code = rows[i].call(OWN(id));
        if (code != rows[i].own)
            fail_msg("%s: %s: %s", rows[i].name, sm_code_name(code), err.text);
        check_all_statements();
        if (revision_of(id) >= 0 && call_delete(OWN(id)) == SM_CONFLICT) {
            assert_code(SM_OK, move(id, SM_AUDIT_CANCEL));
            assert_code(SM_OK, call_delete(OWN(id)));
        }
        check_all_statements();
    }
    sm_db_close(steps_db);
    assert_true(checked_count > 100);
}

/* --- completeness of the table --- */

static bool has_row(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strlen(rows[i].name) == length && strncmp(rows[i].name, name, length) == 0)
            return true;
    return false;
}

/* Counts the functions of a header that get a store or a connection; each must have a row. */
static int check_header(const char *path)
{
    struct sm_file file;
    int count = 0;
    assert_code(SM_OK, sm_file_map(&file, path, INT64_MAX, &err));
    char *text = strndup((const char *)file.bytes, file.bytes_count);
    assert_non_null(text);
    sm_file_release(&file);
    for (char *at = text; (at = strstr(at, "sm_store_"));) {
        size_t name = strspn(at, "abcdefghijklmnopqrstuvwxyz_");
        size_t arguments = at[name] == '(' ? strcspn(at, ";") : 0;
        char *end = at + (arguments ? arguments : name), kept = *end;
        *end = '\0';
        if (arguments && (strstr(at, "struct sm_store *") || strstr(at, "struct sm_db *"))) {
            if (!has_row(at, name))
                fail_msg("%s declares %.*s, which has no row here", path, (int)name, at);
            count++;
        }
        *end = kept;
        at = end;
    }
    free(text);
    return count;
}

static void every_function_has_a_row(void **state)
{
    (void)state;
    assert_int_equal(check_header("server/store/audits.h") +
                         check_header("server/store/audits_impl.h") +
                         check_header("server/store/audits_shards.h"),
                     sizeof rows / sizeof *rows);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(another_tenant_has_no_audit),
        TEST(every_function_has_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
