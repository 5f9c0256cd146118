/* SQLite behind the driver seam.
 *
 * Every connection runs with the same settings (`settings` below). WAL lets readers and the writer
 * work side by side; synchronous FULL makes a commit survive a power cut, because a 202 is a
 * promise; secure_delete overwrites the bytes of images that were dropped. No mmap.
 *
 * Within the service one connection writes and checkpoints (readers are opened read-only); another
 * may be that of a command that changes keys meanwhile. They take turns (turn.h), which keeps
 * SQLite before 3.51.3 away from its WAL-reset bug.
 *
 * Statements are kept per connection in a table searched by text: the store has few texts, each
 * asked for many times. The least recently used free one makes room; the texts of listings vary
 * with their filters.
 *
 * A file that is another application's is refused: application_id, or tables in a file that carries
 * none. */
#include "server/db/db.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/sha256.h"
#include "server/base/id.h"
#include "server/db/hex.h"
#include "server/db/write_lock.h"

#define APPLICATION_ID  0x53534c4d /* "SSLM" */
#define BUSY_TIMEOUT_MS 5000
#define SPARE_PAGES     64
#define SEARCH_BYTES    (1 << 20)

struct sm_stmt {
    sqlite3 *handle; /* of the connection, for its error words */
    sqlite3_stmt *stmt;
    int bind_result;    /* of the first parameter that could not be bound */
    char bind_name[32]; /* its name */
    bool in_use;
    uint64_t used; /* clock of the last query */
};

struct sm_db {
    sqlite3 *handle;
    struct sm_write_lock turn;
    struct sm_stmt statements[SM_DB_STATEMENTS_MAX];
    uint64_t clock;
    int64_t pages_max; /* 0: SQLite's own */
};

static const char settings[] = "PRAGMA foreign_keys = ON;"
                               "PRAGMA trusted_schema = OFF;"
                               "PRAGMA synchronous = FULL;"
                               "PRAGMA secure_delete = ON;"
                               "PRAGMA journal_size_limit = 67108864;";

static const struct {
    int result;
    enum sm_code code;
} codes[] = {
    {SQLITE_BUSY, SM_BUSY},           {SQLITE_LOCKED, SM_BUSY},     {SQLITE_NOMEM, SM_NOMEM},
    {SQLITE_CONSTRAINT, SM_INTERNAL}, {SQLITE_CORRUPT, SM_CORRUPT}, {SQLITE_NOTADB, SM_CORRUPT},
    {SQLITE_TOOBIG, SM_LIMIT},        {SQLITE_MISUSE, SM_INTERNAL}, {SQLITE_RANGE, SM_INTERNAL},
    {SQLITE_FULL, SM_FULL},
};

/* SQLite says SQLITE_FULL for a full disk alone, not for a quota or the limit of a file. errno is
 * still that of the write: what SQLite does after it succeeds and leaves errno alone. */
static bool is_full(int result)
{
    return result == SQLITE_IOERR_WRITE && (errno == EDQUOT || errno == EFBIG);
}

static enum sm_code report(sqlite3 *handle, int result, struct sm_err *err)
{
    enum sm_code code = is_full(result) ? SM_FULL : SM_IO;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].result == (result & 0xff))
            code = codes[i].code;
    return sm_err_set(err, code, "database: %s (SQLite code %d)",
                      handle ? sqlite3_errmsg(handle) : sqlite3_errstr(result), result);
}

enum sm_code sm_db_exec(struct sm_db *db, const char *sql, struct sm_err *err)
{
    int result = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return result == SQLITE_OK ? SM_OK : report(db->handle, result, err);
}

