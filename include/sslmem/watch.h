/* Watches: whoever starts long work is asked, all along it, whether it is to go on.
 *
 *     struct sm_watch watch = {still_wanted, &job};
 *     sm_task_watch(task, &watch);
 *
 * Work asks before each view and op, before each block of rows of a resize or blur, before each op
 * of a forward and before the distances of each encoder. A block is SM_WATCH_BLOCK steps over a
 * pixel, about a millisecond. What was asked to end returns SM_CANCELLED.
 *
 * Owner:   the caller; a watch outlives the work that it is given to. NULL, and a watch without a
 *          function, never end anything.
 * Threads: `go_on` runs on the thread that works, and may do other work before it returns. */
#ifndef SSLMEM_WATCH_H
#define SSLMEM_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

#define SM_WATCH_BLOCK 65536

struct sm_watch {
    bool (*go_on)(void *arg);
    void *arg;
};

static inline bool sm_watch_goes_on(const struct sm_watch *watch)
{
    return !watch || !watch->go_on || watch->go_on(watch->arg);
}

/* SM_CANCELLED when it is not to go on. */
static inline enum sm_code sm_watch_ask(const struct sm_watch *watch, struct sm_err *err)
{
    return sm_watch_goes_on(watch) ? SM_OK : sm_err_set(err, SM_CANCELLED, "told to stop");
}

/* Rows of a block when a row takes so many steps. */
static inline int64_t sm_watch_rows(int64_t row_steps)
{
    return SM_WATCH_BLOCK / (row_steps + 1) + 1;
}

#endif
