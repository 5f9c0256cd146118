/* No statement of the store's usual paths reads a whole table or sorts: each that was prepared while
 * the store did everything once is shown to the database for its plan. */
#include "server/base/clock.h"
#include "server/store/audits_impl.h"
#include "server/store/audits_shards.h"
#include "server/store/claim.h"
#include "server/store/erase.h"
#include "server/store/expire.h"
#include "tests/unit/server/store/audit_fixture.h"

/* A walk along an index that holds only what is wanted, or that a LIMIT ends. */
static const struct {
    const char *statement, *line;
} walks[] = {
    {"SELECT id FROM job WHERE queued_count > 0", "SCAN job USING INDEX job_queued"},
    {"SELECT id, tenant_id FROM job WHERE queued_count > 0", "SCAN job USING INDEX job_queued"},
    {"SELECT id, tenant_id FROM job WHERE kind = 'audit'", "SCAN job USING INDEX job_audit"},
    {"SELECT id, tenant_id FROM job WHERE kind = 'audit'",
     "SCAN job USING COVERING INDEX job_audit"},
    {"SELECT id FROM job WHERE kind = 'audit'", "SCAN job USING INDEX job_audit"},
    {"SELECT id FROM job WHERE kind = 'audit'", "SCAN job USING COVERING INDEX job_audit"},
    {"SELECT COALESCE(SUM(queued_count)", "SCAN job USING INDEX job_queued"},
    {"SELECT job_id FROM audit ORDER BY job_id DESC LIMIT", "SCAN audit"},
    {"SELECT score.id", "SCAN score"},
    {"SELECT score.id", "SCAN score USING INDEX score_m"},
    /* The limit of a chunk is inside. */
    {"SELECT MAX(idx) FROM (", "SCAN chunk"},
    {"UPDATE item SET lease_until_ms", "SCAN item USING INDEX item_running"},
    {"SELECT version, name, sha256 FROM migration", "SCAN migration"},
};

/* All items of a job, one after the other: whoever wants all, or a page from an index on. */
static const char *const all_items[] = {
    "SELECT item.idx, item.state",  /* sm_store_job: at most some 64 */
    "SELECT item.idx, item.cohort", /* the record, and pages */
    "SELECT MAX(idx) FROM (SELECT idx FROM item WHERE job_id = $id" OF_TENANT " ORDER BY idx",
    "DELETE FROM job",                     /* has none any more */
    "DELETE FROM item WHERE job_id = $id", /* of a plain job that expires */
};

static bool wants_all_items(const char *sql)
{
    for (size_t i = 0; i < sizeof all_items / sizeof *all_items; i++)
        if (strncmp(sql, all_items[i], strlen(all_items[i])) == 0)
            return true;
    return false;
}

static bool is_walk(const char *sql, const char *line)
{
    for (size_t i = 0; i < sizeof walks / sizeof *walks; i++)
        if (strncmp(sql, walks[i].statement, strlen(walks[i].statement)) == 0 &&
            strcmp(line, walks[i].line) == 0)
            return true;
    return false;
}

static int checked_count;

static void check_plan(struct sm_db *db, const char *sql)
{
    char explain[1200];
    struct sm_stmt *q;
    bool row;
    snprintf(explain, sizeof explain, "EXPLAIN QUERY PLAN %s", sql);
    assert_code(SM_OK, sm_db_query(&q, db, explain, &err));
    while (sm_stmt_step(q, &row, &err) == SM_OK && row) {
        const char *line = sm_stmt_get_text(q, 3);
        if ((strncmp(line, "SCAN", 4) == 0 && !is_walk(sql, line) &&
             strcmp(line, "SCAN CONSTANT ROW") != 0) ||
            strstr(line, "TEMP B-TREE") ||
            (strstr(line, "item USING PRIMARY KEY (job_id=?)") && !wants_all_items(sql)))
            fail_msg("%s: %s", sql, line);
    }
    sm_stmt_reset(q);
    checked_count++;
}

static void check_plans(const struct sm_db *of)
{
    struct sm_db *db;
    assert_code(SM_OK, sm_db_open(&db, scratch.db, SM_DB_READ, &err));
    for (int i = 0; i < SM_DB_STATEMENTS_MAX; i++)
        if (sm_db_statement(of, i))
            check_plan(db, sm_db_statement(of, i));
    sm_db_close(db);
}

/* After each step: a connection keeps its last SM_DB_STATEMENTS_MAX statements only. */
static void check_all(void)
{
    check_plans(store->write_db);
    for (int i = 0; i < store->readers_count; i++)
        check_plans(store->readers[i]);
}

/* Merges an audit with shards that are one. */
static void check_shards(const char *id)
{
    const struct sm_audit_source from = {store, *OWN(id), {.part = 0, .count = 1}};
    struct sm_audit_list list;
    char merged[SM_ID_BYTES];
    create_audit(merged, false);
    assert_code(SM_OK, sm_store_audit_list(&list, store, OWN(id), &err));
    assert_code(SM_OK, sm_store_audit_copy_list(store, OWN(merged), &from, &err));
    assert_code(SM_OK, sm_store_audit_copy_results(store, OWN(merged), &from, &err));
    check_all();
    assert_code(SM_OK, sm_store_audit_delete(store, OWN(merged), -1, &err));
    check_all();
}

