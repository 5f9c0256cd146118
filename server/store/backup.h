/* Copies of whole databases, also while a service uses the source.
 *
 *     sm_backup(&made, "/backup/monday.db", "sslmem.db", &err);
 *     sm_restore(&made, "sslmem.db", "/backup/monday.db", &err);
 *
 * A copy is one snapshot of the database in one file without a log, with mode 0600. It has all of
 * the database, including waiting images and API keys. The copy gets its name only after it is
 * complete, verified and flushed to the disk; existing files are never overwritten.
 *
 * Owner, threads: no state.
 * Errors:  SM_CONFLICT: the target exists, a service uses the target of a restore, the source
 *          belongs to another application or is newer than this program. SM_NOT_FOUND, SM_IO.
 *          SM_CORRUPT with the fault that verification found. After an error there is no copy. */
#ifndef SERVER_STORE_BACKUP_H
#define SERVER_STORE_BACKUP_H

#include <stdint.h>

#include "sslmem/err.h"

struct sm_copied {
    int64_t bytes_count;
    int schema; /* number of the copy's last migration */
};

/* Copies the database `db` to `to`. During the copy the database cannot be checkpointed, so its log
 * grows. */
enum sm_code sm_backup(struct sm_copied *out, const char *to, const char *db, struct sm_err *err);
/* Copies the backup `from` to the database `db` and holds the daemon lock of `db` meanwhile. The
 * service migrates an older schema when it starts. */
enum sm_code sm_restore(struct sm_copied *out, const char *db, const char *from,
                        struct sm_err *err);

#endif
