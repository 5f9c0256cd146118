/* Pulses: each thread that runs a loop reports its progress and current step, so that a probe can
 * name a loop that hangs.
 *
 *     sm_pulse_start("worker");               // named "worker/0", "worker/1" …
 *     for (;;) {
 *         sm_pulse_beat("wait");              // the next beat is due within the bound
 *         …
 *         sm_pulse_beat_for("call", 60000);   // within the bound and a minute
 *     }
 *     sm_pulse_stop();
 *
 * Owner:   the process has one set of pulses, as it has one log. All texts are static.
 * Threads: a thread has at most one pulse; start, beat and stop act on the pulse of the calling
 *          thread. A beat is a few atomic stores, and does nothing in a thread without a pulse. The
 *          other functions may be called from any thread. */
#ifndef SERVER_BASE_PULSE_H
#define SERVER_BASE_PULSE_H

#include <stdbool.h>
#include <stdint.h>

#define SM_PULSE_BOUND_MS 300000 /* default bound; a unit of the largest encoder takes a minute */

/* Sets the bound for all loops. Call it before the first beat. */
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
/* Returns the number of loops and sets *late_count to the number of late ones. *late receives the
 * late loop with the oldest beat; `late` may be NULL. */
int sm_pulses_check(int *late_count, struct sm_pulse_late *late);

/* The age of the oldest beat among all loops of one name. */
struct sm_pulse_age {
    const char *loop;
    int64_t age_ms;
};
#define SM_PULSE_LOOPS_MAX 16 /* different names of loops */
/* Fills in one entry per name of a loop; returns their number. */
int sm_pulses_ages(struct sm_pulse_age out[SM_PULSE_LOOPS_MAX]);

#endif
