/* The pulses of all threads form a list. A lock guards the list while threads start, stop or check.
 * A beat writes to the thread's own pulse without the lock, so a check may combine the values of
 * two successive beats; that never makes a loop late that is not. */
#include "server/base/pulse.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "server/base/clock.h"

struct pulse {
    const char *loop; /* name of the loop; NULL: the thread has no pulse */
    int number;
    _Atomic(const char *) step;
    atomic_llong beat_ms, bound_ms;
    struct pulse *next;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct pulse *first;
static atomic_llong bound_ms = SM_PULSE_BOUND_MS;
static _Thread_local struct pulse mine;

void sm_pulses_set_bound(int64_t ms)
{
    atomic_store(&bound_ms, ms);
}

/* Returns the smallest number that no loop of that name has. The caller holds the lock. */
static int free_number(const char *loop)
{
    int number = 0;
    for (const struct pulse *p = first; p;) {
        bool taken = strcmp(p->loop, loop) == 0 && p->number == number;
        number += taken;
        p = taken ? first : p->next;
    }
    return number;
}

void sm_pulse_start(const char *loop)
{
    pthread_mutex_lock(&mutex);
    mine.loop = loop;
    mine.number = free_number(loop);
    sm_pulse_beat("start");
    mine.next = first;
    first = &mine;
    pthread_mutex_unlock(&mutex);
}

void sm_pulse_beat_for(const char *step, int64_t expected_ms)
{
    if (!mine.loop)
        return;
    atomic_store(&mine.beat_ms, sm_clock_monotonic_ms());
    atomic_store(&mine.bound_ms, atomic_load(&bound_ms) + expected_ms);
    atomic_store(&mine.step, step);
}

void sm_pulse_beat(const char *step)
{
    sm_pulse_beat_for(step, 0);
}

void sm_pulse_stop(void)
{
    pthread_mutex_lock(&mutex);
    struct pulse **link = &first;
    while (*link && *link != &mine)
        link = &(*link)->next;
    if (*link)
        *link = mine.next;
    mine.loop = NULL;
    pthread_mutex_unlock(&mutex);
}

int sm_pulses_check(int *late_count, struct sm_pulse_late *late)
{
    int count = 0;
    *late_count = 0;
    pthread_mutex_lock(&mutex);
    for (struct pulse *p = first; p; p = p->next) {
        int64_t bound = atomic_load(&p->bound_ms);
        int64_t age = sm_clock_monotonic_ms() - atomic_load(&p->beat_ms);
        count++;
        if (age <= bound)
            continue;
        ++*late_count;
        if (!late || (*late_count > 1 && age < late->age_ms))
            continue;
        *late =
            (struct sm_pulse_late){.step = atomic_load(&p->step), .age_ms = age, .bound_ms = bound};
        snprintf(late->name, sizeof late->name, "%s/%d", p->loop, p->number);
    }
    pthread_mutex_unlock(&mutex);
    return count;
}

int sm_pulses_ages(struct sm_pulse_age out[SM_PULSE_LOOPS_MAX])
{
    int count = 0;
    pthread_mutex_lock(&mutex);
    for (struct pulse *p = first; p; p = p->next) {
        int64_t age = sm_clock_monotonic_ms() - atomic_load(&p->beat_ms);
        int i = 0;
        while (i < count && strcmp(out[i].loop, p->loop) != 0)
            i++;
        if (i == SM_PULSE_LOOPS_MAX)
            continue;
        if (i == count)
            out[count++] = (struct sm_pulse_age){.loop = p->loop};
        if (age > out[i].age_ms)
            out[i].age_ms = age;
    }
    pthread_mutex_unlock(&mutex);
    return count;
}
