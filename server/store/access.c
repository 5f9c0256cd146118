/* An entry is copied into one write, which inserts a row for the access and one for each record. */
#include "server/store/access.h"

#include <stdlib.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/store/impl.h"

#define REQUEST_BYTES   65
#define OPERATION_BYTES 32

struct entry {
    struct sm_write write;
    struct sm_store *store;
    int64_t at_ms;
    char api_key_id[SM_ID_BYTES], request[REQUEST_BYTES], operation[OPERATION_BYTES];
    size_t records_count;
    char records[][SM_ID_BYTES];
};

/* Reads the next free id. Only the writer thread inserts, so the id stays free until the insert. */
static enum sm_code next_id(int64_t *id, struct sm_db *db, struct sm_err *err)
{
    return sm_db_row(NULL, db, "SELECT COALESCE(MAX(id), 0) + 1 FROM access", NULL,
                     SM_COLUMNS(SM_GET_INT(id)), err);
}

static enum sm_code insert_access(struct sm_db *db, int64_t id, const struct entry *e,
                                  struct sm_err *err)
{
    return sm_db_change(NULL, db,
                        "INSERT INTO access (id, at_ms, key_id, request, operation) "
                        "VALUES ($id, $at, $key, $request, $operation)",
                        SM_BIND(SM_INT("$id", id), SM_INT("$at", e->at_ms),
                                SM_HEX("$key", e->api_key_id), SM_TEXT("$request", e->request),
                                SM_TEXT("$operation", e->operation)),
                        err);
}

static enum sm_code insert_record(struct sm_db *db, int64_t id, const char *record,
                                  struct sm_err *err)
{
    return sm_db_change(NULL, db,
                        "INSERT INTO access_record (record_id, access_id) VALUES "
                        "($record, $id) ON CONFLICT (record_id, access_id) DO NOTHING",
                        SM_BIND(SM_HEX("$record", record), SM_INT("$id", id)), err);
}

static enum sm_code run_log(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    const struct entry *e = (const struct entry *)write;
    int64_t id;
    enum sm_code code = next_id(&id, db, err);
    if (code == SM_OK)
        code = insert_access(db, id, e, err);
    for (size_t i = 0; i < e->records_count && code == SM_OK; i++)
        code = insert_record(db, id, e->records[i], err);
    return code;
}

static void say(const struct sm_access *access, const char *detail)
{
    sm_log("error", "access_not_stored", "{s:s, s:s, s:s, s:s, s:I, s:s}", "request",
           access->request, "key", access->api_key_id, "operation", access->operation, "record",
           access->records[0], "records", (json_int_t)access->records_count, "detail", detail);
}

static void count(struct sm_store *store, int64_t change)
{
    pthread_mutex_lock(&store->mutex);
    store->access_waiting_count += change;
    pthread_mutex_unlock(&store->mutex);
}

static void logged(struct sm_write *write, enum sm_code code, const struct sm_err *err)
{
    struct entry *e = (struct entry *)write;
    if (code != SM_OK)
        say(&(struct sm_access){e->api_key_id, e->request, e->operation, e->records,
                                e->records_count},
            err->text);
    count(e->store, -(int64_t)e->records_count);
    free(e);
}

void sm_store_log_access(struct sm_store *store, const struct sm_access *access)
{
    if (access->records_count == 0)
        return;
    struct entry *e = calloc(1, sizeof *e + access->records_count * sizeof *e->records);
    if (!e) {
        say(access, "out of memory");
        return;
    }
    e->write = (struct sm_write){.run = run_log, .done = logged, .room = SM_ROOM_LOG};
    e->store = store;
    e->at_ms = sm_clock_unix_ms();
    snprintf(e->api_key_id, sizeof e->api_key_id, "%s", access->api_key_id);
    snprintf(e->request, sizeof e->request, "%s", access->request);
    snprintf(e->operation, sizeof e->operation, "%s", access->operation);
    e->records_count = access->records_count;
    memcpy(e->records, access->records, access->records_count * sizeof *e->records);
    count(store, (int64_t)e->records_count);
    sm_writer_post(store->writer, &e->write);
}

bool sm_store_access_full(struct sm_store *store)
{
    pthread_mutex_lock(&store->mutex);
    bool full = store->access_waiting_count > SM_ACCESS_WAITING_MAX;
    pthread_mutex_unlock(&store->mutex);
    return full;
}