/* First column of the first row of `sql`. */
static enum sm_code read_int(int64_t *out, struct sm_db *db, const char *sql, struct sm_err *err)
{
    sqlite3_stmt *stmt = NULL;
    int result = sqlite3_prepare_v2(db->handle, sql, -1, &stmt, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_step(stmt);
    if (result == SQLITE_ROW)
        *out = sqlite3_column_int64(stmt, 0);
    enum sm_code code = result == SQLITE_ROW ? SM_OK : report(db->handle, result, err);
    sqlite3_finalize(stmt);
    return code;
}

static enum sm_code claim_file(struct sm_db *db, const char *path, struct sm_err *err)
{
    int64_t id, tables;
    enum sm_code code = read_int(&id, db, "PRAGMA application_id", err);
    if (code == SM_OK)
        code = read_int(&tables, db, "SELECT COUNT(*) FROM sqlite_master", err);
    if (code != SM_OK)
        return code;
    if (id != APPLICATION_ID && (id != 0 || tables != 0))
        return sm_err_set(err, SM_CONFLICT,
                          "%s is another application's database: application_id %lld, not %d", path,
                          (long long)id, APPLICATION_ID);
    /* auto_vacuum counts only before the file has a page. */
    return sm_db_exec(db,
                      "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
                      "PRAGMA application_id = 0x53534c4d;",
                      err);
}

enum sm_code sm_db_open(struct sm_db **out, const char *path, enum sm_db_mode mode,
                        struct sm_err *err)
{
    *out = NULL;
    if (mode == SM_DB_WRITE) {
        /* Made by us so that it is private; the log and its index take over the mode. */
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
            return sm_err_set(err, SM_IO, "database %s: %s", path, strerror(errno));
        close(fd);
    }
    struct sm_db *db = calloc(1, sizeof *db);
    if (!db)
        return sm_err_set(err, SM_NOMEM, "database connection: out of memory");
    db->turn.fd = -1;

