/* Turns of connections that write to one database, in this process or another.
 *
 * SQLite before 3.51.3 can spoil the log when one connection checkpoints while another writes. So
 * whoever writes holds byte 0 of "<db>.lock" for each transaction and each checkpoint. It is a lock
 * of an open file: it ends with it, however the process ends.
 *
 * Owner: the connection. Threads: that of the connection. Errors: SM_BUSY after SM_TURN_MS. */
#ifndef SERVER_STORE_TURN_H
#define SERVER_STORE_TURN_H

#include <stdbool.h>

#include "sslmem/err.h"

#define SM_TURN_MS 5000

struct sm_turn {
    int fd; /* -1: of a reader, which needs no turn */
    bool taken;
};

enum sm_code sm_turn_open(struct sm_turn *turn, const char *db_path, struct sm_err *err);
void sm_turn_close(struct sm_turn *turn);
enum sm_code sm_turn_take(struct sm_turn *turn, struct sm_err *err); /* again: nothing happens */
void sm_turn_give(struct sm_turn *turn);

#endif
