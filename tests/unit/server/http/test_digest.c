/* Content-Digest: what is read, what is refused and with which words, and the digests themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/http/digest.h"

/* Of "hello", from sha256sum and sha512sum. */
#define SHA256_HELLO "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
#define SHA512_HELLO                                                                               \
    "m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcjI8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw=="
#define SHA256_EMPTY "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

static struct sm_err err;

static void test_syntax(void **state)
{
    static const struct {
        const char *value, *text; /* NULL: it is good */
        bool sha256, sha512;
    } rows[] = {
        {"sha-256=:" SHA256_HELLO ":", NULL, true, false},
        {"sha-512=:" SHA512_HELLO ":", NULL, false, true},
        {" sha-256=:" SHA256_HELLO ": , sha-512=:" SHA512_HELLO ": ", NULL, true, true},
        {"md5=:XUFAKrxLKna5cZ2REBfFkg==:", NULL, false, false},
        {"md5=:?:, sha-256=:" SHA256_HELLO ":", NULL, true, false},
        {"x=\"a,sha-256=\\\"b\", y, sha-256=:" SHA256_HELLO ":;p=\"c,d\";q", NULL, true, false},
        {"sha-256-not=:AA==:", NULL, false, false},
        {"sha-25=1", NULL, false, false},
        {"", "there is no algorithm at ''", false, false},
        {"  ", "there is no algorithm at ''", false, false},
        {",", "there is no algorithm at ','", false, false},
        {"SHA-256=:" SHA256_HELLO ":", "there is no algorithm at 'SHA-256=:LPJNul+wow4'", false,
         false},
        {"sha-256=:" SHA256_HELLO ":,", "there is no algorithm at ''", false, false},
        {"sha-256=:" SHA256_HELLO ": x", "'x' follows a digest", false, false},
        {"sha-256", "sha-256 is not followed by =:BASE64:", false, false},
        {"sha-256=" SHA256_HELLO, "sha-256 is not followed by =:BASE64:", false, false},
        {"sha-256=:" SHA256_HELLO, "sha-256 is not followed by =:BASE64:", false, false},
        {"sha-256 =:" SHA256_HELLO ":", "sha-256 is not followed by =:BASE64:", false, false},
        {"sha-256=::", "sha-256 has 0 characters, not the base64 of 32 bytes", false, false},
        {"sha-256=:LPJN:", "sha-256 has 4 characters, not the base64 of 32 bytes", false, false},
        {"sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ:",
         "sha-256 has 43 characters, not the base64 of 32 bytes", false, false},
        {"sha-256=:LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:",
         "sha-256 has 44 characters, not the base64 of 32 bytes", false, false},
        {"sha-256=:" SHA512_HELLO ":", "sha-256 has 88 characters, not the base64 of 32 bytes",
         false, false},
        {"sha-512=:" SHA512_HELLO SHA512_HELLO ":",
         "sha-512 has 176 characters, not the base64 of 64 bytes", false, false},
        {"x=\"", "a quote is not closed", false, false},
        {"x=\"\\", "a quote is not closed", false, false},
        {"sha-256=:" SHA256_HELLO ":;p=\"", "a quote is not closed", false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sm_digest digest = {0};
        enum sm_code code = sm_digest_declare(&digest, rows[i].value, &err);
        if ((code == SM_OK) != (!rows[i].text) || (code != SM_OK && code != SM_INVALID))
            fail_msg("%s: %d, %s", rows[i].value, code, err.text);
        if (code != SM_OK)
            assert_string_equal(err.text, rows[i].text);
        else if (digest.declared[0].there != rows[i].sha256 ||
                 digest.declared[1].there != rows[i].sha512)
            fail_msg("%s", rows[i].value);
    }
}

/* The digest of `pieces` against the declared one. */
static enum sm_code check(const char *value, const char *const *pieces)
{
    uint8_t unused[SHA256_DIGEST_SIZE];
    struct sm_digest digest = {0};
    assert_int_equal(sm_digest_declare(&digest, value, &err), SM_OK);
    for (; *pieces; pieces++)
        sm_digest_add(&digest, *pieces, strlen(*pieces));
    return sm_digest_check(&digest, unused, &err);
}

static void test_check(void **state)
{
    static const char *const hello[] = {"he", "", "llo", NULL}, *const nothing[] = {NULL},
                             *const other[] = {"hell0", NULL};
    (void)state;
    assert_int_equal(check("sha-256=:" SHA256_HELLO ":", hello), SM_OK);
    assert_int_equal(check("sha-512=:" SHA512_HELLO ":", hello), SM_OK);
    assert_int_equal(check("sha-256=:" SHA256_HELLO ":, sha-512=:" SHA512_HELLO ":", hello), SM_OK);
    assert_int_equal(check("sha-256=:" SHA256_EMPTY ":", nothing), SM_OK);
    assert_int_equal(check("md5=:AAAA:", other), SM_OK);
    /* the last of one algorithm counts */
    assert_int_equal(check("sha-256=:" SHA256_EMPTY ":, sha-256=:" SHA256_HELLO ":", hello), SM_OK);
    assert_int_equal(check("sha-256=:" SHA256_HELLO ":", other), SM_CORRUPT);
    assert_string_equal(err.text, "the 5 bytes that came have another sha-256");
    assert_int_equal(check("sha-512=:" SHA512_HELLO ":", other), SM_CORRUPT);
    assert_string_equal(err.text, "the 5 bytes that came have another sha-512");
    assert_int_equal(check("sha-256=:" SHA256_HELLO ":", nothing), SM_CORRUPT);
    assert_string_equal(err.text, "the 0 bytes that came have another sha-256");
    assert_int_equal(check("sha-256=:" SHA256_EMPTY ":, sha-512=:" SHA512_HELLO ":", hello),
                     SM_CORRUPT);
}

static void test_wanted(void **state)
{
    static const uint8_t hello[4] = {0x2c, 0xf2, 0x4d, 0xba};
    struct sm_digest digest = {.wants_sha256 = true};
    uint8_t is[SHA256_DIGEST_SIZE];
    (void)state;
    sm_digest_add(&digest, "hello", 5);
    assert_int_equal(sm_digest_check(&digest, is, &err), SM_OK);
    assert_memory_equal(is, hello, sizeof hello);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_syntax), cmocka_unit_test(test_check),
                                       cmocka_unit_test(test_wanted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