    int flags = mode == SM_DB_WRITE ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
    int result = sqlite3_open_v2(path, &db->handle, flags | SQLITE_OPEN_NOMUTEX, NULL);
    enum sm_code code = result == SQLITE_OK ? SM_OK : report(db->handle, result, err);
    if (code == SM_OK && mode == SM_DB_WRITE)
        code = sm_write_lock_open(&db->turn, path, err);
    if (code == SM_OK)
        code = sm_write_lock_take(&db->turn, err);
    if (code != SM_OK)
        goto out;
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
    code = sm_db_exec(db, settings, err);
    if (code == SM_OK && mode == SM_DB_WRITE)
        code = claim_file(db, path, err);
    sm_write_lock_give(&db->turn);
out:
    if (code != SM_OK) {
        sm_db_close(db);
        return code;
    }
    *out = db;
    return SM_OK;
}

void sm_db_close(struct sm_db *db)
{
    if (!db)
        return;
    for (size_t i = 0; i < SM_DB_STATEMENTS_MAX; i++)
        sqlite3_finalize(db->statements[i].stmt);
    sm_write_lock_take(&db->turn, NULL); /* the last one to close folds the log in */
    int result = sqlite3_close(db->handle);
    assert(result == SQLITE_OK);
    (void)result;
    sm_write_lock_close(&db->turn);
    free(db);
}

enum sm_code sm_db_begin(struct sm_db *db, struct sm_err *err)
{
    enum sm_code code = sm_write_lock_take(&db->turn, err);
    if (code == SM_OK)
        code = sm_db_exec(db, "BEGIN IMMEDIATE", err);
    if (code != SM_OK)
        sm_write_lock_give(&db->turn);
    return code;
}

enum sm_code sm_db_commit(struct sm_db *db, struct sm_err *err)
{
    enum sm_code code = sm_db_exec(db, "COMMIT", err);
    if (code != SM_OK)
        sm_db_rollback(db);
    sm_write_lock_give(&db->turn);
    return code;
}

void sm_db_rollback(struct sm_db *db)
{
    if (sm_db_in_transaction(db))
        sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    sm_write_lock_give(&db->turn);
}

bool sm_db_in_transaction(const struct sm_db *db)
{
    return !sqlite3_get_autocommit(db->handle);
}

enum sm_code sm_db_checkpoint(struct sm_db *db, bool *done, struct sm_err *err)
{
    enum sm_code code = sm_write_lock_take(&db->turn, err);
    *done = false;
    if (code != SM_OK)
        return code;
    sqlite3_busy_timeout(db->handle, 0);
    int result =
        sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
    sm_write_lock_give(&db->turn);
    *done = result == SQLITE_OK;
    if (result == SQLITE_OK || result == SQLITE_BUSY)
        return SM_OK;
    return report(db->handle, result, err);
}

enum sm_code sm_db_shrink(struct sm_db *db, int pages_max, bool *more, struct sm_err *err)
{
    char sql[64];
    int64_t left = 0;
    snprintf(sql, sizeof sql, "PRAGMA incremental_vacuum(%d)", pages_max);
    enum sm_code code = sm_write_lock_take(&db->turn, err);
    if (code == SM_OK && sm_db_shrinks(db))
        code = sm_db_exec(db, sql, err);
    sm_write_lock_give(&db->turn);
    if (code == SM_OK && sm_db_shrinks(db))
        code = read_int(&left, db, "PRAGMA freelist_count", err);
    *more = code == SM_OK && left > 0;
    return code;
}

enum sm_code sm_db_compact(struct sm_db *db, struct sm_err *err)
{
    enum sm_code code = sm_write_lock_take(&db->turn, err);
    if (code == SM_OK)
        code = sm_db_exec(db, "PRAGMA auto_vacuum = INCREMENTAL; VACUUM", err);
    sm_write_lock_give(&db->turn);
    return code;
}

enum sm_code sm_db_loosen(struct sm_db *db, struct sm_err *err)
{
    return sm_db_exec(db, "PRAGMA foreign_keys = OFF", err);
}

enum sm_code sm_db_tighten(struct sm_db *db, struct sm_err *err)
{
    return sm_db_exec(db, "PRAGMA foreign_keys = ON", err);
}

enum sm_code sm_db_check_references(struct sm_db *db, struct sm_err *err)
{
    int64_t broken = 0;
    enum sm_code code = read_int(&broken, db, "SELECT COUNT(*) FROM pragma_foreign_key_check", err);
    if (code == SM_OK && broken > 0)
        code = sm_err_set(err, SM_CORRUPT, "%lld rows refer to rows that are not there",
                          (long long)broken);
    return code;
}

/* Through SQLite's own handle of the file: closing another one would drop its locks. */
enum sm_code sm_db_search(bool *found, struct sm_db *db, const void *bytes, size_t bytes_count,
                          struct sm_err *err)
{
    sqlite3_file *file = NULL;
    sqlite3_int64 size = 0;
    int result = sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    char *block = malloc(SEARCH_BYTES);
    *found = false;
    assert(bytes_count > 0 && bytes_count < SEARCH_BYTES);
    if (!block)
        return sm_err_set(err, SM_NOMEM, "search of the database: out of memory");
    if (result == SQLITE_OK)
        result = file->pMethods->xFileSize(file, &size);
    for (sqlite3_int64 at = 0; at < size && result == SQLITE_OK && !*found;
         at += SEARCH_BYTES - (sqlite3_int64)bytes_count + 1) {
        size_t length = size - at < SEARCH_BYTES ? (size_t)(size - at) : SEARCH_BYTES;
        result = file->pMethods->xRead(file, block, (int)length, at);
        *found = result == SQLITE_OK && memmem(block, length, bytes, bytes_count);
    }
    free(block);
    return result == SQLITE_OK ? SM_OK : report(NULL, result, err);
}

enum sm_code sm_db_limit(struct sm_db *db, int64_t bytes_max, struct sm_err *err)
{
    int64_t page_bytes;
    enum sm_code code = read_int(&page_bytes, db, "PRAGMA page_size", err);
    if (code != SM_OK)
        return code;
    db->pages_max = bytes_max / page_bytes;
    return sm_db_spare(db, false, err);
}

enum sm_code sm_db_spare(struct sm_db *db, bool allowed, struct sm_err *err)
{
    char sql[64];
    if (db->pages_max == 0)
        return SM_OK;
    snprintf(sql, sizeof sql, "PRAGMA max_page_count = %lld",
             (long long)db->pages_max + (allowed ? SPARE_PAGES : 0));
    return sm_db_exec(db, sql, err);
}

bool sm_db_shrinks(struct sm_db *db)
{
    int64_t mode;
    return read_int(&mode, db, "PRAGMA auto_vacuum", NULL) == SM_OK && mode == 2;
}

/* The copy gets no log: it is read where nothing may be written beside it. */
static int copy_into(sqlite3 *to, sqlite3 *from)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    int result = backup ? sqlite3_backup_step(backup, -1) : sqlite3_errcode(to);
    int finished = backup ? sqlite3_backup_finish(backup) : SQLITE_OK;
    if (result == SQLITE_DONE)
        result = finished;
    if (result == SQLITE_OK)
        result = sqlite3_exec(to, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
    return result;
}

enum sm_code sm_db_copy(struct sm_db *db, const char *path, struct sm_err *err)
{
    sqlite3 *to = NULL;
    int64_t id;
    enum sm_code code = read_int(&id, db, "PRAGMA application_id", err);
    if (code != SM_OK)
        return code;
    if (id != APPLICATION_ID)
        return sm_err_set(err, SM_CONFLICT, "it is none of ours: application_id %lld, not %d",
                          (long long)id, APPLICATION_ID);
    int result = sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (result == SQLITE_OK)
        result = copy_into(to, db->handle);
    if (result != SQLITE_OK)
        code = report(to, result, err);
    sqlite3_close(to);
    return code;
}

enum sm_code sm_db_verify(struct sm_db *db, struct sm_err *err)
{
    struct sm_stmt *q;
    bool row;
    enum sm_code code = sm_db_query(&q, db, "PRAGMA integrity_check(1)", err);
    if (code == SM_OK)
        code = sm_stmt_step(q, &row, err);
    if (code == SM_OK && (!row || strcmp(sm_stmt_get_text(q, 0), "ok") != 0))
        code = sm_err_set(err, SM_CORRUPT, "integrity check: %.200s",
                          row ? sm_stmt_get_text(q, 0) : "no answer");
    sm_stmt_reset(q);
    if (code != SM_OK)
        return code;
    code = sm_db_query(&q, db, "PRAGMA foreign_key_check", err);
    if (code == SM_OK)
        code = sm_stmt_step(q, &row, err);
    if (code == SM_OK && row)
        code = sm_err_set(err, SM_CORRUPT, "a row of %.60s refers to none of %.60s",
                          sm_stmt_get_text(q, 0), sm_stmt_get_text(q, 2));
    sm_stmt_reset(q);
    return code;
}

static void call_function(sqlite3_context *context, int count, sqlite3_value **values)
{
    const struct sm_db_function *function = sqlite3_user_data(context);
    const char *texts[8] = {NULL};
    struct sm_db_value out = {0};
    struct sm_err err = {0};
    for (int i = 0; i < count; i++)
        texts[i] = (const char *)sqlite3_value_text(values[i]);
    if (function->run(&out, texts, &err) != SM_OK)
        sqlite3_result_error(context, err.text, -1);
    else if (out.type == SM_DB_INT)
        sqlite3_result_int64(context, out.number);
    else if (out.type == SM_DB_TEXT)
        sqlite3_result_text64(context, out.bytes, out.bytes_count, free, SQLITE_UTF8);
    else if (out.type == SM_DB_BLOB)
        sqlite3_result_blob64(context, out.bytes, out.bytes_count, free);
}

enum sm_code sm_db_define(struct sm_db *db, const struct sm_db_function *function,
                          struct sm_err *err)
{
    assert(function->arguments_count <= 8);
    int result =
        sqlite3_create_function_v2(db->handle, function->name, function->arguments_count,
                                   SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY,
                                   (void *)(uintptr_t)function, call_function, NULL, NULL, NULL);
    return result == SQLITE_OK ? SM_OK : report(db->handle, result, err);
}

/* The slot with this text, or else the free one that was used longest ago. */
static struct sm_stmt *find_slot(struct sm_db *db, const char *sql)
{
    struct sm_stmt *oldest = NULL;
    for (size_t i = 0; i < SM_DB_STATEMENTS_MAX; i++) {
        struct sm_stmt *slot = &db->statements[i];
        if (slot->in_use)
            continue;
        if (slot->stmt && strcmp(sqlite3_sql(slot->stmt), sql) == 0)
            return slot;
        if (!oldest || slot->used < oldest->used)
            oldest = slot;
    }
    assert(oldest); /* nobody holds that many at once */
    sqlite3_finalize(oldest->stmt);
    *oldest = (struct sm_stmt){.handle = db->handle};
    return oldest;
}

enum sm_code sm_db_query(struct sm_stmt **out, struct sm_db *db, const char *sql,
                         struct sm_err *err)
{
    *out = NULL;
    struct sm_stmt *slot = find_slot(db, sql);
    if (!slot->stmt) {
        int result =
            sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &slot->stmt, NULL);
        if (result != SQLITE_OK)
            return report(db->handle, result, err);
    }
    slot->in_use = true;
    slot->used = ++db->clock;
    slot->bind_result = SQLITE_OK;
    *out = slot;
    return SM_OK;
}

