/* A crew has one queue and one lock. A finished call wakes its request under the lock, and
 * call_free waits for that, so a request that is over is never woken. */
#include "server/api/call.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/base/clock.h"
#include "server/base/pulse.h"
#include "server/http/reply.h"

#define BEAT_MS 1000 /* between pulses of an idle thread */

struct sm_crew {
    const char *name;
    pthread_mutex_t lock;
    pthread_cond_t came, ended;
    struct sm_call *first, **last;
    bool stopping;
    int threads_count;
    pthread_t threads[];
};

/* Waits for the next call and returns it; NULL when the crew stops. The caller holds the lock. */
static struct sm_call *take(struct sm_crew *crew)
{
    while (!crew->first && !crew->stopping) {
        int64_t until_ms = sm_clock_monotonic_ms() + BEAT_MS;
        struct timespec until = {until_ms / 1000, until_ms % 1000 * 1000000};
        sm_pulse_beat("wait");
        pthread_cond_timedwait(&crew->came, &crew->lock, &until);
    }
    struct sm_call *call = crew->first;
    if (!call)
        return NULL;
    if (!(crew->first = call->next))
        crew->last = &crew->first;
    call->state = SM_CALL_RUNS;
    return call;
}

static void *crew_main(void *arg)
{
    struct sm_crew *crew = arg;
    struct sm_call *call;
    sm_pulse_start(crew->name);
    pthread_mutex_lock(&crew->lock);
    while ((call = take(crew))) {
        pthread_mutex_unlock(&crew->lock);
        sm_pulse_beat_for("call", SM_CALL_MAX_MS);
        call->code = call->work(call, &call->err);
        pthread_mutex_lock(&crew->lock);
        call->state = SM_CALL_DONE;
        pthread_cond_broadcast(&crew->ended);
        sm_request_wake(call->request);
    }
    pthread_mutex_unlock(&crew->lock);
    sm_pulse_stop();
    return NULL;
}

enum sm_code sm_crew_start(struct sm_crew **out, const char *name, int threads, struct sm_err *err)
{
    struct sm_crew *crew = calloc(1, sizeof *crew + (size_t)threads * sizeof *crew->threads);
    *out = crew;
    if (!crew)
        return sm_err_set(err, SM_NOMEM, "no memory for %d threads", threads);
    crew->name = name;
    pthread_mutex_init(&crew->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&crew->came, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_cond_init(&crew->ended, NULL);
    crew->last = &crew->first;
    while (crew->threads_count < threads) {
        int rc = pthread_create(&crew->threads[crew->threads_count], NULL, crew_main, crew);
        if (rc != 0) {
            sm_crew_stop(crew);
            *out = NULL;
            return sm_err_set(err, SM_IO, "thread: %s", strerror(rc));
        }
        crew->threads_count++;
    }
    return SM_OK;
}

void sm_crew_stop(struct sm_crew *crew)
{
    if (!crew)
        return;
    pthread_mutex_lock(&crew->lock);
    crew->stopping = true;
    pthread_cond_broadcast(&crew->came);
    pthread_mutex_unlock(&crew->lock);
    for (int i = 0; i < crew->threads_count; i++)
        pthread_join(crew->threads[i], NULL);
    pthread_cond_destroy(&crew->ended);
    pthread_cond_destroy(&crew->came);
    pthread_mutex_destroy(&crew->lock);
    free(crew);
}

/* --- the request's side --- */

/* Removes a call that has not begun from the queue. The caller holds the lock. */
static void withdraw(struct sm_call *call)
{
    struct sm_crew *crew = call->crew;
    for (struct sm_call **link = &crew->first; *link; link = &(*link)->next)
        if (*link == call) {
            if (!(*link = call->next))
                crew->last = link;
            break;
        }
    call->state = SM_CALL_DONE;
}

static void call_free(void *state)
{
    struct sm_call *call = state;
    atomic_store(&call->stop, true);
    pthread_mutex_lock(&call->crew->lock);
    if (call->state == SM_CALL_QUEUED)
        withdraw(call);
    while (call->state != SM_CALL_DONE)
        pthread_cond_wait(&call->crew->ended, &call->crew->lock);
    pthread_mutex_unlock(&call->crew->lock);
    call->release(call);
}

static void proceed(struct sm_request *request)
{
    struct sm_call *call = request->state;
    pthread_mutex_lock(&call->crew->lock);
    bool done = call->state == SM_CALL_DONE;
    pthread_mutex_unlock(&call->crew->lock);
    if (done)
        call->reply(request, call);
    else if (!sm_request_ending(request))
        sm_request_wait(request, SM_NO_DEADLINE, proceed);
    else
        sm_reply_problem(request, SM_PROBLEM_DRAINING, "the service is stopping");
}

void sm_call_begin(struct sm_call *call, struct sm_request *request, struct sm_crew *crew)
{
    call->request = request;
    call->crew = crew;
    request->state = call;
    request->state_free = call_free;
    pthread_mutex_lock(&crew->lock);
    call->state = SM_CALL_QUEUED;
    call->next = NULL;
    *crew->last = call;
    crew->last = &call->next;
    pthread_cond_signal(&crew->came);
    pthread_mutex_unlock(&crew->lock);
    proceed(request);
}
