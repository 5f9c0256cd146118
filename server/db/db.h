/* The driver seam: what the store needs of any SQL database. Operations on a database file are in
 * db_file.h. db_sqlite.c is the only file that calls SQLite.
 *
 *     struct sm_db *db;
 *     sm_db_open(&db, "sslmem.db", SM_DB_WRITE, err);
 *     sm_db_begin(db, err);
 *     sm_db_change(NULL, db, "DELETE FROM job WHERE id = $id", SM_BIND(SM_HEX("$id", id)), err);
 *     sm_db_commit(db, err);
 *
 * Statements run through query.h; the sm_stmt functions below are its parts and read the columns of
 * a row. Parameters are bound by name. Binding returns nothing: the first error is kept, and the
 * next step returns it.
 *
 * Owner:   the connection owns its statements and keeps the most used ones prepared. A statement is
 *          in use from sm_db_query to sm_stmt_reset; bound values must live until then.
 * Threads: one thread at a time per connection.
 * Errors:  SM_BUSY, SM_INTERNAL (a constraint, an unknown parameter), SM_CORRUPT, SM_LIMIT, SM_FULL
 *          (disk, quota or sm_db_limit), SM_IO, SM_NOMEM, with the database's own words. */
#ifndef SERVER_DB_DB_H
#define SERVER_DB_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

#define SM_DB_STATEMENTS_MAX 48 /* statements kept prepared per connection */

struct sm_db;
struct sm_stmt;

enum sm_db_mode { SM_DB_READ, SM_DB_WRITE /* creates the file with mode 0600 */ };

/* SM_CONFLICT: the file belongs to another application. */
enum sm_code sm_db_open(struct sm_db **out, const char *path, enum sm_db_mode mode,
                        struct sm_err *err);
void sm_db_close(struct sm_db *db); /* NULL is accepted */

/* Runs one or several statements that return no rows. */
enum sm_code sm_db_exec(struct sm_db *db, const char *sql, struct sm_err *err);
/* Begins a transaction and takes the write lock at once, so that no later statement of the
 * transaction fails because another connection writes. */
enum sm_code sm_db_begin(struct sm_db *db, struct sm_err *err);
enum sm_code sm_db_commit(struct sm_db *db, struct sm_err *err); /* rolls back after an error */
void sm_db_rollback(struct sm_db *db);                           /* also without a transaction */
/* False after an error on which the database rolled back by itself (disk full, I/O error). */
bool sm_db_in_transaction(const struct sm_db *db);

/* A pure SQL function for migrations. Its arguments are texts, NULL for SQL NULL. */
struct sm_db_value {
    enum { SM_DB_NULL, SM_DB_INT, SM_DB_TEXT, SM_DB_BLOB } type;
    int64_t number;
    void *bytes; /* from malloc; the database frees them */
    size_t bytes_count;
};
struct sm_db_function {
    const char *name;
    int arguments_count; /* at most 8 */
    enum sm_code (*run)(struct sm_db_value *out, const char *const *arguments, struct sm_err *err);
};
/* `function` must live as long as the connection. */
enum sm_code sm_db_define(struct sm_db *db, const struct sm_db_function *function,
                          struct sm_err *err);

/* Returns a prepared statement, ready for binding; NULL after an error. */
enum sm_code sm_db_query(struct sm_stmt **out, struct sm_db *db, const char *sql,
                         struct sm_err *err);
void sm_stmt_int(struct sm_stmt *stmt, const char *name, int64_t value);
void sm_stmt_double(struct sm_stmt *stmt, const char *name, double value);
void sm_stmt_text(struct sm_stmt *stmt, const char *name, const char *value); /* NULL: SQL NULL */
void sm_stmt_blob(struct sm_stmt *stmt, const char *name, const void *bytes, size_t bytes_count);
/* Binds the bytes of a digest or an id, given as hex text (dashes are skipped). NULL or any other
 * text binds SQL NULL, which equals no column and violates NOT NULL. */
void sm_stmt_hex(struct sm_stmt *stmt, const char *name, const char *text);
/* Steps to the next row; `row` is false after the last one. */
enum sm_code sm_stmt_step(struct sm_stmt *stmt, bool *row, struct sm_err *err);
/* Steps past the last row and resets; `changes` (may be NULL) counts the rows written. */
enum sm_code sm_stmt_run(struct sm_stmt *stmt, int64_t *changes, struct sm_err *err);
void sm_stmt_reset(struct sm_stmt *stmt); /* NULL is accepted */

/* Columns of the current row, numbered from 0; pointers are valid until the next step or reset. */
bool sm_stmt_is_null(const struct sm_stmt *stmt, int column);
int64_t sm_stmt_get_int(const struct sm_stmt *stmt, int column);
double sm_stmt_get_double(const struct sm_stmt *stmt, int column);
const char *sm_stmt_get_text(const struct sm_stmt *stmt, int column); /* NULL for SQL NULL */
const void *sm_stmt_get_blob(const struct sm_stmt *stmt, int column, size_t *bytes_count);
/* Write the column as hex text: a digest in 64 digits, an id with dashes. "" for SQL NULL and for a
 * column of another length. */
void sm_stmt_get_digest(char out[65], const struct sm_stmt *stmt, int column);
void sm_stmt_get_id(char out[37], const struct sm_stmt *stmt, int column);

/* Returns the text of the i-th prepared statement, or NULL; i < SM_DB_STATEMENTS_MAX. Tests ask for
 * its query plan. */
const char *sm_db_statement(const struct sm_db *db, int i);

/* Returns the version of the database library, e.g. "3.40.1". */
const char *sm_db_version(void);

#endif
