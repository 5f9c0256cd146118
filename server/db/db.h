/* The driver seam: the few verbs that the store asks of a database. db_sqlite.c is the only file
 * that knows SQLite.
 *
 *     struct sm_stmt *q;
 *     if (sm_db_query(&q, db, "SELECT m FROM score WHERE id = $id", err) == SM_OK) {
 *         bool row;
 *         sm_stmt_text(q, "$id", id);
 *         code = sm_stmt_step(q, &row, err);      // row: sm_stmt_get_double(q, 0)
 *         sm_stmt_reset(q);
 *     }
 *
 * Binding is by name and never fails by itself: the first error is kept and returned by the next
 * step.
 *
 * Owner:   the connection owns its statements and keeps the most used ones prepared. A statement is
 *          in use from query to reset; what was bound must live as long.
 * Threads: one thread at a time per connection.
 * Errors:  SM_BUSY, SM_INTERNAL (a constraint), SM_CORRUPT, SM_LIMIT, SM_FULL (the disk, a quota,
 *          or sm_db_limit), SM_IO, SM_NOMEM, with the database's own words. */
#ifndef SERVER_DB_DB_H
#define SERVER_DB_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

#define SM_DB_STATEMENTS_MAX 48 /* kept prepared per connection */

struct sm_db;
struct sm_stmt;

enum sm_db_mode { SM_DB_READ, SM_DB_WRITE /* creates the file, private to its user */ };

enum sm_code sm_db_open(struct sm_db **out, const char *path, enum sm_db_mode mode,
                        struct sm_err *err);
void sm_db_close(struct sm_db *db);

/* One or several statements that return no rows. */
enum sm_code sm_db_exec(struct sm_db *db, const char *sql, struct sm_err *err);
/* Takes the write lock at once, so that a transaction never fails half-way for want of it. */
enum sm_code sm_db_begin(struct sm_db *db, struct sm_err *err);
enum sm_code sm_db_commit(struct sm_db *db, struct sm_err *err); /* rolls back when it fails */
void sm_db_rollback(struct sm_db *db);
/* False after an error that made the database roll back by itself (disk full, I/O error). */
bool sm_db_in_transaction(const struct sm_db *db);
/* Moves the log into the database and empties it, unless a reader is in the way; `done` tells. */
enum sm_code sm_db_checkpoint(struct sm_db *db, bool *done, struct sm_err *err);

/* Gives up to `pages_max` free pages back to the file system; `more` tells whether some are left.
 * In a file that was made without room for that, none is; compact writes it anew, with. */
enum sm_code sm_db_shrink(struct sm_db *db, int pages_max, bool *more, struct sm_err *err);
enum sm_code sm_db_compact(struct sm_db *db, struct sm_err *err);
bool sm_db_shrinks(struct sm_db *db);
/* Whether the file, without its log, has these bytes anywhere, in rows or between them. */
enum sm_code sm_db_search(bool *found, struct sm_db *db, const void *bytes, size_t bytes_count,
                          struct sm_err *err);
/* How large this connection lets the file become; never less than it is. */
enum sm_code sm_db_limit(struct sm_db *db, int64_t bytes_max, struct sm_err *err);
/* Allows a few pages beyond the limit, or none: for what makes room, or says that there is none. */
enum sm_code sm_db_spare(struct sm_db *db, bool allowed, struct sm_err *err);

/* The database as it is at one moment into the file `path`, which is there and empty; others may
 * write meanwhile. SM_CONFLICT: it is none of ours. */
enum sm_code sm_db_copy(struct sm_db *db, const char *path, struct sm_err *err);
/* Reads every page: SM_CORRUPT with the first thing that is wrong. */
enum sm_code sm_db_verify(struct sm_db *db, struct sm_err *err);

/* While a change of schema puts a new table in the place of one that others refer to, references
 * are not looked at: loosen before its transaction, check inside at its end, tighten after it. */
enum sm_code sm_db_loosen(struct sm_db *db, struct sm_err *err);
enum sm_code sm_db_check_references(struct sm_db *db, struct sm_err *err);
enum sm_code sm_db_tighten(struct sm_db *db, struct sm_err *err);

/* A function for statements of migrations, pure: texts in (NULL for SQL NULL), one value out. */
struct sm_db_value {
    enum { SM_DB_NULL, SM_DB_INT, SM_DB_TEXT, SM_DB_BLOB } type;
    int64_t number;
    void *bytes; /* of malloc; the database frees it */
    size_t bytes_count;
};
struct sm_db_function {
    const char *name;
    int arguments_count;
    enum sm_code (*run)(struct sm_db_value *out, const char *const *arguments, struct sm_err *err);
};
enum sm_code sm_db_define(struct sm_db *db, const struct sm_db_function *function,
                          struct sm_err *err);

/* A prepared statement, ready for binding. */
enum sm_code sm_db_query(struct sm_stmt **out, struct sm_db *db, const char *sql,
                         struct sm_err *err);
void sm_stmt_int(struct sm_stmt *stmt, const char *name, int64_t value);
void sm_stmt_double(struct sm_stmt *stmt, const char *name, double value);
void sm_stmt_text(struct sm_stmt *stmt, const char *name, const char *value); /* NULL: SQL NULL */
void sm_stmt_blob(struct sm_stmt *stmt, const char *name, const void *bytes, size_t bytes_count);
/* Digests and ids: hex text outside, bytes inside (dashes are passed over). NULL, or a text that is
 * neither of the two, binds NULL: it matches no row, and no column that must be there takes it. */
void sm_stmt_hex(struct sm_stmt *stmt, const char *name, const char *text);
/* Rows come one by one; `row` is false after the last. */
enum sm_code sm_stmt_step(struct sm_stmt *stmt, bool *row, struct sm_err *err);
/* Steps past the last row and resets; `changes` (may be NULL) counts the rows written. */
enum sm_code sm_stmt_run(struct sm_stmt *stmt, int64_t *changes, struct sm_err *err);
void sm_stmt_reset(struct sm_stmt *stmt); /* NULL is accepted */

/* Columns of the current row, valid until the next step or reset. */
bool sm_stmt_is_null(const struct sm_stmt *stmt, int column);
int64_t sm_stmt_get_int(const struct sm_stmt *stmt, int column);
double sm_stmt_get_double(const struct sm_stmt *stmt, int column);
const char *sm_stmt_get_text(const struct sm_stmt *stmt, int column); /* NULL for SQL NULL */
const void *sm_stmt_get_blob(const struct sm_stmt *stmt, int column, size_t *bytes_count);
/* "" for NULL or a column of another length. */
void sm_stmt_get_digest(char out[65], const struct sm_stmt *stmt, int column);
void sm_stmt_get_id(char out[37], const struct sm_stmt *stmt, int column);

/* Text of the i-th statement kept prepared; NULL: none there. For tests, which ask for its plan. */
const char *sm_db_statement(const struct sm_db *db, int i);

/* Version of the library in use, e.g. "3.40.1". */
const char *sm_db_version(void);

#endif
