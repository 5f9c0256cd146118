/* Copies: whole, of one moment, never over anything, never from what is not ours. */
#include "tests/unit/server/store/fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "server/store/backup.h"

static char copy_path[400], other_path[400];
static struct sm_copied made;

static int begin(void **state)
{
    setup(state);
    snprintf(copy_path, sizeof copy_path, "%s/copy.db", scratch.dir);
    snprintf(other_path, sizeof other_path, "%s/other.db", scratch.dir);
    return 0;
}

__attribute__((format(printf, 3, 4))) static void
assert_refused(enum sm_code code, enum sm_code expected, const char *format, ...)
{
    char text[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert_string_equal(err.text, text);
    assert_int_equal(code, expected);
}

/* Files of the scratch folder whose name begins with `start`. */
static int files_count(const char *start)
{
    int count = 0;
    DIR *folder = opendir(scratch.dir);
    for (const struct dirent *entry; (entry = readdir(folder));)
        count += strncmp(entry->d_name, start, strlen(start)) == 0;
    closedir(folder);
    return count;
}

static int64_t scores_in(const char *path)
{
    struct sm_db *db;
    struct sm_stmt *q;
    bool row;
    assert_code(SM_OK, sm_db_open(&db, path, SM_DB_READ, &err));
    assert_code(SM_OK, sm_db_query(&q, db, "SELECT COUNT(*) FROM score", &err));
    assert_code(SM_OK, sm_stmt_step(q, &row, &err));
    int64_t count = sm_stmt_get_int(q, 0);
    sm_stmt_reset(q);
    sm_db_close(db);
    return count;
}

static void a_copy_has_everything_and_comes_back(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    struct stat about;
    struct sm_store *copied;
    json_t *score;
    add_score("p", 1, 0.5, id);
    add_score("p", 2, 0.25, id);
    assert_code(SM_OK, sm_backup(&made, copy_path, scratch.db, &err));
    assert_int_equal(stat(copy_path, &about), 0);
    assert_int_equal(about.st_size, made.bytes_count);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_int_equal(made.schema, read_int("SELECT MAX(version) FROM migration"));
    assert_int_equal(files_count("copy.db"), 1); /* no log, nothing half-made */
    add_score("p", 3, 0.75, id);
    assert_int_equal(scores_in(copy_path), 2);

    assert_code(SM_OK, sm_restore(&made, other_path, copy_path, &err));
    assert_code(SM_OK, sm_store_open(&copied, other_path, &err));
    char *line;
    assert_code(SM_NOT_FOUND, sm_store_score_line(&line, copied, SM_TENANT_DEFAULT, id, &err));
    assert_code(SM_OK,
                sm_store_score_by_key(&score, copied, SM_TENANT_DEFAULT, key_of("p/1/0.5"), &err));
    json_decref(score);
    sm_store_close(copied);
}

static void nothing_is_overwritten(void **state)
{
    (void)state;
    char log[440];
    fclose(fopen(copy_path, "w"));
    assert_refused(sm_backup(&made, copy_path, scratch.db, &err), SM_CONFLICT,
                   "%s is there already; nothing is overwritten", copy_path);
    assert_int_equal(remove(copy_path), 0);
    assert_int_equal(symlink("/nowhere", copy_path), 0);
    assert_refused(sm_backup(&made, copy_path, scratch.db, &err), SM_CONFLICT,
                   "%s is there already; nothing is overwritten", copy_path);
    assert_int_equal(remove(copy_path), 0);
    assert_code(SM_OK, sm_backup(&made, copy_path, scratch.db, &err));
    snprintf(log, sizeof log, "%s-wal", other_path); /* of a database that was removed */
    fclose(fopen(log, "w"));
    assert_refused(sm_restore(&made, other_path, copy_path, &err), SM_CONFLICT,
                   "%s is there already; nothing is overwritten", log);
    assert_int_equal(files_count("other.db"), 2); /* that one, and the lock */
}

static void a_database_in_use_is_not_restored(void **state)
{
    (void)state;
    assert_code(SM_OK, sm_backup(&made, copy_path, scratch.db, &err));
    assert_refused(sm_restore(&made, scratch.db, copy_path, &err), SM_CONFLICT,
                   "database %s is in use: another process holds %s.lock", scratch.db, scratch.db);
}

static void what_is_no_copy_is_refused(void **state)
{
    (void)state;
    struct sm_db *db;
    assert_refused(sm_restore(&made, other_path, copy_path, &err), SM_NOT_FOUND,
                   "%s: No such file or directory", copy_path);
    FILE *file = fopen(copy_path, "w");
    for (int i = 0; i < 1000; i++)
        fputs("no database\n", file);
    fclose(file);
    assert_refused(sm_restore(&made, other_path, copy_path, &err), SM_CORRUPT,
                   "%s: database: file is not a database (SQLite code 26)", copy_path);
    assert_int_equal(remove(copy_path), 0);
    fclose(fopen(copy_path, "w"));
    assert_refused(sm_restore(&made, other_path, copy_path, &err), SM_CONFLICT,
                   "%s: it is none of ours: application_id 0, not 1397967949", copy_path);
    assert_int_equal(remove(copy_path), 0);

    assert_code(SM_OK, sm_backup(&made, copy_path, scratch.db, &err));
    assert_code(SM_OK, sm_db_open(&db, copy_path, SM_DB_WRITE, &err));
    assert_code(SM_OK, sm_db_exec(db, "INSERT INTO migration VALUES (99, 'x', 'y', 0)", &err));
    sm_db_close(db);
    assert_refused(sm_restore(&made, other_path, copy_path, &err), SM_CONFLICT,
                   "%s: the database has schema 99, this program's is %d: it was made by a newer "
                   "version",
                   copy_path, (int)read_int("SELECT MAX(version) FROM migration"));
    assert_int_equal(files_count("other.db"), 1); /* the lock */
}

/* Overwrites the middle of a copy page by page until the check finds it: not every byte is one that
 * matters. */
static void a_damaged_copy_is_refused(void **state)
{
    (void)state;
    char id[SM_ID_BYTES], junk[4096];
    memset(junk, 0xa5, sizeof junk);
    for (int i = 0; i < 20; i++)
        add_score("p", i, i, id);
    assert_code(SM_OK, sm_backup(&made, copy_path, scratch.db, &err));
    int fd = open(copy_path, O_WRONLY);
    for (off_t at = 5 * 4096; at < made.bytes_count; at += 4096)
        assert_int_equal(pwrite(fd, junk, sizeof junk, at), sizeof junk);
    close(fd);
    assert_code(SM_CORRUPT, sm_restore(&made, other_path, copy_path, &err));
    assert_int_equal(strncmp(err.text, copy_path, strlen(copy_path)), 0);
    assert_int_equal(files_count("other.db"), 1);
}

static atomic_bool over;

static void *keep_scoring(void *arg)
{
    char id[SM_ID_BYTES];
    int count = 0;
    for (; !over; count++)
        add_score("busy", 1000 + count, count, id);
    *(int *)arg = count;
    return NULL;
}

/* Each copy is of one moment between two commits, also with the log full of them. */
static void copies_are_made_while_scores_come(void **state)
{
    (void)state;
    pthread_t thread;
    int count = 0;
    int64_t before = 0;
    over = false;
    assert_int_equal(pthread_create(&thread, NULL, keep_scoring, &count), 0);
    for (int i = 0; i < 10; i++) {
        assert_code(SM_OK, sm_backup(&made, copy_path, scratch.db, &err));
        int64_t scores = scores_in(copy_path);
        assert_true(scores >= before);
        before = scores;
        assert_int_equal(remove(copy_path), 0);
        usleep(20000);
    }
    over = true;
    pthread_join(thread, NULL);
    assert_true(before > 0 && before <= count);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(a_copy_has_everything_and_comes_back),
        TEST(nothing_is_overwritten),
        TEST(a_database_in_use_is_not_restored),
        TEST(what_is_no_copy_is_refused),
        TEST(a_damaged_copy_is_refused),
        TEST(copies_are_made_while_scores_come),
    };
    return cmocka_run_group_tests_name("backup", tests, NULL, NULL);
}
