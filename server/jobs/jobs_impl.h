/* Shared by the files of server/jobs, and private to them. */
#ifndef SERVER_JOBS_JOBS_IMPL_H
#define SERVER_JOBS_JOBS_IMPL_H

#include <pthread.h>

#include "server/jobs/jobs.h"
#include "server/jobs/team.h"

struct sm_jobs {
    struct sm_store *store;
    struct sm_pairs *pairs;
    struct sm_decoders *decoders;
    _Atomic int64_t queue_max, queue_cost_ms_max, item_cost_ms_max;
    int64_t queue_bytes_max;
    char owner[SM_ID_BYTES]; /* this process in the leases that it holds */
    struct sm_team *team;    /* all workers; told about admissions, lost leases and the stop */

    pthread_mutex_t mutex;  /* guards the fields below up to owed_err, and every ticket */
    pthread_cond_t changed; /* stopping is set, or an admission's callback has run */
    bool stopping;
    int64_t reserved_count; /* items within the limit that the store does not count yet */
    int64_t reserved_bytes; /* bytes of the images of these items */
    int64_t reserved_cost_ms;
    int hands_count;                /* items that workers are working on */
    int64_t busy_since_ms, busy_ms; /* start of the last count, and total time with such items */
    int64_t done_cost_ms;           /* cost of the items that ended in busy_ms */
    int admitting_count;            /* admissions whose callback has not run */
    struct sm_ticket *waiting;      /* list of tickets that are admitted and not finished */
    int owed_count;                 /* results that the store has not accepted yet */
    struct sm_err owed_err;         /* why the store refused the last of them */

    struct sm_expiry expiry; /* used by the ticker only */
    int64_t expire_next_ms;
    pthread_t ticker;
    bool ticker_runs;
    pthread_t *workers;
    int workers_count; /* workers that have started */
};

/* Thread functions; `arg` is the struct sm_jobs. */
void *sm_jobs_worker(void *arg);
void *sm_jobs_ticker(void *arg);

bool sm_jobs_stopping(struct sm_jobs *jobs);
/* Sleeps until `ms` have passed or the jobs stop; returns true if they stop. */
bool sm_jobs_sleep(struct sm_jobs *jobs, int64_t ms);
/* A worker calls these before and after each item; sm_jobs_wait_s takes its rate from them. */
void sm_jobs_begin_item(struct sm_jobs *jobs);
void sm_jobs_end_item(struct sm_jobs *jobs, int64_t cost_ms);
/* Count a result that the store refused for now, and one that is settled after that. */
void sm_jobs_owe(struct sm_jobs *jobs, const struct sm_err *why);
void sm_jobs_settle(struct sm_jobs *jobs);
/* Stores in a job's tickets how long an image took until its commit, which begins now. */
void sm_jobs_computed(struct sm_jobs *jobs, const char *job_id, const struct sm_timing *timing);
/* Marks the tickets of a job as finished and wakes their callers. */
void sm_jobs_finished(struct sm_jobs *jobs, const char *job_id);

#endif
