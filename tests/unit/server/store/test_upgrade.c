/* A database of the first schema, with rows in it, opened by this program: same documents, same
 * queue, and a file that gives free pages back. */
#include "server/base/clock.h"
#include "tests/unit/server/store/fixture.h"

#include <sys/stat.h>

#include "server/base/embed.h"
#include "server/db/migrate.h"
#include "server/store/claim.h"

#define ID(n)     "0191e5b0-0000-7000-8000-00000000000" n
#define ID_MS     INT64_C(0x0191e5b00000)
#define DIGEST(n) "00000000000000000000000000000000000000000000000000000000000000a" n
#define RECIPE    "00000000000000000000000000000000000000000000000000000000000000ee"

static const char shared_part[] =
    "\"reference\":{\"cohort\":\"external\",\"n\":500,\"centered\":0.042288310283516761},"
    "\"recipe\":"
    "{\"views\":10,\"scale\":[0.080000000000000002,1.0]},\"provenance\":{\"key\":\"%s\",\"blas\":"
    "\"OpenBLAS \xc3\xa9\"}}";

static const struct {
    const char *id, *key, *image, *m;
    int64_t created_ms;
} scores[] = {
    {ID("1"), DIGEST("1"), DIGEST("b"), "0.042637140608876134", ID_MS},
    {ID("2"), DIGEST("2"), DIGEST("c"), "-1.0", ID_MS + 1}, /* a millisecond behind its id */
    {ID("3"), DIGEST("3"), DIGEST("b"), "1e-300", ID_MS},
};
enum { SCORES = sizeof scores / sizeof *scores };

static void body_of(char *out, size_t out_bytes, int i)
{
    int length =
        snprintf(out, out_bytes,
                 "{\"method\":\"sslmem/1\",\"pair\":\"alpha\",\"image\":{\"digest\":\"%s\"},"
                 "\"m\":%s,",
                 scores[i].image, scores[i].m);
    snprintf(out + length, out_bytes - (size_t)length, shared_part, scores[i].key);
}

static void run_sql(struct sm_db *db, const char *sql)
{
    assert_code(SM_OK, sm_db_exec(db, sql, &err));
}

static void insert_scores(struct sm_db *db)
{
    char body[2000], sql[4000];
    for (int i = 0; i < SCORES; i++) {
        body_of(body, sizeof body, i);
        snprintf(sql, sizeof sql,
                 "INSERT INTO score VALUES ('%s', '%s', %lld, 'alpha', '%s', '%s', '%s', %s, '%s')",
                 scores[i].id, scores[i].key, (long long)scores[i].created_ms, DIGEST("f"),
                 scores[i].image, RECIPE, scores[i].m, body);
        run_sql(db, sql);
    }
}

#define JOB7    "'" ID("7") "'"
#define JOB8    "'" ID("8") "'"
#define IMAGE_B "'image/png', '" DIGEST("b") "'"
#define IMAGE_C "'image/png', '" DIGEST("c") "'"
#define IMAGE_D "'image/png', '" DIGEST("d") "'"
#define SCORE1  "'" ID("1") "'"
#define NAMED   "'alpha', '" RECIPE "'"

static const char old_jobs[] =
    "INSERT INTO job VALUES "
    "(" JOB7 ", 'succeeded', " NAMED ", 1000, 2000, 3000), "
    "(" JOB8 ", 'running', " NAMED ", 4000, 5000, NULL);"
    "INSERT INTO item VALUES "
    "(" JOB7 ", 0, 'succeeded', 'a.png', " IMAGE_B ", 1, NULL, NULL, " SCORE1 ", 1, NULL, NULL), "
    "(" JOB7 ", 1, 'failed', '', " IMAGE_D ", 1, NULL, NULL, NULL, 0, 'corrupt', 'ends early'), "
    "(" JOB8 ", 0, 'running', '', " IMAGE_B ", 2, 'gone', 9000, NULL, 0, NULL, NULL), "
    "(" JOB8 ", 1, 'queued', '', " IMAGE_C ", 0, NULL, NULL, NULL, 0, NULL, NULL);"
    "INSERT INTO image VALUES (" JOB8 ", 0, x'3031'), (" JOB8 ", 1, x'3233');";

