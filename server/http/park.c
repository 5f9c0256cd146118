/* The registry of waiting requests.
 *
 * A request has three states, which change under one lock:
 *
 *     running --enter--> parked --(wake | deadline | drain)--> running
 *        \--wake--> woken: the next enter returns at once, so that no wake is lost
 *
 * To find the nearest deadline, the timer thread walks the whole list, which has at most one entry
 * per connection. */
#include "server/http/park.h"

#include <errno.h>
#include <microhttpd.h>
#include <string.h>
#include <time.h>

#include "server/base/clock.h"
#include "server/base/pulse.h"

#define BEAT_MS 1000 /* longest time between two beats of the timer thread */

static bool over(const struct sm_park *park, int64_t deadline_ms, int64_t now_ms)
{
    return park->ending || (park->draining && deadline_ms != SM_NO_DEADLINE) ||
           now_ms >= deadline_ms;
}

static void unlink_request(struct sm_request *request)
{
    *request->park_link = request->park_next;
    if (request->park_next)
        request->park_next->park_link = request->park_link;
    request->park_next = NULL;
    request->park_link = NULL;
    request->parked = false;
    request->park->count--;
}

static void resume(struct sm_request *request)
{
    unlink_request(request);
    MHD_resume_connection(request->connection);
}

/* Resumes every request whose wait is over. Returns the nearest deadline of the others. */
static int64_t sweep(struct sm_park *park)
{
    int64_t now_ms = sm_clock_monotonic_ms(), nearest = SM_NO_DEADLINE;
    for (struct sm_request *r = park->first, *next; r; r = next) {
        next = r->park_next;
        if (over(park, r->deadline_ms, now_ms))
            resume(r);
        else if (r->deadline_ms < nearest)
            nearest = r->deadline_ms;
    }
    return nearest;
}

static void *timer_main(void *arg)
{
    struct sm_park *park = arg;
    sm_pulse_start("timer");
    pthread_mutex_lock(&park->lock);
    while (!park->stopped) {
        int64_t nearest = sweep(park), beat_ms = sm_clock_monotonic_ms() + BEAT_MS;
        int64_t until_ms = nearest < beat_ms ? nearest : beat_ms;
        struct timespec until = {until_ms / 1000, until_ms % 1000 * 1000000};
        sm_pulse_beat("wait");
        pthread_cond_timedwait(&park->changed, &park->lock, &until);
    }
    pthread_mutex_unlock(&park->lock);
    sm_pulse_stop();
    return NULL;
}

enum sm_code sm_park_start(struct sm_park *park, int comfortable_count, struct sm_err *err)
{
    pthread_condattr_t attr;
    *park = (struct sm_park){.comfortable_count = comfortable_count};
    pthread_mutex_init(&park->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* the clock of the deadlines */
    pthread_cond_init(&park->changed, &attr);
    pthread_condattr_destroy(&attr);
    int rc = pthread_create(&park->timer, NULL, timer_main, park);
    if (rc == 0)
        return SM_OK;
    pthread_cond_destroy(&park->changed);
    pthread_mutex_destroy(&park->lock);
    return sm_err_set(err, SM_IO, "timer thread: %s", strerror(rc));
}

static void raise_flag(struct sm_park *park, bool *flag)
{
    pthread_mutex_lock(&park->lock);
    *flag = true;
    sweep(park); /* at once: the caller may stop the daemon when this returns */
    pthread_cond_signal(&park->changed);
    pthread_mutex_unlock(&park->lock);
}

void sm_park_drain(struct sm_park *park)
{
    raise_flag(park, &park->draining);
}

void sm_park_end(struct sm_park *park)
{
    raise_flag(park, &park->ending);
}

void sm_park_stop(struct sm_park *park)
{
    raise_flag(park, &park->stopped);
    pthread_join(park->timer, NULL);
    pthread_cond_destroy(&park->changed);
    pthread_mutex_destroy(&park->lock);
}

bool sm_park_draining(struct sm_park *park)
{
    pthread_mutex_lock(&park->lock);
    bool draining = park->draining;
    pthread_mutex_unlock(&park->lock);
    return draining;
}

void sm_park_begin(struct sm_request *request)
{
    pthread_mutex_lock(&request->park->lock);
    request->woken = false;
    pthread_mutex_unlock(&request->park->lock);
    request->waiting = false;
}

bool sm_park_enter(struct sm_request *request)
{
    struct sm_park *park = request->park;
    pthread_mutex_lock(&park->lock);
    bool stay = !request->woken && !over(park, request->deadline_ms, sm_clock_monotonic_ms());
    if (stay) {
        MHD_suspend_connection(request->connection);
        request->parked = true;
        park->count++;
        request->park_next = park->first;
        request->park_link = &park->first;
        if (park->first)
            park->first->park_link = &request->park_next;
        park->first = request;
        pthread_cond_signal(&park->changed);
    }
    pthread_mutex_unlock(&park->lock);
    return stay;
}

void sm_park_forget(struct sm_request *request)
{
    pthread_mutex_lock(&request->park->lock);
    if (request->parked)
        unlink_request(request);
    pthread_mutex_unlock(&request->park->lock);
}

void sm_request_wait(struct sm_request *request, int64_t deadline_ms, sm_handler *again)
{
    request->deadline_ms = deadline_ms;
    request->again = again;
    request->waiting = true;
}

bool sm_request_overdue(const struct sm_request *request, int64_t deadline_ms)
{
    pthread_mutex_lock(&request->park->lock);
    bool overdue = over(request->park, deadline_ms, sm_clock_monotonic_ms());
    pthread_mutex_unlock(&request->park->lock);
    return overdue;
}

bool sm_request_crowded(const struct sm_request *request)
{
    struct sm_park *park = request->park;
    pthread_mutex_lock(&park->lock);
    bool crowded = park->count >= park->comfortable_count;
    pthread_mutex_unlock(&park->lock);
    return crowded;
}

bool sm_request_draining(const struct sm_request *request)
{
    return sm_park_draining(request->park);
}

bool sm_request_ending(const struct sm_request *request)
{
    return sm_request_overdue(request, SM_NO_DEADLINE);
}

void sm_request_wake(void *arg)
{
    struct sm_request *request = arg;
    pthread_mutex_lock(&request->park->lock);
    request->woken = true;
    if (request->parked)
        resume(request);
    pthread_mutex_unlock(&request->park->lock);
}
