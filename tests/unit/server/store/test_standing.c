/* Claims that stand: which item they get, in which transaction, and what a failure leaves. */
#include "tests/unit/server/store/fixture.h"

#include "server/store/claim.h"
#include "tests/unit/server/store/commits.h"

static struct sm_standing *next;
static sem_t woken;

static void wake(void *arg)
{
    (void)arg;
    sem_post(&woken);
}

static int setup_standing(void **state)
{
    count_commits();
    setup(state);
    sem_init(&woken, 0, 0);
    assert_code(SM_OK, sm_standing_new(&next, store, "w", wake, NULL, &err));
    return 0;
}

static int teardown_standing(void **state)
{
    sm_standing_free(next);
    next = NULL;
    teardown(state);
    sm_metrics_stop();
    return 0;
}

/* Finishes an item as failed, with a claim of the next one. */
static enum sm_code end_item(const struct sm_claim *claim, const char *owner)
{
    char score_id[SM_ID_BYTES];
    bool job_finished;
    return sm_store_finish(store,
                           &(struct sm_finish){.job_id = claim->job_id,
                                               .index = claim->index,
                                               .owner = owner,
                                               .error_code = SM_CORRUPT,
                                               .error_text = "broken",
                                               .next = next},
                           score_id, &job_finished, &err);
}

static void claim_first(struct sm_claim *claim)
{
    assert_code(SM_OK, sm_store_claim(claim, store, "w", 0, &err));
}

static void check_nothing_claimable(void)
{
    struct sm_claim claim;
    assert_code(SM_NOT_FOUND, sm_store_claim(&claim, store, "w", 0, &err));
}

/* The order of turns: the dear job was admitted before the cheap ones and comes after them. */
static void a_finish_claims_what_a_claim_would(void **state)
{
    (void)state;
    char dear[SM_ID_BYTES], ids[3][SM_ID_BYTES];
    struct sm_claim claim;
    assert_code(SM_OK, admit_costing(dear, "p", 0, 1, 100000));
    for (int i = 0; i < 3; i++)
        assert_code(SM_OK, admit_costing(ids[i], "p", 1 + 2 * i, 2, 1));
    claim_first(&claim);
    int before = commits();
    for (int i = 0; i < 7; i++) {
        assert_string_equal(claim.job_id, i < 6 ? ids[i / 2] : dear);
        assert_int_equal(claim.index, i < 6 ? i % 2 : 0);
        assert_int_equal(claim.attempt, 1);
        assert_true(claim.bytes_count > 0);
        assert_code(SM_OK, end_item(&claim, "w"));
        sm_claim_free(&claim);
        assert_code(i < 6 ? SM_OK : SM_NOT_FOUND, sm_standing_take(&claim, next, &err));
        assert_int_equal(sm_standing_kept(next), i < 6);
    }
    assert_int_equal(commits() - before, 7);
    assert_int_equal(sm_store_queued_count(store), 0);
    check_nothing_claimable();
}

/* An admission and the claim of a worker that waits for it are one commit. */
static void a_waiting_claim_is_served_by_the_admission(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    struct sm_claim claim;
    sm_standing_begin(next);
    int before = commits();
    assert_code(SM_OK, admit(id, "p", 0, 2));
    while (sem_wait(&woken) != 0)
        ;
    assert_code(SM_OK, sm_standing_take(&claim, next, &err));
    assert_true(sm_standing_kept(next));
    assert_int_equal(commits() - before, 1);
    assert_string_equal(claim.job_id, id);
    assert_int_equal(claim.index, 0);
    sm_claim_free(&claim);
    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 0, &err));
    assert_int_equal(claim.index, 1);
    sm_claim_free(&claim);
    check_nothing_claimable();
    assert_int_equal(read_int("SELECT COUNT(*) FROM item WHERE state = 'running'"), 2);
}

static void a_claim_that_no_longer_stands_gets_nothing(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    struct sm_claim claim;
    sm_standing_begin(next);
    assert_code(SM_NOT_FOUND, sm_standing_take(&claim, next, &err));
    assert_code(SM_OK, admit(id, "p", 0, 1));
    assert_code(SM_NOT_FOUND, sm_standing_take(&claim, next, &err));
    assert_int_equal(read_int("SELECT COUNT(*) FROM item WHERE state = 'queued'"), 1);
}

