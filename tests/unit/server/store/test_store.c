/* The store: admit, claim, finish, history, recovery, and who may open it. */
#include "server/base/clock.h"
#include "tests/unit/server/store/fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#include "server/store/claim.h"

/* --- jobs -------------------------------------------------------------------------------- */

static void a_job_goes_its_way(void **state)
{
    (void)state;
    char id[SM_ID_BYTES], score_id[SM_ID_BYTES];
    struct sm_claim claim;
    bool finished;
    json_t *job, *item;
    assert_code(SM_OK, admit(id, "alpha", 1, 2));
    assert_int_equal(sm_store_queued_count(store), 2);
    check_job(id, "queued", 0, 0);

    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
    assert_string_equal(claim.job_id, id);
    assert_int_equal(claim.index, 0);
    assert_int_equal(claim.attempt, 1);
    assert_string_equal(claim.pair, "alpha");
    assert_int_equal(claim.bytes_count, 7);
    assert_memory_equal(claim.bytes, "image 1", 7);
    assert_int_equal(json_integer_value(json_object_get(claim.recipe, "views")), 10);
    assert_int_equal(strlen(claim.recipe_digest), 64);
    check_job(id, "running", 0, 0);
    assert_int_equal(sm_store_queued_count(store), 2);
    assert_code(SM_OK, finish(&claim, "w", "k1", .1, score_id, &finished));
    assert_false(finished);
    assert_true(sm_id_valid(score_id));
    sm_claim_free(&claim);
    assert_int_equal(read_int("SELECT COUNT(*) FROM image"), 1);

    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
    assert_int_equal(claim.index, 1);
    struct sm_finish failure = {.job_id = id,
                                .index = 1,
                                .owner = "w",
                                .error_code = SM_CORRUPT,
                                .error_text = "ends early"};
    char none[SM_ID_BYTES];
    assert_code(SM_OK, sm_store_finish(store, &failure, none, &finished, &err));
    assert_true(finished);
    assert_string_equal(none, "");
    sm_claim_free(&claim);
    assert_int_equal(read_int("SELECT COUNT(*) FROM image"), 0);
    assert_int_equal(sm_store_queued_count(store), 0);

    check_job(id, "succeeded", 1, 1);
    assert_code(SM_OK, sm_store_job(&job, store, SM_TENANT_DEFAULT, id, &err));
    assert_int_equal(json_integer_value(json_object_get(job, "items_count")), 2);
    int64_t ms;
    assert_true(sm_time_parse(&ms, text_at(job, "created")));
    assert_true(sm_time_parse(&ms, text_at(job, "started")));
    assert_true(sm_time_parse(&ms, text_at(job, "finished")));
    item = json_array_get(json_object_get(job, "items"), 0);
    assert_string_equal(text_at(item, "state"), "succeeded");
    assert_string_equal(text_at(item, "name"), "first.png");
    assert_string_equal(text_at(json_object_get(item, "score"), "id"), score_id);
    assert_null(json_object_get(item, "error"));
    item = json_array_get(json_object_get(job, "items"), 1);
    assert_string_equal(text_at(item, "state"), "failed");
    assert_null(json_object_get(item, "score"));
    assert_string_equal(text_at(json_object_get(item, "error"), "code"), "corrupt");
    assert_string_equal(text_at(json_object_get(item, "error"), "detail"), "ends early");
    json_decref(job);
}

static void a_job_of_failures_has_failed(void **state)
{
    (void)state;
    char id[SM_ID_BYTES], none[SM_ID_BYTES];
    bool finished;
    struct sm_claim claim;
    assert_code(SM_OK, admit(id, "alpha", 1, 2));
    for (int i = 0; i < 2; i++) {
        assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
        struct sm_finish failure = {.job_id = id,
                                    .index = claim.index,
                                    .owner = "w",
                                    .error_code = SM_LIMIT,
                                    .error_text = "too wide"};
        assert_code(SM_OK, sm_store_finish(store, &failure, none, &finished, &err));
        assert_int_equal(finished, i == 1);
        sm_claim_free(&claim);
    }
    check_job(id, "failed", 0, 2);
}

