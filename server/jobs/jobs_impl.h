/* What the files of the jobs floor share. Private to it. */
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
    char owner[SM_ID_BYTES]; /* of every lease of this process */
    struct sm_team *team;    /* of the workers; its news: an admission, the stop */

    pthread_mutex_t mutex;  /* guards all below, and every ticket */
    pthread_cond_t changed; /* stopping, or an admission came back */
    bool stopping;
    int64_t reserved_count; /* items that passed the limit and are not in the store's count yet */
    int64_t reserved_bytes; /* of their images */
    int64_t reserved_cost_ms;
    int hands_count;                /* items that workers have */
    int64_t busy_since_ms, busy_ms; /* while there were any */
    int64_t done_cost_ms;           /* of items that ended in that time */
    int admitting_count;            /* admissions whose callback has not run */
    struct sm_ticket *waiting;      /* admitted, not finished */
    int owed_count;                 /* results that the store did not take yet */
    struct sm_err owed_err;         /* why it did not take the last one */

    struct sm_expiry expiry; /* the ticker's */
    int64_t expire_next_ms;
    pthread_t ticker;
    bool ticker_runs;
    pthread_t *workers;
    int workers_count; /* threads that run */
};

/* Thread functions; `arg` is the struct sm_jobs. */
void *sm_jobs_worker(void *arg);
void *sm_jobs_ticker(void *arg);

bool sm_jobs_stopping(struct sm_jobs *jobs);
/* Sleeps, but not beyond the stop; true when stopping. */
bool sm_jobs_sleep(struct sm_jobs *jobs, int64_t ms);
/* Around each item that a worker has: what the measured rate comes from. */
void sm_jobs_begin_item(struct sm_jobs *jobs);
void sm_jobs_end_item(struct sm_jobs *jobs, int64_t cost_ms);
/* Counts a result that the store did not take, and one that was settled after that. */
void sm_jobs_owe(struct sm_jobs *jobs, const struct sm_err *why);
void sm_jobs_settle(struct sm_jobs *jobs);
/* Tells the tickets of a job how long an image took up to its commit, which begins now. */
void sm_jobs_computed(struct sm_jobs *jobs, const char *job_id, const struct sm_timing *timing);
/* Tells the tickets of a job that it has finished. */
void sm_jobs_finished(struct sm_jobs *jobs, const char *job_id);

#endif