/* A finish that is refused claims nothing. */
static void a_refused_finish_claims_nothing(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    struct sm_claim first, claim;
    assert_code(SM_OK, admit(id, "p", 0, 2));
    claim_first(&first);
    assert_code(SM_CONFLICT, end_item(&first, "another"));
    assert_code(SM_NOT_FOUND, sm_standing_take(&claim, next, &err));
    assert_code(SM_OK, end_item(&first, "w"));
    assert_code(SM_OK, sm_standing_take(&claim, next, &err));
    assert_int_equal(claim.index, 1);
    assert_true(sm_standing_kept(next));
    sm_claim_free(&first);
    sm_claim_free(&claim);
}

/* Leaves a row without its job, which the commit refuses. */
static enum sm_code run_broken(struct sm_write *write, struct sm_db *db, struct sm_err *why)
{
    (void)write;
    return sm_db_exec(db,
                      "PRAGMA defer_foreign_keys = ON; INSERT INTO image (job_id, idx, bytes) "
                      "VALUES (zeroblob(16), 0, x'00')",
                      why);
}

/* The worker may have taken the item before the commit failed: then it was not kept. */
static void a_failed_commit_claims_nothing(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    struct sm_claim claim;
    struct sm_write broken = {.run = run_broken};
    assert_code(SM_OK, admit(id, "p", 0, 1));
    for (int i = 0; i < 20; i++) {
        sm_standing_begin(next);
        broken.mode = SM_WRITE_GROUPED;
        assert_true(sm_writer_call(store->writer, &broken, &err) != SM_OK);
        while (sem_wait(&woken) != 0)
            ;
        sm_standing_take(&claim, next, &err);
        assert_false(sm_standing_kept(next));
        sm_claim_free(&claim);
    }
    assert_int_equal(read_int("SELECT COUNT(*) FROM item WHERE state = 'queued'"), 1);
    claim_first(&claim);
    assert_int_equal(claim.attempt, 1);
    sm_claim_free(&claim);
    check_nothing_claimable();
}

/* Cancels the job of the next claim inside the group in which it stands. */
static enum sm_code run_cancel(struct sm_write *write, struct sm_db *db, struct sm_err *why)
{
    (void)write;
    return sm_db_exec(db, "UPDATE job SET state = 'cancelled', finished_ms = 1", why);
}

static void a_job_that_ends_in_the_same_group_is_not_claimed(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    struct sm_claim claim;
    struct sm_write cancel = {.run = run_cancel, .room = SM_ROOM_USE};
    assert_code(SM_OK, admit(id, "p", 0, 1));
    sm_standing_begin(next);
    assert_code(SM_OK, sm_writer_call(store->writer, &cancel, &err));
    assert_code(SM_NOT_FOUND, sm_standing_take(&claim, next, &err));
}

/* The process ends between the claim and the result. */
static void a_restart_queues_the_next_item_again(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    struct sm_claim first, claim;
    assert_code(SM_OK, admit(id, "p", 0, 2));
    claim_first(&first);
    assert_code(SM_OK, end_item(&first, "w"));
    assert_code(SM_OK, sm_standing_take(&claim, next, &err));
    assert_true(sm_standing_kept(next));
    sm_claim_free(&first);
    sm_claim_free(&claim);
    sm_standing_free(next);
    reopen();
    assert_code(SM_OK, sm_standing_new(&next, store, "w", wake, NULL, &err));
    check_job(id, "running", 0, 1);
    claim_first(&claim);
    assert_int_equal(claim.index, 1);
    assert_int_equal(claim.attempt, 1 + SM_ATTEMPTS_ALONE);
    sm_claim_free(&claim);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_standing, teardown_standing)
    static const struct CMUnitTest tests[] = {
        TEST(a_finish_claims_what_a_claim_would),
        TEST(a_waiting_claim_is_served_by_the_admission),
        TEST(a_claim_that_no_longer_stands_gets_nothing),
        TEST(a_refused_finish_claims_nothing),
        TEST(a_failed_commit_claims_nothing),
        TEST(a_job_that_ends_in_the_same_group_is_not_claimed),
        TEST(a_restart_queues_the_next_item_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
