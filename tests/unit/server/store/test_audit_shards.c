/* Shards of an audit in the store: each lists every image and scores its own; copies join them. */
#include "server/store/audits_shards.h"
#include "server/store/impl.h"
#include "tests/unit/server/store/audit_fixture.h"

enum { IMAGES = 7, SHARDS = 2, BAD = 3 };

/* Creates and starts shard `part`: IMAGES images, of which number BAD cannot be ingested. */
static void start_shard(struct sm_audit_source *out, int part)
{
    char id[SM_ID_BYTES], name[16];
    create_audit(id, false);
    *out = (struct sm_audit_source){store, *OWN(id), {.part = part, .count = SHARDS}};
    for (int i = 0; i < IMAGES; i++) {
        struct sm_store_audit_added added;
        struct sm_store_audit_image_in image = {.cohort = SM_COHORT_CANDIDATE,
                                                .name = name,
                                                .class_label = "c",
                                                .group = "",
                                                .cost_ms = 5,
                                                .path = "/x",
                                                .failed = i == BAD ? SM_IO : SM_OK,
                                                .failed_text = i == BAD ? "lost" : NULL};
        snprintf(name, sizeof name, "%d.png", i);
        digest_of(image.image_digest, i);
        assert_code(SM_OK, sm_store_audit_add(&added, store, OWN(id),
                                              &(struct sm_store_audit_intake){.images = &image,
                                                                              .images_count = 1,
                                                                              .items_max = IMAGES,
                                                                              .shard = out->shard},
                                              &err));
        assert_int_equal(added.added_count, 1);
    }
    check_counts();
    assert_code(SM_OK, move(id, SM_AUDIT_START));
}

static void start_both(struct sm_audit_source shards[SHARDS])
{
    start_shard(&shards[0], 0);
    check_audit(shards[0].audit.id, "running", 4, 0, 0); /* 0 2 4 6 */
    for (int i = 0; i < 4; i++)
        score_one();
    check_audit(shards[0].audit.id, "succeeded", 0, 4, 0);
    start_shard(&shards[1], 1);
    check_audit(shards[1].audit.id, "running", 2, 0, 1); /* 1 5, and BAD */
    score_one();
    check_audit(shards[1].audit.id, "running", 1, 1, 1);
}

static enum sm_code copy(const char *id, const struct sm_audit_source *from)
{
    return sm_store_audit_copy_results(store, OWN(id), from, &err);
}

static void shards_join(void **state)
{
    (void)state;
    struct sm_audit_source shards[SHARDS];
    struct sm_audit_list lists[SHARDS];
    struct sm_store_audit_record record;
    char id[SM_ID_BYTES];
    start_both(shards);
    score_one();
    check_audit(shards[1].audit.id, "succeeded", 0, 2, 1);
    for (int i = 0; i < SHARDS; i++)
        assert_code(SM_OK, sm_store_audit_list(&lists[i], store, &shards[i].audit, &err));
    assert_int_equal(lists[0].count, IMAGES);
    assert_string_equal(lists[0].digest, lists[1].digest);
    create_audit(id, false);
    assert_code(SM_OK, sm_store_audit_copy_list(store, OWN(id), &shards[0], &err));
    check_audit(id, "open", 0, 0, 0);
    assert_code(SM_OK, copy(id, &shards[1]));
    assert_code(SM_OK, copy(id, &shards[0]));
    check_audit(id, "open", 0, 6, 1);
    assert_code(SM_CONFLICT, copy(id, &shards[1]));
    assert_string_equal(err.text, "item 1 has its result already, or does not exist");
    check_audit(id, "open", 0, 6, 1);
    assert_code(SM_OK, move(id, SM_AUDIT_START));
    check_audit(id, "succeeded", 0, 6, 1);
    assert_code(SM_CONFLICT, copy(id, &shards[0]));
    check_refusal(id, "is succeeded, it must be open to take results");
    assert_code(SM_OK, sm_store_audit_record(&record, store, OWN(id), &err));
    assert_int_equal(record.audit.completeness.state, SM_COMPLETION_COMPLETE);
    assert_int_equal(record.audit.items_count, IMAGES);
    for (int i = 0; i < IMAGES; i++)
        assert_int_equal(record.audit.items[i].index, i);
    assert_string_equal(record.audit.items[BAD].error_detail, "lost");
    sm_store_audit_record_release(&record);
}

static void what_no_shard_has_stays_cancelled(void **state)
{
    (void)state;
    struct sm_audit_source shards[SHARDS];
    struct sm_store_audit_record record;
    char id[SM_ID_BYTES];
    start_both(shards); /* an image of shards[1] waits */
    create_audit(id, false);
    assert_code(SM_OK, sm_store_audit_copy_list(store, OWN(id), &shards[1], &err));
    assert_code(SM_OK, copy(id, &shards[1]));
    assert_code(SM_OK, move(id, SM_AUDIT_START));
    check_audit(id, "succeeded", 0, 1, 1);
    assert_code(SM_OK, sm_store_audit_record(&record, store, OWN(id), &err));
    assert_int_equal(record.audit.completeness.state, SM_COMPLETION_PARTIAL);
    assert_int_equal(record.audit.completeness.total, IMAGES);
    assert_int_equal(record.audit.items_count, 2);
    sm_store_audit_record_release(&record);
}

