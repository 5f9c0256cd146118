/* What is left of audits in the store after a deletion, a crash and a restart. */
#include "tests/unit/server/store/audit_fixture.h"

static void deleting_leaves_what_others_have(void **state)
{
    (void)state;
    enum { COUNT = 1003 };
    char id[SM_ID_BYTES], shared[SM_ID_BYTES], score_id[SM_ID_BYTES], key[65];
    struct sm_claim claim;
    bool finished;
    size_t bytes_count;
    digest_of(key, 0);
    assert_code(SM_OK, admit(shared, "alpha", 0, 1));
    claim_one(&claim);
    assert_code(SM_OK, finish(&claim, "w", key, .5, score_id, &finished));
    sm_claim_free(&claim);
    create_audit(id, true);
    assert_code(SM_OK, add_images(id, SM_COHORT_SHARED, 0, COUNT));
    assert_code(SM_OK, move(id, SM_AUDIT_START));
    for (int i = 0; i < 3; i++)
        score_one(); /* the first is the plain job's score too */
    claim_one(&claim);
    assert_true(claim.keep_thumbnail);
    char again[SM_ID_BYTES];
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
                                       again, &finished, &err));
    json_decref(score);
    sm_claim_free(&claim);
    char *png = sm_store_audit_thumbnail(store, OWN(id), 3, &bytes_count);
    assert_int_equal(bytes_count, 3);
    assert_memory_equal(png, "PNG", 3);
    free(png);
    assert_null(sm_store_audit_thumbnail(store, OWN(id), 2, &bytes_count));
    assert_int_equal(read_int("SELECT COUNT(*) FROM score"), 4);
    assert_code(SM_CONFLICT, sm_store_audit_delete(store, OWN(id), -1, &err));
    check_refusal(id, "is running, it must be paused, cancelled or finished to be deleted");

    claim_one(&claim); /* still at work when its audit goes */
    assert_code(SM_OK, move(id, SM_AUDIT_PAUSE));
    assert_code(SM_OK, sm_store_audit_delete(store, OWN(id), -1, &err));
    assert_code(SM_CONFLICT, finish(&claim, "w", "k", 1, again, &finished));
    sm_claim_free(&claim);
    assert_int_equal(read_int("SELECT COUNT(*) FROM score"), 1);
    assert_int_equal(read_int("SELECT COUNT(*) FROM item"), 1);
    assert_int_equal(read_int("SELECT COUNT(*) FROM image"), 0);
    assert_int_equal(read_int("SELECT COUNT(*) FROM thumbnail"), 0);
    assert_int_equal(read_int("SELECT COUNT(*) FROM job"), 1);
    assert_int_equal(read_int("SELECT COUNT(*) FROM audit_cohort"), 0);
    check_job(shared, "succeeded", 1, 0);
    check_counts();
    create_audit(id, false);
    assert_code(SM_OK, sm_store_audit_delete(store, OWN(id), -1, &err)); /* empty */
    assert_int_equal(revision_of(id), -1);
}

/* A crash between the first write of a cancellation or deletion and its last. */
static void a_restart_ends_what_was_begun(void **state)
{
    (void)state;
    char cancelled[SM_ID_BYTES], deleted[SM_ID_BYTES], kept[SM_ID_BYTES];
    struct sm_db *db;
    audit_in(cancelled, "open", 1);
    audit_in(deleted, "paused", 2);
    audit_in(kept, "running", 3);
    sm_store_close(store);
    assert_code(SM_OK, sm_db_open(&db, scratch.db, SM_DB_WRITE, &err));
    assert_code(SM_OK, sm_db_exec(db,
                                  "UPDATE job SET state = 'cancelled' WHERE state = 'open';"
                                  "DELETE FROM audit_cohort WHERE job_id IN "
                                  "(SELECT id FROM job WHERE state = 'paused');"
                                  "DELETE FROM audit WHERE job_id IN "
                                  "(SELECT id FROM job WHERE state = 'paused');",
                                  &err));
    sm_db_close(db);
    assert_code(SM_OK, sm_store_open(&store, scratch.db, &err));
    check_audit(cancelled, "cancelled", 0, 0, 0);
    check_audit(kept, "running", 1, 0, 0);
    assert_int_equal(read_int("SELECT COUNT(*) FROM job"), 2);
    assert_int_equal(read_int("SELECT COUNT(*) FROM item"), 2);
    assert_int_equal(read_int("SELECT COUNT(*) FROM image"), 1);
}

static void the_secret_is_made_once(void **state)
{
    (void)state;
    static const char sql[] = "SELECT COUNT(*) FROM secret WHERE length(key) = 32 AND "
                              "key <> zeroblob(32)";
    char id[SM_ID_BYTES];
    struct sm_store_audit_record before, after;
    assert_int_equal(read_int(sql), 1);
    create_audit(id, false);
    assert_code(SM_OK, sm_store_audit_record(&before, store, OWN(id), &err));
    reopen();
    assert_code(SM_OK, sm_store_audit_record(&after, store, OWN(id), &err));
    assert_memory_equal(before.digest_key, after.digest_key, 32);
    assert_ptr_equal(after.audit.digest_key, after.digest_key);
    sm_store_audit_record_release(&before);
    sm_store_audit_record_release(&after);
    assert_int_equal(read_int(sql), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(deleting_leaves_what_others_have),
        TEST(a_restart_ends_what_was_begun),
        TEST(the_secret_is_made_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