static void the_oldest_job_comes_first(void **state)
{
    (void)state;
    char ids[3][SM_ID_BYTES];
    struct sm_claim claim;
    for (int i = 0; i < 3; i++)
        assert_code(SM_OK, admit(ids[i], "alpha", 10 * i, 2));
    for (int i = 0; i < 6; i++) {
        assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
        assert_string_equal(claim.job_id, ids[i / 2]);
        assert_int_equal(claim.index, i % 2);
        sm_claim_free(&claim);
    }
    int64_t before_ms = sm_clock_monotonic_ms();
    assert_code(SM_NOT_FOUND, sm_store_claim(&claim, store, "w", 30, &err));
    assert_true(sm_clock_monotonic_ms() - before_ms >= 29);
    assert_null(claim.bytes);
}

static void a_refused_admission_leaves_nothing(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    struct outcome outcome;
    assert_code(SM_OK, admit(id, "alpha", 1, 1));
    struct sm_item_in item = {.name = "", .bytes = "x", .bytes_count = 1};
    struct sm_job_in job = {.pair = "alpha", .items = &item, .items_count = 1};
    memcpy(job.id, id, sizeof id); /* taken */
    json_t *recipe = json_object();
    job.recipe = recipe;
    memset(job.recipe_digest, 'b', 64);
    sem_init(&outcome.done, 0, 0);
    assert_code(SM_OK, sm_store_admit(store, &job, admitted, &outcome, &err));
    json_decref(recipe);
    while (sem_wait(&outcome.done) != 0)
        ;
    assert_int_equal(outcome.code, SM_INTERNAL);
    assert_int_equal(sm_store_queued_count(store), 1);
    assert_int_equal(read_int("SELECT COUNT(*) FROM recipe"), 1);
    assert_code(SM_OK, sm_store_check(store, &err));
}

static void history_keeps_one_score_per_key(void **state)
{
    (void)state;
    char id[SM_ID_BYTES], first[SM_ID_BYTES], again[SM_ID_BYTES];
    struct sm_claim claim;
    bool finished;
    json_t *score, *job;
    char *line;
    assert_code(SM_OK, admit(id, "alpha", 1, 4));
    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
    /* From history, but it has none: the item stays. */
    struct sm_finish from_history = {
        .job_id = id, .index = 0, .owner = "w", .score_key = key_of("k")};
    assert_code(SM_NOT_FOUND, sm_store_finish(store, &from_history, first, &finished, &err));
    assert_code(SM_NOT_FOUND,
                sm_store_score_by_key(&score, store, SM_TENANT_DEFAULT, key_of("k"), &err));
    assert_null(score);
    assert_code(SM_OK, finish(&claim, "w", "k", .25, first, &finished));
    sm_claim_free(&claim);
    /* Computed twice: the first stands. */
    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
    assert_code(SM_OK, finish(&claim, "w", "k", .5, again, &finished));
    assert_string_equal(first, again);
    sm_claim_free(&claim);
    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
    from_history.index = claim.index;
    assert_code(SM_OK, sm_store_finish(store, &from_history, again, &finished, &err));
    assert_string_equal(first, again);
    sm_claim_free(&claim);

    assert_code(SM_OK, sm_store_score_by_key(&score, store, SM_TENANT_DEFAULT, key_of("k"), &err));
    assert_string_equal(text_at(score, "id"), first);
    assert_true(json_real_value(json_object_get(score, "m")) == .25);
    void *fields = json_object_iter(score);
    assert_string_equal(json_object_iter_key(fields), "id");
    fields = json_object_iter_next(score, fields);
    assert_string_equal(json_object_iter_key(fields), "created");
    assert_code(SM_OK, sm_store_score_line(&line, store, SM_TENANT_DEFAULT, first, &err));
    char *same = json_dumps(score, JSON_COMPACT | JSON_REAL_PRECISION(17));
    assert_int_equal(strlen(line), strlen(same) + 1);
    assert_memory_equal(line, same, strlen(same));
    assert_int_equal(line[strlen(same)], '\n');
    free(line);
    free(same);
    json_decref(score);
    assert_int_equal(read_int("SELECT COUNT(*) FROM score"), 1);

    assert_code(SM_OK, sm_store_job(&job, store, SM_TENANT_DEFAULT, id, &err));
    for (size_t i = 0; i < 3; i++) {
        json_t *item = json_array_get(json_object_get(job, "items"), i);
        assert_int_equal(json_is_true(json_object_get(item, "from_history")), i > 0);
        assert_string_equal(text_at(json_object_get(item, "score"), "id"), first);
    }
    json_decref(job);
}