/* 0 without such a parameter; binding to it is SQLITE_RANGE. */
static int parameter(const struct sm_stmt *stmt, const char *name)
{
    return sqlite3_bind_parameter_index(stmt->stmt, name);
}

static void keep(struct sm_stmt *stmt, const char *name, int result)
{
    if (stmt->bind_result != SQLITE_OK || result == SQLITE_OK)
        return;
    stmt->bind_result = result;
    snprintf(stmt->bind_name, sizeof stmt->bind_name, "%s", name);
}

void sm_stmt_int(struct sm_stmt *stmt, const char *name, int64_t value)
{
    keep(stmt, name, sqlite3_bind_int64(stmt->stmt, parameter(stmt, name), value));
}

void sm_stmt_double(struct sm_stmt *stmt, const char *name, double value)
{
    keep(stmt, name, sqlite3_bind_double(stmt->stmt, parameter(stmt, name), value));
}

void sm_stmt_text(struct sm_stmt *stmt, const char *name, const char *value)
{
    keep(stmt, name,
         sqlite3_bind_text(stmt->stmt, parameter(stmt, name), value, -1, SQLITE_STATIC));
}

void sm_stmt_blob(struct sm_stmt *stmt, const char *name, const void *bytes, size_t bytes_count)
{
    keep(stmt, name,
         sqlite3_bind_blob64(stmt->stmt, parameter(stmt, name), bytes ? bytes : "", bytes_count,
                             SQLITE_STATIC));
}

