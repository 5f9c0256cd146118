/* One thread waits for sm_drain_end and exits the process if the limit passes before it. The thread
 * uses no part of the service, so it works even when the part that is being stopped hangs. */
#include "server/cmd/drain.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/cmd/cmd.h"

#define RESERVE_PERCENT 20 /* of the limit, kept for requeueing, the last commits and the disk */
#define RESERVE_MAX_MS  5000

static void *watch(void *arg)
{
    struct sm_drain *drain = arg;
    struct timespec until = {drain->until_ms / 1000, drain->until_ms % 1000 * 1000000};
    pthread_mutex_lock(&drain->mutex);
    while (!drain->over && pthread_cond_timedwait(&drain->ended, &drain->mutex, &until) == 0)
        ;
    bool over = drain->over;
    pthread_mutex_unlock(&drain->mutex);
    if (!over) {
        sm_log("error", "drain_forced", "{s:I}", "limit_ms", (json_int_t)drain->limit_ms);
        _exit(SM_EXIT_FAILED);
    }
    return NULL;
}

void sm_drain_begin(struct sm_drain *drain, int64_t limit_ms)
{
    int64_t reserve_ms = limit_ms * RESERVE_PERCENT / 100;
    *drain = (struct sm_drain){.limit_ms = limit_ms};
    drain->until_ms = sm_clock_monotonic_ms() + limit_ms;
    drain->give_up_ms =
        drain->until_ms - (reserve_ms < RESERVE_MAX_MS ? reserve_ms : RESERVE_MAX_MS);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&drain->ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&drain->mutex, NULL);
    int failed = pthread_create(&drain->thread, NULL, watch, drain);
    drain->runs = failed == 0;
    if (failed)
        sm_log("warning", "drain_unbounded", "{s:s}", "reason", strerror(failed));
}

void sm_drain_end(struct sm_drain *drain)
{
    if (drain->limit_ms == 0)
        return;
    pthread_mutex_lock(&drain->mutex);
    drain->over = true;
    pthread_cond_signal(&drain->ended);
    pthread_mutex_unlock(&drain->mutex);
    if (drain->runs)
        pthread_join(drain->thread, NULL);
    pthread_mutex_destroy(&drain->mutex);
    pthread_cond_destroy(&drain->ended);
}
