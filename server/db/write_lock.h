/* Turns of connections that write to one database, in this process or another.
 *
 * SQLite before 3.51.3 can spoil the log when one connection checkpoints while another writes. So
 * whoever writes holds byte 0 of "<db>.lock" for each transaction and each checkpoint. It is a lock
 * of an open file: it ends with it, however the process ends.
 *
 * Owner, threads: the connection. Errors: SM_BUSY after SM_WRITE_LOCK_MS. */
#ifndef SERVER_DB_WRITE_LOCK_H
#define SERVER_DB_WRITE_LOCK_H

#include <stdbool.h>

#include "sslmem/err.h"

#define SM_WRITE_LOCK_MS 5000

struct sm_write_lock {
    int fd; /* -1: of a reader, which needs no turn */
    bool taken;
};

enum sm_code sm_write_lock_open(struct sm_write_lock *turn, const char *db_path,
                                struct sm_err *err);
void sm_write_lock_close(struct sm_write_lock *turn);
enum sm_code sm_write_lock_take(struct sm_write_lock *turn,
                                struct sm_err *err); /* again: nothing happens */
void sm_write_lock_give(struct sm_write_lock *turn);

#endif
