/* A token is checked against one row, found by its prefix. Both secrets of the row are compared,
 * each in constant time, whatever the result. The row is read for each request, which takes about 5
 * microseconds, so that a revocation counts at once. Without a token no row is read.
 *
 * The day of the last use is stored: one write per key and day, which the request does not wait
 * for. */
#include "server/store/api_keys.h"

#include <stdlib.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/store/impl.h"

const char *sm_api_key_verdict_name(enum sm_api_key_verdict verdict)
{
#define ROW(NAME, name) [SM_API_KEY_##NAME] = name,
    static const char *const names[] = {SM_API_KEY_VERDICTS(ROW)};
#undef ROW
    return names[verdict];
}

/* --- time of use --- */

struct touch {
    struct sm_write write;
    char api_key_id[SM_ID_BYTES];
    int64_t day;
};

static enum sm_code run_touch(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    const struct touch *touch = (const struct touch *)write;
    return sm_db_change(NULL, db, "UPDATE api_key SET last_used_day = $day WHERE id = $id",
                        SM_BIND(SM_HEX("$id", touch->api_key_id), SM_INT("$day", touch->day)), err);
}

static void touched(struct sm_write *write, enum sm_code code, const struct sm_err *err)
{
    (void)code, (void)err; /* after an error the next request tries again */
    free(write);
}

static void touch_key(struct sm_store *store, const char *api_key_id, int64_t day)
{
    struct touch *touch = calloc(1, sizeof *touch);
    if (!touch)
        return;
    touch->write = (struct sm_write){.run = run_touch, .done = touched, .room = SM_ROOM_LOG};
    memcpy(touch->api_key_id, api_key_id, SM_ID_BYTES);
    touch->day = day;
    sm_writer_post(store->writer, &touch->write);
}

/* --- the check --- */

static enum sm_code read_has_keys(bool *out, struct sm_db *db, struct sm_err *err)
{
    return sm_db_row(out, db, "SELECT 1 FROM api_key LIMIT 1", NULL, NULL, err);
}

enum sm_code sm_store_has_api_keys(bool *out, struct sm_store *store, struct sm_err *err)
{
    struct sm_db *db;
    *out = false;
    enum sm_code code = sm_store_reader_take(&db, store, err);
    if (code != SM_OK)
        return code;
    code = read_has_keys(out, db, err);
    sm_store_reader_give(store, db);
    return code;
}

enum column {
    ID,
    TENANT,
    SCOPES,
    HASH,
    OLD_HASH,
    OLD_UNTIL,
    EXPIRES,
    REVOKED,
    LAST_USED,
    BUDGET,
    COST,
    DECIMALS
};

struct look {
    struct sm_token token;
    struct sm_caller *out; /* filled for a good key */
    enum sm_api_key_verdict verdict;
    int64_t last_used_day;
};

static bool is_hash(const struct sm_token *token, const struct sm_stmt *q, enum column column)
{
    static const uint8_t none[SM_TOKEN_HASH_BYTES];
    size_t count = 0;
    const void *hash = sm_stmt_is_null(q, column) ? NULL : sm_stmt_get_blob(q, column, &count);
    bool there = hash && count == SM_TOKEN_HASH_BYTES;
    bool same = sm_token_is(token, there ? hash : none);
    return there && same;
}

static void read_caller(struct look *look, const struct sm_stmt *q)
{
    struct sm_caller *out = look->out;
    sm_stmt_get_id(out->api_key_id, q, ID);
    out->tenant = sm_stmt_get_int(q, TENANT);
    snprintf(out->scopes, sizeof out->scopes, "%s", sm_stmt_get_text(q, SCOPES));
    out->scores_per_day = sm_stmt_get_int(q, BUDGET);
    out->cost_ms_per_day = sm_stmt_get_int(q, COST);
    out->rounds = !sm_stmt_is_null(q, DECIMALS);
    out->digits = (int)sm_stmt_get_int(q, DECIMALS);
    look->last_used_day = sm_stmt_get_int(q, LAST_USED);
}

/* Judges the token against the row of its prefix. */
static enum sm_code judge(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    struct look *look = arg;
    int64_t now_ms = sm_clock_unix_ms();
    (void)err;
    bool now = is_hash(&look->token, q, HASH), before = is_hash(&look->token, q, OLD_HASH);
    before = before && sm_stmt_get_int(q, OLD_UNTIL) > now_ms;
    if (!now && !before)
        look->verdict = SM_API_KEY_WRONG;
    else if (!sm_stmt_is_null(q, REVOKED))
        look->verdict = SM_API_KEY_REVOKED;
    else if (!sm_stmt_is_null(q, EXPIRES) && sm_stmt_get_int(q, EXPIRES) <= now_ms)
        look->verdict = SM_API_KEY_EXPIRED;
    else
        look->verdict = SM_API_KEY_GOOD;
    if (look->verdict == SM_API_KEY_GOOD)
        read_caller(look, q);
    return SM_OK;
}

static enum sm_code look_up(struct look *look, struct sm_db *db, const char *text,
                            struct sm_err *err)
{
    look->verdict = SM_API_KEY_UNKNOWN;
    sm_token_read(&look->token, text);
    enum sm_code code = sm_db_each(
        NULL, db,
        "SELECT id, tenant_id, scopes, hash, old_hash, old_until_ms, expires_ms, "
        "revoked_ms, last_used_day, scores_per_day, cost_ms_per_day, decimals FROM api_key "
        "WHERE prefix = $prefix",
        SM_BIND(SM_TEXT("$prefix", look->token.prefix)), judge, look, err);
    sm_token_forget(&look->token);
    return code;
}

enum sm_code sm_store_api_key_check(struct sm_caller *out, enum sm_api_key_verdict *verdict,
                                    struct sm_store *store, const char *text, struct sm_err *err)
{
    struct look look = {.out = out, .verdict = SM_API_KEY_MISSING};
    struct sm_db *db;
    bool needed = false;
    int64_t today = sm_clock_unix_ms() / SM_DAY_MS;
    *out = (struct sm_caller){0};
    *verdict = SM_API_KEY_MISSING;
    enum sm_code code = sm_store_reader_take(&db, store, err);
    if (code != SM_OK)
        return code;
    if (text)
        code = look_up(&look, db, text, err);
    if (code == SM_OK && look.verdict != SM_API_KEY_GOOD)
        code = read_has_keys(&needed, db, err);
    sm_store_reader_give(store, db);
    if (code != SM_OK)
        return code;
    if (look.verdict == SM_API_KEY_GOOD && look.last_used_day != today)
        touch_key(store, out->api_key_id, today);
    if (look.verdict != SM_API_KEY_GOOD && !needed) {
        look.verdict = SM_API_KEY_GOOD;
        memcpy(out->scopes, SM_SCOPES, SM_SCOPES_BYTES);
    }
    *verdict = look.verdict;
    return SM_OK;
}