void sm_stmt_hex(struct sm_stmt *stmt, const char *name, const char *text)
{
    uint8_t bytes[SM_HEX_MAX];
    size_t count = text ? sm_unhex(bytes, text) : 0;
    int index = parameter(stmt, name);
    if (count == 0)
        keep(stmt, name, sqlite3_bind_null(stmt->stmt, index));
    else
        keep(stmt, name, sqlite3_bind_blob(stmt->stmt, index, bytes, (int)count, SQLITE_TRANSIENT));
}

static enum sm_code report_bind(const struct sm_stmt *stmt, struct sm_err *err)
{
    struct sm_err why = {0};
    enum sm_code code = report(NULL, stmt->bind_result, &why);
    return sm_err_set(err, code, "parameter %s: %s", stmt->bind_name, why.text);
}

enum sm_code sm_stmt_step(struct sm_stmt *stmt, bool *row, struct sm_err *err)
{
    assert(stmt->in_use);
    *row = false;
    if (stmt->bind_result != SQLITE_OK)
        return report_bind(stmt, err);
    int result = sqlite3_step(stmt->stmt);
    if (result != SQLITE_ROW && result != SQLITE_DONE)
        return report(stmt->handle, result, err);
    *row = result == SQLITE_ROW;
    return SM_OK;
}

enum sm_code sm_stmt_run(struct sm_stmt *stmt, int64_t *changes, struct sm_err *err)
{
    bool row = true;
    enum sm_code code = SM_OK;
    while (code == SM_OK && row)
        code = sm_stmt_step(stmt, &row, err);
    if (code == SM_OK && changes)
        *changes = sqlite3_changes64(stmt->handle);
    sm_stmt_reset(stmt);
    return code;
}

void sm_stmt_reset(struct sm_stmt *stmt)
{
    if (!stmt)
        return;
    sqlite3_reset(stmt->stmt);
    sqlite3_clear_bindings(stmt->stmt);
    stmt->in_use = false;
}

bool sm_stmt_is_null(const struct sm_stmt *stmt, int column)
{
    return sqlite3_column_type(stmt->stmt, column) == SQLITE_NULL;
}

int64_t sm_stmt_get_int(const struct sm_stmt *stmt, int column)
{
    return sqlite3_column_int64(stmt->stmt, column);
}

double sm_stmt_get_double(const struct sm_stmt *stmt, int column)
{
    return sqlite3_column_double(stmt->stmt, column);
}

const char *sm_stmt_get_text(const struct sm_stmt *stmt, int column)
{
    return (const char *)sqlite3_column_text(stmt->stmt, column);
}

const void *sm_stmt_get_blob(const struct sm_stmt *stmt, int column, size_t *bytes_count)
{
    const void *bytes = sqlite3_column_blob(stmt->stmt, column);
    *bytes_count = (size_t)sqlite3_column_bytes(stmt->stmt, column);
    return bytes;
}

void sm_stmt_get_digest(char out[65], const struct sm_stmt *stmt, int column)
{
    size_t count;
    const void *bytes = sm_stmt_get_blob(stmt, column, &count);
    sm_hex(out, bytes, count == SM_SHA256_BYTES ? count : 0);
}

void sm_stmt_get_id(char out[37], const struct sm_stmt *stmt, int column)
{
    size_t count;
    const void *bytes = sm_stmt_get_blob(stmt, column, &count);
    if (count == 16)
        sm_id_format(out, bytes);
    else
        out[0] = '\0';
}

const char *sm_db_statement(const struct sm_db *db, int i)
{
    return db->statements[i].stmt ? sqlite3_sql(db->statements[i].stmt) : NULL;
}

const char *sm_db_version(void)
{
    return sqlite3_libversion();
}
