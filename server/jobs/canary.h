/* The canary: a small image made in code. It is scored with each pair when the pair is loaded, and
 * repeatedly in idle time. The same pair, image and recipe give the same bits on any thread, so a
 * different score means that memory, processor or kernels are broken and no score can be trusted.
 *
 * It is scored with the pair's own recipe and two views. Repeated turns use at most a hundredth of
 * one thread's time, and give up when there is other work.
 *
 * Owner:   each generation has one (generation.h). Threads: all functions from any. */
#ifndef SERVER_JOBS_CANARY_H
#define SERVER_JOBS_CANARY_H

#include <pthread.h>

#include "sslmem/score.h"

#define SM_CANARY_PERIOD_MS 60000
#define SM_CANARY_TOLERANCE 1e-6 /* same score: |m - first| <= tolerance (1 + |first|) */

struct sm_generation;
struct sm_pairs;

struct sm_canary {
    pthread_mutex_t mutex;     /* guards the fields below */
    bool sings;                /* the pair has a canary */
    bool taken;                /* a thread is scoring it now */
    double first, last;        /* scores of the first and the last turn */
    int64_t scored_ms, due_ms; /* monotonic times of the last turn and of the next */
    char reason[160];          /* how the last turn differed from the first; "": not at all */
};

/* Scores the canary once: *m is its score m, or, of a pair without g, its alignment. Errors: those
 * of sm_task_open_decoded and sm_scorer_slot_take. */
enum sm_code sm_canary_score(double *m, struct sm_generation *generation, struct sm_err *err);

/* Scores the canary for the first time, after the load. If that fails (for example because the
 * recipe does not suit the image), the pair has no canary, which is logged. Errors: SM_NOMEM. */
enum sm_code sm_canary_start(struct sm_generation *generation, const char *name,
                             struct sm_err *err);

struct sm_canary_turn {
    const void *thread; /* identifies the thread, for sm_scorer_slot_take */
    bool busy;          /* the thread has other work: only take a canary that is long overdue */
    bool (*give_up)(void *arg); /* called during the turn; true ends it */
    void *arg;
};
/* Scores the canary of the first pair whose canary is due. Returns false if none is. */
bool sm_canary_take_turn(struct sm_pairs *pairs, const struct sm_canary_turn *turn);

/* Returns false, with a reason, if the last turn failed or gave another score than the first. */
bool sm_canary_is_well(char reason[160], struct sm_generation *generation);

#endif
