/* Retention: what goes and what stays, in bounded batches. */
#include "server/base/clock.h"
#include "server/store/expire.h"

#include "tests/unit/server/store/audit_fixture.h"

#define DAY_MS INT64_C(86400000)

static void expect_rows(int scores, int jobs, int items, int thumbnails, int audits)
{
    assert_int_equal(read_int("SELECT COUNT(*) FROM score"), scores);
    assert_int_equal(read_int("SELECT COUNT(*) FROM job WHERE kind = 'score'"), jobs);
    assert_int_equal(read_int("SELECT COUNT(*) FROM item"), items);
    assert_int_equal(read_int("SELECT COUNT(*) FROM thumbnail"), thumbnails);
    assert_int_equal(read_int("SELECT COUNT(*) FROM audit"), audits);
    check_counts();
}

/* A whole pass `days` from now; kinds are kept `keep` days, or for ever. */
static struct sm_expiry pass(int days, const int keep[SM_EXPIRES])
{
    struct sm_expiry expiry = {0};
    bool done = false;
    for (int i = 0; i < SM_EXPIRES; i++)
        expiry.days[i] = keep[i];
    assert_code(SM_OK, sm_store_expire(&done, &expiry, store, sm_clock_unix_ms() + days * DAY_MS,
                                       60000, &err));
    assert_true(done);
    return expiry;
}

static void score_next(void)
{
    struct sm_claim claim;
    char score_id[SM_ID_BYTES];
    bool finished;
    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
    json_t *score =
        json_pack("{s:s, s:s, s:f}", "image", claim.image_digest, "pair", claim.pair, "m", .5);
    struct sm_finish finish = {.job_id = claim.job_id,
                               .index = claim.index,
                               .owner = "w",
                               .score_key = key_of(claim.image_digest),
                               .score = score,
                               .m = .5,
                               .image_digest = claim.image_digest,
                               .thumbnail = claim.keep_thumbnail ? "png" : NULL,
                               .thumbnail_bytes = 3};
    assert_code(SM_OK, sm_store_finish(store, &finish, score_id, &finished, &err));
    json_decref(score);
    sm_claim_free(&claim);
}

static void make_audit(char id[SM_ID_BYTES], int first, int count, int scored)
{
    create_audit(id, true);
    assert_code(SM_OK, add_images(id, SM_COHORT_CANDIDATE, first, count));
    assert_code(SM_OK, move(id, SM_AUDIT_START));
    for (int i = 0; i < scored; i++)
        score_next();
}

/* Images 1, 2 by plain jobs; 2, 3 by an audit that has ended; 4 of an audit that still runs, and 5
 * of one that is paused. */
static void make_all(void)
{
    char id[SM_ID_BYTES];
    for (int k = 1; k <= 2; k++) {
        assert_code(SM_OK, admit(id, "alpha", k, 1));
        score_next();
    }
    make_audit(id, 2, 2, 2);
    make_audit(id, 4, 2, 1);
    assert_code(SM_OK, move(id, SM_AUDIT_PAUSE));
    make_audit(id, 6, 2, 1);
    expect_rows(5, 2, 8, 4, 3);
}

static void nothing_goes_before_its_time(void **state)
{
    (void)state;
    make_all();
    pass(10000, (const int[SM_EXPIRES]){0, 0, 0, 0});
    pass(9, (const int[SM_EXPIRES]){10, 10, 10, 10});
    expect_rows(5, 2, 8, 4, 3);
}

static void scores_that_no_audit_has(void **state)
{
    (void)state;
    make_all();
    struct sm_expiry got = pass(11, (const int[SM_EXPIRES]){[SM_EXPIRE_SCORES] = 10});
    assert_int_equal(got.counts[SM_EXPIRE_SCORES], 1);
    expect_rows(4, 2, 8, 4, 3);
    assert_int_equal(read_int("SELECT COUNT(*) FROM item WHERE score_id IS NULL AND "
                              "state = 'succeeded' AND image_digest IS NOT NULL"),
                     1);
    got = pass(12, (const int[SM_EXPIRES]){[SM_EXPIRE_SCORES] = 10});
    assert_int_equal(got.counts[SM_EXPIRE_SCORES], 0);
}

