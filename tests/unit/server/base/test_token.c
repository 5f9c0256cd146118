/* Tokens: their form, what is kept of them, and texts that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/base/token.h"

static void a_new_token_reads_back(void **state)
{
    (void)state;
    struct sm_token token, read;
    sm_token_new(&token, NULL);
    assert_int_equal(strlen(token.text), SM_TOKEN_BYTES - 1);
    assert_memory_equal(token.text, "sslmem_", 7);
    assert_memory_equal(token.text + 7, token.prefix, SM_TOKEN_PREFIX_BYTES - 1);
    assert_true(sm_token_read(&read, token.text));
    assert_string_equal(read.prefix, token.prefix);
    assert_true(sm_token_is(&read, token.hash));
    sm_token_forget(&token);
    assert_int_equal(token.text[0], 0);
}

static void two_tokens_differ(void **state)
{
    (void)state;
    struct sm_token a, b;
    sm_token_new(&a, NULL);
    sm_token_new(&b, a.prefix);
    assert_string_equal(a.prefix, b.prefix);
    assert_string_not_equal(a.text, b.text);
    assert_false(sm_token_is(&a, b.hash));
}

/* BLAKE2b-256 of 32 zero bytes, from Python's hashlib.blake2b(bytes(32), digest_size=32). */
static void the_hash_is_blake2b_of_the_secret(void **state)
{
    (void)state;
    static const uint8_t expected[] = {0x89, 0xeb, 0x0d, 0x6a, 0x8a, 0x69, 0x1d, 0xae,
                                       0x2c, 0xd1, 0x5e, 0xd0, 0x36, 0x99, 0x31, 0xce,
                                       0x0a, 0x94, 0x9e, 0xca, 0xfa, 0x5c, 0x3f, 0x93,
                                       0xf8, 0x12, 0x18, 0x33, 0x64, 0x6e, 0x15, 0xc3};
    struct sm_token token;
    assert_true(
        sm_token_read(&token, "sslmem_0123456789_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
    assert_memory_equal(token.hash, expected, sizeof expected);
}

static void other_texts_are_none(void **state)
{
    (void)state;
#define SECRET "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    static const char *const texts[] = {
        "",
        "sslmem_",
        "sslmem_0123456789_" SECRET,      /* short */
        "sslmem_0123456789_" SECRET "AA", /* long */
        "sslmem_012345678g_" SECRET "A",
        "sslmem_012345678A_" SECRET "A",
        "SSLMEM_0123456789_" SECRET "A",
        "sslmem-0123456789_" SECRET "A",
        "sslmem_0123456789-" SECRET "A",
        "sslmem_0123456789_" SECRET "+",
        "sslmem_0123456789_" SECRET "=",
        "sslmem_0123456789_" SECRET "\377",
        "sslmem_0123456789_" SECRET "B", /* bits that no byte has */
    };
    struct sm_token token, other;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_false(sm_token_read(&token, texts[i]));
        assert_string_equal(token.prefix, "");
        sm_token_read(&other, texts[i]);
        assert_false(sm_token_is(&token, other.hash)); /* matches nothing, itself neither */
    }
    assert_false(sm_token_read(&token, NULL));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_token_reads_back),
        cmocka_unit_test(two_tokens_differ),
        cmocka_unit_test(the_hash_is_blake2b_of_the_secret),
        cmocka_unit_test(other_texts_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
