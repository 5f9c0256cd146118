/* Keys of clients: made, shown, revoked and rotated by a command, checked by the service.
 *
 * A command works on the database beside a running service, through a connection of its own that
 * takes turns with the service's. The service reads a key anew for each request: it keeps no copy,
 * so what a command has committed counts from the next request on.
 *
 * Threads: sm_api_keys one at a time; the rest any. Errors: those of store.h; SM_NOT_FOUND (no such
 *          key), SM_CONFLICT (the key is revoked or has expired, or the schema is older than this
 *          program's), SM_INVALID (a tenant, scope or number that cannot be). */
#ifndef SERVER_STORE_API_KEYS_H
#define SERVER_STORE_API_KEYS_H

#include "server/base/caller.h"
#include "server/base/token.h"
#include "server/store/store.h"

/* --- for the command --- */

struct sm_api_keys;
/* Creates the database, and brings its schema up to date, unless a service has it open. */
enum sm_code sm_api_keys_open(struct sm_api_keys **out, const char *path, struct sm_err *err);
void sm_api_keys_close(struct sm_api_keys *keys);

#define SM_TENANT_BYTES_MAX 63

struct sm_api_key_in {
    const char *tenant;      /* 1 to SM_TENANT_BYTES_MAX of a-z, 0-9, '-', '_', '.' */
    const char *scopes;      /* between commas */
    int64_t expires_ms;      /* 0: never */
    int64_t scores_per_day;  /* 0: no budget */
    int64_t cost_ms_per_day; /* the same, of work */
    bool rounds;             /* to `decimals`, 0 to SM_DECIMALS_MAX */
    int64_t decimals;
};
#define SM_DECIMALS_MAX 15

enum sm_code sm_api_keys_create(char id[SM_ID_BYTES], struct sm_token *token,
                                struct sm_api_keys *keys, const struct sm_api_key_in *in,
                                struct sm_err *err);
/* An array in the order of making: {"id","prefix","tenant","scopes":[…],"state" (active, expired
 * or revoked),"created","expires","revoked","old_secret_until" (null without),"last_used" (a day,
 * or null),"budget_per_day","cost_ms_per_day","round" (null without)}. */
enum sm_code sm_api_keys_list(json_t **out, struct sm_api_keys *keys, struct sm_err *err);
/* From now on; again: nothing happens. */
enum sm_code sm_api_keys_revoke(struct sm_api_keys *keys, const char *id, struct sm_err *err);
/* A new secret under the same prefix. The one before is good until `old_until_ms`, one before that
 * not any more. `expires_ms`: 0 leaves it as it is. */
enum sm_code sm_api_keys_rotate(struct sm_token *token, struct sm_api_keys *keys, const char *id,
                                int64_t old_until_ms, int64_t expires_ms, struct sm_err *err);

/* --- for the service --- */

/* Whether there is a key, also one that is not good any more. */
enum sm_code sm_store_has_api_keys(bool *out, struct sm_store *store, struct sm_err *err);

/* X(NAME, "name"): what came of a token. */
#define SM_API_KEY_VERDICTS(X)                                                                     \
    X(GOOD, "good")       /* or none is needed: there is no key */                                 \
    X(MISSING, "missing") /* no token */                                                           \
    X(UNKNOWN, "unknown") /* not of the form, or no key has its prefix */                          \
    X(WRONG, "wrong")     /* another secret */                                                     \
    X(REVOKED, "revoked")                                                                          \
    X(EXPIRED, "expired")

#define SM_API_KEY_ENUM(NAME, name) SM_API_KEY_##NAME,
enum sm_api_key_verdict { SM_API_KEY_VERDICTS(SM_API_KEY_ENUM) };
const char *sm_api_key_verdict_name(enum sm_api_key_verdict verdict);

/* Whose token it is (NULL: none was sent), and that it was used today. `out` is nobody unless the
 * verdict is good. */
enum sm_code sm_store_api_key_check(struct sm_caller *out, enum sm_api_key_verdict *verdict,
                                    struct sm_store *store, const char *token, struct sm_err *err);

#endif
