/* The commands of `sslmem key`, one transaction each. */
#include <stdlib.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/base/embed.h"
#include "server/base/id.h"
#include "server/db/migrate.h"
#include "server/store/api_keys.h"
#include "server/store/impl.h"

struct sm_api_keys {
    struct sm_db *db;
};

/* A running service keeps the schema at its own version, which may differ from this program's. */
static enum sm_code check_schema(struct sm_db *db, const char *path, struct sm_err *err)
{
    bool current;
    enum sm_code code = sm_migrate_is_current(&current, db, sm_embedded, err);
    if (code == SM_OK && !current)
        code =
            sm_err_set(err, SM_CONFLICT,
                       "database %.100s is in use by an older version: stop it, and migrate", path);
    return code;
}

enum sm_code sm_api_keys_open(struct sm_api_keys **out, const char *path, struct sm_err *err)
{
    int applied;
    *out = NULL;
    struct sm_api_keys *keys = calloc(1, sizeof *keys);
    if (!keys)
        return sm_err_set(err, SM_NOMEM, "keys: out of memory");
    enum sm_code code = sm_store_migrate(path, &applied, err);
    if (code == SM_OK || code == SM_CONFLICT)
        code = sm_db_open(&keys->db, path, SM_DB_WRITE, err);
    if (code == SM_OK)
        code = check_schema(keys->db, path, err);
    if (code == SM_OK)
        *out = keys;
    else
        sm_api_keys_close(keys);
    return code;
}

void sm_api_keys_close(struct sm_api_keys *keys)
{
    if (!keys)
        return;
    sm_db_close(keys->db);
    free(keys);
}

/* --- checks --- */

/* Converts "score,read" to "score read", in the order of SM_SCOPES, without repetitions. */
static enum sm_code read_scopes(char out[SM_SCOPES_BYTES], const char *text, struct sm_err *err)
{
    static const char *const scopes[] = {"score", "read", "audit", "admin", "metrics"};
    enum { COUNT = sizeof scopes / sizeof *scopes };
    bool has[COUNT] = {false};
    for (const char *at = text; *text;) {
        size_t length = strcspn(at, ",");
        int i = 0;
        while (i < COUNT && (strlen(scopes[i]) != length || memcmp(scopes[i], at, length) != 0))
            i++;
        if (i == COUNT)
            return sm_err_set(err, SM_INVALID,
                              "scope '%.*s' is none of score, read, audit, admin, metrics",
                              (int)(length < 40 ? length : 40), at);
        has[i] = true;
        if (!at[length])
            break;
        at += length + 1;
    }
    out[0] = '\0';
    for (int i = 0; i < COUNT; i++)
        if (has[i]) {
            size_t used = strlen(out);
            snprintf(out + used, SM_SCOPES_BYTES - used, "%s%s", used > 0 ? " " : "", scopes[i]);
        }
    return out[0] ? SM_OK : sm_err_set(err, SM_INVALID, "a key needs a scope, there are 0");
}

