#include "server/base/token.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define MARK         "sslmem_"
#define MARK_CHARS   (sizeof MARK - 1)
#define PREFIX_CHARS (SM_TOKEN_PREFIX_BYTES - 1)
#define SECRET_BYTES 32
#define SECRET_CHARS 43
#define AT_SECRET    (MARK_CHARS + PREFIX_CHARS + 1)
#define ENCODING     sodium_base64_VARIANT_URLSAFE_NO_PADDING

_Static_assert(AT_SECRET + SECRET_CHARS + 1 == SM_TOKEN_BYTES, "a token and its NUL");

static void hash_secret(struct sm_token *token, const uint8_t secret[SECRET_BYTES])
{
    crypto_generichash(token->hash, sizeof token->hash, secret, SECRET_BYTES, NULL, 0);
}

void sm_token_new(struct sm_token *out, const char *prefix)
{
    uint8_t secret[SECRET_BYTES], name[PREFIX_CHARS / 2];
    char encoded[SECRET_CHARS + 1];
    randombytes_buf(secret, sizeof secret);
    randombytes_buf(name, sizeof name);
    if (!prefix)
        sodium_bin2hex(out->prefix, sizeof out->prefix, name, sizeof name);
    else
        snprintf(out->prefix, sizeof out->prefix, "%s", prefix);
    sodium_bin2base64(encoded, sizeof encoded, secret, sizeof secret, ENCODING);
    snprintf(out->text, sizeof out->text, MARK "%s_%s", out->prefix, encoded);
    hash_secret(out, secret);
    sodium_memzero(secret, sizeof secret);
    sodium_memzero(encoded, sizeof encoded);
}

/* Checks the alphabets before libsodium decodes: its version 1.0.18 accepts byte 255 as a digit of
 * base64. */
static bool has_form(const char *text)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    return text && strlen(text) == SM_TOKEN_BYTES - 1 && memcmp(text, MARK, MARK_CHARS) == 0 &&
           strspn(text + MARK_CHARS, "0123456789abcdef") == PREFIX_CHARS &&
           text[AT_SECRET - 1] == '_' && strspn(text + AT_SECRET, alphabet) == SECRET_CHARS;
}

bool sm_token_read(struct sm_token *out, const char *text)
{
    uint8_t secret[SECRET_BYTES] = {0};
    size_t bytes_count = 0;
    bool good = has_form(text);
    memset(out, 0, sizeof *out);
    good = good &&
           sodium_base642bin(secret, sizeof secret, text + AT_SECRET, SECRET_CHARS, NULL,
                             &bytes_count, NULL, ENCODING) == 0 &&
           bytes_count == sizeof secret;
    if (good) {
        memcpy(out->text, text, SM_TOKEN_BYTES);
        memcpy(out->prefix, text + MARK_CHARS, PREFIX_CHARS);
    } else {
        randombytes_buf(secret, sizeof secret);
    }
    hash_secret(out, secret);
    sodium_memzero(secret, sizeof secret);
    return good;
}

bool sm_token_is(const struct sm_token *token, const uint8_t hash[SM_TOKEN_HASH_BYTES])
{
    return sodium_memcmp(token->hash, hash, SM_TOKEN_HASH_BYTES) == 0;
}

void sm_token_forget(struct sm_token *token)
{
    sodium_memzero(token, sizeof *token);
}
