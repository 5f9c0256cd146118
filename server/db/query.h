/* One call runs one statement: it prepares the statement, binds its parameters, reads its rows and
 * resets it.
 *
 *     code = sm_db_change(NULL, db, "UPDATE item SET state = $to WHERE job_id = $job",
 *                         SM_BIND(SM_TEXT("$to", "failed"), SM_HEX("$job", job_id)), err);
 *
 *     code = sm_db_row(&found, db, "SELECT idx, cost_ms FROM item WHERE job_id = $job",
 *                      SM_BIND(SM_HEX("$job", job_id)),
 *                      SM_COLUMNS(SM_GET_INT32(&index), SM_GET_INT(&cost_ms)), err);
 *
 *     code = sm_db_each(NULL, db, "SELECT id FROM job", NULL, append_id, &list, err);
 *
 * Parameters: SM_BIND lists rows that hold a name and its value. NULL is the empty list. A row
 * whose name is NULL is skipped: SM_INT(has_max ? "$max" : NULL, max). A parameter of the statement
 * without a row is SQL NULL.
 * Columns: SM_COLUMNS lists pointers to the caller's variables, in the order of the statement's
 * columns. Columns behind the last pointer are not read.
 *
 * Owner:   the caller owns everything; nothing is allocated. Both lists and all values live until
 *          the call returns.
 * Threads: one thread at a time per connection.
 * Errors:  those of db.h; the first parameter that could not be bound; an error of the callback.
 *          After an error variables keep their values. */
#ifndef SERVER_DB_QUERY_H
#define SERVER_DB_QUERY_H

#include "server/db/db.h"

struct sm_bind {
    const char *name; /* with its $; NULL: the row is skipped */
    enum {
        SM_BIND_END, /* ends a list */
        SM_BIND_NULL,
        SM_BIND_INT,
        SM_BIND_DOUBLE,
        SM_BIND_TEXT,
        SM_BIND_BLOB,
        SM_BIND_HEX
    } type;
    union {
        int64_t number;
        double real;
        const char *text; /* of TEXT and HEX */
        const void *bytes;
    };
    size_t bytes_count;
};

#define SM_BIND(...) ((const struct sm_bind[]){__VA_ARGS__, {0}})

#define SM_INT(name_, value)    ((struct sm_bind){(name_), SM_BIND_INT, .number = (value)})
#define SM_DOUBLE(name_, value) ((struct sm_bind){(name_), SM_BIND_DOUBLE, .real = (value)})
/* NULL binds SQL NULL. */
#define SM_TEXT(name_, value) ((struct sm_bind){(name_), SM_BIND_TEXT, .text = (value)})
/* Hex text of a digest or an id; its bytes are bound (sm_stmt_hex). */
#define SM_HEX(name_, value) ((struct sm_bind){(name_), SM_BIND_HEX, .text = (value)})
#define SM_BLOB(name_, value, count)                                                               \
    ((struct sm_bind){(name_), SM_BIND_BLOB, .bytes = (value), .bytes_count = (count)})
/* Binds SQL NULL unless `there`. */
#define SM_INT_IF(there, name_, value)                                                             \
    ((struct sm_bind){(name_), (there) ? SM_BIND_INT : SM_BIND_NULL, .number = (value)})

struct sm_column {
    enum {
        SM_COLUMN_END, /* ends a list */
        SM_COLUMN_INT,
        SM_COLUMN_INT32,
        SM_COLUMN_BOOL,
        SM_COLUMN_DOUBLE,
        SM_COLUMN_TEXT,
        SM_COLUMN_ID,
        SM_COLUMN_DIGEST
    } type;
    union {
        int64_t *number;
        int *number32;
        bool *truth;
        double *real;
        char *text; /* of TEXT, ID and DIGEST */
    };
    size_t text_bytes;
};

#define SM_COLUMNS(...) ((const struct sm_column[]){__VA_ARGS__, {0}})

/* SQL NULL reads as 0, 0.0, false or "". */
#define SM_GET_INT(out)    ((struct sm_column){SM_COLUMN_INT, .number = (out)})     /* int64_t * */
#define SM_GET_INT32(out)  ((struct sm_column){SM_COLUMN_INT32, .number32 = (out)}) /* int * */
#define SM_GET_BOOL(out)   ((struct sm_column){SM_COLUMN_BOOL, .truth = (out)}) /* false for 0 */
#define SM_GET_DOUBLE(out) ((struct sm_column){SM_COLUMN_DOUBLE, .real = (out)})
#define SM_GET_ID(out)     ((struct sm_column){SM_COLUMN_ID, .text = (out)})     /* char[37] */
#define SM_GET_DIGEST(out) ((struct sm_column){SM_COLUMN_DIGEST, .text = (out)}) /* char[65] */
/* A text of `bytes` bytes or more is cut to bytes - 1. */
#define SM_GET_TEXT(out, bytes)                                                                    \
    ((struct sm_column){SM_COLUMN_TEXT, .text = (out), .text_bytes = (bytes)})

/* Runs the statement to its end. `changes` (may be NULL) counts the rows written. */
enum sm_code sm_db_change(int64_t *changes, struct sm_db *db, const char *sql,
                          const struct sm_bind *binds, struct sm_err *err);

/* Reads the first row into the variables of `columns` (NULL: none). Without a row `found` (may be
 * NULL) is false and the variables keep their values; that is no error. */
enum sm_code sm_db_row(bool *found, struct sm_db *db, const char *sql, const struct sm_bind *binds,
                       const struct sm_column *columns, struct sm_err *err);

/* Called with each row (sm_stmt_get_int, ...); any code but SM_OK ends the iteration. */
typedef enum sm_code sm_db_on_row(void *arg, const struct sm_stmt *row, struct sm_err *err);

/* Calls `on_row` for every row, in order. `rows` (may be NULL) counts its successful calls. */
enum sm_code sm_db_each(int64_t *rows, struct sm_db *db, const char *sql,
                        const struct sm_bind *binds, sm_db_on_row *on_row, void *arg,
                        struct sm_err *err);

#endif