static enum sm_code check_in(const struct sm_api_key_in *in, struct sm_err *err)
{
    size_t length = strlen(in->tenant);
    if (length < 1 || length > SM_TENANT_BYTES_MAX)
        return sm_err_set(err, SM_INVALID, "the tenant has %zu bytes, must have 1 to %d", length,
                          SM_TENANT_BYTES_MAX);
    if (strspn(in->tenant, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != length)
        return sm_err_set(err, SM_INVALID,
                          "tenant '%.63s' must be of a to z, 0 to 9, '-', '_' and '.'", in->tenant);
    if (in->rounds && (in->decimals < 0 || in->decimals > SM_DECIMALS_MAX))
        return sm_err_set(err, SM_INVALID, "%lld decimals, must be 0 to %d",
                          (long long)in->decimals, SM_DECIMALS_MAX);
    return SM_OK;
}

/* --- create --- */

static enum sm_code put_tenant(int64_t *id, struct sm_db *db, const char *name, struct sm_err *err)
{
    const struct sm_bind *binds = SM_BIND(SM_TEXT("$name", name));
    enum sm_code code = sm_db_change(
        NULL, db, "INSERT INTO tenant (name) VALUES ($name) ON CONFLICT (name) DO NOTHING", binds,
        err);
    if (code == SM_OK)
        code = sm_db_row(NULL, db, "SELECT id FROM tenant WHERE name = $name", binds,
                         SM_COLUMNS(SM_GET_INT(id)), err);
    return code;
}

static enum sm_code insert_key(struct sm_db *db, const char *id, const struct sm_token *token,
                               int64_t tenant, const char *scopes, const struct sm_api_key_in *in,
                               struct sm_err *err)
{
    return sm_db_change(
        NULL, db,
        "INSERT INTO api_key (id, prefix, tenant_id, scopes, hash, created_ms, expires_ms, "
        "scores_per_day, cost_ms_per_day, decimals) VALUES ($id, $prefix, $tenant, $scopes, $hash, "
        "$now, $expires, $budget, $cost, $decimals)",
        SM_BIND(SM_HEX("$id", id), SM_TEXT("$prefix", token->prefix), SM_INT("$tenant", tenant),
                SM_TEXT("$scopes", scopes), SM_BLOB("$hash", token->hash, sizeof token->hash),
                SM_INT("$now", sm_clock_unix_ms()),
                SM_INT_IF(in->expires_ms != 0, "$expires", in->expires_ms),
                SM_INT_IF(in->scores_per_day != 0, "$budget", in->scores_per_day),
                SM_INT_IF(in->cost_ms_per_day != 0, "$cost", in->cost_ms_per_day),
                SM_INT_IF(in->rounds, "$decimals", in->decimals)),
        err);
}

static enum sm_code end(struct sm_db *db, enum sm_code code, struct sm_err *err)
{
    if (code == SM_OK)
        return sm_db_commit(db, err);
    sm_db_rollback(db);
    return code;
}

enum sm_code sm_api_keys_create(char id[SM_ID_BYTES], struct sm_token *token,
                                struct sm_api_keys *keys, const struct sm_api_key_in *in,
                                struct sm_err *err)
{
    char scopes[SM_SCOPES_BYTES];
    int64_t tenant = 0;
    enum sm_code code = check_in(in, err);
    if (code == SM_OK)
        code = read_scopes(scopes, in->scopes, err);
    if (code == SM_OK)
        code = sm_db_begin(keys->db, err);
    if (code != SM_OK)
        return code;
    sm_id_new(id);
    sm_token_new(token, NULL);
    code = put_tenant(&tenant, keys->db, in->tenant, err);
    if (code == SM_OK)
        code = insert_key(keys->db, id, token, tenant, scopes, in, err);
    return end(keys->db, code, err);
}

/* --- list --- */

static json_t *optional_time(const struct sm_stmt *q, int column)
{
    char text[32];
    if (sm_stmt_is_null(q, column))
        return json_null();
    sm_time_format(text, sm_stmt_get_int(q, column));
    return json_string(text);
}

static json_t *optional_int(const struct sm_stmt *q, int column)
{
    return sm_stmt_is_null(q, column) ? json_null() : json_integer(sm_stmt_get_int(q, column));
}

static json_t *optional_day(const struct sm_stmt *q, int column)
{
    char text[32];
    if (sm_stmt_is_null(q, column))
        return json_null();
    sm_time_format(text, sm_stmt_get_int(q, column) * SM_DAY_MS);
    return json_stringn(text, strlen("2026-01-31"));
}

static json_t *words(const char *text)
{
    json_t *list = json_array();
    for (size_t length; *text; text += length + (text[length] == ' ')) {
        length = strcspn(text, " ");
        json_array_append_new(list, json_stringn(text, length));
    }
    return list;
}

static json_t *key_of_row(const struct sm_stmt *q, int64_t now_ms)
{
    char id[SM_ID_BYTES];
    const char *state = "active";
    if (!sm_stmt_is_null(q, 6))
        state = "revoked";
    else if (!sm_stmt_is_null(q, 5) && sm_stmt_get_int(q, 5) <= now_ms)
        state = "expired";
    bool old = !sm_stmt_is_null(q, 7) && sm_stmt_get_int(q, 7) > now_ms;
    sm_stmt_get_id(id, q, 0);
    return json_pack("{s:s, s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id", id,
                     "prefix", sm_stmt_get_text(q, 1), "tenant", sm_stmt_get_text(q, 2), "scopes",
                     words(sm_stmt_get_text(q, 3)), "state", state, "created", optional_time(q, 4),
                     "expires", optional_time(q, 5), "revoked", optional_time(q, 6),
                     "old_secret_until", old ? optional_time(q, 7) : json_null(), "last_used",
                     optional_day(q, 8), "budget_per_day", optional_int(q, 9), "cost_ms_per_day",
                     optional_int(q, 10), "round", optional_int(q, 11));
}

static enum sm_code append_key(void *list, const struct sm_stmt *q, struct sm_err *err)
{
    if (json_array_append_new(list, key_of_row(q, sm_clock_unix_ms())) != 0)
        return sm_err_set(err, SM_NOMEM, "keys: out of memory");
    return SM_OK;
}

enum sm_code sm_api_keys_list(json_t **out, struct sm_api_keys *keys, struct sm_err *err)
{
    *out = json_array();
    enum sm_code code = sm_db_each(
        NULL, keys->db,
        "SELECT api_key.id, prefix, tenant.name, scopes, created_ms, expires_ms, revoked_ms, "
        "old_until_ms, last_used_day, scores_per_day, cost_ms_per_day, decimals FROM api_key "
        "JOIN tenant ON tenant.id = api_key.tenant_id ORDER BY api_key.id",
        NULL, append_key, *out, err);
    if (code != SM_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return code;
}

/* --- revoke and rotate --- */

/* Reads the prefix of a key. With `usable`, a revoked or expired key is SM_CONFLICT. */
static enum sm_code find_key(char prefix[SM_TOKEN_PREFIX_BYTES], struct sm_db *db, const char *id,
                             bool usable, struct sm_err *err)
{
    bool found;
    int64_t revoked_ms = 0, expires_ms = 0;
    enum sm_code code =
        sm_db_row(&found, db, "SELECT prefix, revoked_ms, expires_ms FROM api_key WHERE id = $id",
                  SM_BIND(SM_HEX("$id", sm_id_valid(id) ? id : NULL)),
                  SM_COLUMNS(SM_GET_TEXT(prefix, SM_TOKEN_PREFIX_BYTES), SM_GET_INT(&revoked_ms),
                             SM_GET_INT(&expires_ms)),
                  err);
    if (code == SM_OK && !found)
        code = sm_err_set(err, SM_NOT_FOUND, "there is no key with id '%.40s'", id);
    if (code == SM_OK && usable && revoked_ms != 0)
        code = sm_err_set(err, SM_CONFLICT, "key %s is revoked: make a new one", id);
    if (code == SM_OK && usable && expires_ms != 0 && expires_ms <= sm_clock_unix_ms())
        code = sm_err_set(err, SM_CONFLICT, "key %s has expired: make a new one", id);
    return code;
}

static enum sm_code mark_revoked(struct sm_db *db, const char *id, struct sm_err *err)
{
    return sm_db_change(
        NULL, db, "UPDATE api_key SET revoked_ms = $now WHERE id = $id AND revoked_ms IS NULL",
        SM_BIND(SM_HEX("$id", id), SM_INT("$now", sm_clock_unix_ms())), err);
}

enum sm_code sm_api_keys_revoke(struct sm_api_keys *keys, const char *id, struct sm_err *err)
{
    char prefix[SM_TOKEN_PREFIX_BYTES];
    enum sm_code code = sm_db_begin(keys->db, err);
    if (code != SM_OK)
        return code;
    code = find_key(prefix, keys->db, id, false, err);
    if (code == SM_OK)
        code = mark_revoked(keys->db, id, err);
    return end(keys->db, code, err);
}

static enum sm_code put_secret(struct sm_db *db, const char *id, const struct sm_token *token,
                               int64_t old_until_ms, int64_t expires_ms, struct sm_err *err)
{
    return sm_db_change(NULL, db,
                        "UPDATE api_key SET old_hash = hash, old_until_ms = $until, hash = $hash, "
                        "expires_ms = COALESCE($expires, expires_ms) WHERE id = $id",
                        SM_BIND(SM_HEX("$id", id), SM_INT("$until", old_until_ms),
                                SM_BLOB("$hash", token->hash, sizeof token->hash),
                                SM_INT_IF(expires_ms != 0, "$expires", expires_ms)),
                        err);
}

enum sm_code sm_api_keys_rotate(struct sm_token *token, struct sm_api_keys *keys, const char *id,
                                int64_t old_until_ms, int64_t expires_ms, struct sm_err *err)
{
    char prefix[SM_TOKEN_PREFIX_BYTES];
    enum sm_code code = sm_db_begin(keys->db, err);
    if (code != SM_OK)
        return code;
    code = find_key(prefix, keys->db, id, true, err);
    if (code == SM_OK) {
        sm_token_new(token, prefix);
        code = put_secret(keys->db, id, token, old_until_ms, expires_ms, err);
    }
    return end(keys->db, code, err);
}
