/* Room for what was promised.
 *
 * An image that is admitted, or added to an audit, will be given a result: a row of `score` and its
 * entries in seven indexes, for some audits a thumbnail, and rows of the access log when it is
 * read. Its bytes are dropped then, but a small image stands in a page with others and frees none.
 * So every image that is not finished keeps RESULT_BYTES of room, and a write that would take some
 * of it is refused, before it runs when its size is known, and undone when it is not. Finishing an
 * item may use what is kept; so may what makes room, and what says that there is none.
 *
 * Room is what the limit of the database leaves, pages that are free in the file included, or what
 * the disk leaves beside --disk-reserve-bytes, whichever is less. What is written goes to the log
 * first and into the file later, so it counts twice against the disk; the reserve is for the log of
 * finishing, whose size is bounded (journal_size_limit). All of it is looked at on the writer
 * thread, inside the transaction of the write. */
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "server/db/db_file.h"
#include "server/store/impl.h"

/* Measured (tests/unit/server/store/test_room.c): 1.5 KiB a result with one encoder a side, 2.7 KiB
 * with eight, 13 KiB with a thumbnail of noise. */
#define RESULT_BYTES    4096
#define THUMBNAIL_BYTES 16384
#define ACCESS_BYTES    1024               /* of one image: the first reads of its result */
#define LOG_BYTES_MIN   ((int64_t)8 << 20) /* of SQLite's log, twice what it checkpoints at */

static enum sm_code query_int(int64_t *out, struct sm_db *db, const char *sql, struct sm_err *err)
{
    *out = 0;
    return sm_db_row(NULL, db, sql, NULL, SM_COLUMNS(SM_GET_INT(out)), err);
}

static int64_t disk_free(const char *path)
{
    char folder[4096];
    struct statvfs disk;
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + (slash == path) : 1,
             slash ? path : ".");
    if (statvfs(folder, &disk) != 0)
        return 0; /* what cannot be measured is not there */
    int64_t blocks = (int64_t)disk.f_bavail, block_bytes = (int64_t)disk.f_frsize;
    return blocks < INT64_MAX / 4 / block_bytes ? blocks * block_bytes : INT64_MAX / 4;
}

/* Pages of the file that are free, and those that it may still grow by. */
static enum sm_code read_file_room(int64_t *out, const struct sm_room *room, struct sm_db *db,
                                   struct sm_err *err)
{
    int64_t pages, unused = 0;
    enum sm_code code = query_int(&pages, db, "PRAGMA page_count", err);
    if (code == SM_OK)
        code = query_int(&unused, db, "PRAGMA freelist_count", err);
    *out = room->bytes_max - (pages - unused) * room->page_bytes;
    return code;
}

/* Counts the images without a result, of plain jobs and of audits, and their thumbnails. */
static enum sm_code read_unfinished(struct sm_store *store, struct sm_db *db, struct sm_err *err)
{
    struct sm_room *room = &store->room;
    int64_t running, waiting = 0;
    enum sm_code code =
        query_int(&running, db, "SELECT COUNT(*) FROM item WHERE state = 'running'", err);
    if (code == SM_OK)
        code = sm_db_row(
            NULL, db,
            "SELECT COALESCE(SUM(items_count - succeeded_count - failed_count - cancelled_count), "
            "0), COALESCE(SUM((items_count - succeeded_count - failed_count - cancelled_count) * "
            "(SELECT keep_thumbnails FROM audit WHERE audit.job_id = job.id)), 0) FROM job "
            "WHERE kind = 'audit' AND queued_count > 0",
            NULL, SM_COLUMNS(SM_GET_INT(&waiting), SM_GET_INT(&room->thumbnails_count)), err);
    if (code != SM_OK)
        return code;
    pthread_mutex_lock(&store->mutex);
    room->items_count = running + waiting + store->active_count - store->posted_count;
    pthread_mutex_unlock(&store->mutex);
    return code;
}

static int64_t kept_bytes(const struct sm_room *room, enum sm_write_room use)
{
    int64_t item = RESULT_BYTES + (use == SM_ROOM_LEAVE ? ACCESS_BYTES : 0);
    return room->items_count * item + room->thumbnails_count * THUMBNAIL_BYTES;
}

