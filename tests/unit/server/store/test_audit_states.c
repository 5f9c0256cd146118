/* States of audits in the store: their life, moves, and the counts after any course. */
#include "server/base/clock.h"
#include "tests/unit/server/store/audit_fixture.h"

/* --- life ------------------------------------------------------------------------------------ */

static void an_audit_goes_its_way(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    struct sm_claim claim;
    create_audit(id, false);
    check_audit(id, "open", 0, 0, 0);
    assert_code(SM_OK, add_images(id, SM_COHORT_SHARED, 0, 2));
    assert_code(SM_OK, add_images(id, SM_COHORT_CANDIDATE, 2, 2));
    check_audit(id, "open", 4, 0, 0);
    claim_none();
    assert_int_equal(sm_store_queued_count(store), 0);
    assert_code(SM_OK, move(id, SM_AUDIT_START));
    check_audit(id, "running", 4, 0, 0);
    for (int i = 0; i < 3; i++)
        score_one();
    check_audit(id, "running", 1, 3, 0);
    claim_one(&claim);
    assert_string_equal(claim.job_id, id);
    assert_int_equal(claim.index, 3);
    assert_true(claim.audit);
    assert_false(claim.keep_thumbnail);
    assert_memory_equal(claim.bytes, "candidate/00003.png", claim.bytes_count);
    assert_code(SM_OK, fail_item(&claim, SM_CORRUPT, "ends early"));
    sm_claim_free(&claim);
    check_audit(id, "succeeded", 0, 3, 1);
    assert_int_equal(read_int("SELECT COUNT(*) FROM image"), 0);

    json_t *audit = read_audit(id);
    json_t *expected = json_pack("{s:{s:i, s:i, s:i}, s:{s:i, s:i, s:i}}", "shared", "items_count",
                                 2, "succeeded_count", 2, "failed_count", 0, "candidate",
                                 "items_count", 2, "succeeded_count", 1, "failed_count", 1);
    assert_true(json_equal(json_object_get(audit, "cohorts"), expected));
    json_decref(expected);
    expected = json_pack("[{s:s, s:i}]", "code", "corrupt", "count", 1);
    assert_true(json_equal(json_object_get(audit, "failures"), expected));
    json_decref(expected);
    assert_string_equal(text_at(audit, "id"), id);
    assert_string_equal(text_at(audit, "name"), "trial");
    assert_string_equal(text_at(audit, "pair"), "alpha");
    assert_string_equal(text_at(json_object_get(audit, "spec"), "name"), "trial");
    assert_int_equal(strlen(text_at(audit, "recipe")), 64);
    int64_t ms;
    assert_true(sm_time_parse(&ms, text_at(audit, "created")));
    assert_true(sm_time_parse(&ms, text_at(audit, "started")));
    assert_true(sm_time_parse(&ms, text_at(audit, "finished")));
    assert_int_equal(count_at(audit, "revision"), revision_of(id));
    json_decref(audit);
}

static void an_audit_of_failures_has_failed(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    struct sm_store_audit_image_in bad = {
        .cohort = SM_COHORT_EXTERNAL, .name = "a.png", .class_label = "", .group = ""};
    create_audit(id, false);
    for (int k = 0; k < 2; k++) /* the second time it is there */
        assert_code(SM_OK, add_failed(id, bad, SM_IO, "a.png: no such file"));
    digest_of(bad.image_digest, 3);
    for (int k = 0; k < 2; k++)
        assert_code(SM_OK, add_failed(id, bad, SM_CORRUPT, "ends early"));
    check_audit(id, "open", 0, 0, 2);
    assert_code(SM_OK, move(id, SM_AUDIT_START));
    check_audit(id, "failed", 0, 0, 2);
    json_t *audit = read_audit(id);
    assert_int_equal(json_array_size(json_object_get(audit, "failures")), 2);
    json_decref(audit);
}

static void plain_jobs_come_first(void **state)
{
    (void)state;
    char first[SM_ID_BYTES], second[SM_ID_BYTES], plain[SM_ID_BYTES];
    struct sm_claim claim;
    create_audit(first, false);
    create_audit(second, false);
    assert_code(SM_OK, add_images(second, SM_COHORT_SHARED, 0, 1));
    assert_code(SM_OK, add_images(first, SM_COHORT_SHARED, 0, 2));
    assert_code(SM_OK, move(second, SM_AUDIT_START));
    assert_code(SM_OK, move(first, SM_AUDIT_START));
    claim_one(&claim);
    assert_string_equal(claim.job_id, first);
    sm_claim_free(&claim);
    assert_code(SM_OK, admit(plain, "alpha", 1, 1));
    assert_int_equal(sm_store_queued_count(store), 1);
    const char *const expected[] = {plain, first, second};
    for (int i = 0; i < 3; i++) {
        claim_one(&claim);
        assert_string_equal(claim.job_id, expected[i]);
        assert_int_equal(claim.audit, i > 0);
        sm_claim_free(&claim);
    }
    claim_none();
    check_counts();
}

