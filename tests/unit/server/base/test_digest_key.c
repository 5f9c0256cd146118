/* A key is 64 hexadecimal digits and a line end, or an error that does not quote it. */
#include "tests/unit/server/store/scratch.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "server/base/digest_key.h"

#define DIGITS "00112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100"

static struct scratch scratch;
static char path[400];
static struct sm_err err;

static int setup(void **state)
{
    (void)state;
    err = (struct sm_err){0};
    scratch_make(&scratch);
    snprintf(path, sizeof path, "%s/key", scratch.dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_remove(&scratch);
    return 0;
}

static enum sm_code read_text(uint8_t key[32], const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_return_code(chmod(path, 0600), errno);
    return sm_digest_key_read(key, path, &err);
}

static void digits_with_and_without_line_end(void **state)
{
    (void)state;
    static const char *const ends[] = {"", "\n", "\r\n"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        uint8_t key[32] = {0};
        char text[80];
        snprintf(text, sizeof text, "%s%s", DIGITS, ends[i]);
        assert_code(SM_OK, read_text(key, text));
        assert_int_equal(key[1], 0x11);
        assert_int_equal(key[16], 0xff);
        assert_int_equal(key[31], 0x00);
    }
}

static void what_is_no_key(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } rows[] = {{"", "must be one line of 1 to 256 bytes"},
                {"0011", "4 characters, must be 64 hexadecimal digits"},
                {DIGITS "0", "65 characters, must be 64 hexadecimal digits"},
                {"g0112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100",
                 "64 characters, must be 64 hexadecimal digits"},
                {" 0112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100",
                 "64 characters, must be 64 hexadecimal digits"}};
    uint8_t key[32];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_code(SM_INVALID, read_text(key, rows[i].text));
        assert_non_null(strstr(err.text, rows[i].expected));
        assert_null(strstr(err.text, "0112233"));
    }
    assert_code(SM_INVALID, read_text(key, DIGITS "\n" DIGITS "\n"));
    assert_code(SM_OK, read_text(key, DIGITS));
    assert_return_code(chmod(path, 0640), errno);
    assert_code(SM_INVALID, sm_digest_key_read(key, path, &err));
    assert_non_null(strstr(err.text, "has mode 640, must be a file that only its owner may read"));
    snprintf(path, sizeof path, "%s/none", scratch.dir);
    assert_code(SM_INVALID, sm_digest_key_read(key, path, &err));
    assert_non_null(strstr(err.text, "No such file"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(digits_with_and_without_line_end),
        TEST(what_is_no_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
