/* The registry of waiting requests, whose connections are suspended, and the thread that wakes them
 * at their deadlines.
 *
 * The registry does what libmicrohttpd leaves to its user: a suspended connection has no timeout,
 * must not be resumed twice, and must be resumed before the daemon stops.
 *
 * Threads: any; each function takes the registry's one lock. Under the lock, only
 *          MHD_suspend_connection and MHD_resume_connection are called. */
#ifndef SERVER_HTTP_PARK_H
#define SERVER_HTTP_PARK_H

#include <pthread.h>

#include "server/http/request.h"
#include "sslmem/err.h"

struct sm_park {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t timer;
    struct sm_request *first;
    int count, comfortable_count; /* waiting requests now, and their number without crowding */
    bool draining;                /* waits with a deadline end at once */
    bool ending;                  /* all waits end at once */
    bool stopped;                 /* the timer thread must return */
};

enum sm_code sm_park_start(struct sm_park *park, int comfortable_count, struct sm_err *err);
/* End all waits that have a deadline, or all waits, now and from now on. */
void sm_park_drain(struct sm_park *park);
void sm_park_end(struct sm_park *park);
/* Joins the timer thread and destroys the registry. Call it after the daemon has stopped. */
void sm_park_stop(struct sm_park *park);
bool sm_park_draining(struct sm_park *park);

/* Call it before a handler runs: a wake from now on ends the handler's next wait. */
void sm_park_begin(struct sm_request *request);
/* Suspends a request whose handler has asked for a wait. Returns false, without suspending it, if
 * the wait is over already; the caller then runs the handler again. */
bool sm_park_enter(struct sm_request *request);
/* Removes a request whose connection is gone from the registry. */
void sm_park_forget(struct sm_request *request);

#endif