/* --- moves ----------------------------------------------------------------------------------- */

static void every_move_has_its_states(void **state)
{
    (void)state;
    static const struct {
        const char *state, *after[4]; /* NULL: a conflict */
    } rows[] = {
        {"open", {"running", NULL, NULL, "cancelled"}},
        {"running", {NULL, "paused", NULL, "cancelled"}},
        {"paused", {NULL, NULL, "running", "cancelled"}},
        {"succeeded", {NULL, NULL, NULL, NULL}},
        {"cancelled", {NULL, NULL, NULL, NULL}},
    };
    static const char *const wants[] = {"open to be started", "running to be paused",
                                        "paused to be resumed",
                                        "open, running or paused to be cancelled"};
    char id[SM_ID_BYTES], why[100];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int m = SM_AUDIT_START; m <= SM_AUDIT_CANCEL; m++) {
            audit_in(id, rows[i].state, (int)(10 * i) + m);
            int64_t revision = revision_of(id);
            enum sm_code code = move(id, (enum sm_store_audit_move)m);
            if (rows[i].after[m]) {
                assert_code(SM_OK, code);
                assert_true(revision_of(id) > revision);
            } else {
                assert_int_equal(code, SM_CONFLICT);
                snprintf(why, sizeof why, "is %s, it must be %s", rows[i].state, wants[m]);
                check_refusal(id, why);
                assert_int_equal(revision_of(id), revision);
            }
            json_t *audit = read_audit(id);
            assert_string_equal(text_at(audit, "state"),
                                rows[i].after[m] ? rows[i].after[m] : rows[i].state);
            bool ended = strcmp(text_at(audit, "state"), "succeeded") == 0 ||
                         strcmp(text_at(audit, "state"), "cancelled") == 0;
            json_decref(audit);
            check_counts();
            if (!ended)
                assert_code(SM_OK, move(id, SM_AUDIT_CANCEL));
            assert_code(SM_OK, sm_store_audit_delete(store, OWN(id), -1, &err));
        }
}

static void what_is_not_there_cannot_be_moved(void **state)
{
    (void)state;
    char id[SM_ID_BYTES], plain[SM_ID_BYTES];
    json_t *document;
    struct sm_store_audit_items_page page;
    struct sm_store_audit_added added;
    struct sm_store_audit_record record;
    size_t bytes_count;
    assert_code(SM_OK, admit(plain, "alpha", 1, 1)); /* a job, but no audit */
    sm_id_new(id);
    const char *const ids[] = {id, plain, "none"};
    for (int i = 0; i < 3; i++) {
        assert_code(SM_NOT_FOUND, move(ids[i], SM_AUDIT_CANCEL));
        assert_code(SM_NOT_FOUND, sm_store_audit_delete(store, OWN(ids[i]), -1, &err));
        assert_code(SM_NOT_FOUND, sm_store_audit(&document, NULL, store, OWN(ids[i]), &err));
        assert_null(document);
        assert_code(SM_NOT_FOUND,
                    sm_store_audit_items(&page, store, OWN(ids[i]),
                                         &(struct sm_store_audit_items_filter){-1, NULL, -1, 5},
                                         &err));
        assert_null(page.items);
        assert_code(SM_NOT_FOUND,
                    sm_store_audit_add(&added, store, OWN(ids[i]),
                                       &(struct sm_store_audit_intake){
                                           .images = NULL, .images_count = 0, .items_max = 9},
                                       &err));
        assert_code(SM_NOT_FOUND, sm_store_audit_record(&record, store, OWN(ids[i]), &err));
        assert_int_equal(revision_of(ids[i]), -1);
        assert_null(sm_store_audit_thumbnail(store, OWN(ids[i]), 0, &bytes_count));
    }
    create_audit(id, false);
    assert_code(SM_CONFLICT, move(id, SM_AUDIT_START));
    check_refusal(id, "has 0 images, it must have at least 1 to be started");
    check_audit(id, "open", 0, 0, 0);
}