/* As the first program left it: without auto_vacuum. */
static void make_old(void)
{
    struct sm_embedded first[2] = {{0}};
    struct sm_db *db;
    for (const struct sm_embedded *file = sm_embedded; file->name; file++)
        if (strcmp(file->name, "migrations/0001_init.sql") == 0)
            first[0] = *file;
    assert_non_null(first[0].name);
    assert_code(SM_OK, sm_db_open(&db, scratch.db, SM_DB_WRITE, &err));
    run_sql(db, "PRAGMA auto_vacuum = NONE; VACUUM");
    assert_code(SM_OK, sm_migrate(db, first, NULL, &err));
    run_sql(db, "INSERT INTO recipe VALUES ('" RECIPE "', '{\"views\":10}')");
    insert_scores(db);
    run_sql(db, old_jobs);
    sm_db_close(db);
    assert_int_equal(read_int("PRAGMA auto_vacuum"), 0);
}

static int setup_old(void **state)
{
    (void)state;
    err = (struct sm_err){0};
    scratch_make(&scratch);
    make_old();
    return 0;
}

static void documents_are_the_same(void **state)
{
    (void)state;
    char body[2000], expected[2200], created[32], *line;
    assert_code(SM_OK, sm_store_open(&store, scratch.db, &err));
    for (int i = 0; i < SCORES; i++) {
        body_of(body, sizeof body, i);
        sm_time_format(created, scores[i].created_ms);
        snprintf(expected, sizeof expected, "{\"id\":\"%s\",\"created\":\"%s\",%s\n", scores[i].id,
                 created, body + 1);
        assert_code(SM_OK,
                    sm_store_score_line(&line, store, SM_TENANT_DEFAULT, scores[i].id, &err));
        assert_string_equal(line, expected);
        free(line);
    }
    assert_int_equal(read_int("SELECT COUNT(*) FROM shape"), 1);
    json_t *score;
    assert_code(SM_OK, sm_store_score_by_key(&score, store, SM_TENANT_DEFAULT, DIGEST("3"), &err));
    assert_string_equal(text_at(score, "id"), ID("3"));
    json_decref(score);
    struct sm_score_page page;
    assert_code(SM_OK, sm_store_scores(&page, store,
                                       &(struct sm_score_filter){.image_digest = DIGEST("b"),
                                                                 .order = SM_ORDER_HIGHEST,
                                                                 .limit = 5},
                                       &err));
    assert_int_equal(page.count, 2);
    json_t *listed = scores_of(&page);
    assert_string_equal(text_at(json_array_get(listed, 0), "id"), ID("1"));
    json_decref(listed);
}

static void jobs_go_on(void **state)
{
    (void)state;
    struct sm_claim claim;
    json_t *job;
    assert_code(SM_OK, sm_store_open(&store, scratch.db, &err));
    check_job(ID("7"), "succeeded", 1, 1);
    assert_code(SM_OK, sm_store_job(&job, store, SM_TENANT_DEFAULT, ID("7"), &err));
    assert_string_equal(text_at(job, "created"), "1970-01-01T00:00:01.000Z");
    assert_string_equal(text_at(job, "recipe"), RECIPE);
    const json_t *items = json_object_get(job, "items");
    assert_string_equal(text_at(json_object_get(json_array_get(items, 0), "score"), "id"), ID("1"));
    assert_true(json_is_true(json_object_get(json_array_get(items, 0), "from_history")));
    assert_string_equal(text_at(json_array_get(items, 1), "image"), DIGEST("d"));
    json_decref(job);
    assert_int_equal(sm_store_queued_count(store), 2);
    for (int i = 0; i < 2; i++) {
        char score_id[SM_ID_BYTES];
        bool finished;
        assert_code(SM_OK, sm_store_claim(&claim, store, "w", 0, &err));
        assert_string_equal(claim.job_id, ID("8"));
        /* The first item was running, and nothing else was: it comes last. */
        assert_int_equal(claim.attempt, i == 0 ? 1 : 2 + SM_ATTEMPTS_ALONE);
        assert_memory_equal(claim.bytes, i == 0 ? "23" : "01", 2);
        assert_string_equal(claim.recipe_digest, RECIPE);
        assert_code(SM_OK, finish(&claim, "w", i ? "x" : "y", 1, score_id, &finished));
        assert_int_equal(finished, i == 1);
        sm_claim_free(&claim);
    }
    check_job(ID("8"), "succeeded", 2, 0);
}

