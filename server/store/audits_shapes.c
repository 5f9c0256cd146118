/* Snapshots, and the shapes of an audit's scores: each shape is read once and kept as long as the
 * caller reads. */
#include <stdlib.h>

#include "server/store/audits_impl.h"

enum sm_code sm_store_snapshot(void *out, struct sm_store *store, sm_store_read *read,
                               const void *arg, struct sm_err *err)
{
    struct sm_db *db;
    enum sm_code code = sm_store_reader_take(&db, store, err);
    if (code != SM_OK)
        return code;
    code = sm_db_exec(db, "BEGIN", err);
    if (code == SM_OK)
        code = read(out, db, arg, err);
    sm_db_rollback(db);
    sm_store_reader_give(store, db);
    return code;
}

static enum sm_code locate(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    struct sm_shape *shape = arg;
    return sm_document_locate(&shape->numbers, &shape->common, sm_stmt_get_text(q, 0), err);
}

static enum sm_code read_shape(struct sm_shape *out, struct sm_db *db, int64_t id,
                               struct sm_err *err)
{
    int64_t rows;
    *out = (struct sm_shape){.id = id};
    enum sm_code code = sm_db_each(&rows, db, "SELECT body FROM shape WHERE id = $id",
                                   SM_BIND(SM_INT("$id", id)), locate, out, err);
    if (code == SM_OK && rows == 0)
        code = sm_err_set(err, SM_CORRUPT, "shape %lld of scores is missing", (long long)id);
    return code;
}

enum sm_code sm_store_find_shape(const struct sm_shape **out, struct sm_shapes *shapes,
                                 struct sm_db *db, int64_t id, struct sm_err *err)
{
    size_t i = 0;
    while (i < shapes->count && shapes->rows[i].id != id)
        i++;
    if (i == shapes->count) {
        struct sm_shape *rows = realloc(shapes->rows, (i + 1) * sizeof *rows);
        if (!rows)
            return sm_err_set(err, SM_NOMEM, "shapes of scores: out of memory");
        shapes->rows = rows;
        enum sm_code code = read_shape(&rows[i], db, id, err);
        if (code != SM_OK)
            return code;
        shapes->count++;
    }
    *out = &shapes->rows[i];
    return SM_OK;
}

void sm_store_release_shapes(struct sm_shapes *shapes)
{
    for (size_t i = 0; i < shapes->count; i++)
        json_decref(shapes->rows[i].common);
    free(shapes->rows);
    *shapes = (struct sm_shapes){0};
}
