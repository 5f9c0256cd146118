/* Copies of whole databases, also of one that a service is using.
 *
 *     sm_backup(&made, "/backup/monday.db", "sslmem.db", &err);
 *     sm_restore(&made, "sslmem.db", "/backup/monday.db", &err);
 *
 * A copy is the database as it was at one moment, in one file without a log beside it, private to
 * its user: it has everything that the database has, images that wait and keys too. It stands under
 * its name only when it is whole, verified and on the disk; nothing is ever overwritten.
 *
 * Owner, threads: no state.
 * Errors:  SM_CONFLICT: something is there already, a service uses the target of a restore, the
 *          source is no database of ours, or newer than this program. SM_NOT_FOUND, SM_IO.
 *          SM_CORRUPT with what the verification found. After an error there is no copy. */
#ifndef SERVER_STORE_BACKUP_H
#define SERVER_STORE_BACKUP_H

#include <stdint.h>

#include "sslmem/err.h"

struct sm_copied {
    int64_t bytes_count;
    int schema; /* number of its last migration */
};

/* While the copy is made, the log of the database cannot be folded into it and grows. */
enum sm_code sm_backup(struct sm_copied *out, const char *to, const char *db, struct sm_err *err);
/* Takes the daemon lock of `db` for as long. A service migrates an older schema when it starts. */
enum sm_code sm_restore(struct sm_copied *out, const char *db, const char *from,
                        struct sm_err *err);

#endif