static void only_the_lease_holder_finishes(void **state)
{
    (void)state;
    char id[SM_ID_BYTES], score_id[SM_ID_BYTES];
    struct sm_claim claim;
    bool finished;
    assert_code(SM_OK, admit(id, "alpha", 1, 1));
    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
    assert_code(SM_CONFLICT, finish(&claim, "other", "k", 1, score_id, &finished));
    assert_int_equal(read_int("SELECT COUNT(*) FROM score"), 0); /* undone with the rest */
    assert_code(SM_OK, finish(&claim, "w", "k", 1, score_id, &finished));
    assert_true(finished);
    assert_code(SM_CONFLICT, finish(&claim, "w", "k", 1, score_id, &finished));
    assert_false(finished);
    assert_int_equal(sm_store_queued_count(store), 0);
    sm_claim_free(&claim);
}

/* --- recovery ---------------------------------------------------------------------------- */

static void a_restart_queues_again_and_gives_up(void **state)
{
    (void)state;
    char id[SM_ID_BYTES], other[SM_ID_BYTES];
    struct sm_claim claim;
    json_t *job;
    assert_code(SM_OK, admit(id, "alpha", 1, 1));
    /* Nothing else is in hand at any of these ends: three of them are enough. */
    for (int attempt = 1; attempt <= SM_ATTEMPTS_MAX; attempt += SM_ATTEMPTS_ALONE) {
        assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
        assert_int_equal(claim.attempt, attempt);
        assert_int_equal(claim.bytes_count, 7);
        sm_claim_free(&claim);
        check_job(id, "running", 0, 0);
        assert_int_equal(sm_store_queued_count(store), 1);
        reopen();
    }
    assert_int_equal(sm_store_queued_count(store), 0);
    check_job(id, "failed", 0, 1);
    assert_int_equal(read_int("SELECT COUNT(*) FROM image"), 0);
    assert_code(SM_OK, sm_store_job(&job, store, SM_TENANT_DEFAULT, id, &err));
    json_t *item = json_array_get(json_object_get(job, "items"), 0);
    assert_string_equal(text_at(json_object_get(item, "error"), "code"), "internal");
    json_decref(job);

    assert_code(SM_OK, admit(other, "alpha", 2, 2));
    reopen();
    assert_int_equal(sm_store_queued_count(store), 2);
    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
    assert_string_equal(claim.job_id, other);
    sm_claim_free(&claim);
}

/* Several items were in hand: each counts one try, and goes behind what was not. */
static void what_was_lost_goes_behind(void **state)
{
    (void)state;
    char id[SM_ID_BYTES], other[SM_ID_BYTES];
    struct sm_claim claim;
    static const int order[] = {2, 0, 1};
    assert_code(SM_OK, admit(id, "alpha", 1, 3));
    assert_code(SM_OK, admit(other, "alpha", 11, 1));
    for (int i = 0; i < 2; i++) {
        assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
        sm_claim_free(&claim);
    }
    reopen();
    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
    assert_string_equal(claim.job_id, other);
    sm_claim_free(&claim);
    for (int i = 0; i < 3; i++) {
        assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
        assert_string_equal(claim.job_id, id);
        assert_int_equal(claim.index, order[i]);
        assert_int_equal(claim.attempt, i == 0 ? 1 : 2);
        sm_claim_free(&claim);
    }
}

/* --- cost ---------------------------------------------------------------------------------- */

static void a_cheap_item_passes_dear_ones(void **state)
{
    (void)state;
    char dear[SM_ID_BYTES], cheap[SM_ID_BYTES], late[SM_ID_BYTES], score_id[SM_ID_BYTES];
    struct sm_claim claim;
    bool finished;
    assert_code(SM_OK, admit_costing(dear, "alpha", 1, 2, 600000));
    assert_code(SM_OK, admit_costing(cheap, "alpha", 11, 1, 50));
    assert_int_equal(sm_store_queued_cost_ms(store), 1200050);
    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
    assert_string_equal(claim.job_id, cheap);
    assert_int_equal(claim.cost_ms, 50);
    assert_code(SM_OK, finish(&claim, "w", "k", .1, score_id, &finished));
    sm_claim_free(&claim);
    assert_int_equal(sm_store_queued_cost_ms(store), 1200000);

    /* Only dear ones wait: none for a worker that asks for a cheap one in the middle of another. */
    assert_code(SM_NOT_FOUND, sm_store_claim_cheap(&claim, store, "w", 599999, &err));
    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
    assert_string_equal(claim.job_id, dear);
    sm_claim_free(&claim);
    assert_code(SM_OK, admit_costing(late, "alpha", 21, 1, 70));
    assert_code(SM_OK, sm_store_claim_cheap(&claim, store, "w", 70, &err));
    assert_string_equal(claim.job_id, late);
    sm_claim_free(&claim);
    /* The wait for its turn is bounded: a dear job that came longer ago than a cheap one saves. */
    struct sm_db *db;
    assert_code(SM_OK, sm_db_open(&db, scratch.db, SM_DB_WRITE, &err));
    assert_code(SM_OK, sm_db_exec(db, "UPDATE job SET turn_ms = turn_ms - 600000", &err));
    sm_db_close(db);
    assert_code(SM_OK, admit_costing(late, "alpha", 31, 1, 70));
    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
    assert_string_equal(claim.job_id, dear);
    sm_claim_free(&claim);
}

