/* Pairs are in memory and images in the database. Both are checked on the writer thread, inside a
 * transaction. An admission that comes before the unload of its pair is counted by the unload; one
 * that comes after it does not find the pair. */
#include "server/store/impl.h"

void sm_store_set_pairs(struct sm_store *store, sm_store_pair_there *there, void *pairs)
{
    store->pair_there = there;
    store->pairs = pairs;
}

enum sm_code sm_store_check_pair(const struct sm_store *store, const char *pair, struct sm_err *err)
{
    if (!store->pair_there || store->pair_there(store->pairs, pair))
        return SM_OK;
    return sm_err_set(err, SM_INVALID, "pair '%.64s' is not loaded any more", pair);
}

struct leaving {
    struct sm_write write;
    const char *pair;
    enum sm_code (*act)(void *arg, struct sm_err *err);
    void *arg;
    int64_t waiting;
};

static enum sm_code run_leave(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    struct leaving *l = (struct leaving *)write;
    enum sm_code code =
        sm_db_row(NULL, db,
                  "SELECT COALESCE(SUM(queued_count), 0) FROM job WHERE queued_count > 0 AND "
                  "state IN ('queued', 'running') AND pair = $pair",
                  SM_BIND(SM_TEXT("$pair", l->pair)), SM_COLUMNS(SM_GET_INT(&l->waiting)), err);
    return code == SM_OK && l->waiting == 0 ? l->act(l->arg, err) : code;
}

enum sm_code sm_store_unless_waiting(int64_t *waiting, struct sm_store *store, const char *pair,
                                     enum sm_code (*act)(void *arg, struct sm_err *err), void *arg,
                                     struct sm_err *err)
{
    struct leaving l = {.write.run = run_leave, .pair = pair, .act = act, .arg = arg};
    enum sm_code code = sm_writer_call(store->writer, &l.write, err);
    *waiting = l.waiting;
    return code;
}