static void pausing_lets_what_runs_finish(void **state)
{
    (void)state;
    char id[SM_ID_BYTES], score_id[SM_ID_BYTES];
    struct sm_claim claim;
    bool finished;
    start_audit(id, 3, 0);
    claim_one(&claim);
    assert_code(SM_OK,
                sm_store_audit_move(store, OWN(id), SM_AUDIT_PAUSE, "the disk is full", &err));
    json_t *audit = read_audit(id);
    assert_string_equal(text_at(audit, "reason"), "the disk is full");
    json_decref(audit);
    claim_none();
    assert_code(SM_OK, finish(&claim, "w", "k", 1, score_id, &finished));
    sm_claim_free(&claim);
    check_audit(id, "paused", 2, 1, 0);
    reopen(); /* it stays paused */
    claim_none();
    check_audit(id, "paused", 2, 1, 0);
    assert_code(SM_OK, move(id, SM_AUDIT_RESUME));
    audit = read_audit(id);
    assert_null(json_object_get(audit, "reason"));
    json_decref(audit);
    score_one();
    claim_one(&claim);
    assert_code(SM_OK, move(id, SM_AUDIT_PAUSE));
    assert_code(SM_OK, finish(&claim, "w", "last", 1, score_id, &finished));
    assert_true(finished); /* the last image ends it, paused or not */
    sm_claim_free(&claim);
    check_audit(id, "succeeded", 0, 3, 0);
}

static void cancelling_ends_what_waits(void **state)
{
    (void)state;
    enum { COUNT = 1203 }; /* several chunks */
    char id[SM_ID_BYTES], score_id[SM_ID_BYTES];
    struct sm_claim claim, lost;
    bool finished;
    start_audit(id, COUNT, 0);
    claim_one(&claim);
    claim_one(&lost);
    sm_claim_free(&lost);
    assert_code(SM_OK, move(id, SM_AUDIT_CANCEL));
    check_audit(id, "cancelled", 2, 0, 0);
    assert_int_equal(read_int("SELECT COUNT(*) FROM image"), 2);
    claim_none();
    assert_code(SM_OK, finish(&claim, "w", "k", 1, score_id, &finished));
    sm_claim_free(&claim);
    check_audit(id, "cancelled", 1, 1, 0);
    reopen(); /* whose worker was lost: not queued again */
    check_audit(id, "cancelled", 0, 1, 0);
    assert_int_equal(read_int("SELECT cancelled_count FROM job"), COUNT - 1);
    assert_int_equal(read_int("SELECT COUNT(*) FROM image"), 0);
}

/* --- counts ---------------------------------------------------------------------------------- */

static uint32_t draw(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % below;
}

/* Whatever happens in whatever order, the counts are those of the rows. */
static void counts_follow_any_course(void **state)
{
    (void)state;
    enum { AUDITS = 12, STEPS = 1000, CLAIMS = 6 };
    char ids[AUDITS][SM_ID_BYTES], plain[SM_ID_BYTES], name[32], score_id[SM_ID_BYTES];
    struct sm_claim claims[CLAIMS] = {0};
    bool finished;
    uint32_t seed = 1;
    for (int i = 0; i < AUDITS; i++)
        create_audit(ids[i], false);
    for (int step = 0; step < STEPS; step++) {
        const char *id = ids[draw(&seed, AUDITS)];
        struct sm_claim *claim = &claims[draw(&seed, CLAIMS)];
        switch (draw(&seed, 9)) {
        case 0:
            add_images(id, (enum sm_cohort)draw(&seed, SM_COHORTS), (int)draw(&seed, 40), 5);
            break;
        case 1:
            if (draw(&seed, 4) == 0)
                assert_code(SM_OK, admit(plain, "beta", (int)draw(&seed, 40), 2));
            break;
        case 2:
        case 3:
        case 4:
            if (claim->job_id[0] == '\0')
                sm_store_claim(claim, store, "w", 0, &err);
            break;
        case 5:
            snprintf(name, sizeof name, "%d", (int)draw(&seed, 30));
            if (claim->job_id[0] != '\0')
                finish(claim, "w", name, 1, score_id, &finished);
            sm_claim_free(claim);
            break;
        case 6:
            if (claim->job_id[0] != '\0')
                fail_item(claim, SM_CORRUPT, "broken");
            sm_claim_free(claim);
            break;
        case 7:
            move(id, (enum sm_store_audit_move)draw(&seed, draw(&seed, 16) == 0 ? 4 : 3));
            break;
        default:
            if (draw(&seed, 10) == 0) {
                reopen();
                for (int i = 0; i < CLAIMS; i++)
                    sm_claim_free(&claims[i]);
            }
        }
        check_counts();
    }
    for (int i = 0; i < CLAIMS; i++)
        sm_claim_free(&claims[i]);
    assert_true(read_int("SELECT SUM(succeeded_count) FROM job WHERE kind = 'audit'") > 10);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(an_audit_goes_its_way),
        TEST(an_audit_of_failures_has_failed),
        TEST(plain_jobs_come_first),
        TEST(every_move_has_its_states),
        TEST(what_is_not_there_cannot_be_moved),
        TEST(pausing_lets_what_runs_finish),
        TEST(cancelling_ends_what_waits),
        TEST(counts_follow_any_course),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