static void no_statement_reads_a_whole_table(void **state)
{
    (void)state;
    char id[SM_ID_BYTES], score_id[SM_ID_BYTES], digest[65];
    struct sm_claim claim;
    json_t *document;
    bool finished;
    check_all(); /* of opening */
    add_score("alpha", 1, .5, score_id);
    check_all();
    create_audit(id, true);
    assert_code(SM_OK, add_images(id, SM_COHORT_SHARED, 0, 5));
    struct sm_store_audit_image_in bad = {
        .cohort = SM_COHORT_SHARED, .name = "x", .class_label = "", .group = ""};
    assert_code(SM_OK, add_failed(id, bad, SM_IO, "no such file"));
    assert_code(SM_OK, move(id, SM_AUDIT_START));
    check_all();
    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 0, &err));
    assert_code(SM_OK, finish(&claim, "w", "k", 1, score_id, &finished));
    sm_claim_free(&claim);
    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 0, &err));
    assert_code(SM_OK, fail_item(&claim, SM_CORRUPT, "broken"));
    sm_claim_free(&claim);
    assert_code(SM_OK, sm_store_claim(&claim, store, "lost", 0, &err));
    sm_claim_free(&claim);
    check_all();
    assert_code(SM_OK, sm_store_heartbeat(store, "w", &err));
    check_all();
    assert_code(SM_OK, sm_store_audit(&document, NULL, store, OWN(id), &err));
    json_decref(document);
    assert_true(revision_of(id) > 0);
    struct sm_store_audit_page audits;
    assert_code(SM_OK, sm_store_audits(&audits, store, SM_TENANT_DEFAULT, "", 5, &err));
    sm_store_audit_page_release(&audits);
    assert_code(SM_OK, sm_store_audits(&audits, store, SM_TENANT_DEFAULT, id, 5, &err));
    sm_store_audit_page_release(&audits);
    double spread;
    assert_code(SM_OK, sm_store_audit_spread(&spread, store, OWN(id), &err));
    struct sm_store_audit_scoring scoring;
    assert_code(SM_OK, sm_store_audit_scoring(&scoring, store, OWN(id), &err));
    json_decref(scoring.recipe);
    check_all();
    static const char *const states[] = {NULL, "queued", "running", "succeeded", "failed"};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        for (int cohort = -1; cohort < 2; cohort++) {
            struct sm_store_audit_items_page items;
            assert_code(SM_OK,
                        sm_store_audit_items(
                            &items, store, OWN(id),
                            &(struct sm_store_audit_items_filter){cohort, states[i], 0, 5}, &err));
            sm_store_audit_items_page_release(&items);
        }
    check_all();
    struct sm_store_audit_record record;
    assert_code(SM_OK, sm_store_audit_record(&record, store, OWN(id), &err));
    sm_store_audit_record_release(&record);
    check_shards(id);
    digest_of(digest, 1);
    for (int order = SM_ORDER_NEWEST; order <= SM_ORDER_LOWEST; order++)
        for (int bits = 0; bits < 4; bits++) {
            struct sm_score_page page;
            struct sm_score_filter filter = {.pair = bits & 1 ? "alpha" : NULL,
                                             .has_after = bits & 2,
                                             .order = (enum sm_order)order,
                                             .limit = 5};
            snprintf(filter.after_id, sizeof filter.after_id, "%s", id);
            assert_code(SM_OK, sm_store_scores(&page, store, &filter, &err));
            free(page.scores);
        }
    struct sm_score_page page;
    assert_code(SM_OK, sm_store_scores(
                           &page, store,
                           &(struct sm_score_filter){.image_digest = digest, .limit = 5}, &err));
    free(page.scores);
    check_all();
    char *line;
    assert_code(SM_OK, sm_store_score_line(&line, store, SM_TENANT_DEFAULT, score_id, &err));
    free(line);
    size_t bytes_count;
    assert_null(sm_store_audit_thumbnail(store, OWN(id), 0, &bytes_count));
    struct sm_erasure erasure = {.digest = digest};
    struct sm_erased erased;
    assert_code(SM_OK, sm_store_erase(&erased, store, &erasure, 1, &err));
    assert_true(erasure.items_count > 0);
    sm_erased_release(&erased);
    check_all();
    assert_code(SM_OK, move(id, SM_AUDIT_PAUSE));
    assert_code(SM_OK, sm_store_audit_delete(store, OWN(id), -1, &err));
    check_all();
    struct sm_expiry expiry = {.days = {1, 1, 1, 1}};
    assert_code(SM_OK, sm_store_expire(&finished, &expiry, store,
                                       sm_clock_unix_ms() + INT64_C(864000000), 1000, &err));
    check_all();
    assert_true(checked_count > 150);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(no_statement_reads_a_whole_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
