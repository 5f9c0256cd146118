/* The writer: group commit, one failing write among others, order, and the seam below it. */
#include "tests/unit/server/store/scratch.h"

#include <pthread.h>
#include <semaphore.h>
#include <string.h>

#include "server/db/db_file.h"
#include "server/db/writer.h"
#include "server/store/state.h"

static struct scratch scratch;
static struct sm_err err;
static struct sm_db *db;
static struct sm_writer *writer;

static int setup(void **state)
{
    (void)state;
    err = (struct sm_err){0};
    scratch_make(&scratch);
    assert_code(SM_OK, sm_db_open(&db, scratch.db, SM_DB_WRITE, &err));
    assert_code(SM_OK, sm_db_exec(db, "CREATE TABLE t (x INTEGER NOT NULL UNIQUE) STRICT", &err));
    assert_code(SM_OK, sm_writer_start(&writer, db, NULL, &err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sm_writer_stop(writer);
    sm_db_close(db);
    scratch_remove(&scratch);
    return 0;
}

static int64_t read_int(const char *sql)
{
    struct sm_db *reader;
    struct sm_stmt *q;
    bool row;
    assert_code(SM_OK, sm_db_open(&reader, scratch.db, SM_DB_READ, &err));
    assert_code(SM_OK, sm_db_query(&q, reader, sql, &err));
    assert_code(SM_OK, sm_stmt_step(q, &row, &err));
    assert_true(row);
    int64_t value = sm_stmt_get_int(q, 0);
    sm_stmt_reset(q);
    sm_db_close(reader);
    return value;
}

struct insert {
    struct sm_write write;
    int64_t first, second; /* two rows, so that a failure leaves something to undo */
    enum sm_code code;
    int order;
};
static int order;
static sem_t gate, done;

static enum sm_code insert(struct sm_db *on, int64_t x, struct sm_err *why)
{
    struct sm_stmt *q;
    enum sm_code code = sm_db_query(&q, on, "INSERT INTO t (x) VALUES ($x)", why);
    if (code != SM_OK)
        return code;
    sm_stmt_int(q, "$x", x);
    return sm_stmt_run(q, NULL, why);
}

static enum sm_code run_insert(struct sm_write *write, struct sm_db *on, struct sm_err *why)
{
    struct insert *in = (struct insert *)write;
    enum sm_code code = insert(on, in->first, why);
    return code == SM_OK ? insert(on, in->second, why) : code;
}

static void insert_done(struct sm_write *write, enum sm_code code, const struct sm_err *why)
{
    (void)why;
    struct insert *in = (struct insert *)write;
    in->code = code;
    in->order = order++;
    sem_post(&done);
}

/* Holds the writer thread inside a group until the gate opens, so that what is posted meanwhile is
 * the next one. */
static enum sm_code run_gate(struct sm_write *write, struct sm_db *on, struct sm_err *why)
{
    (void)write, (void)on, (void)why;
    while (sem_wait(&gate) != 0)
        ;
    return SM_OK;
}

static void a_failing_write_does_not_fail_its_group(void **state)
{
    (void)state;
    enum { COUNT = 9, BAD = 4 };
    struct insert writes[COUNT];
    struct insert block = {.write = {.run = run_gate, .done = insert_done}};
    sem_init(&gate, 0, 0);
    sem_init(&done, 0, 0);
    order = 0;
    sm_writer_post(writer, &block.write);
    for (int i = 0; i < COUNT; i++) {
        writes[i] = (struct insert){.write = {.run = run_insert, .done = insert_done},
                                    .first = 10 * i,
                                    .second = i == BAD ? 0 : 10 * i + 1};
        sm_writer_post(writer, &writes[i].write);
    }
    assert_int_equal(read_int("SELECT COUNT(*) FROM t"), 0);
    sem_post(&gate);
    for (int i = 0; i < COUNT + 1; i++)
        while (sem_wait(&done) != 0)
            ;
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(writes[i].code, i == BAD ? SM_INTERNAL : SM_OK);
        assert_int_equal(writes[i].order, i + 1);
    }
    assert_int_equal(read_int("SELECT COUNT(*) FROM t"), 2 * (COUNT - 1));
    assert_int_equal(read_int("SELECT COUNT(*) FROM t WHERE x = 40"), 0);
    assert_true(sm_writer_healthy(writer));
}

static void what_is_queued_is_committed_before_the_stop(void **state)
{
    (void)state;
    enum { COUNT = 50 };
    struct insert writes[COUNT];
    sem_init(&done, 0, 0);
    for (int i = 0; i < COUNT; i++) {
        writes[i] = (struct insert){.write = {.run = run_insert, .done = insert_done},
                                    .first = 2 * i,
                                    .second = 2 * i + 1,
                                    .code = SM_INTERNAL};
        sm_writer_post(writer, &writes[i].write);
    }
    sm_writer_stop(writer);
    writer = NULL;
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(writes[i].code, SM_OK);
    assert_int_equal(read_int("SELECT COUNT(*) FROM t"), 2 * COUNT);
}

static enum sm_code run_rollback(struct sm_write *write, struct sm_db *on, struct sm_err *why)
{
    (void)write;
    sm_db_rollback(on);
    return sm_err_set(why, SM_IO, "the disk is full");
}

static void a_lost_transaction_fails_all_and_heals(void **state)
{
    (void)state;
    struct sm_write bad = {.run = run_rollback};
    assert_code(SM_IO, sm_writer_call(writer, &bad, &err));
    assert_string_equal(err.text, "the disk is full");
    assert_false(sm_writer_healthy(writer));
    struct insert good = {.write = {.run = run_insert}, .first = 1, .second = 2};
    assert_code(SM_OK, sm_writer_call(writer, &good.write, &err));
    assert_true(sm_writer_healthy(writer));
}

static void outside_done(struct sm_write *write, enum sm_code code, const struct sm_err *why)
{
    (void)write, (void)code, (void)why;
    sem_post(&done);
}

static enum sm_code run_outside(struct sm_write *write, struct sm_db *on, struct sm_err *why)
{
    (void)write;
    assert_false(sm_db_in_transaction(on));
    return sm_err_set(why, SM_IO, "nothing that a commit is to blame for");
}

/* One that breaks its transaction takes the others of its group with it, but not one that is alone;
 * all keep their order. */
static void a_write_may_be_alone(void **state)
{
    (void)state;
    struct insert block = {.write = {.run = run_gate, .done = insert_done}};
    struct insert bad = {.write = {.run = run_rollback, .done = insert_done}};
    struct insert alone = {
        .write = {.run = run_insert, .done = insert_done, .mode = SM_WRITE_ALONE},
        .first = 1,
        .second = 2};
    struct insert last = {
        .write = {.run = run_insert, .done = insert_done}, .first = 3, .second = 4};
    struct sm_write outside = {.run = run_outside, .done = outside_done, .mode = SM_WRITE_OUTSIDE};
    sem_init(&gate, 0, 0);
    sem_init(&done, 0, 0);
    order = 0;
    sm_writer_post(writer, &block.write);
    sm_writer_post(writer, &bad.write);
    sm_writer_post(writer, &alone.write);
    sm_writer_post(writer, &outside);
    sm_writer_post(writer, &last.write);
    sem_post(&gate);
    for (int i = 0; i < 5; i++)
        while (sem_wait(&done) != 0)
            ;
    assert_int_equal(bad.code, SM_IO);
    assert_int_equal(alone.code, SM_OK);
    assert_int_equal(last.code, SM_OK);
    assert_true(bad.order < alone.order && alone.order < last.order);
    assert_int_equal(read_int("SELECT COUNT(*) FROM t"), 4);
    assert_true(sm_writer_healthy(writer));
}

/* A write with patience is committed with the next one, or when it is told to hurry. */
static void a_patient_write_waits_for_company(void **state)
{
    (void)state;
    struct insert patient = {
        .write = {.run = run_insert, .done = insert_done, .patience_ms = 3600000},
        .first = 1,
        .second = 2};
    struct insert last = {
        .write = {.run = run_insert, .done = insert_done}, .first = 3, .second = 4};
    sem_init(&done, 0, 0);
    order = 0;
    sm_writer_post(writer, &patient.write);
    usleep(20000);
    assert_int_equal(read_int("SELECT COUNT(*) FROM t"), 0);
    sm_writer_post(writer, &last.write);
    for (int i = 0; i < 2; i++)
        while (sem_wait(&done) != 0)
            ;
    assert_true(patient.order < last.order);
    assert_int_equal(read_int("SELECT COUNT(*) FROM t"), 4);
    patient.first = 5;
    patient.second = 6;
    sm_writer_post(writer, &patient.write);
    sm_writer_hurry(writer);
    while (sem_wait(&done) != 0)
        ;
    patient.first = 7;
    patient.second = 8;
    patient.write.patience_ms = 1;
    sm_writer_post(writer, &patient.write);
    while (sem_wait(&done) != 0)
        ;
    assert_int_equal(read_int("SELECT COUNT(*) FROM t"), 8);
}

struct limited {
    struct sm_write write;
    int64_t pages_max;
};

static enum sm_code run_fill(struct sm_write *write, struct sm_db *on, struct sm_err *why)
{
    (void)write;
    return sm_db_exec(on, "CREATE TABLE filler AS SELECT zeroblob(100000) AS bytes", why);
}

static enum sm_code run_limit(struct sm_write *write, struct sm_db *on, struct sm_err *why)
{
    return sm_db_limit(on, 4096 * ((struct limited *)write)->pages_max, why);
}

/* Only what is alone may take room beyond the limit, and not without end. */
static void the_limit_leaves_something_to_what_is_alone(void **state)
{
    (void)state;
    struct limited limit = {.write.run = run_limit, .pages_max = 10};
    struct sm_write fill = {.run = run_fill};
    assert_code(SM_OK, sm_writer_call(writer, &limit.write, &err));
    assert_code(SM_FULL, sm_writer_call(writer, &fill, &err));
    assert_string_equal(err.text, "database: database or disk is full (SQLite code 13)");
    fill.mode = SM_WRITE_ALONE;
    assert_code(SM_OK, sm_writer_call(writer, &fill, &err));
    limit.pages_max = 1000;
    assert_code(SM_OK, sm_writer_call(writer, &limit.write, &err));
    struct insert good = {.write = {.run = run_insert}, .first = 1, .second = 2};
    assert_code(SM_OK, sm_writer_call(writer, &good.write, &err));
}

static void *call_many(void *arg)
{
    int64_t base = *(int64_t *)arg;
    for (int64_t i = 0; i < 100; i += 2) {
        struct insert in = {
            .write = {.run = run_insert}, .first = base + i, .second = base + i + 1};
        if (sm_writer_call(writer, &in.write, NULL) != SM_OK)
            return arg;
    }
    return NULL;
}

static void many_threads_may_call(void **state)
{
    (void)state;
    enum { THREADS = 6 };
    pthread_t threads[THREADS];
    int64_t base[THREADS];
    for (int i = 0; i < THREADS; i++) {
        base[i] = 1000 * i;
        assert_int_equal(pthread_create(&threads[i], NULL, call_many, &base[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(read_int("SELECT COUNT(*) FROM t"), THREADS * 100);
}

/* More texts than a connection keeps, each used twice, some held in use. */
static void statements_make_room_for_others(void **state)
{
    (void)state;
    struct sm_db *reader;
    struct sm_stmt *held, *q;
    bool row;
    char sql[64];
    assert_code(SM_OK, sm_db_open(&reader, scratch.db, SM_DB_READ, &err));
    assert_code(SM_OK, sm_db_query(&held, reader, "SELECT 1 + $x", &err));
    sm_stmt_int(held, "$x", 41);
    for (int i = 0; i < 3 * SM_DB_STATEMENTS_MAX; i++) {
        snprintf(sql, sizeof sql, "SELECT %d + $x", i / 2 + 2);
        assert_code(SM_OK, sm_db_query(&q, reader, sql, &err));
        sm_stmt_int(q, "$x", 1000);
        assert_code(SM_OK, sm_stmt_step(q, &row, &err));
        assert_int_equal(sm_stmt_get_int(q, 0), 1002 + i / 2);
        sm_stmt_reset(q);
    }
    assert_code(SM_OK, sm_stmt_step(held, &row, &err));
    assert_int_equal(sm_stmt_get_int(held, 0), 42);
    sm_stmt_reset(held);
    assert_code(SM_IO, sm_db_query(&q, reader, "SELECT nothing FROM nowhere", &err));
    assert_code(SM_IO, sm_db_exec(reader, "INSERT INTO t VALUES (1)", &err)); /* read-only */
    sm_db_close(reader);
}

static void jobs_follow_their_items(void **state)
{
    (void)state;
    static const struct {
        int queued, running, succeeded, failed, cancelled;
        enum sm_state expected;
    } cases[] = {
        {1, 0, 5, 0, 0, SM_STATE_RUNNING},   {0, 1, 0, 5, 0, SM_STATE_RUNNING},
        {0, 0, 3, 0, 0, SM_STATE_SUCCEEDED}, {0, 0, 1, 2, 0, SM_STATE_SUCCEEDED},
        {0, 0, 0, 3, 0, SM_STATE_FAILED},    {0, 0, 0, 0, 3, SM_STATE_CANCELLED},
        {0, 0, 0, 1, 1, SM_STATE_SUCCEEDED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t items[SM_STATES_COUNT] = {cases[i].queued, cases[i].running, cases[i].succeeded,
                                          cases[i].failed, cases[i].cancelled};
        assert_int_equal(sm_state_of_job(SM_STATE_RUNNING, items), cases[i].expected);
    }
    assert_true(sm_state_may(SM_STATE_RUNNING, SM_STATE_QUEUED));
    for (int to = 0; to < SM_STATES_COUNT; to++) {
        assert_false(sm_state_may(SM_STATE_SUCCEEDED, (enum sm_state)to));
        assert_false(sm_state_may(SM_STATE_FAILED, (enum sm_state)to));
        assert_int_equal(sm_state_parse(sm_state_name((enum sm_state)to)), to);
    }
    assert_int_equal(sm_state_parse("sleeping"), SM_STATES_COUNT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(a_failing_write_does_not_fail_its_group),
        TEST(what_is_queued_is_committed_before_the_stop),
        TEST(a_lost_transaction_fails_all_and_heals),
        TEST(a_write_may_be_alone),
        TEST(a_patient_write_waits_for_company),
        TEST(the_limit_leaves_something_to_what_is_alone),
        TEST(many_threads_may_call),
        TEST(statements_make_room_for_others),
        cmocka_unit_test(jobs_follow_their_items),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
