/* Archives made here: where entries are in the bytes, and how many there may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include <cmocka.h>

#include "core/ckpt/zip.h"

struct built {
    zip_source_t *target;
    zip_t *zip;
    uint8_t *bytes;
    size_t bytes_count;
};

static void begin(struct built *built)
{
    built->target = zip_source_buffer_create(NULL, 0, 0, NULL);
    built->zip = zip_open_from_source(built->target, ZIP_TRUNCATE, NULL);
    assert_non_null(built->zip);
    zip_source_keep(built->target);
}

static void add(struct built *built, const char *name, const char *text, size_t count)
{
    zip_source_t *source = zip_source_buffer(built->zip, text, count, 0);
    zip_int64_t at = zip_file_add(built->zip, name, source, 0);
    assert_true(at >= 0);
    assert_int_equal(zip_set_file_compression(built->zip, (zip_uint64_t)at, ZIP_CM_STORE, 0), 0);
}

static void finish(struct built *built)
{
    zip_stat_t stat;
    assert_int_equal(zip_close(built->zip), 0);
    assert_int_equal(zip_source_stat(built->target, &stat), 0);
    assert_int_equal(zip_source_open(built->target), 0);
    built->bytes_count = (size_t)stat.size;
    built->bytes = malloc(built->bytes_count);
    assert_non_null(built->bytes);
    assert_int_equal(zip_source_read(built->target, built->bytes, stat.size), stat.size);
    zip_source_close(built->target);
    zip_source_free(built->target);
}

static void entries_are_where_their_bytes_are(void **context)
{
    static const struct {
        const char *name, *text;
    } entries[] = {{"a/one", "first"}, {"a/empty", ""}, {"two", "the second entry"}};
    struct built built;
    struct sm_zip *zip;
    struct sm_err err = {0};
    uint64_t at, count;

    (void)context;
    begin(&built);
    for (size_t i = 0; i < 3; i++)
        add(&built, entries[i].name, entries[i].text, strlen(entries[i].text));
    finish(&built);
    assert_int_equal(sm_zip_open(&zip, built.bytes, built.bytes_count, &err), SM_OK);
    assert_int_equal(sm_zip_count(zip), 3);
    assert_int_equal(sm_zip_find(zip, "three"), -1);
    for (size_t i = 0; i < 6; i++) { /* twice each */
        const char *text = entries[i % 3].text;
        assert_string_equal(sm_zip_name(zip, i % 3), entries[i % 3].name);
        assert_int_equal(sm_zip_find(zip, entries[i % 3].name), i % 3);
        assert_int_equal(sm_zip_locate(&at, &count, zip, i % 3, &err), SM_OK);
        assert_int_equal(count, strlen(text));
        assert_memory_equal(built.bytes + at, text, count);
        assert_int_equal(sm_zip_check(zip, i % 3, &err), SM_OK);
    }
    assert_int_equal(sm_zip_check_overlaps(zip, &err), SM_OK);
    sm_zip_close(zip);
    free(built.bytes);
}

static void a_changed_byte_fails_its_check(void **context)
{
    struct built built;
    struct sm_zip *zip;
    struct sm_err err = {0};
    uint64_t at, count;
    (void)context;
    begin(&built);
    add(&built, "one", "first", 5);
    finish(&built);
    assert_int_equal(sm_zip_open(&zip, built.bytes, built.bytes_count, &err), SM_OK);
    assert_int_equal(sm_zip_locate(&at, &count, zip, 0, &err), SM_OK);
    built.bytes[at + 4] ^= 1;
    assert_int_equal(sm_zip_check(zip, 0, &err), SM_CORRUPT);
    assert_string_equal(err.text, "zip entry one: CRC error");
    built.bytes[at + 4] ^= 1;
    assert_int_equal(sm_zip_check(zip, 0, &err), SM_OK);
    sm_zip_close(zip);
    free(built.bytes);
}

static void check_count(int entries, enum sm_code code, const char *text)
{
    struct built built;
    struct sm_zip *zip;
    struct sm_err err = {0};
    begin(&built);
    for (int i = 0; i < entries; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        add(&built, name, "", 0);
    }
    finish(&built);
    assert_int_equal(sm_zip_open(&zip, built.bytes, built.bytes_count, &err), code);
    assert_string_equal(err.text, text);
    sm_zip_close(zip);
    free(built.bytes);
}

/* Far too many are refused before libzip puts their names into its table. */
static void the_directory_is_limited(void **context)
{
    (void)context;
    check_count(16384, SM_OK, "");
    check_count(16385, SM_LIMIT, "zip directory of 16385 entries, limit is 16384");
    check_count(20000, SM_LIMIT, "zip directory of more than 16384 entries");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_where_their_bytes_are),
        cmocka_unit_test(a_changed_byte_fails_its_check),
        cmocka_unit_test(the_directory_is_limited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
