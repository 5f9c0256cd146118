/* One call for one statement: parameters and columns of every type, and what each call does with
 * errors, no row, many rows and a callback that fails. */
#include "tests/unit/server/store/scratch.h"

#include <string.h>

#include "server/db/query.h"

#define ID     "01890a5d-ac96-774b-bcce-b302099a8057"
#define DIGEST "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static struct scratch scratch;
static struct sm_err err;
static struct sm_db *db;

static int setup(void **state)
{
    (void)state;
    err = (struct sm_err){0};
    scratch_make(&scratch);
    assert_code(SM_OK, sm_db_open(&db, scratch.db, SM_DB_WRITE, &err));
    assert_code(SM_OK, sm_db_exec(db,
                                  "CREATE TABLE t (x INTEGER UNIQUE, r REAL, s TEXT, b BLOB, "
                                  "id BLOB, digest BLOB) STRICT",
                                  &err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sm_db_close(db);
    scratch_remove(&scratch);
    return 0;
}

static enum sm_code insert(struct sm_db *on, int64_t x)
{
    return sm_db_change(NULL, on, "INSERT INTO t (x) VALUES ($x)", SM_BIND(SM_INT("$x", x)), &err);
}

static int64_t count_rows(void)
{
    int64_t count = -1;
    assert_code(SM_OK, sm_db_row(NULL, db, "SELECT COUNT(*) FROM t", NULL,
                                 SM_COLUMNS(SM_GET_INT(&count)), &err));
    return count;
}

/* More calls than a connection has slots: a statement that stays in use would use them up. */
static void assert_nothing_in_use(void)
{
    for (int i = 0; i < 2 * SM_DB_STATEMENTS_MAX; i++) {
        char sql[64];
        int value = -1;
        snprintf(sql, sizeof sql, "SELECT %d", i);
        assert_code(SM_OK, sm_db_row(NULL, db, sql, NULL, SM_COLUMNS(SM_GET_INT32(&value)), &err));
        assert_int_equal(i, value);
    }
}

static const char insert_sql[] =
    "INSERT INTO t (x, r, s, b, id, digest) VALUES ($x, $r, $s, $b, $id, $digest)";

static void every_type_comes_back(void **state)
{
    (void)state;
    int64_t changes = 0, x = 0, bytes_count = 0;
    int x32 = 0;
    bool found = false, truth = false;
    double r = 0;
    char s[8], cut[3], id[37], digest[65];
    assert_code(SM_OK, sm_db_change(&changes, db, insert_sql,
                                    SM_BIND(SM_INT("$x", -7), SM_DOUBLE("$r", 0.25),
                                            SM_TEXT("$s", "text"), SM_BLOB("$b", "a\0b", 3),
                                            SM_HEX("$id", ID), SM_HEX("$digest", DIGEST)),
                                    &err));
    assert_int_equal(1, changes);
    assert_code(SM_OK,
                sm_db_row(&found, db, "SELECT x, x, x, r, s, s, id, digest, length(b) FROM t", NULL,
                          SM_COLUMNS(SM_GET_INT(&x), SM_GET_INT32(&x32), SM_GET_BOOL(&truth),
                                     SM_GET_DOUBLE(&r), SM_GET_TEXT(s, sizeof s),
                                     SM_GET_TEXT(cut, sizeof cut), SM_GET_ID(id),
                                     SM_GET_DIGEST(digest), SM_GET_INT(&bytes_count)),
                          &err));
    assert_true(found);
    assert_int_equal(-7, x);
    assert_int_equal(-7, x32);
    assert_true(truth);
    assert_true(r == 0.25);
    assert_string_equal("text", s);
    assert_string_equal("te", cut);
    assert_string_equal(ID, id);
    assert_string_equal(DIGEST, digest);
    assert_int_equal(3, bytes_count);
}

static void null_in_and_out(void **state)
{
    (void)state;
    int64_t nulls = 0, x = 1;
    bool truth = true;
    char s[8] = "old", id[37] = "old";
    assert_code(SM_OK, sm_db_change(NULL, db, insert_sql,
                                    SM_BIND(SM_INT_IF(false, "$x", 5), SM_TEXT("$s", NULL),
                                            SM_HEX("$id", NULL), SM_HEX("$digest", "not hex")),
                                    &err));
    assert_code(SM_OK,
                sm_db_row(NULL, db,
                          "SELECT x, x, s, id, (x IS NULL) + (r IS NULL) + (s IS NULL) + "
                          "(b IS NULL) + (id IS NULL) + (digest IS NULL) FROM t",
                          NULL,
                          SM_COLUMNS(SM_GET_INT(&x), SM_GET_BOOL(&truth), SM_GET_TEXT(s, sizeof s),
                                     SM_GET_ID(id), SM_GET_INT(&nulls)),
                          &err));
    assert_int_equal(6, nulls);
    assert_int_equal(0, x);
    assert_false(truth);
    assert_string_equal("", s);
    assert_string_equal("", id);
    assert_code(SM_OK, sm_db_change(NULL, db, "UPDATE t SET x = $x",
                                    SM_BIND(SM_INT_IF(true, "$x", 5)), &err));
    assert_code(SM_OK,
                sm_db_row(NULL, db, "SELECT x FROM t", NULL, SM_COLUMNS(SM_GET_INT(&x)), &err));
    assert_int_equal(5, x);
}

static void a_row_without_a_name_is_skipped(void **state)
{
    (void)state;
    int64_t first = 0, last = 0;
    assert_code(SM_OK, sm_db_row(NULL, db, "SELECT $first, $last",
                                 SM_BIND(SM_INT("$first", 1), SM_INT(NULL, 2), SM_INT("$last", 3)),
                                 SM_COLUMNS(SM_GET_INT(&first), SM_GET_INT(&last)), &err));
    assert_int_equal(1, first);
    assert_int_equal(3, last);
}

static void an_unknown_name_is_an_error(void **state)
{
    (void)state;
    bool found = true;
    int64_t x = 9, rows = 9;
    const char *sql = "INSERT INTO t (x) VALUES ($x)";
    assert_code(SM_INTERNAL,
                sm_db_change(NULL, db, sql,
                             SM_BIND(SM_INT("$x", 1), SM_INT("$first", 1), SM_INT("$second", 1)),
                             &err));
    assert_non_null(strstr(err.text, "$first"));
    assert_int_equal(0, count_rows());
    assert_code(SM_INTERNAL, sm_db_row(&found, db, "SELECT 1", SM_BIND(SM_HEX("$id", ID)),
                                       SM_COLUMNS(SM_GET_INT(&x)), &err));
    assert_non_null(strstr(err.text, "$id"));
    assert_false(found);
    assert_int_equal(9, x);
    assert_code(SM_INTERNAL,
                sm_db_each(&rows, db, "SELECT 1", SM_BIND(SM_TEXT("$s", "")), NULL, NULL, &err));
    assert_int_equal(0, rows);
    assert_nothing_in_use();
    assert_code(SM_OK, insert(db, 1)); /* the error does not stay with the statement */
}

static void a_statement_that_does_not_parse(void **state)
{
    (void)state;
    bool found = true;
    assert_code(SM_IO, sm_db_change(NULL, db, "INSERT nonsense", SM_BIND(SM_INT("$x", 1)), &err));
    assert_code(SM_IO, sm_db_row(&found, db, "SELECT nonsense", NULL, NULL, &err));
    assert_false(found);
    assert_code(SM_IO, sm_db_each(NULL, db, "SELECT nonsense", NULL, NULL, NULL, &err));
    assert_nothing_in_use();
}

static void a_constraint(void **state)
{
    (void)state;
    assert_code(SM_OK, insert(db, 1));
    assert_code(SM_INTERNAL, insert(db, 1));
    assert_non_null(strstr(err.text, "UNIQUE"));
    assert_int_equal(1, count_rows());
    assert_nothing_in_use();
    assert_code(SM_OK, insert(db, 2));
}

/* A snapshot that is older than another connection's commit cannot write. */
static void a_busy_database(void **state)
{
    (void)state;
    struct sm_db *other;
    assert_code(SM_OK, sm_db_open(&other, scratch.db, SM_DB_WRITE, &err));
    assert_code(SM_OK, sm_db_exec(db, "BEGIN", &err));
    assert_int_equal(0, count_rows());
    assert_code(SM_OK, insert(other, 1));
    assert_code(SM_BUSY, insert(db, 2));
    sm_db_rollback(db);
    assert_nothing_in_use();
    assert_code(SM_OK, insert(db, 2));
    sm_db_close(other);
}

static void changes_are_counted(void **state)
{
    (void)state;
    int64_t changes = -1;
    for (int i = 0; i < 3; i++)
        assert_code(SM_OK, insert(db, i));
    const char *sql = "UPDATE t SET s = 'seen' WHERE x >= $x";
    assert_code(SM_OK, sm_db_change(&changes, db, sql, SM_BIND(SM_INT("$x", 1)), &err));
    assert_int_equal(2, changes);
    assert_code(SM_OK, sm_db_change(&changes, db, sql, SM_BIND(SM_INT("$x", 9)), &err));
    assert_int_equal(0, changes);
    assert_code(SM_OK, sm_db_change(&changes, db, "DELETE FROM t", NULL, &err));
    assert_int_equal(3, changes);
}

static void no_row_is_no_error(void **state)
{
    (void)state;
    bool found = true;
    int64_t x = 9;
    assert_code(SM_OK,
                sm_db_row(&found, db, "SELECT x FROM t", NULL, SM_COLUMNS(SM_GET_INT(&x)), &err));
    assert_false(found);
    assert_int_equal(9, x);
    assert_code(SM_OK, insert(db, 1));
    assert_code(SM_OK, sm_db_row(&found, db, "SELECT x FROM t", NULL, NULL, &err));
    assert_true(found);
}

struct list {
    int64_t values[8];
    int count, fails_at; /* -1: never */
};

static enum sm_code append(void *arg, const struct sm_stmt *row, struct sm_err *why)
{
    struct list *list = arg;
    if (list->count == list->fails_at)
        return sm_err_set(why, SM_LIMIT, "the list is full");
    list->values[list->count++] = sm_stmt_get_int(row, 0);
    return SM_OK;
}

static const char list_sql[] = "SELECT x FROM t WHERE x < $max ORDER BY x";

static void several_rows(void **state)
{
    (void)state;
    struct list list = {.fails_at = -1};
    int64_t rows = -1, first = -1;
    assert_code(SM_OK,
                sm_db_each(&rows, db, list_sql, SM_BIND(SM_INT("$max", 3)), append, &list, &err));
    assert_int_equal(0, rows);
    for (int i = 4; i >= 0; i--)
        assert_code(SM_OK, insert(db, i));
    assert_code(SM_OK,
                sm_db_each(&rows, db, list_sql, SM_BIND(SM_INT("$max", 3)), append, &list, &err));
    assert_int_equal(3, rows);
    assert_int_equal(3, list.count);
    for (int i = 0; i < 3; i++)
        assert_int_equal(i, list.values[i]);
    assert_code(SM_OK, sm_db_row(NULL, db, list_sql, SM_BIND(SM_INT("$max", 3)),
                                 SM_COLUMNS(SM_GET_INT(&first)), &err));
    assert_int_equal(0, first);
}

static void a_callback_that_fails_ends_it(void **state)
{
    (void)state;
    struct list list = {.fails_at = 2};
    int64_t rows = -1;
    for (int i = 0; i < 5; i++)
        assert_code(SM_OK, insert(db, i));
    assert_code(SM_LIMIT,
                sm_db_each(&rows, db, list_sql, SM_BIND(SM_INT("$max", 5)), append, &list, &err));
    assert_string_equal("the list is full", err.text);
    assert_int_equal(2, rows);
    assert_int_equal(2, list.count);
    assert_nothing_in_use();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(every_type_comes_back),
        TEST(null_in_and_out),
        TEST(a_row_without_a_name_is_skipped),
        TEST(an_unknown_name_is_an_error),
        TEST(a_statement_that_does_not_parse),
        TEST(a_constraint),
        TEST(a_busy_database),
        TEST(changes_are_counted),
        TEST(no_row_is_no_error),
        TEST(several_rows),
        TEST(a_callback_that_fails_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
