/* Tokens of API keys: "sslmem_<prefix>_<secret>".
 *
 *     struct sm_token token;
 *     sm_token_new(&token, NULL);                // token.text is shown once, token.hash is stored
 *     if (sm_token_read(&token, text) && sm_token_is(&token, stored)) …
 *
 * The prefix, 10 hex digits, finds the key and may be told to anybody; the secret is 32 random
 * bytes in base64url. What is stored of it is its BLAKE2b-256, without salt or repetition: those
 * slow down who guesses passwords, and nobody guesses 256 random bits, while a slow hash would let
 * strangers keep the service busy. Hashes are compared in constant time.
 *
 * Owner: values; sm_token_forget wipes one. Threads: no state. */
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

/* A new one, with that prefix or (NULL) a new one. */
void sm_token_new(struct sm_token *out, const char *prefix);
/* False for a text of any other form, NULL among them; `out` is then a token that matches nothing,
 * so that whoever goes on with it does the same work. */
bool sm_token_read(struct sm_token *out, const char *text);
bool sm_token_is(const struct sm_token *token, const uint8_t hash[SM_TOKEN_HASH_BYTES]);
void sm_token_forget(struct sm_token *token);

#endif
