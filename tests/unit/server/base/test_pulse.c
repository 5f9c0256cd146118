/* Pulses: who is late is named with its step, who is not is not, and who ends is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <unistd.h>

#include "server/base/pulse.h"

static sem_t begun, go_on;

static void wait_for(sem_t *sem)
{
    while (sem_wait(sem) != 0)
        ;
}

/* A loop that stands still until it is told. */
static char worker[] = "worker";

static void *stand_still(void *arg)
{
    sm_pulse_start(arg);
    sm_pulse_beat("think");
    sem_post(&begun);
    wait_for(&go_on);
    sm_pulse_beat("wake");
    sem_post(&begun);
    wait_for(&go_on);
    sm_pulse_beat_for("sleep", 100000);
    sem_post(&begun);
    wait_for(&go_on);
    sm_pulse_stop();
    return NULL;
}

static void step(void)
{
    sem_post(&go_on);
    wait_for(&begun);
}

static void a_loop_that_stands_still_is_named(void **state)
{
    (void)state;
    struct sm_pulse_late late = {0};
    struct sm_pulse_age ages[SM_PULSE_LOOPS_MAX];
    pthread_t thread;
    int late_count;
    sem_init(&begun, 0, 0);
    sem_init(&go_on, 0, 0);
    sm_pulses_set_bound(50);
    pthread_create(&thread, NULL, stand_still, worker);
    wait_for(&begun);
    usleep(120000);
    assert_int_equal(sm_pulses_check(&late_count, &late), 1);
    assert_int_equal(late_count, 1);
    assert_string_equal(late.name, "worker/0");
    assert_string_equal(late.step, "think");
    assert_int_equal(late.bound_ms, 50);
    assert_true(late.age_ms >= 120 && late.age_ms < 60000);
    assert_int_equal(sm_pulses_ages(ages), 1);
    assert_string_equal(ages[0].loop, "worker");
    assert_true(ages[0].age_ms >= 120);

    sm_pulses_set_bound(60000); /* counts from the next beat */
    step();
    assert_int_equal(sm_pulses_check(&late_count, &late), 1);
    assert_int_equal(late_count, 0);

    sm_pulses_set_bound(0);
    step();
    usleep(20000);
    sm_pulses_check(&late_count, NULL);
    assert_int_equal(late_count, 0); /* it said that it would take long */
    sem_post(&go_on);
    pthread_join(thread, NULL);
    assert_int_equal(sm_pulses_check(&late_count, NULL), 0);
    sm_pulses_set_bound(SM_PULSE_BOUND_MS);
}

static void *stand_by(void *arg)
{
    sm_pulse_start("crew");
    sem_post(&begun);
    wait_for(arg);
    sm_pulse_stop();
    return NULL;
}

/* The free number is that of the one that ended. */
static void numbers_are_used_again(void **state)
{
    (void)state;
    struct sm_pulse_late late;
    pthread_t threads[3];
    sem_t ends[3];
    int late_count;
    sem_init(&begun, 0, 0);
    sm_pulses_set_bound(-1); /* all are late at once; the oldest is told */
    for (int i = 0; i < 3; i++) {
        sem_init(&ends[i], 0, 0);
        pthread_create(&threads[i], NULL, stand_by, &ends[i]);
        wait_for(&begun);
    }
    assert_int_equal(sm_pulses_check(&late_count, &late), 3);
    assert_int_equal(late_count, 3);
    assert_string_equal(late.name, "crew/0");
    sem_post(&ends[0]);
    pthread_join(threads[0], NULL);
    sm_pulses_check(&late_count, &late);
    assert_string_equal(late.name, "crew/1");
    sem_post(&ends[1]);
    pthread_join(threads[1], NULL);
    pthread_create(&threads[0], NULL, stand_by, &ends[0]);
    wait_for(&begun);
    sem_post(&ends[2]);
    pthread_join(threads[2], NULL);
    assert_int_equal(sm_pulses_check(&late_count, &late), 1);
    assert_string_equal(late.name, "crew/0");
    sem_post(&ends[0]);
    pthread_join(threads[0], NULL);
    sm_pulses_set_bound(SM_PULSE_BOUND_MS);
}

static void a_thread_without_pulse_beats_nothing(void **state)
{
    (void)state;
    int late_count;
    sm_pulse_beat("nothing");
    assert_int_equal(sm_pulses_check(&late_count, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loop_that_stands_still_is_named),
        cmocka_unit_test(numbers_are_used_again),
        cmocka_unit_test(a_thread_without_pulse_beats_nothing),
    };
    return cmocka_run_group_tests_name("pulse", tests, NULL, NULL);
}
