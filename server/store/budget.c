/* The row of a key and day is read and written inside the transaction that it pays for. The
 * database has one writer, so no other write runs between the two. */
#include "server/store/budget.h"

#include <stddef.h>
#include <stdlib.h>

#include "server/base/clock.h"
#include "server/store/impl.h"

/* The quantities of a budget. A new one needs a row here, a member of struct sm_amount and a
 * column. */
static const struct {
    const char *name;
    size_t at;
} quantities[] = {{"scores", offsetof(struct sm_amount, scores)},
                  {"milliseconds of work", offsetof(struct sm_amount, cost_ms)}};

static int64_t of(const struct sm_amount *amount, size_t quantity)
{
    return *(const int64_t *)(const void *)((const char *)amount + quantities[quantity].at);
}

/* Returns the caller's budget; 0: no limit. */
static struct sm_amount per_day(const struct sm_caller *caller)
{
    return (struct sm_amount){.scores = caller->scores_per_day, .cost_ms = caller->cost_ms_per_day};
}

static bool is_limited(const struct sm_amount *max)
{
    for (size_t i = 0; i < sizeof quantities / sizeof *quantities; i++)
        if (of(max, i) > 0)
            return true;
    return false;
}

static enum sm_code read_spent(struct sm_amount *out, struct sm_db *db, const char *api_key_id,
                               int64_t day, struct sm_err *err)
{
    *out = (struct sm_amount){0};
    return sm_db_row(NULL, db,
                     "SELECT scores_count, cost_ms FROM key_day WHERE key_id = $key AND day = $day",
                     SM_BIND(SM_HEX("$key", api_key_id), SM_INT("$day", day)),
                     SM_COLUMNS(SM_GET_INT(&out->scores), SM_GET_INT(&out->cost_ms)), err);
}

static enum sm_code add_spent(struct sm_db *db, const struct sm_charge *charge, int64_t day,
                              struct sm_err *err)
{
    return sm_db_change(NULL, db,
                        "INSERT INTO key_day (key_id, day, scores_count, cost_ms) VALUES ($key, "
                        "$day, $scores, $cost) ON CONFLICT (key_id, day) DO UPDATE SET "
                        "scores_count = key_day.scores_count + excluded.scores_count, "
                        "cost_ms = key_day.cost_ms + excluded.cost_ms",
                        SM_BIND(SM_HEX("$key", charge->caller.api_key_id), SM_INT("$day", day),
                                SM_INT("$scores", charge->amount.scores),
                                SM_INT("$cost", charge->amount.cost_ms)),
                        err);
}

static enum sm_code check_left(const struct sm_amount *asked, const struct sm_amount *spent,
                               const struct sm_amount *max, struct sm_err *err)
{
    for (size_t i = 0; i < sizeof quantities / sizeof *quantities; i++) {
        int64_t left = of(max, i) > of(spent, i) ? of(max, i) - of(spent, i) : 0;
        if (of(max, i) > 0 && left < of(asked, i))
            return sm_err_set(err, SM_LIMIT,
                              "asked for: %lld; left of the %lld %s that this key has for a "
                              "day: %lld",
                              (long long)of(asked, i), (long long)of(max, i), quantities[i].name,
                              (long long)left);
    }
    return SM_OK;
}

/* A caller without a key was admitted while no key existed; the first key ends that. */
enum sm_code sm_store_check_caller(struct sm_db *db, const struct sm_caller *caller,
                                   struct sm_err *err)
{
    bool has_key = caller && caller->api_key_id[0] != '\0', found = false;
    if (!has_key && (!caller || caller->scopes[0] == '\0'))
        return SM_OK;
    enum sm_code code =
        has_key ? sm_db_row(&found, db,
                            "SELECT 1 FROM api_key WHERE id = $key AND revoked_ms IS NULL "
                            "AND (expires_ms IS NULL OR expires_ms > $now)",
                            SM_BIND(SM_HEX("$key", caller->api_key_id),
                                    SM_INT("$now", sm_clock_unix_ms())),
                            NULL, err)
                : sm_db_row(&found, db, "SELECT 1 FROM api_key LIMIT 1", NULL, NULL, err);
    if (code == SM_OK && found != has_key)
        code = sm_err_set(err, SM_CANCELLED,
                          has_key ? "the key was revoked or expired while its request ran"
                                  : "a key is needed since the first one was made");
    return code;
}

enum sm_code sm_store_charge(struct sm_db *db, const struct sm_charge *charge, struct sm_err *err)
{
    const struct sm_amount max = per_day(&charge->caller);
    int64_t day = sm_clock_unix_ms() / SM_DAY_MS;
    struct sm_amount spent;
    enum sm_code code = sm_store_check_caller(db, &charge->caller, err);
    if (code != SM_OK || !is_limited(&max) || !is_limited(&charge->amount))
        return code;
    code = read_spent(&spent, db, charge->caller.api_key_id, day, err);
    if (code == SM_OK)
        code = check_left(&charge->amount, &spent, &max, err);
    return code == SM_OK ? add_spent(db, charge, day, err) : code;
}

/* --- a write of its own --- */

struct spending {
    struct sm_write write;
    struct sm_charge charge;
    sm_store_done *done;
    void *arg;
};

static enum sm_code run_spend(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    return sm_store_charge(db, &((struct spending *)write)->charge, err);
}

static void spent(struct sm_write *write, enum sm_code code, const struct sm_err *err)
{
    struct spending *s = (struct spending *)write;
    s->done(s->arg, code, err);
    free(s);
}

enum sm_code sm_store_spend(struct sm_store *store, const struct sm_charge *charge,
                            sm_store_done *done, void *arg, struct sm_err *err)
{
    struct spending *s = calloc(1, sizeof *s);
    if (!s)
        return sm_err_set(err, SM_NOMEM, "charge of a key: out of memory");
    *s = (struct spending){
        .write = {.run = run_spend, .done = spent}, .charge = *charge, .done = done, .arg = arg};
    sm_writer_post(store->writer, &s->write);
    return SM_OK;
}

/* --- a check without spending --- */

enum sm_code sm_store_has_budget(struct sm_store *store, const struct sm_caller *caller,
                                 struct sm_err *err)
{
    const struct sm_amount max = per_day(caller), one = {.scores = 1, .cost_ms = 1};
    struct sm_amount spent;
    struct sm_db *db;
    if (!is_limited(&max))
        return SM_OK;
    enum sm_code code = sm_store_reader_take(&db, store, err);
    if (code != SM_OK)
        return code;
    code = read_spent(&spent, db, caller->api_key_id, sm_clock_unix_ms() / SM_DAY_MS, err);
    sm_store_reader_give(store, db);
    return code == SM_OK ? check_left(&one, &spent, &max, err) : code;
}
