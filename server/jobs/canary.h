/* The canary: a small image made in code, scored under each pair once it is loaded and again and
 * again in idle time. The same pair, image and recipe give the same bits on any thread, so another
 * number means that memory, processor or kernels are broken, and that no score can be trusted.
 *
 * It is scored under the pair's own recipe with two views. A later turn costs at most a hundredth
 * of one thread's time, and gives up when there is something better to do.
 *
 * Owner:   a generation has one (generation.h). Threads: all from any. */
#ifndef SERVER_JOBS_CANARY_H
#define SERVER_JOBS_CANARY_H

#include <pthread.h>

#include "sslmem/score.h"

#define SM_CANARY_PERIOD_MS 60000
#define SM_CANARY_TOLERANCE 1e-6 /* |m - first| <= tolerance (1 + |first|) */

struct sm_generation;
struct sm_pairs;

struct sm_canary {
    pthread_mutex_t mutex; /* guards all below */
    bool sings;            /* false: the recipe refuses the image */
    bool taken;            /* by the thread that scores it now */
    double first, last;
    int64_t scored_ms, due_ms; /* monotonic */
    char reason[160];          /* why the last turn is not as the first one; "": it is */
};

/* The first turn, after the load. A recipe that the image does not suit leaves the pair without
 * canary, which is logged. SM_NOMEM. */
enum sm_code sm_canary_start(struct sm_generation *generation, const char *name,
                             struct sm_err *err);

/* Scores the canary of one pair for which it is time; between its steps `give_up` is asked. Busy
 * threads take only those that no idle one took for long. False when there was nothing to do. */
struct sm_canary_turn {
    const void *thread; /* for sm_scorer_slot_take */
    bool busy;
    bool (*give_up)(void *arg);
    void *arg;
};
bool sm_canary_take_turn(struct sm_pairs *pairs, const struct sm_canary_turn *turn);

/* False when the last turn gave another score than the first; then `reason` says so. */
bool sm_canary_is_well(char reason[160], struct sm_generation *generation);

#endif