static void jobs_without_their_scores(void **state)
{
    (void)state;
    char waits[SM_ID_BYTES];
    make_all();
    assert_code(SM_OK, admit(waits, "alpha", 9, 1));
    struct sm_expiry got = pass(11, (const int[SM_EXPIRES]){[SM_EXPIRE_JOBS] = 10});
    assert_int_equal(got.counts[SM_EXPIRE_JOBS], 2);
    expect_rows(5, 1, 7, 4, 3);
    json_t *job;
    assert_code(SM_OK, sm_store_job(&job, store, SM_TENANT_DEFAULT, waits, &err));
    assert_string_equal(text_at(job, "state"), "queued");
    json_decref(job);
}

static void thumbnails_of_ended_audits(void **state)
{
    (void)state;
    make_all();
    struct sm_expiry got = pass(11, (const int[SM_EXPIRES]){[SM_EXPIRE_THUMBNAILS] = 10});
    assert_int_equal(got.counts[SM_EXPIRE_THUMBNAILS], 2);
    expect_rows(5, 2, 8, 2, 3);
}

static void ended_audits_whole(void **state)
{
    (void)state;
    make_all();
    struct sm_expiry got = pass(11, (const int[SM_EXPIRES]){[SM_EXPIRE_AUDITS] = 10});
    assert_int_equal(got.counts[SM_EXPIRE_AUDITS], 1);
    expect_rows(4, 2, 6, 2, 2); /* the score of image 2 is a plain job's too */
}

static void all_at_once(void **state)
{
    (void)state;
    make_all();
    pass(11, (const int[SM_EXPIRES]){10, 10, 10, 10});
    expect_rows(2, 0, 4, 2, 2); /* what the audits that have not ended have */
    score_next();
    expect_rows(3, 0, 4, 3, 2);
}

static enum sm_code run_many(struct sm_write *write, struct sm_db *db, struct sm_err *why)
{
    (void)write;
    return sm_db_exec(
        db,
        "INSERT INTO score (id, tenant_id, key, pair, image_digest, m, shape_id, own) "
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) "
        "SELECT CAST(zeroblob(8) || printf('%08d', i) AS BLOB), 0, "
        "CAST(printf('%032d', i) AS BLOB), 'alpha', zeroblob(32), 0, shape_id, own "
        "FROM n, (SELECT shape_id, own FROM score LIMIT 1)",
        why);
}

/* Also when the walk goes past scores that stay. */
static void in_bounded_batches(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    struct sm_expiry expiry = {.days = {[SM_EXPIRE_SCORES] = 10}};
    struct sm_write many = {.run = run_many};
    int64_t now_ms = sm_clock_unix_ms(), left = 1200, calls = 0;
    bool done = false;
    make_audit(id, 1, 1, 1);
    assert_code(SM_OK, sm_writer_call(store->writer, &many, &err));
    while (!done) {
        assert_code(SM_OK, sm_store_expire(&done, &expiry, store, now_ms, 0, &err));
        int64_t now = read_int("SELECT COUNT(*) FROM score") - 1;
        assert_in_range(left - now, 0, 500);
        left = now;
        calls++;
    }
    assert_int_equal(left, 0);
    assert_int_equal(calls, 3 + 3 + 1);
    assert_int_equal(expiry.counts[SM_EXPIRE_SCORES], 1200);
    expect_rows(1, 0, 1, 1, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(nothing_goes_before_its_time), TEST(scores_that_no_audit_has),
        TEST(jobs_without_their_scores),    TEST(thumbnails_of_ended_audits),
        TEST(ended_audits_whole),           TEST(all_at_once),
        TEST(in_bounded_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
