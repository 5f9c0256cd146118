/* Work that must not run on an HTTP thread, for a request that waits meanwhile: the crew's threads
 * take calls in their order.
 *
 *     struct mine { struct sm_call call; … };               // the call first, from calloc
 *     mine->call = (struct sm_call){.work = work, .reply = reply, .release = mine_free};
 *     sm_call_begin(&mine->call, request, crew);
 *
 * `work` runs on a thread of the crew, then `reply` on an HTTP thread, then `release`, when the
 * request is over. A call that is still at work when the service ends has `stop` set and is waited
 * for, and its client is told "draining".
 *
 * Owner: the request, from sm_call_begin on. Threads: `work` reads the request's body and query
 * and replies nothing. */
#ifndef SERVER_API_CALL_H
#define SERVER_API_CALL_H

#include <stdatomic.h>

#include "server/http/request.h"
#include "sslmem/err.h"

/* A call that takes longer counts as hung: reading the largest pair, evaluating the largest audit.
 */
#define SM_CALL_MAX_MS 3600000

struct sm_crew;

struct sm_call {
    enum sm_code (*work)(struct sm_call *call, struct sm_err *err);
    void (*reply)(struct sm_request *request, struct sm_call *call);
    void (*release)(struct sm_call *call); /* frees the object */
    atomic_bool stop;                      /* for `work` to look at */
    enum sm_code code;                     /* of `work`, for `reply` */
    struct sm_err err;

    /* Of call.c alone. */
    struct sm_request *request;
    struct sm_crew *crew;
    struct sm_call *next;
    enum { SM_CALL_QUEUED, SM_CALL_RUNS, SM_CALL_DONE } state;
};

/* `name` is static, for the pulses of its threads. */
enum sm_code sm_crew_start(struct sm_crew **out, const char *name, int threads, struct sm_err *err);
/* Every request with a call must be over. */
void sm_crew_stop(struct sm_crew *crew);

void sm_call_begin(struct sm_call *call, struct sm_request *request, struct sm_crew *crew);

#endif
