/* Jobs: admit, compute on worker threads, tell whoever waits. Jobs know no HTTP.
 *
 *     sm_jobs_submit(&ticket, jobs, &job_in, wake, request, &err);
 *     // wake(request) runs when the admission is committed or failed, and when the job is done
 *     switch (sm_ticket_state(ticket, &err)) { … }
 *     sm_ticket_release(ticket);
 *
 * Workers: one thread each; each claims one item, decodes, draws views, runs the encoders, commits.
 * While nothing is queued, workers without an item run encoders for those that have one (team.h):
 * a single request uses all of them. A worker that is at a dear item scores cheap ones in between
 * (worker.c): an item of a plain job waits for no item of SM_LEND_RATIO times its cost. The bits of
 * a score depend on the item alone, never on the number of workers, their order or their help. */
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
    int workers;                        /* 0: nothing is computed, only admitted */
    int64_t queue_max;                  /* items queued or running; over it submit says SM_BUSY */
    int64_t queue_bytes_max;            /* of their images; one job always fits */
    int64_t queue_cost_ms_max;          /* of them all; one job always fits. 0: no limit */
    int64_t item_cost_ms_max;           /* of one whose header lied; 0: no limit */
    int64_t retention_days[SM_EXPIRES]; /* see sm_expiry; 0: for ever */
};

enum sm_code sm_jobs_start(struct sm_jobs **out, const struct sm_jobs_params *params,
                           struct sm_err *err);
/* Stops claiming, lets each worker finish its item, joins; what is queued stays queued in the
 * store. Every ticket must have been released. */
void sm_jobs_stop(struct sm_jobs *jobs);
/* The same, but from `give_up_ms` (monotonic) on workers do not finish their item: after the unit
 * they are at they queue it again. */
void sm_jobs_stop_by(struct sm_jobs *jobs, int64_t give_up_ms);
/* From any thread; what is queued over it stays. */
void sm_jobs_set_queue_max(struct sm_jobs *jobs, int64_t queue_max);
void sm_jobs_set_costs(struct sm_jobs *jobs, int64_t queue_cost_ms_max, int64_t item_cost_ms_max);

/* Seconds, 1 to SM_JOBS_WAIT_MAX_S, in which so much cost is worked off at the rate that was
 * measured while there was work; a nominal core per worker before the first item has ended. */
#define SM_JOBS_WAIT_MAX_S 600
int64_t sm_jobs_wait_s(struct sm_jobs *jobs, int64_t cost_ms);

/* sm_store_erase of one image; tells those who wait for a job that comes to its end by it. */
enum sm_code sm_jobs_erase(struct sm_erasure *image, bool *rewritten, struct sm_jobs *jobs,
                           struct sm_err *err);

/* Whether more may be admitted: the store's files are there, and it took every result that a worker
 * offered. Both heal by themselves. */
enum sm_code sm_jobs_check_results(struct sm_jobs *jobs, struct sm_err *err);
/* The same for readiness, with the last commit: it heals by the next one, which must be let in. */
enum sm_code sm_jobs_check_store(struct sm_jobs *jobs, struct sm_err *err);

enum sm_ticket_state {
    SM_TICKET_PENDING,  /* not committed yet */
    SM_TICKET_ADMITTED, /* committed: a 202 is true */
    SM_TICKET_FINISHED, /* every item committed: a 200 is true */
    SM_TICKET_FAILED    /* the admission failed; `err` says why */
};

/* `wake` may run on any thread, also before submit returns; never after sm_ticket_release returned.
 * It must not call back into the ticket. */
enum sm_code sm_jobs_submit(struct sm_ticket **out, struct sm_jobs *jobs,
                            const struct sm_job_in *job, void (*wake)(void *arg), void *arg,
                            struct sm_err *err);
enum sm_ticket_state sm_ticket_state(struct sm_ticket *ticket, struct sm_err *err);

/* Where the time of the image that was computed last went. */
struct sm_timing {
    int64_t queue_us, decode_us, encode_us, commit_us;
};
/* Of a finished ticket; false when nothing was computed for it. */
bool sm_ticket_timing(struct sm_timing *out, struct sm_ticket *ticket);
void sm_ticket_release(struct sm_ticket *ticket);

#endif