/* What is left beside all that is kept; below 0 when more was promised than there is. */
static enum sm_code read_margin(int64_t *out, struct sm_store *store, struct sm_db *db,
                                enum sm_write_room use, struct sm_err *err)
{
    struct sm_room *room = &store->room;
    int64_t file;
    enum sm_code code = read_file_room(&file, room, db, err);
    if (code == SM_OK)
        code = read_unfinished(store, db, err);
    if (code != SM_OK)
        return code;
    if (!room->began) {
        room->began = true;
        room->file_began = file;
        room->disk_began =
            disk_free(store->path) -
            (room->disk_reserve_bytes > LOG_BYTES_MIN ? room->disk_reserve_bytes : LOG_BYTES_MIN);
    }
    int64_t written = room->file_began > file ? room->file_began - file : 0;
    int64_t disk = room->disk_began - 2 * written;
    room->bytes = file < disk ? file : disk;
    *out = room->bytes - kept_bytes(room, use);
    return SM_OK;
}

static enum sm_code refuse(const struct sm_room *room, enum sm_write_room use, int64_t more_bytes,
                           struct sm_err *err)
{
    char more[64] = "";
    if (more_bytes > 0)
        snprintf(more, sizeof more, ", no room for %lld more", (long long)more_bytes);
    return sm_err_set(err, SM_FULL,
                      "the database may grow by %lld bytes and keeps %lld for the results of %lld "
                      "images that wait%s",
                      (long long)(room->bytes > 0 ? room->bytes : 0),
                      (long long)kept_bytes(room, use), (long long)room->items_count, more);
}

static bool is_free(const struct sm_store *store, const struct sm_write *write)
{
    return store->room.bytes_max == 0 || write->room == SM_ROOM_USE ||
           write->mode != SM_WRITE_GROUPED;
}

void sm_store_room_begin(struct sm_store *store)
{
    store->room.began = false;
}

enum sm_code sm_store_room_before(struct sm_store *store, struct sm_db *db,
                                  const struct sm_write *write, struct sm_err *err)
{
    struct sm_room *room = &store->room;
    if (is_free(store, write))
        return SM_OK;
    enum sm_code code = read_margin(&room->margin, store, db, write->room, err);
    if (code == SM_OK && write->growth_bytes > 0 && room->margin < write->growth_bytes)
        code = refuse(room, write->room, write->growth_bytes, err);
    return code;
}

/* A write that took nothing is none to refuse. */
enum sm_code sm_store_room_after(struct sm_store *store, struct sm_db *db,
                                 const struct sm_write *write, struct sm_err *err)
{
    struct sm_room *room = &store->room;
    int64_t before = room->margin;
    if (is_free(store, write))
        return SM_OK;
    enum sm_code code = read_margin(&room->margin, store, db, write->room, err);
    if (code == SM_OK && room->margin < 0 && room->margin < before)
        code = refuse(room, write->room, write->growth_bytes, err);
    return code;
}

enum sm_code sm_store_check_room(struct sm_store *store, struct sm_db *db, struct sm_err *err)
{
    int64_t margin;
    if (store->room.bytes_max == 0)
        return SM_OK;
    enum sm_code code = read_margin(&margin, store, db, SM_ROOM_LEAVE, err);
    return code == SM_OK && margin < 0 ? refuse(&store->room, SM_ROOM_LEAVE, 0, err) : code;
}

int64_t sm_store_growth(int64_t items_count, int64_t bytes_count)
{
    return bytes_count + items_count * (RESULT_BYTES + ACCESS_BYTES);
}

/* --- the limit --- */

struct limiting {
    struct sm_write write;
    struct sm_store *store;
    int64_t bytes_max, disk_reserve_bytes;
};

static enum sm_code run_limit(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    const struct limiting *l = (const struct limiting *)write;
    struct sm_room *room = &l->store->room;
    enum sm_code code = query_int(&room->page_bytes, db, "PRAGMA page_size", err);
    if (code == SM_OK)
        code = sm_db_limit(db, l->bytes_max, err);
    if (code == SM_OK) {
        room->bytes_max = l->bytes_max;
        room->disk_reserve_bytes = l->disk_reserve_bytes;
    }
    return code;
}

enum sm_code sm_store_limit(struct sm_store *store, int64_t bytes_max, int64_t disk_reserve_bytes,
                            struct sm_err *err)
{
    struct limiting l = {.write = {.run = run_limit, .room = SM_ROOM_USE},
                         .store = store,
                         .bytes_max = bytes_max,
                         .disk_reserve_bytes = disk_reserve_bytes};
    return sm_writer_call(store->writer, &l.write, err);
}
