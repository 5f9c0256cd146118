/* Buckets by address: as many as a minute gives, no more, and no more places than there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/base/buckets.h"

#define NOW_MS INT64_C(100000000)

static struct sm_buckets *buckets;
static struct sm_err err;

static int setup(void **state)
{
    (void)state;
    return sm_buckets_new(&buckets, 6, &err) == SM_OK ? 0 : 1;
}

static int teardown(void **state)
{
    (void)state;
    sm_buckets_free(buckets);
    return 0;
}

static bool take(const char *address, int64_t at_ms, int64_t *retry_s)
{
    struct sm_peer client;
    assert_true(sm_peer_parse(&client, address));
    return sm_buckets_take(buckets, &client, at_ms, retry_s);
}

static void drain(const char *address, int64_t at_ms)
{
    int64_t retry_s;
    for (int i = 0; i < 6; i++)
        assert_true(take(address, at_ms, &retry_s));
    assert_false(take(address, at_ms, &retry_s));
    assert_int_equal(retry_s, 11);
}

static void a_minute_gives_so_many(void **state)
{
    (void)state;
    int64_t retry_s;
    drain("192.0.2.1", NOW_MS);
    assert_false(take("192.0.2.1", NOW_MS + 9999, &retry_s));
    assert_int_equal(retry_s, 1);
    assert_true(take("192.0.2.1", NOW_MS + 10000, &retry_s));
    assert_int_equal(retry_s, 0);
    assert_false(take("192.0.2.1", NOW_MS + 10001, &retry_s));
    drain("192.0.2.1", NOW_MS + 1000000); /* full again, and no fuller */
}

static void addresses_do_not_share(void **state)
{
    (void)state;
    int64_t retry_s;
    drain("192.0.2.1", NOW_MS);
    drain("192.0.2.2", NOW_MS);
    drain("2001:db8::1", NOW_MS);
    assert_true(take("2001:db8:0:1::1", NOW_MS, &retry_s));
    assert_false(take("2001:db8::2", NOW_MS, &retry_s));      /* the same /64 */
    assert_false(take("::ffff:192.0.2.2", NOW_MS, &retry_s)); /* the same address */
    assert_true(take("::ffff:192.0.2.3", NOW_MS, &retry_s));
}

static void no_address_is_one_too(void **state)
{
    (void)state;
    int64_t retry_s;
    const struct sm_peer unknown = {0};
    for (int i = 0; i < 6; i++)
        assert_true(sm_buckets_take(buckets, &unknown, NOW_MS, &retry_s));
    assert_false(sm_buckets_take(buckets, &unknown, NOW_MS, &retry_s));
    assert_true(take("192.0.2.1", NOW_MS, &retry_s));
}

/* A flood of others takes the places of the fullest first: who is limited stays so. */
static void the_fullest_goes_first(void **state)
{
    (void)state;
    int64_t retry_s;
    char address[32];
    drain("192.0.2.1", NOW_MS);
    for (int i = 0; i < 50 * SM_BUCKETS; i++) {
        snprintf(address, sizeof address, "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        assert_true(take(address, NOW_MS, &retry_s));
    }
    assert_false(take("192.0.2.1", NOW_MS, &retry_s));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(a_minute_gives_so_many),
        TEST(addresses_do_not_share),
        TEST(no_address_is_one_too),
        TEST(the_fullest_goes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