/* The schema was edited in place: its rows and indices still hold, and m may be null. */
static void a_score_may_lack_m(void **state)
{
    (void)state;
    char score_id[SM_ID_BYTES], *line;
    assert_code(SM_OK, sm_store_open(&store, scratch.db, &err));
    for (int i = 0; i < 2; i++) { /* the queued items of the old program */
        struct sm_claim claim;
        bool finished;
        assert_code(SM_OK, sm_store_claim(&claim, store, "w", 0, &err));
        assert_code(SM_OK, finish(&claim, "w", i ? "x" : "y", NAN, score_id, &finished));
        sm_claim_free(&claim);
    }
    assert_int_equal(read_int("SELECT COUNT(*) FROM score WHERE m IS NULL"), 2);
    assert_int_equal(read_int("SELECT COUNT(*) FROM score WHERE m IS NOT NULL"), SCORES);
    assert_int_equal(read_int("SELECT COUNT(*) FROM pragma_integrity_check WHERE "
                              "integrity_check <> 'ok'"),
                     0);
    assert_code(SM_OK, sm_store_score_line(&line, store, SM_TENANT_DEFAULT, score_id, &err));
    assert_non_null(strstr(line, "\"m\":null"));
    free(line);
    static const struct {
        enum sm_order order;
        int count;
    } listed[] = {{SM_ORDER_HIGHEST, SCORES},
                  {SM_ORDER_LOWEST, SCORES},
                  {SM_ORDER_NEWEST, SCORES + 2},
                  {SM_ORDER_OLDEST, SCORES + 2}};
    for (size_t i = 0; i < sizeof listed / sizeof *listed; i++) {
        struct sm_score_page page;
        const struct sm_score_filter filter = {.order = listed[i].order, .limit = 50};
        assert_code(SM_OK, sm_store_scores(&page, store, &filter, &err));
        assert_int_equal(page.count, listed[i].count);
        json_decref(scores_of(&page));
    }
}

static void the_file_gives_pages_back(void **state)
{
    (void)state;
    struct stat before, after;
    assert_code(SM_OK, sm_store_open(&store, scratch.db, &err));
    assert_int_equal(read_int("PRAGMA auto_vacuum"), 2);
    struct sm_item_in item = {.name = "large", .bytes_count = 8 << 20};
    struct sm_job_in job = {.pair = "alpha", .items = &item, .items_count = 1};
    struct outcome outcome;
    struct sm_claim claim;
    char score_id[SM_ID_BYTES];
    bool finished;
    char *bytes = calloc(1, item.bytes_count);
    item.bytes = bytes;
    digest_of(item.image_digest, 9);
    sm_id_new(job.id);
    memcpy(job.recipe_digest, RECIPE, sizeof job.recipe_digest);
    json_t *recipe = json_object();
    job.recipe = recipe;
    sem_init(&outcome.done, 0, 0);
    assert_code(SM_OK, sm_store_admit(store, &job, admitted, &outcome, &err));
    while (sem_wait(&outcome.done) != 0)
        ;
    free(bytes);
    json_decref(recipe);
    for (int i = 0; i < 3; i++) {
        assert_code(SM_OK, sm_store_claim(&claim, store, "w", 0, &err));
        assert_code(SM_OK,
                    finish(&claim, "w", i ? i > 1 ? "x" : "y" : "z", 1, score_id, &finished));
        sm_claim_free(&claim);
    }
    assert_true(read_int("PRAGMA page_count") > 2000);
    stat(scratch.db, &before);
    for (int i = 0; i < 100 && read_int("PRAGMA freelist_count") > 0; i++)
        usleep(50000);
    assert_int_equal(read_int("PRAGMA freelist_count"), 0);
    assert_true(read_int("PRAGMA page_count") < 100);
    sm_store_close(store);
    store = NULL;
    stat(scratch.db, &after);
    assert_true(after.st_size < (1 << 20));
}

static void a_broken_document_stops_the_migration(void **state)
{
    (void)state;
    struct sm_db *db;
    int64_t tables = read_int("SELECT COUNT(*) FROM sqlite_master");
    assert_code(SM_OK, sm_db_open(&db, scratch.db, SM_DB_WRITE, &err));
    run_sql(db, "UPDATE score SET body = '{\"m\":' WHERE id = '" ID("2") "'");
    sm_db_close(db);
    assert_int_not_equal(sm_store_open(&store, scratch.db, &err), SM_OK);
    assert_non_null(strstr(err.text, "migrations/0002_audits.sql: "));
    assert_non_null(strstr(err.text, "score with key " DIGEST("2") ": "));
    assert_int_equal(read_int("SELECT COUNT(*) FROM sqlite_master"), tables);
    assert_int_equal(read_int("SELECT COUNT(*) FROM score WHERE length(id) = 36"), SCORES);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_old, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(documents_are_the_same),
        TEST(jobs_go_on),
        TEST(a_score_may_lack_m),
        TEST(the_file_gives_pages_back),
        TEST(a_broken_document_stops_the_migration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
