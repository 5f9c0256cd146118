/* Watches: long work asks a callback of its caller, again and again, whether to continue.
 *
 *     struct sm_watch watch = {still_wanted, &job};
 *     sm_task_watch(task, &watch);
 *
 * The work asks before each view and op, before each block of rows of a resize or blur, before each
 * op of a forward, and before the distances of each encoder. A block takes about a millisecond.
 * Work that is asked to end returns SM_CANCELLED.
 *
 * Owner:   the caller owns a watch, which must outlive the work. A NULL watch or one without a
 *          function never ends the work.
 * Threads: `go_on` runs on the working thread; it may do other work before it returns. */
#ifndef SSLMEM_WATCH_H
#define SSLMEM_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

#define SM_WATCH_BLOCK 65536 /* steps of a block; a step is one filter weight or one pixel */

struct sm_watch {
    bool (*go_on)(void *arg); /* returns false to end the work */
    void *arg;
};

static inline bool sm_watch_goes_on(const struct sm_watch *watch)
{
    return !watch || !watch->go_on || watch->go_on(watch->arg);
}

/* Returns SM_CANCELLED if the watch ends the work. */
static inline enum sm_code sm_watch_ask(const struct sm_watch *watch, struct sm_err *err)
{
    return sm_watch_goes_on(watch) ? SM_OK : sm_err_set(err, SM_CANCELLED, "told to stop");
}

/* Returns the number of rows in a block if each row takes `row_steps` steps. */
static inline int64_t sm_watch_rows(int64_t row_steps)
{
    return SM_WATCH_BLOCK / (row_steps + 1) + 1;
}

#endif
