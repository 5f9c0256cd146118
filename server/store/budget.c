/* What keys have asked for today.
 *
 * Counts are kept in memory, so that asking waits for no commit and two requests cannot take the
 * same score; the first request of a key and day reads what earlier processes counted. Each change
 * is posted to the writer, ahead of the job that it pays for, so what was admitted is counted also
 * after a crash; answers from history of the last milliseconds may be forgotten by it. */
#include "server/store/budget.h"

#include <stdlib.h>
#include <string.h>

#include "server/base/id.h"
#include "server/base/log.h"
#include "server/store/store_impl.h"

struct sm_spent {
    char key_id[SM_ID_BYTES];
    int64_t day, count;
};

void sm_store_budget_init(struct sm_store *store)
{
    pthread_mutex_init(&store->budget_mutex, NULL);
}

void sm_store_budget_release(struct sm_store *store)
{
    pthread_mutex_destroy(&store->budget_mutex);
    free(store->spent);
}

/* --- in the database --- */

struct spending {
    struct sm_write write;
    char key_id[SM_ID_BYTES];
    int64_t day, count;
};

static enum sm_code run_spend(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    const struct spending *s = (const struct spending *)write;
    struct sm_stmt *q;
    enum sm_code code =
        sm_db_query(&q, db,
                    "INSERT INTO key_day (key_id, day, scores_count) VALUES ($key, $day, $count) "
                    "ON CONFLICT (key_id, day) DO UPDATE SET "
                    "scores_count = key_day.scores_count + excluded.scores_count",
                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$key", s->key_id);
    sm_stmt_int(q, "$day", s->day);
    sm_stmt_int(q, "$count", s->count);
    return sm_stmt_run(q, NULL, err);
}

static void spent(struct sm_write *write, enum sm_code code, const struct sm_err *err)
{
    const struct spending *s = (const struct spending *)write;
    if (code != SM_OK) /* counted in memory all the same */
        sm_log("warning", "budget_not_stored", "{s:s, s:I, s:s}", "key", s->key_id, "scores",
               (json_int_t)s->count, "detail", err->text);
    free(write);
}

static enum sm_code read_spent(int64_t *count, struct sm_store *store, const char *key_id,
                               int64_t day, struct sm_err *err)
{
    struct sm_db *db;
    struct sm_stmt *q;
    bool row;
    *count = 0;
    enum sm_code code = sm_store_reader_take(&db, store, err);
    if (code != SM_OK)
        return code;
    code = sm_db_query(&q, db,
                       "SELECT scores_count FROM key_day WHERE key_id = $key AND day = $day", err);
    if (code == SM_OK) {
        sm_stmt_hex(q, "$key", key_id);
        sm_stmt_int(q, "$day", day);
        code = sm_stmt_step(q, &row, err);
        if (code == SM_OK && row)
            *count = sm_stmt_get_int(q, 0);
        sm_stmt_reset(q);
    }
    sm_store_reader_give(store, db);
    return code;
}

/* --- in memory, under the mutex --- */

static struct sm_spent *find(struct sm_store *store, const char *key_id, struct sm_err *err)
{
    size_t i = 0;
    while (i < store->spent_count && strcmp(store->spent[i].key_id, key_id) != 0)
        i++;
    if (i < store->spent_count)
        return &store->spent[i];
    struct sm_spent *grown = realloc(store->spent, (i + 1) * sizeof *grown);
    if (!grown) {
        sm_err_set(err, SM_NOMEM, "budget of a key: out of memory");
        return NULL;
    }
    store->spent = grown;
    store->spent_count++;
    grown[i] = (struct sm_spent){.day = -1};
    memcpy(grown[i].key_id, key_id, SM_ID_BYTES);
    return &grown[i];
}

/* The count of the key and day, read where this process has none. */
static enum sm_code load(struct sm_spent **out, struct sm_store *store, const char *key_id,
                         int64_t day, struct sm_err *err)
{
    int64_t count;
    struct sm_spent *s = *out = find(store, key_id, err);
    if (!s)
        return SM_NOMEM;
    if (s->day == day)
        return SM_OK;
    enum sm_code code = read_spent(&count, store, key_id, day, err);
    if (code == SM_OK) {
        s->day = day;
        s->count = count;
    }
    return code;
}

static enum sm_code spend(struct sm_store *store, const struct sm_caller *caller, int64_t count,
                          bool anyway, struct sm_err *err)
{
    int64_t day = sm_clock_unix_ms() / SM_DAY_MS, max = caller->scores_per_day;
    struct sm_spent *s;
    struct spending *write = calloc(1, sizeof *write);
    if (!write)
        return sm_err_set(err, SM_NOMEM, "budget of a key: out of memory");
    *write = (struct spending){.write = {.run = run_spend, .done = spent}, .day = day};
    memcpy(write->key_id, caller->key_id, SM_ID_BYTES);
    write->count = count;
    pthread_mutex_lock(&store->budget_mutex);
    enum sm_code code = load(&s, store, caller->key_id, day, err);
    int64_t left = code == SM_OK && s->count < max ? max - s->count : 0;
    if (code == SM_OK && !anyway && left < (count > 0 ? count : 1))
        code = sm_err_set(err, SM_LIMIT,
                          "%lld scores are asked for, of the %lld that this key has for a day "
                          "%lld are left",
                          (long long)(count > 0 ? count : 1), (long long)max, (long long)left);
    if (code == SM_OK)
        s->count += count;
    pthread_mutex_unlock(&store->budget_mutex);
    if (code == SM_OK && count != 0)
        sm_writer_post(store->writer, &write->write);
    else
        free(write);
    return code;
}

enum sm_code sm_store_spend(struct sm_store *store, const struct sm_caller *caller, int64_t count,
                            struct sm_err *err)
{
    return caller->scores_per_day == 0 ? SM_OK : spend(store, caller, count, false, err);
}

void sm_store_charge(struct sm_store *store, const struct sm_caller *caller, int64_t count)
{
    if (caller->scores_per_day != 0 && count != 0)
        spend(store, caller, count, true, NULL);
}
