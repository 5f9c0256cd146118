/* Commits: how many a score takes under load, and what a failing one leaves of the next item. */
#include "tests/unit/server/jobs/jobs_fixture.h"

#include "tests/unit/server/store/commits.h"

#define SCORES 12

static int setup_commits(void **state)
{
    count_commits();
    return setup_jobs(state);
}

static int teardown_commits(void **state)
{
    teardown_jobs(state);
    sm_metrics_stop();
    return 0;
}

/* Submits jobs of one image with different seeds while commits are held; the one worker then finds
 * all of them queued. */
static void submit_all(struct client clients[SCORES])
{
    hold_commits();
    for (int i = 0; i < SCORES; i++)
        assert_code(SM_OK, submit(&clients[i], "resnet", (uint64_t)i, &wide, 1));
    sem_post(&gate);
}

/* One commit admits all, and each of the others ends a score. */
static void a_score_takes_one_commit(void **state)
{
    (void)state;
    struct client clients[SCORES];
    int before = commits();
    start(1, SCORES);
    submit_all(clients);
    for (int i = 0; i < SCORES; i++)
        json_decref(complete(&clients[i]));
    int taken = commits() - before;
    stop();
    assert_in_range(taken, SCORES, SCORES + 3);
    assert_int_equal(read_int("SELECT COUNT(*) FROM score"), SCORES);
    assert_int_equal(read_int("SELECT MAX(attempt) FROM item"), 1);
}

static atomic_int breaks;

/* Leaves a row without its job: the commit fails after everything in it has run. */
static enum sm_code run_orphan(struct sm_write *write, struct sm_db *db, struct sm_err *why)
{
    (void)write;
    breaks++;
    return sm_db_exec(db,
                      "PRAGMA defer_foreign_keys = ON; INSERT INTO image (job_id, idx, bytes) "
                      "VALUES (zeroblob(16), 0, x'00')",
                      why);
}

/* Ends the transaction in the middle, as a disk does that fails. */
static enum sm_code run_rollback(struct sm_write *write, struct sm_db *db, struct sm_err *why)
{
    (void)write;
    breaks++;
    assert_code(SM_OK, sm_db_exec(db, "ROLLBACK", why));
    return sm_err_set(why, SM_IO, "the disk failed");
}

/* Scores while one commit fails between each two items, and returns the number of scores. */
static int64_t score_with(int workers, sm_write_run *run)
{
    struct client clients[SCORES];
    struct sm_write broken = {.run = run};
    struct sm_claim rest;
    breaks = 0;
    start(workers, SCORES);
    submit_all(clients);
    for (int i = 0; i < SCORES; i++)
        await(&clients[i], SM_TICKET_ADMITTED);
    for (int64_t left; (left = sm_store_queued_count(store)) > 0;) {
        assert_true(sm_writer_call(store->writer, &broken, NULL) != SM_OK);
        while (sm_store_queued_count(store) == left)
            usleep(500);
    }
    for (int i = 0; i < SCORES; i++)
        json_decref(complete(&clients[i]));
    stop();
    assert_true(breaks > 1);
    assert_int_equal(sm_store_queued_bytes(store), 0);
    assert_int_equal(sm_store_queued_cost_ms(store), 0);
    assert_code(SM_NOT_FOUND, sm_store_claim(&rest, store, "w", 0, &err));
    assert_int_equal(read_int("SELECT COUNT(*) FROM job WHERE state IN ('succeeded', 'failed')"),
                     SCORES);
    assert_int_equal(read_int("SELECT MAX(attempt) FROM item"), 1);
    return read_int("SELECT COUNT(*) FROM score");
}

/* A result that a failing disk refused is offered again. */
static void a_failing_disk_loses_and_repeats_nothing(void **state)
{
    (void)state;
    assert_int_equal(score_with(2, run_rollback), SCORES);
}

/* A result that the database refuses for good fails its item; the item after it was never claimed,
 * and is scored later. */
static void a_failing_commit_takes_no_other_item_with_it(void **state)
{
    (void)state;
    int64_t scores =
        score_with(1, run_orphan); /* with one worker, no commit fails twice in a row */
    assert_int_equal(scores + read_int("SELECT COUNT(*) FROM item WHERE state = 'failed'"), SCORES);
}

/* A stop at any moment leaves each item ended or queued, and no try counted. */
static void a_stopped_worker_holds_no_claim(void **state)
{
    (void)state;
    for (int round = 0; round < 8; round++) {
        struct client clients[SCORES];
        start(2, 8 * SCORES);
        submit_all(clients);
        await(&clients[round], SM_TICKET_FINISHED);
        for (int i = 0; i < SCORES; i++)
            sm_ticket_release(clients[i].ticket);
        stop();
        assert_int_equal(read_int("SELECT COUNT(*) FROM item WHERE state = 'running'"), 0);
        assert_int_equal(
            read_int("SELECT COALESCE(MAX(attempt), 0) FROM item WHERE state = 'queued'"), 0);
        assert_int_equal(read_int("SELECT COUNT(*) FROM item WHERE state = 'queued'"),
                         sm_store_queued_count(store));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_commits, teardown_commits)
    static const struct CMUnitTest tests[] = {
        TEST(a_score_takes_one_commit),
        TEST(a_failing_disk_loses_and_repeats_nothing),
        TEST(a_failing_commit_takes_no_other_item_with_it),
        TEST(a_stopped_worker_holds_no_claim),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
