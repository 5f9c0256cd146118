/* Tokens of API keys: "sslmem_<prefix>_<secret>".
 *
 *     struct sm_token token;
 *     sm_token_new(&token, NULL);           // show token.text once, store token.hash
 *     if (sm_token_read(&token, text) && sm_token_is(&token, stored)) …
 *
 * The prefix, 10 hex digits, identifies the API key and is not secret. The secret is 32 random
 * bytes in base64url. The database stores its BLAKE2b-256, without salt or iterations: those only
 * slow down guesses at passwords. Nobody guesses 256 random bits, and a slow hash would let
 * strangers keep the service busy. Hashes are compared in constant time.
 *
 * Owner: plain values; sm_token_forget wipes one. Threads: no state. */
#ifndef SERVER_BASE_TOKEN_H
#define SERVER_BASE_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#define SM_TOKEN_BYTES        62
#define SM_TOKEN_PREFIX_BYTES 11
#define SM_TOKEN_HASH_BYTES   32

struct sm_token {
    char text[SM_TOKEN_BYTES];
    char prefix[SM_TOKEN_PREFIX_BYTES];
    uint8_t hash[SM_TOKEN_HASH_BYTES];
};

/* Makes a token with a random secret and the given prefix; NULL: a random prefix. */
void sm_token_new(struct sm_token *out, const char *prefix);
/* Parses a token. Returns false for NULL and for any text of another form. *out is then a token
 * that matches no hash, so that the caller can do the same work for good and bad tokens. */
bool sm_token_read(struct sm_token *out, const char *text);
/* Returns true if `hash` is the token's. */
bool sm_token_is(const struct sm_token *token, const uint8_t hash[SM_TOKEN_HASH_BYTES]);
void sm_token_forget(struct sm_token *token);

#endif
