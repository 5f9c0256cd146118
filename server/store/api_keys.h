/* API keys: a command makes, lists, revokes and rotates them; the service checks them.
 *
 * The command has its own connection and can run while the service runs; the write lock keeps their
 * transactions apart. The service reads the key from the database for each request and keeps no
 * copy, so a change counts from the first request after its commit.
 *
 * Threads: one at a time for an sm_api_keys; any for the rest.
 * Errors:  those of store.h; SM_NOT_FOUND (no such key), SM_CONFLICT (the key is revoked or has
 *          expired, or the schema is older than this program's), SM_INVALID (a tenant, scope or
 *          number that is not allowed). */
#ifndef SERVER_STORE_API_KEYS_H
#define SERVER_STORE_API_KEYS_H

#include "server/base/caller.h"
#include "server/base/token.h"
#include "server/store/store.h"

/* --- for the command --- */

struct sm_api_keys;
/* Opens the database. Unless a service has it open, creates it and applies missing migrations. */
enum sm_code sm_api_keys_open(struct sm_api_keys **out, const char *path, struct sm_err *err);
void sm_api_keys_close(struct sm_api_keys *keys);

#define SM_TENANT_BYTES_MAX 63

struct sm_api_key_in {
    const char *tenant;      /* 1 to SM_TENANT_BYTES_MAX of a-z, 0-9, '-', '_', '.' */
    const char *scopes;      /* separated by commas */
    int64_t expires_ms;      /* Unix milliseconds; 0: never */
    int64_t scores_per_day;  /* 0: no budget */
    int64_t cost_ms_per_day; /* 0: no budget */
    bool rounds;             /* figures are rounded to `decimals` */
    int64_t decimals;        /* 0 to SM_DECIMALS_MAX */
};
#define SM_DECIMALS_MAX 15

/* Makes a key; `id` and `token` receive it. The tenant is made with its first key. */
enum sm_code sm_api_keys_create(char id[SM_ID_BYTES], struct sm_token *token,
                                struct sm_api_keys *keys, const struct sm_api_key_in *in,
                                struct sm_err *err);
/* Returns a new array of all keys in order of creation: {"id","prefix","tenant","scopes":[…],
 * "state" (active, expired or revoked),"created","expires","revoked","old_secret_until",
 * "last_used" (a day),"budget_per_day","cost_ms_per_day","round"}. A member without a value is
 * null. */
enum sm_code sm_api_keys_list(json_t **out, struct sm_api_keys *keys, struct sm_err *err);
/* Revokes the key; does nothing if it is revoked already. */
enum sm_code sm_api_keys_revoke(struct sm_api_keys *keys, const char *id, struct sm_err *err);
/* Makes a new secret with the same prefix. The current secret stays valid until `old_until_ms`; an
 * older one ends at once. `expires_ms` 0 keeps the key's expiry. */
enum sm_code sm_api_keys_rotate(struct sm_token *token, struct sm_api_keys *keys, const char *id,
                                int64_t old_until_ms, int64_t expires_ms, struct sm_err *err);

/* --- for the service --- */

/* Tells whether the database has any key, expired and revoked keys included. */
enum sm_code sm_store_has_api_keys(bool *out, struct sm_store *store, struct sm_err *err);

/* X(NAME, "name"): results of checking a token. */
#define SM_API_KEY_VERDICTS(X)                                                                     \
    X(GOOD, "good")       /* also if the database has no key, and none is needed */                \
    X(MISSING, "missing") /* no token was sent */                                                  \
    X(UNKNOWN, "unknown") /* malformed, or no key has its prefix */                                \
    X(WRONG, "wrong")     /* the prefix of a key with another secret */                            \
    X(REVOKED, "revoked")                                                                          \
    X(EXPIRED, "expired")

#define SM_API_KEY_ENUM(NAME, name) SM_API_KEY_##NAME,
enum sm_api_key_verdict { SM_API_KEY_VERDICTS(SM_API_KEY_ENUM) };
const char *sm_api_key_verdict_name(enum sm_api_key_verdict verdict);

/* Checks a token (NULL: none was sent), reads its caller into `out`, and records that the key was
 * used today. `out` is zeroed unless the verdict is good. */
enum sm_code sm_store_api_key_check(struct sm_caller *out, enum sm_api_key_verdict *verdict,
                                    struct sm_store *store, const char *token, struct sm_err *err);

#endif
