/* Room for the results of admitted images.
 *
 * Every admitted image, or image of an audit, will get a result: a row of `score` with its entries
 * in seven indexes, for some audits a thumbnail, and rows of the access log when the result is
 * read. The image's own bytes are deleted then, but a small image shares its page with others and
 * frees none. So RESULT_BYTES of room are kept for each unfinished image, and a write that would
 * take kept room is refused: before it runs if its size is known, else afterwards, and then it is
 * undone. Writes that finish an item, free room or record that the database is full may use kept
 * room.
 *
 * Room is the smaller of two numbers: the bytes up to the limit of the database, including free
 * pages of the file, and the free bytes of the disk beyond --disk-reserve-bytes. Every write goes
 * to the log first and to the file later, so it counts twice against the disk. The reserve is for
 * the log of finishing, whose size is bounded (journal_size_limit). Room is measured on the writer
 * thread, inside the transaction of the write. */
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "server/db/db_file.h"
#include "server/store/impl.h"

/* Measured (tests/unit/server/store/test_room.c): a result takes 1.5 KiB with one encoder per side
 * and 2.7 KiB with eight; with a thumbnail of noise 13 KiB. */
#define RESULT_BYTES    4096
#define THUMBNAIL_BYTES 16384
#define ACCESS_BYTES    1024               /* access log of one image: the first reads */
#define LOG_BYTES_MIN   ((int64_t)8 << 20) /* twice the size at which SQLite checkpoints its log */

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
        return 0; /* room that cannot be measured counts as none */
    int64_t blocks = (int64_t)disk.f_bavail, block_bytes = (int64_t)disk.f_frsize;
    return blocks < INT64_MAX / 4 / block_bytes ? blocks * block_bytes : INT64_MAX / 4;
}

/* Reads the bytes of free pages, and of those by which the file may grow. */
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

/* Reads the room beyond the kept room; negative if there is less room than is kept. */
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

/* A write that took no room is not refused, even if the margin is negative. */
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
