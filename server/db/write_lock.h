/* The write lock of a database: one connection at a time holds it, over all processes.
 *
 * SQLite before 3.51.3 can corrupt the log when one connection checkpoints while another writes. So
 * a connection locks byte 0 of "<db>.lock" for each transaction and each checkpoint. The lock
 * belongs to the open file description: the kernel releases it however the process ends.
 *
 * Owner, threads: as the connection that it belongs to.
 * Errors: SM_BUSY after SM_WRITE_LOCK_MS, SM_LIMIT (path too long), SM_IO. */
#ifndef SERVER_DB_WRITE_LOCK_H
#define SERVER_DB_WRITE_LOCK_H

#include <stdbool.h>

#include "sslmem/err.h"

#define SM_WRITE_LOCK_MS 5000

struct sm_write_lock {
    int fd; /* -1: of a reader, for which take and give do nothing */
    bool taken;
};

/* Opens, and creates, the lock file. */
enum sm_code sm_write_lock_open(struct sm_write_lock *lock, const char *db_path,
                                struct sm_err *err);
void sm_write_lock_close(struct sm_write_lock *lock);
/* Waits for the lock; does nothing if it is already taken. */
enum sm_code sm_write_lock_take(struct sm_write_lock *lock, struct sm_err *err);
void sm_write_lock_give(struct sm_write_lock *lock); /* also if it is not taken */

#endif