static void cost_is_counted_again_at_the_start(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    struct sm_claim claim;
    bool finished;
    char none[SM_ID_BYTES];
    assert_code(SM_OK, admit_costing(id, "alpha", 1, 3, 100));
    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
    assert_true(sm_store_claim_wanted(store, &claim, "w"));
    assert_false(sm_store_claim_wanted(store, &claim, "another"));
    struct sm_finish failure = {.job_id = id,
                                .index = claim.index,
                                .owner = "w",
                                .error_code = SM_CORRUPT,
                                .error_text = "ends early"};
    assert_code(SM_OK, sm_store_finish(store, &failure, none, &finished, &err));
    assert_false(sm_store_claim_wanted(store, &claim, "w"));
    sm_claim_free(&claim);
    assert_int_equal(sm_store_queued_cost_ms(store), 200);
    reopen();
    assert_int_equal(sm_store_queued_cost_ms(store), 200);
    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
    assert_code(SM_OK, sm_store_requeue(store, &claim, "w", &err));
    assert_int_equal(sm_store_queued_cost_ms(store), 200);
    sm_claim_free(&claim);
}

static void an_expired_lease_goes_back(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    struct sm_claim claim;
    assert_code(SM_OK, admit(id, "alpha", 1, 1));
    assert_code(SM_OK, sm_store_claim(&claim, store, "lost", 1000, &err));
    sm_claim_free(&claim);
    assert_code(SM_OK, sm_store_heartbeat(store, "w", &err));
    assert_code(SM_NOT_FOUND, sm_store_claim(&claim, store, "w", 0, &err));

    sm_store_close(store);
    struct sm_db *db;
    assert_code(SM_OK, sm_db_open(&db, scratch.db, SM_DB_WRITE, &err));
    assert_code(SM_OK, sm_db_exec(db, "UPDATE item SET lease_until_ms = 5", &err));
    sm_db_close(db);
    /* Opened without recovery, which would take every lease back. */
    struct sm_store bare = {.lock_fd = -1, .path = scratch.db, .active_count = 1};
    pthread_mutex_init(&bare.mutex, NULL);
    pthread_cond_init(&bare.came, NULL);
    assert_code(SM_OK, sm_db_open(&bare.write_db, scratch.db, SM_DB_WRITE, &err));
    assert_code(SM_OK, sm_writer_start(&bare.writer, bare.write_db, NULL, &err));
    assert_code(SM_OK,
                sm_store_heartbeat(&bare, "lost", &err)); /* its owner is not lost after all */
    assert_code(SM_NOT_FOUND, sm_store_claim(&claim, &bare, "w", 0, &err));
    struct sm_db *reader;
    assert_code(SM_OK, sm_store_reader_take(&reader, &bare, &err));
    sm_store_reader_give(&bare, reader);
    sm_writer_stop(bare.writer);
    assert_code(SM_OK, sm_db_exec(bare.write_db, "UPDATE item SET lease_until_ms = 5", &err));
    assert_code(SM_OK, sm_writer_start(&bare.writer, bare.write_db, NULL, &err));
    assert_code(SM_OK, sm_store_heartbeat(&bare, "w", &err));
    assert_code(SM_OK, sm_store_claim(&claim, &bare, "w", 0, &err));
    assert_int_equal(claim.attempt, 2);
    sm_claim_free(&claim);
    sm_writer_stop(bare.writer);
    sm_db_close(bare.readers[0]);
    sm_db_close(bare.write_db);
    assert_code(SM_OK, sm_store_open(&store, scratch.db, &err));
}

