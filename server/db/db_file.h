/* Operations that only a database in a file has: log, size, free pages, copies, schema changes by
 * replacing a table.
 *
 * SQLite is the only driver, on purpose: one process serves one file, nothing else has to be
 * installed or run, and a commit waits for the local disk alone. A driver for a database server
 * would implement db.h only. The callers of this header would then not exist, because such a server
 * has its own tools for their work:
 *
 *     server/db/writer.c      idle work (shrink, checkpoint), spare pages for a write alone
 *     server/db/migrate.c     references off while a table is replaced
 *     server/store/store.c    compaction of old files after an upgrade
 *     server/store/room.c     the size limit and the room kept for results
 *     server/store/erase.c    removal of an erased image's bytes from the file
 *     server/store/backup.c   backup and restore
 *
 * Owner, threads, errors: as db.h. */
#ifndef SERVER_DB_DB_FILE_H
#define SERVER_DB_DB_FILE_H

#include "server/db/db.h"

/* Moves the log into the database file and empties the log. `done` is false if a reader prevents
 * it; that is no error. */
enum sm_code sm_db_checkpoint(struct sm_db *db, bool *done, struct sm_err *err);

/* Returns up to `pages_max` free pages to the file system; `more` is true if free pages remain.
 * Does nothing in a file that cannot shrink (sm_db_shrinks); compaction makes it able to. */
enum sm_code sm_db_shrink(struct sm_db *db, int pages_max, bool *more, struct sm_err *err);
bool sm_db_shrinks(struct sm_db *db);
/* Rewrites the file from its rows. Needs room for a second file, and no open transaction. */
enum sm_code sm_db_compact(struct sm_db *db, struct sm_err *err);
/* Searches the file, without its log, for the bytes: in rows, and in unused space between them.
 * `bytes_count` is 1 to 1 MiB - 1. */
enum sm_code sm_db_search(bool *found, struct sm_db *db, const void *bytes, size_t bytes_count,
                          struct sm_err *err);

/* Limits the size to which this connection lets the file grow. A larger file keeps its size. */
enum sm_code sm_db_limit(struct sm_db *db, int64_t bytes_max, struct sm_err *err);
/* Allows 64 pages beyond the limit, or forbids them: for writes that free room or record that the
 * database is full. Does nothing without a limit. */
enum sm_code sm_db_spare(struct sm_db *db, bool allowed, struct sm_err *err);

/* Copies one snapshot of the database into `path`, an existing empty file; other connections may
 * write meanwhile. SM_CONFLICT: the source belongs to another application. */
enum sm_code sm_db_copy(struct sm_db *db, const char *path, struct sm_err *err);
/* Reads every page; SM_CORRUPT with the first fault. */
enum sm_code sm_db_verify(struct sm_db *db, struct sm_err *err);

/* SQLite changes a table by replacing it, while other tables refer to it. So foreign keys are
 * switched off before the transaction (loosen), checked at its end (check_references: SM_CORRUPT if
 * a row refers to a missing row), and switched on after it (tighten). */
enum sm_code sm_db_loosen(struct sm_db *db, struct sm_err *err);
enum sm_code sm_db_check_references(struct sm_db *db, struct sm_err *err);
enum sm_code sm_db_tighten(struct sm_db *db, struct sm_err *err);

#endif
