/* A key is 64 hexadecimal digits and a line end, or an error that does not quote it. */
#include "tests/unit/server/store/scratch.h"

#include <string.h>

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
    } rows[] = {{"", "0 characters, must be 64 hexadecimal digits"},
                {"0011", "4 characters, must be 64 hexadecimal digits"},
                {DIGITS "0", "65 characters, must be 64 hexadecimal digits"},
                {"g0112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100",
                 "64 characters, must be 64 hexadecimal digits"},
                {" 0112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100",
                 "64 characters, must be 64 hexadecimal digits"}};
    uint8_t key[32];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_code(SM_CORRUPT, read_text(key, rows[i].text));
        assert_non_null(strstr(err.text, rows[i].expected));
        assert_null(strstr(err.text, "0112233"));
    }
    assert_code(SM_LIMIT, read_text(key, DIGITS DIGITS "0"));
    snprintf(path, sizeof path, "%s/none", scratch.dir);
    assert_code(SM_NOT_FOUND, sm_digest_key_read(key, path, &err));
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
