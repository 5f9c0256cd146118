/* Ids are UUIDv7 in time order; times survive the way to text and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/base/id.h"

static void ids_are_uuid_v7(void **state)
{
    (void)state;
    char id[37], other[37];
    int64_t before_ms = sm_clock_unix_ms();
    sm_id_new(id);
    int64_t after_ms = sm_clock_unix_ms();
    assert_true(sm_id_valid(id));
    unsigned high, low;
    assert_int_equal(sscanf(id, "%8x-%4x", &high, &low), 2);
    int64_t ms = (int64_t)high << 16 | low;
    assert_true(before_ms <= ms && ms <= after_ms);
    for (int i = 0; i < 1000; i++) {
        sm_id_new(other);
        assert_true(sm_id_valid(other));
        assert_string_not_equal(id, other);
        assert_true(strncmp(id, other, 13) <= 0);
    }
}

static void bad_ids_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "0190a6e0-1234-7abc-8def-0123456789a",   /* short */
        "0190a6e0-1234-7abc-8def-0123456789abc", /* long */
        "0190a6e0-1234-4abc-8def-0123456789ab",  /* version 4 */
        "0190a6e0-1234-7abc-7def-0123456789ab",  /* variant */
        "0190a6e0-1234-7abc-8def-0123456789aG",
        "0190A6E0-1234-7abc-8def-0123456789ab",
        "0190a6e0x1234-7abc-8def-0123456789ab",
    };
    assert_true(sm_id_valid("0190a6e0-1234-7abc-8def-0123456789ab"));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(sm_id_valid(bad[i]));
}

/* Times and their milliseconds, from Python's datetime. */
static const struct {
    const char *text;
    int64_t ms;
} times[] = {
    {"1970-01-01T00:00:00Z", 0},
    {"1970-01-01T00:00:00.001Z", 1},
    {"1969-12-31T23:59:59.999Z", -1},
    {"2026-01-31T12:34:56.789Z", 1769862896789},
    {"2026-01-31T12:34:56.789999999Z", 1769862896789},
    {"2026-01-31T12:34:56.7Z", 1769862896700},
    {"2026-01-31t12:34:56z", 1769862896000},
    {"2026-01-31T14:34:56.789+02:00", 1769862896789},
    {"2026-01-31T07:04:56.789-05:30", 1769862896789},
    {"2024-02-29T00:00:00Z", 1709164800000},
    {"2016-12-31T23:59:60Z", 1483228800000},
    {"0000-01-01T00:00:00Z", -62167219200000},
    {"9999-12-31T23:59:59.999Z", 253402300799999},
};

static void times_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        int64_t ms = 42;
        if (!sm_time_parse(&ms, times[i].text))
            fail_msg("%s was refused", times[i].text);
        assert_int_equal(ms, times[i].ms);
    }
}

static void times_survive_the_round_trip(void **state)
{
    (void)state;
    char text[32];
    int64_t back;
    sm_time_format(text, 1769862896789);
    assert_string_equal(text, "2026-01-31T12:34:56.789Z");
    for (int64_t ms = -62167219200000; ms < 253402300800000; ms += 7777777777777 / 13) {
        sm_time_format(text, ms);
        assert_int_equal(strlen(text), 24);
        assert_true(sm_time_parse(&back, text));
        assert_int_equal(back, ms);
    }
}

static void bad_times_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "2026",
        "2026-01-31",
        "2026-01-31T12:34:56",
        "2026-01-31 12:34:56Z",
        "2026-1-31T12:34:56Z",
        "2026-13-31T12:34:56Z",
        "2026-00-31T12:34:56Z",
        "2026-06-31T12:34:56Z",
        "2023-02-29T12:34:56Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:60:00Z",
        "2026-01-31T12:34:61Z",
        "2026-01-31T12:34:56.Z",
        "2026-01-31T12:34:56.1234567890Z",
        "2026-01-31T12:34:56+24:00",
        "2026-01-31T12:34:56+0200",
        "2026-01-31T12:34:56Z ",
        "+026-01-31T12:34:56Z",
    };
    int64_t ms = 42;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (sm_time_parse(&ms, bad[i]))
            fail_msg("%s was read as %lld", bad[i], (long long)ms);
    assert_int_equal(ms, 42);
}

static void clocks_go(void **state)
{
    (void)state;
    int64_t a = sm_clock_monotonic_ms();
    assert_true(sm_clock_monotonic_ms() >= a);
    assert_true(sm_clock_unix_ms() > 1700000000000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_uuid_v7),       cmocka_unit_test(bad_ids_are_refused),
        cmocka_unit_test(times_are_read),        cmocka_unit_test(times_survive_the_round_trip),
        cmocka_unit_test(bad_times_are_refused), cmocka_unit_test(clocks_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
