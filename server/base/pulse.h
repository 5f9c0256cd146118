/* Pulses: each thread with a loop says that it turns, and at what it is; a probe learns which one
 * stands still.
 *
 *     sm_pulse_start("worker");               // "worker/0", "worker/1" … by the next free number
 *     for (;;) {
 *         sm_pulse_beat("wait");              // the next beat is due within the bound
 *         …
 *         sm_pulse_beat_for("call", 60000);   // within the bound and a minute
 *     }
 *     sm_pulse_stop();
 *
 * Owner:   the process: there is one set, as there is one log. Texts are static.
 * Threads: a thread has one pulse, or none, and then its beats count nothing; start, beat and stop
 *          are its own. A beat is a few atomic stores. The others from any. */
#ifndef SERVER_BASE_PULSE_H
#define SERVER_BASE_PULSE_H

#include <stdbool.h>
#include <stdint.h>

#define SM_PULSE_BOUND_MS 300000 /* unless it is set: the largest encoder's unit takes a minute */

/* Before the first beat. */
void sm_pulses_set_bound(int64_t bound_ms);

void sm_pulse_start(const char *loop);
void sm_pulse_beat(const char *step);
void sm_pulse_beat_for(const char *step, int64_t expected_ms);
void sm_pulse_stop(void);

/* A loop that is late. */
struct sm_pulse_late {
    char name[32];
    const char *step;
    int64_t age_ms, bound_ms;
};
/* How many loops there are and how many are late; `late` is the one that has not
 * turned for longest (may be NULL). */
int sm_pulses_check(int *late_count, struct sm_pulse_late *late);

/* The oldest beat among the loops of each name. */
struct sm_pulse_age {
    const char *loop;
    int64_t age_ms;
};
#define SM_PULSE_LOOPS_MAX 16 /* names */
int sm_pulses_ages(struct sm_pulse_age out[SM_PULSE_LOOPS_MAX]);

#endif
