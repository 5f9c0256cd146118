/* Files that are deleted, moved or replaced while they are open. */
#include "tests/unit/server/store/fixture.h"

#include <fcntl.h>
#include <unistd.h>

#include "server/db/db_file.h"

static char path[4200], aside[4200];

static void name(const char *ending)
{
    snprintf(path, sizeof path, "%s%s", scratch.db, ending);
    snprintf(aside, sizeof aside, "%s%s.aside", scratch.db, ending);
}

static void check_lost(const char *text)
{
    struct sm_db *reader;
    char id[SM_ID_BYTES];
    assert_code(SM_IO, sm_store_check(store, &err));
    assert_string_equal(err.text, text);
    assert_code(SM_IO, sm_store_reader_take(&reader, store, &err));
    assert_null(reader);
    assert_int_equal(admit(id, "alpha", 1, 1), SM_IO);
    assert_int_equal(sm_store_queued_count(store), 0);
}

static void check_whole(void)
{
    char id[SM_ID_BYTES], score_id[SM_ID_BYTES];
    struct sm_claim claim;
    bool finished;
    assert_int_equal(admit(id, "alpha", 1, 1), SM_OK);
    assert_code(SM_OK, sm_store_check(store, &err));
    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 0, &err));
    assert_code(SM_OK, finish(&claim, "w", key_of(id), 1, score_id, &finished));
    sm_claim_free(&claim);
}

static void a_file_that_goes_and_comes_back(void **state)
{
    (void)state;
    static const struct {
        const char *ending, *name;
    } files[] = {
        {"", "the database"}, {"-wal", "its log"}, {"-shm", "its index"}, {".lock", "its lock"}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char gone[200], replaced[200];
        snprintf(gone, sizeof gone,
                 "the file of %s was deleted or moved while it was open: put it back, or restart "
                 "the service",
                 files[i].name);
        snprintf(replaced, sizeof replaced,
                 "the file of %s was replaced while it was open: put it back, or restart the "
                 "service",
                 files[i].name);
        check_whole();
        name(files[i].ending);
        assert_int_equal(rename(path, aside), 0);
        check_lost(gone);
        int fd = open(path, O_CREAT | O_WRONLY, 0600);
        assert_true(fd >= 0);
        close(fd);
        check_lost(replaced);
        assert_int_equal(rename(aside, path), 0);
        check_whole();
    }
}

/* A copy of the very same bytes is another file. */
static void a_copy_is_another_file(void **state)
{
    (void)state;
    char command[9000];
    name("");
    check_whole();
    snprintf(command, sizeof command, "cp '%s' '%s'", path, aside);
    assert_int_equal(system(command), 0);
    assert_int_equal(rename(aside, path), 0);
    check_lost("the file of the database was replaced while it was open: put it back, or restart "
               "the service");
}

/* The pages are written anew by an erasure, in the same file. */
static void what_the_store_does_itself_is_no_loss(void **state)
{
    (void)state;
    check_whole();
    assert_code(SM_OK, sm_db_compact(store->write_db, &err)); /* the writer is idle */
    check_whole();
    usleep(1500000); /* it tidies up */
    check_whole();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(a_file_that_goes_and_comes_back),
        TEST(a_copy_is_another_file),
        TEST(what_the_store_does_itself_is_no_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
