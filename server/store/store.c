/* Opening and closing the store: daemon lock, schema, recovery, counters, read connections.
 *
 * The daemon lock is an flock on "<db>.lock". The kernel releases it however the process ends. It
 * is not on the database itself: closing any descriptor of that file would release SQLite's POSIX
 * locks. While the lock is held, every item that the database calls running was left by an earlier
 * process.
 *
 * The counters are in memory because every request reads them. `active` grows when an admission is
 * queued, so that a full queue is seen at once; `waiting` grows when it is committed, so that a
 * claim finds the row. */
#include "server/store/impl.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/log.h"
#include "server/db/db_file.h"
#include "server/db/migrate.h"
#include "server/store/idempotency.h"

enum sm_code sm_store_lock(int *out, const char *path, struct sm_err *err)
{
    char lock_path[4096];
    int length = snprintf(lock_path, sizeof lock_path, "%s.lock", path);
    if (length < 0 || (size_t)length >= sizeof lock_path)
        return sm_err_set(err, SM_LIMIT, "database path has %zu bytes, at most %zu", strlen(path),
                          sizeof lock_path - sizeof ".lock");
    int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return sm_err_set(err, SM_IO, "lock %s: %s", lock_path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int why = errno;
        close(fd);
        if (why == EWOULDBLOCK)
            return sm_err_set(err, SM_CONFLICT, "database %s is in use: another process holds %s",
                              path, lock_path);
        return sm_err_set(err, SM_IO, "lock %s: %s", lock_path, strerror(why));
    }
    *out = fd;
    return SM_OK;
}

/* Applies missing migrations. Compacts a file made before migration 0002, so that it can return
 * free pages; that needs room for a second copy, and without it the file stays as it is. */
static enum sm_code migrate(int *applied, struct sm_db *db, struct sm_err *err)
{
    struct sm_err why = {0};
    enum sm_code code = sm_migrate(db, sm_embedded, applied, err);
    if (code == SM_OK && *applied > 0 && !sm_db_shrinks(db) && sm_db_compact(db, &why) != SM_OK)
        sm_log("warning", "compact_failed", "{s:s}", "detail", why.text);
    return code;
}

enum sm_code sm_store_migrate(const char *path, int *applied, struct sm_err *err)
{
    int fd = -1;
    struct sm_db *db = NULL;
    *applied = 0;
    enum sm_code code = sm_store_lock(&fd, path, err);
    if (code == SM_OK)
        code = sm_db_open(&db, path, SM_DB_WRITE, err);
    if (code == SM_OK)
        code = migrate(applied, db, err);
    sm_db_close(db);
    if (fd >= 0)
        close(fd);
    return code;
}

/* Makes the key of digests in exports, once for each database. */
static enum sm_code make_secret(struct sm_db *db, struct sm_err *err)
{
    uint8_t key[32];
    randombytes_buf(key, sizeof key);
    enum sm_code code = sm_db_change(
        NULL, db, "INSERT INTO secret (id, key) VALUES (1, $key) ON CONFLICT (id) DO NOTHING",
        SM_BIND(SM_BLOB("$key", key, sizeof key)), err);
    sodium_memzero(key, sizeof key);
    return code;
}

/* Sets the counters from the queued items of jobs that may be claimed from. */
static enum sm_code count_items(struct sm_store *store, struct sm_db *db, struct sm_err *err)
{
    return sm_db_row(NULL, db,
                     "SELECT COALESCE(SUM(queued_count), 0), "
                     "COALESCE(SUM(CASE WHEN kind = 'score' THEN queued_count ELSE 0 END), 0), "
                     "COALESCE(SUM(CASE WHEN kind = 'score' THEN (SELECT SUM(length(bytes)) "
                     "FROM image WHERE image.job_id = job.id) ELSE 0 END), 0), "
                     "COALESCE(SUM(CASE WHEN kind = 'score' THEN cost_ms - done_cost_ms "
                     "ELSE 0 END), 0) "
                     "FROM job WHERE queued_count > 0 AND state IN ('queued', 'running')",
                     NULL,
                     SM_COLUMNS(SM_GET_INT(&store->waiting_count), SM_GET_INT(&store->active_count),
                                SM_GET_INT(&store->active_bytes),
                                SM_GET_INT(&store->active_cost_ms)),
                     err);
}

/* Takes over the items, cancellations and deletions that an earlier process left unfinished. */
static enum sm_code recover(struct sm_store *store, struct sm_err *err)
{
    struct sm_requeued requeued = {0};
    struct sm_db *db = store->write_db;
    enum sm_code code = sm_db_begin(db, err);
    if (code == SM_OK)
        code = make_secret(db, err);
    if (code == SM_OK)
        code = sm_store_requeue_expired(&requeued, db, SM_LEASES_ALL, err);
    if (code == SM_OK)
        code = count_items(store, db, err);
    if (code == SM_OK)
        code = sm_db_commit(db, err);
    if (code != SM_OK) {
        sm_db_rollback(db);
        return code;
    }
    if (requeued.queued_count + requeued.failed_count > 0)
        sm_log("info", "items_recovered", "{s:I, s:I}", "queued", (json_int_t)requeued.queued_count,
               "failed", (json_int_t)requeued.failed_count);
    return sm_store_audits_recover(db, err);
}

static enum sm_code check(void *arg, struct sm_err *err)
{
    sm_store_room_begin(arg);
    return sm_store_check_files(arg, err);
}

static enum sm_code before(void *arg, struct sm_db *db, const struct sm_write *write,
                           struct sm_err *err)
{
    return sm_store_room_before(arg, db, write, err);
}

