/* Drain: stops the service within a limit of time.
 *
 *     sm_drain_begin(&drain, limit_ms);   // the process ends within limit_ms from now
 *     … stop accepting, finish items or requeue them, stop the threads …
 *     sm_drain_end(&drain);
 *
 * If the limit passes before sm_drain_end, the process exits with code 1. Accepted jobs are in the
 * store, and the next start continues them as after a crash.
 *
 * Owner: the main thread. Threads: one of its own runs between begin and end. */
#ifndef SERVER_CMD_DRAIN_H
#define SERVER_CMD_DRAIN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct sm_drain {
    int64_t limit_ms, until_ms; /* the limit, and the monotonic time at which it ends */
    int64_t give_up_ms;         /* monotonic time at which workers requeue their items */
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    pthread_t thread;
    bool runs, over;
};

/* Starts the limit, which ends `limit_ms` from now. If its thread cannot be started, there is no
 * limit and a warning is logged. */
void sm_drain_begin(struct sm_drain *drain, int64_t limit_ms);
/* Ends the limit and its thread. Accepts a zeroed object, whose drain has not begun. */
void sm_drain_end(struct sm_drain *drain);

#endif
