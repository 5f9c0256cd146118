/* Jobs: admits jobs, computes them on workers, and wakes the callers that wait. It knows no HTTP.
 *
 *     sm_jobs_submit(&ticket, jobs, &job_in, wake, request, &err);
 *     // wake(request) runs when the admission is committed or failed, and when the job finishes
 *     switch (sm_ticket_state(ticket, &err)) { … }
 *     sm_ticket_release(ticket);
 *
 * A worker is a thread. It claims an item, decodes the image, draws views, runs the encoders, and
 * commits the score. While nothing is queued, workers without an item run units of the others
 * (team.h), so a single request uses all workers. A worker with a costly item scores cheap items of
 * plain jobs in between (worker.c), so these need not wait for the end of an item of SM_LEND_RATIO
 * times their cost. The bits of a score depend only on the item, never on the workers or their
 * number. */
#ifndef SERVER_JOBS_JOBS_H
#define SERVER_JOBS_JOBS_H

#include "server/decode/decode.h"
#include "server/jobs/pairs.h"
#include "server/store/erase.h"
#include "server/store/expire.h"
#include "server/store/store.h"

struct sm_jobs;
struct sm_ticket;

#define SM_LEND_RATIO 8

struct sm_jobs_params {
    struct sm_store *store;
    struct sm_pairs *pairs;
    struct sm_decoders *decoders;       /* see sm_decode; must outlive the jobs */
    int workers;                        /* 0: jobs are admitted but not computed */
    int64_t queue_max;                  /* items queued or running; over it: SM_BUSY */
    int64_t queue_bytes_max;            /* bytes of their images; an empty queue takes any job */
    int64_t queue_cost_ms_max;          /* their cost; an empty queue takes any job. 0: no limit */
    int64_t item_cost_ms_max;           /* limit of a decoded image's cost; 0: no limit */
    int64_t retention_days[SM_EXPIRES]; /* periods of sm_expiry in days; 0: for ever */
};

enum sm_code sm_jobs_start(struct sm_jobs **out, const struct sm_jobs_params *params,
                           struct sm_err *err);
/* Stops claiming, lets each worker finish its item, joins all threads and frees `jobs`. Queued
 * items stay queued in the store. The caller must have released every ticket. */
void sm_jobs_stop(struct sm_jobs *jobs);
/* As sm_jobs_stop, but from `give_up_ms` (monotonic) on, workers do not finish their items: they
 * stop at the next look (team.h) and queue them again. */
void sm_jobs_stop_by(struct sm_jobs *jobs, int64_t give_up_ms);
/* Change limits; any thread. Queued items over a new limit stay queued. */
void sm_jobs_set_queue_max(struct sm_jobs *jobs, int64_t queue_max);
void sm_jobs_set_costs(struct sm_jobs *jobs, int64_t queue_cost_ms_max, int64_t item_cost_ms_max);

/* Estimates the seconds, 1 to SM_JOBS_WAIT_MAX_S, that the workers need for `cost_ms` of work. The
 * rate is measured while there is work; until the first item has ended, it is one reference core
 * per worker. */
#define SM_JOBS_WAIT_MAX_S 600
int64_t sm_jobs_wait_s(struct sm_jobs *jobs, int64_t cost_ms);

/* Erases one image with sm_store_erase, and wakes the tickets of jobs that finish because of it. */
enum sm_code sm_jobs_erase(struct sm_erasure *image, bool *rewritten, struct sm_jobs *jobs,
                           struct sm_err *err);

/* Checks whether more jobs may be admitted: the store's files must be in place, and the store must
 * have accepted every result of the workers. Both conditions can recover without a new job. */
enum sm_code sm_jobs_check_results(struct sm_jobs *jobs, struct sm_err *err);
/* For readiness: also checks that the last commit succeeded. Admission must not check that, because
 * only another commit can clear it. */
enum sm_code sm_jobs_check_store(struct sm_jobs *jobs, struct sm_err *err);

enum sm_ticket_state {
    SM_TICKET_PENDING,  /* the admission is not committed yet */
    SM_TICKET_ADMITTED, /* the job is committed: 202 is true */
    SM_TICKET_FINISHED, /* every item is committed: 200 is true */
    SM_TICKET_FAILED    /* the admission failed; `err` says why */
};

/* Submits a job; the caller releases the ticket. `wake` may run on any thread, even before this
 * returns, but not after sm_ticket_release has returned. It must not call functions of the ticket.
 * Errors: SM_BUSY (the queue is full), SM_FULL, SM_IO (results wait for the store), SM_NOMEM, and
 * those of sm_store_admit. */
enum sm_code sm_jobs_submit(struct sm_ticket **out, struct sm_jobs *jobs,
                            const struct sm_job_in *job, void (*wake)(void *arg), void *arg,
                            struct sm_err *err);
enum sm_ticket_state sm_ticket_state(struct sm_ticket *ticket, struct sm_err *err);

/* The time that a job's last computed image took, by step. */
struct sm_timing {
    int64_t queue_us, decode_us, encode_us, commit_us;
};
/* For a finished ticket; returns false if no image was computed for its job. */
bool sm_ticket_timing(struct sm_timing *out, struct sm_ticket *ticket);
void sm_ticket_release(struct sm_ticket *ticket);

#endif