static enum sm_code after(void *arg, struct sm_db *db, const struct sm_write *write,
                          struct sm_err *err)
{
    return sm_store_room_after(arg, db, write, err);
}

static enum sm_code start_writer(struct sm_store *store, struct sm_err *err)
{
    const struct sm_writer_rules rules = {store, check, before, after, sm_store_serve};
    sm_store_watch_files(store);
    return sm_writer_start(&store->writer, store->write_db, &rules, err);
}

enum sm_code sm_store_open(struct sm_store **out, const char *path, struct sm_err *err)
{
    int applied = 0;
    *out = NULL;
    struct sm_store *store = calloc(1, sizeof *store);
    if (!store)
        return sm_err_set(err, SM_NOMEM, "store: out of memory");
    store->lock_fd = -1;
    sm_store_idempotency_set(store, INT64_C(86400000), 100000);
    pthread_mutex_init(&store->mutex, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&store->came, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_cond_init(&store->served, NULL);

    enum sm_code code = SM_OK;
    store->path = strdup(path);
    if (!store->path)
        code = sm_err_set(err, SM_NOMEM, "store: out of memory");
    if (code == SM_OK)
        code = sm_store_lock(&store->lock_fd, path, err);
    if (code == SM_OK)
        code = sm_db_open(&store->write_db, path, SM_DB_WRITE, err);
    if (code == SM_OK)
        code = migrate(&applied, store->write_db, err);
    if (code == SM_OK)
        code = recover(store, err);
    if (code == SM_OK)
        code = start_writer(store, err);
    if (code != SM_OK) {
        sm_store_close(store);
        return code;
    }
    sm_log("info", "database_ready", "{s:s, s:s, s:i}", "path", path, "sqlite", sm_db_version(),
           "migrations_applied", applied);
    *out = store;
    return SM_OK;
}

void sm_store_close(struct sm_store *store)
{
    if (!store)
        return;
    sm_writer_stop(store->writer);
    for (int i = 0; i < store->readers_count; i++)
        sm_db_close(store->readers[i]);
    sm_db_close(store->write_db);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    pthread_cond_destroy(&store->came);
    pthread_cond_destroy(&store->served);
    pthread_mutex_destroy(&store->mutex);
    free(store->path);
    free(store);
}

enum sm_code sm_store_reader_take(struct sm_db **out, struct sm_store *store, struct sm_err *err)
{
    *out = NULL;
    /* Checked before the open: SQLite deletes the log of an empty database that it opens. */
    enum sm_code code = sm_store_check_files(store, err);
    if (code != SM_OK)
        return code;
    pthread_mutex_lock(&store->mutex);
    if (store->readers_count > 0)
        *out = store->readers[--store->readers_count];
    pthread_mutex_unlock(&store->mutex);
    if (*out)
        return SM_OK;
    code = sm_db_open(out, store->path, SM_DB_READ, err);
    if (code == SM_OK) /* checked after the open: the path may name another file by now */
        code = sm_store_check_files(store, err);
    if (code != SM_OK) {
        sm_db_close(*out);
        *out = NULL;
    }
    return code;
}

void sm_store_reader_give(struct sm_store *store, struct sm_db *db)
{
    pthread_mutex_lock(&store->mutex);
    bool kept = store->readers_count < SM_READERS_MAX;
    if (kept)
        store->readers[store->readers_count++] = db;
    pthread_mutex_unlock(&store->mutex);
    if (!kept)
        sm_db_close(db);
}

void sm_store_count(struct sm_store *store, int64_t waiting, int64_t active)
{
    pthread_mutex_lock(&store->mutex);
    store->waiting_count += waiting;
    store->active_count += active;
    if (waiting == 1)
        pthread_cond_signal(&store->came);
    else if (waiting > 1)
        pthread_cond_broadcast(&store->came);
    pthread_mutex_unlock(&store->mutex);
}

void sm_store_count_load(struct sm_store *store, int64_t bytes, int64_t cost_ms)
{
    pthread_mutex_lock(&store->mutex);
    store->active_bytes += bytes;
    store->active_cost_ms += cost_ms;
    pthread_mutex_unlock(&store->mutex);
}

int64_t sm_store_queued_cost_ms(struct sm_store *store)
{
    pthread_mutex_lock(&store->mutex);
    int64_t cost_ms = store->active_cost_ms;
    pthread_mutex_unlock(&store->mutex);
    return cost_ms;
}

int64_t sm_store_queued_bytes(struct sm_store *store)
{
    pthread_mutex_lock(&store->mutex);
    int64_t bytes = store->active_bytes;
    pthread_mutex_unlock(&store->mutex);
    return bytes;
}

int64_t sm_store_queued_count(struct sm_store *store)
{
    pthread_mutex_lock(&store->mutex);
    int64_t count = store->active_count;
    pthread_mutex_unlock(&store->mutex);
    return count;
}

static int64_t file_bytes(const char *path, const char *ending)
{
    char whole[4096];
    struct stat about;
    snprintf(whole, sizeof whole, "%s%s", path, ending);
    return stat(whole, &about) == 0 ? (int64_t)about.st_size : 0;
}

int64_t sm_store_wal_bytes(const struct sm_store *store)
{
    return file_bytes(store->path, "-wal");
}

int64_t sm_store_file_bytes(const struct sm_store *store)
{
    return file_bytes(store->path, "");
}

enum sm_code sm_store_check(struct sm_store *store, struct sm_err *err)
{
    enum sm_code code = sm_store_check_files(store, err);
    if (code == SM_OK && !sm_writer_healthy(store->writer))
        code = sm_err_set(err, SM_IO, "the store's last commit failed");
    return code;
}
