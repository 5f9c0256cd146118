/* The end of the service within a bound.
 *
 *     sm_drain_begin(&drain, limit_ms);   // from here on the process ends within limit_ms
 *     … stop accepting, finish or give back, stop …
 *     sm_drain_end(&drain);
 *
 * Over the bound the process exits with code 1: what is accepted is stored, and the next start goes
 * on with it, as after a crash.
 *
 * Owner: main. Threads: one of its own, between begin and end. */
#ifndef SERVER_CMD_DRAIN_H
#define SERVER_CMD_DRAIN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct sm_drain {
    int64_t limit_ms, until_ms; /* monotonic */
    int64_t give_up_ms;         /* when workers are to give back what they have */
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    pthread_t thread;
    bool runs, over;
};

/* `limit_ms` counts from now. Without memory for its thread there is no bound, and a line of the
 * log. */
void sm_drain_begin(struct sm_drain *drain, int64_t limit_ms);
/* Accepts one that has not begun (zeroed). */
void sm_drain_end(struct sm_drain *drain);

#endif