static void a_list_tells_every_difference(void **state)
{
    (void)state;
    static const char *const changes[] = {
        "name = 'other'", "class_label = ''",    "group_label = 'g'",
        "cohort = 0",     "image_digest = NULL", "name = '1.pngc', class_label = ''",
    };
    struct sm_audit_source shard;
    struct sm_audit_list list, other;
    start_shard(&shard, 0);
    assert_code(SM_OK, sm_store_audit_list(&list, store, &shard.audit, &err));
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char sql[160];
        struct sm_db *db;
        assert_code(SM_OK, sm_db_open(&db, scratch.db, SM_DB_WRITE, &err));
        snprintf(sql, sizeof sql, "UPDATE item SET %s WHERE idx = 1", changes[i]);
        assert_code(SM_OK, sm_db_begin(db, &err));
        assert_code(SM_OK, sm_db_exec(db, sql, &err));
        assert_code(SM_OK, sm_db_commit(db, &err));
        assert_code(SM_OK, sm_store_audit_list(&other, store, &shard.audit, &err));
        assert_string_not_equal(list.digest, other.digest);
        assert_code(SM_OK, sm_db_exec(db,
                                      "UPDATE item SET name = '1.png', class_label = 'c', "
                                      "group_label = '', cohort = 1, image_digest = (SELECT "
                                      "image_digest FROM item WHERE idx = 2) WHERE idx = 1",
                                      &err));
        sm_db_close(db);
        assert_code(SM_OK, sm_store_audit_list(&list, store, &shard.audit, &err));
    }
}

static void items_that_no_audit_stores(void **state)
{
    (void)state;
    static const char *const changes[] = {"cohort = 4", "cohort = -1", "name = ''",
                                          "class_label = NULL", "error_code = 'x'"};
    struct sm_audit_source shard;
    struct sm_audit_list list;
    start_shard(&shard, 0);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char sql[160], id[SM_ID_BYTES];
        struct sm_db *db;
        bool is_bad = i != 2;
        assert_code(SM_OK, sm_db_open(&db, scratch.db, SM_DB_WRITE, &err));
        snprintf(sql, sizeof sql, "UPDATE item SET %s WHERE idx = 1", changes[i]);
        assert_code(SM_OK, sm_db_exec(db, sql, &err));
        create_audit(id, false);
        assert_code(is_bad ? SM_CORRUPT : SM_OK,
                    sm_store_audit_list(&list, store, &shard.audit, &err));
        if (is_bad)
            assert_string_equal(err.text, "item 1 is not one of an audit");
        bool copies = !is_bad || strstr(changes[i], "error_code"); /* which a list has not */
        assert_code(copies ? SM_OK : SM_CORRUPT,
                    sm_store_audit_copy_list(store, OWN(id), &shard, &err));
        assert_code(SM_OK,
                    sm_db_exec(db,
                               "UPDATE item SET name = '1.png', class_label = 'c', cohort = 1, "
                               "error_code = NULL WHERE idx = 1",
                               &err));
        sm_db_close(db);
    }
}

static void change(const char *sql)
{
    struct sm_db *db;
    assert_code(SM_OK, sm_db_open(&db, scratch.db, SM_DB_WRITE, &err));
    assert_code(SM_OK, sm_db_exec(db, sql, &err));
    sm_db_close(db);
}

static void scores_that_no_audit_stores(void **state)
{
    (void)state;
    static const struct {
        const char *change, *text;
    } rows[] = {
        {"UPDATE score SET image_digest = randomblob(32)", "has the score of"},
        {"UPDATE score SET m = .75", "m is 0.75 in its row and 0.5 in the document of its score"},
        {"UPDATE score SET m = 9e999", "m is inf in its row and 0.5 in the document"},
        {"UPDATE score SET own = replace(own, '0.5', '1e999')", "its score has the number inf"},
        {"UPDATE score SET own = replace(own, '0.5', 'x')", "and nan in the document"},
    };
    struct sm_audit_source shard;
    struct sm_audit_list list;
    start_shard(&shard, 0);
    score_one();
    change("CREATE TABLE kept AS SELECT image_digest, own FROM score");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_code(SM_OK, sm_store_audit_list(&list, store, &shard.audit, &err));
        change(rows[i].change);
        if (sm_store_audit_list(&list, store, &shard.audit, &err) != SM_CORRUPT ||
            !strstr(err.text, "item 0") || !strstr(err.text, rows[i].text))
            fail_msg("%s: %s", rows[i].change, err.text);
        change("UPDATE score SET m = .5, image_digest = (SELECT image_digest FROM kept), "
               "own = (SELECT own FROM kept)");
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(shards_join),
        TEST(what_no_shard_has_stays_cancelled),
        TEST(a_list_tells_every_difference),
        TEST(items_that_no_audit_stores),
        TEST(scores_that_no_audit_stores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