static void one_daemon_per_database(void **state)
{
    (void)state;
    struct sm_store *second;
    int applied;
    assert_code(SM_CONFLICT, sm_store_open(&second, scratch.db, &err));
    assert_null(second);
    assert_non_null(strstr(err.text, "is in use: another process holds"));
    assert_code(SM_CONFLICT, sm_store_migrate(scratch.db, &applied, &err));
    sm_store_close(store);
    store = NULL;
    assert_code(SM_OK, sm_store_migrate(scratch.db, &applied, &err));
    assert_int_equal(applied, 0);
    assert_code(SM_OK, sm_store_open(&store, scratch.db, &err));
    char elsewhere[400];
    snprintf(elsewhere, sizeof elsewhere, "%s/no/such/folder.db", scratch.dir);
    assert_code(SM_IO, sm_store_open(&second, elsewhere, &err));
}

static void images_leave_no_bytes_behind(void **state)
{
    (void)state;
    char score_id[SM_ID_BYTES], path[310];
    static char content[1 << 20];
    add_score("alpha", 777, 1, score_id);
    sm_store_close(store);
    store = NULL;
    snprintf(path, sizeof path, "%s-wal", scratch.db);
    assert_int_not_equal(access(path, F_OK), 0);
    FILE *file = fopen(scratch.db, "rb");
    size_t length = fread(content, 1, sizeof content, file);
    fclose(file);
    assert_true(length > 0 && length < sizeof content);
    assert_non_null(memmem(content, length, "first.png", 9));
    assert_null(memmem(content, length, "image 777", 9));
}

/* --- threads ----------------------------------------------------------------------------- */

static atomic_int taken;

static void *take_all(void *arg)
{
    struct sm_claim claim;
    struct sm_err why;
    char key[160], score_id[SM_ID_BYTES];
    bool finished;
    while (sm_store_claim(&claim, store, arg, 300, &why) == SM_OK) {
        json_t *score = json_pack("{s:f}", "m", 1.0);
        snprintf(key, sizeof key, "%s/%s", claim.pair, claim.image_digest);
        struct sm_finish in = {.job_id = claim.job_id,
                               .index = claim.index,
                               .owner = arg,
                               .score_key = key_of(key),
                               .score = score,
                               .m = 1,
                               .image_digest = claim.image_digest};
        if (sm_store_finish(store, &in, score_id, &finished, &why) == SM_OK)
            taken++;
        json_decref(score);
        sm_claim_free(&claim);
    }
    return NULL;
}

static void every_item_is_taken_once(void **state)
{
    (void)state;
    enum { THREADS = 4, JOBS = 12, ITEMS = 5 };
    char id[SM_ID_BYTES];
    pthread_t threads[THREADS];
    char owner[THREADS][16];
    struct sm_score_page page;
    struct sm_score_filter filter = {.limit = 50};
    taken = 0;
    for (int i = 0; i < THREADS; i++) {
        snprintf(owner[i], sizeof owner[i], "w%d", i);
        assert_int_equal(pthread_create(&threads[i], NULL, take_all, owner[i]), 0);
    }
    for (int i = 0; i < JOBS; i++) {
        assert_code(SM_OK, admit(id, "alpha", ITEMS * i, ITEMS));
        assert_code(SM_OK, sm_store_scores(&page, store, &filter, &err));
        free(page.scores);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(taken, JOBS * ITEMS);
    assert_int_equal(read_int("SELECT COUNT(*) FROM score"), JOBS * ITEMS);
    assert_int_equal(read_int("SELECT COUNT(*) FROM job WHERE state = 'succeeded'"), JOBS);
    assert_int_equal(read_int("SELECT SUM(attempt) FROM item"), JOBS * ITEMS);
    assert_int_equal(sm_store_queued_count(store), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(a_job_goes_its_way),
        TEST(a_job_of_failures_has_failed),
        TEST(the_oldest_job_comes_first),
        TEST(a_refused_admission_leaves_nothing),
        TEST(history_keeps_one_score_per_key),
        TEST(only_the_lease_holder_finishes),
        TEST(a_restart_queues_again_and_gives_up),
        TEST(what_was_lost_goes_behind),
        TEST(a_cheap_item_passes_dear_ones),
        TEST(cost_is_counted_again_at_the_start),
        TEST(an_expired_lease_goes_back),
        TEST(one_daemon_per_database),
        TEST(images_leave_no_bytes_behind),
        TEST(every_item_is_taken_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
