/* Calls: slow work for a request, done by the threads of a crew in the order of arrival, while the
 * request is suspended. It must not run on an HTTP thread.
 *
 *     struct mine { struct sm_call call; … };               // `call` first, from calloc
 *     mine->call = (struct sm_call){.work = work, .reply = reply, .release = mine_free};
 *     sm_call_begin(&mine->call, request, crew);
 *
 * `work` runs on a thread of the crew, then `reply` on an HTTP thread, then `release` when the
 * request is over. If the service stops while `work` runs, the client gets the problem "draining",
 * `stop` is set, and the end of the request waits for `work`.
 *
 * Owner: the request owns the call from sm_call_begin on. Threads: `work` may read the request's
 * body and query but must not reply. */
#ifndef SERVER_API_CALL_H
#define SERVER_API_CALL_H

#include <stdatomic.h>

#include "server/http/request.h"
#include "sslmem/err.h"

/* A call that takes longer counts as hung. The longest calls read the largest pair or evaluate the
 * largest audit. */
#define SM_CALL_MAX_MS 3600000

struct sm_crew;

struct sm_call {
    enum sm_code (*work)(struct sm_call *call, struct sm_err *err);
    void (*reply)(struct sm_request *request, struct sm_call *call);
    void (*release)(struct sm_call *call); /* frees the object */
    atomic_bool stop;                      /* set when the request is over: `work` should end */
    enum sm_code code;                     /* result of `work`, for `reply` */
    struct sm_err err;

    /* Private to call.c. */
    struct sm_request *request;
    struct sm_crew *crew;
    struct sm_call *next;
    enum { SM_CALL_QUEUED, SM_CALL_RUNS, SM_CALL_DONE } state;
};

/* Starts a crew. `name`, a static string, names the pulses of its threads. */
enum sm_code sm_crew_start(struct sm_crew **out, const char *name, int threads, struct sm_err *err);
/* Joins the threads. Every request with a call must be over before. Accepts NULL. */
void sm_crew_stop(struct sm_crew *crew);

/* Queues the call and suspends the request. */
void sm_call_begin(struct sm_call *call, struct sm_request *request, struct sm_crew *crew);

#endif
