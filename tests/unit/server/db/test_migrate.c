/* Migrations: from empty, twice, one more, edited, newer, failing, and over foreign files. */
#include "tests/unit/server/store/scratch.h"

#include <string.h>
#include <sys/stat.h>

#include "server/db/migrate.h"

#define FILE_OF(name, text)                                                                        \
    {                                                                                              \
        name, (const unsigned char *)(text), sizeof(text) - 1                                      \
    }

static struct scratch scratch;
static struct sm_err err;

static int setup(void **state)
{
    (void)state;
    err = (struct sm_err){0};
    scratch_make(&scratch);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_remove(&scratch);
    return 0;
}

static const struct sm_embedded one[] = {
    FILE_OF("migrations/0001_a.sql", "CREATE TABLE a (x INTEGER) STRICT;"),
    FILE_OF("openapi.yaml", "not SQL"),
    {0},
};
static const struct sm_embedded two[] = {
    FILE_OF("migrations/0001_a.sql", "CREATE TABLE a (x INTEGER) STRICT;"),
    FILE_OF("migrations/0002_b.sql",
            "CREATE TABLE b (x INTEGER) STRICT; INSERT INTO b VALUES (1);"),
    {0},
};
static const struct sm_embedded edited[] = {
    FILE_OF("migrations/0001_a.sql", "CREATE TABLE a (x INTEGER, y INTEGER) STRICT;"),
    FILE_OF("migrations/0002_b.sql",
            "CREATE TABLE b (x INTEGER) STRICT; INSERT INTO b VALUES (1);"),
    {0},
};
static const struct sm_embedded broken[] = {
    FILE_OF("migrations/0001_a.sql", "CREATE TABLE a (x INTEGER) STRICT;"),
    FILE_OF("migrations/0002_b.sql",
            "CREATE TABLE b (x INTEGER) STRICT; INSERT INTO nowhere VALUES (1);"),
    {0},
};

static enum sm_code migrate(const struct sm_embedded *files, int *applied)
{
    struct sm_db *db;
    enum sm_code code = sm_db_open(&db, scratch.db, SM_DB_WRITE, &err);
    if (code == SM_OK)
        code = sm_migrate(db, files, applied, &err);
    sm_db_close(db);
    return code;
}

static void each_is_applied_once(void **state)
{
    (void)state;
    int applied = -1;
    assert_code(SM_OK, migrate(one, &applied));
    assert_int_equal(applied, 1);
    assert_code(SM_OK, migrate(one, &applied));
    assert_int_equal(applied, 0);
    assert_code(SM_OK, migrate(two, &applied));
    assert_int_equal(applied, 1);
    assert_code(SM_OK, migrate(two, &applied));
    assert_int_equal(applied, 0);
}

static void a_newer_schema_is_refused(void **state)
{
    (void)state;
    int applied;
    assert_code(SM_OK, migrate(two, &applied));
    assert_code(SM_CONFLICT, migrate(one, &applied));
    assert_string_equal(err.text,
                        "the database has schema 2, this program's is 1: it was made by a newer "
                        "version");
}

static void an_edited_migration_is_refused(void **state)
{
    (void)state;
    int applied;
    assert_code(SM_OK, migrate(one, &applied));
    assert_code(SM_CONFLICT, migrate(edited, &applied));
    assert_non_null(strstr(err.text, "migration 0001_a.sql was applied with SHA-256 "));
    assert_int_equal(applied, 0);
    assert_code(SM_OK, migrate(two, &applied));
    assert_int_equal(applied, 1); /* the refusal had applied nothing */
}

static void a_failing_migration_leaves_no_trace(void **state)
{
    (void)state;
    int applied;
    assert_code(SM_IO, migrate(broken, &applied));
    assert_int_equal(applied, 1);
    assert_non_null(strstr(err.text, "migrations/0002_b.sql: database: no such table: nowhere"));
    assert_code(SM_OK, migrate(two, &applied));
    assert_int_equal(applied, 1);
}

static void files_of_others_are_refused(void **state)
{
    (void)state;
    int applied;
    FILE *file = fopen(scratch.db, "w");
    for (int i = 0; i < 100; i++)
        fputs("this is no database, it is somebody's diary\n", file);
    fclose(file);
    assert_code(SM_CORRUPT, migrate(one, &applied));

    struct sm_db *db;
    remove(scratch.db);
    assert_code(SM_OK, migrate(one, &applied));
    assert_code(SM_OK, sm_db_open(&db, scratch.db, SM_DB_WRITE, &err));
    assert_code(SM_OK, sm_db_exec(db, "PRAGMA application_id = 7", &err));
    sm_db_close(db);
    assert_code(SM_CONFLICT, migrate(one, &applied));
    assert_non_null(strstr(err.text, "is another application's database: application_id 7"));
}

static void the_file_is_private(void **state)
{
    (void)state;
    int applied;
    struct stat status;
    assert_code(SM_OK, migrate(one, &applied));
    assert_int_equal(stat(scratch.db, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(each_is_applied_once),           TEST(a_newer_schema_is_refused),
        TEST(an_edited_migration_is_refused), TEST(a_failing_migration_leaves_no_trace),
        TEST(files_of_others_are_refused),    TEST(the_file_is_private),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
