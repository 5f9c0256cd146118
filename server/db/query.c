/* The life of a statement, in one place: every path behind a successful sm_db_query resets it, so
 * that its slot in the connection's cache becomes free again. */
#include "server/db/query.h"

#include <stdio.h>

static void bind(struct sm_stmt *stmt, const struct sm_bind *b)
{
    switch (b->type) {
    case SM_BIND_END:
        break;
    case SM_BIND_NULL:
        sm_stmt_text(stmt, b->name, NULL);
        break;
    case SM_BIND_INT:
        sm_stmt_int(stmt, b->name, b->number);
        break;
    case SM_BIND_DOUBLE:
        sm_stmt_double(stmt, b->name, b->real);
        break;
    case SM_BIND_TEXT:
        sm_stmt_text(stmt, b->name, b->text);
        break;
    case SM_BIND_BLOB:
        sm_stmt_blob(stmt, b->name, b->bytes, b->bytes_count);
        break;
    case SM_BIND_HEX:
        sm_stmt_hex(stmt, b->name, b->text);
        break;
    }
}

static enum sm_code prepare(struct sm_stmt **out, struct sm_db *db, const char *sql,
                            const struct sm_bind *binds, struct sm_err *err)
{
    enum sm_code code = sm_db_query(out, db, sql, err);
    for (; code == SM_OK && binds && binds->type != SM_BIND_END; binds++)
        if (binds->name)
            bind(*out, binds);
    return code;
}

static void read_column(const struct sm_column *column, const struct sm_stmt *stmt, int i)
{
    const char *text;
    switch (column->type) {
    case SM_COLUMN_END:
        break;
    case SM_COLUMN_INT:
        *column->number = sm_stmt_get_int(stmt, i);
        break;
    case SM_COLUMN_INT32:
        *column->number32 = (int)sm_stmt_get_int(stmt, i);
        break;
    case SM_COLUMN_BOOL:
        *column->truth = sm_stmt_get_int(stmt, i) != 0;
        break;
    case SM_COLUMN_DOUBLE:
        *column->real = sm_stmt_get_double(stmt, i);
        break;
    case SM_COLUMN_TEXT:
        text = sm_stmt_get_text(stmt, i);
        snprintf(column->text, column->text_bytes, "%s", text ? text : "");
        break;
    case SM_COLUMN_ID:
        sm_stmt_get_id(column->text, stmt, i);
        break;
    case SM_COLUMN_DIGEST:
        sm_stmt_get_digest(column->text, stmt, i);
        break;
    }
}

enum sm_code sm_db_change(int64_t *changes, struct sm_db *db, const char *sql,
                          const struct sm_bind *binds, struct sm_err *err)
{
    struct sm_stmt *stmt;
    enum sm_code code = prepare(&stmt, db, sql, binds, err);
    return code == SM_OK ? sm_stmt_run(stmt, changes, err) : code;
}

enum sm_code sm_db_row(bool *found, struct sm_db *db, const char *sql, const struct sm_bind *binds,
                       const struct sm_column *columns, struct sm_err *err)
{
    struct sm_stmt *stmt;
    bool row = false;
    enum sm_code code = prepare(&stmt, db, sql, binds, err);
    if (code == SM_OK)
        code = sm_stmt_step(stmt, &row, err);
    for (int i = 0; row && columns && columns[i].type != SM_COLUMN_END; i++)
        read_column(&columns[i], stmt, i);
    sm_stmt_reset(stmt);
    if (found)
        *found = row;
    return code;
}

enum sm_code sm_db_each(int64_t *rows, struct sm_db *db, const char *sql,
                        const struct sm_bind *binds, sm_db_on_row *on_row, void *arg,
                        struct sm_err *err)
{
    struct sm_stmt *stmt;
    bool row = true;
    int64_t count = 0;
    enum sm_code code = prepare(&stmt, db, sql, binds, err);
    while (code == SM_OK && (code = sm_stmt_step(stmt, &row, err)) == SM_OK && row) {
        code = on_row(arg, stmt, err);
        count += code == SM_OK;
    }
    sm_stmt_reset(stmt);
    if (rows)
        *rows = count;
    return code;
}
