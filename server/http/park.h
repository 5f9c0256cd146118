/* Waiting requests: suspended connections with deadlines of our own, and the thread that keeps
 * them.
 *
 * libmicrohttpd gives a suspended connection no timeout, must not have one resumed twice, and wants
 * all resumed before it stops: this registry is what keeps those three rules.
 *
 * Threads: everything here takes the registry's one lock; nothing is called under it but
 * MHD_suspend_connection and MHD_resume_connection. */
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
    int count, comfortable_count; /* that wait now; above which no more should */
    bool draining;                /* waits with a deadline are over */
    bool ending;                  /* all waits are over */
    bool stopped;                 /* the timer thread is to leave */
};

enum sm_code sm_park_start(struct sm_park *park, int comfortable_count, struct sm_err *err);
void sm_park_drain(struct sm_park *park);
void sm_park_end(struct sm_park *park);
/* After the daemon has stopped: joins the timer thread and destroys the registry. */
void sm_park_stop(struct sm_park *park);
bool sm_park_draining(struct sm_park *park);

/* To be called before a handler runs: wakes from here on count for its next wait. */
void sm_park_begin(struct sm_request *request);
/* Suspends a request that waits; false when the wait is over already and the handler is to run
 * again. */
bool sm_park_enter(struct sm_request *request);
/* Forgets a request whose connection is gone. */
void sm_park_forget(struct sm_request *request);

#endif
