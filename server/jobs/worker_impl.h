/* Shared by worker.c and commit.c, and private to them: a worker, and how it ends its items. */
#ifndef SERVER_JOBS_WORKER_IMPL_H
#define SERVER_JOBS_WORKER_IMPL_H

#include "server/jobs/jobs_impl.h"
#include "server/store/claim.h"

#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 5000
/* Returns the wait after `wait_ms`: twice as long, at most RETRY_MAX_MS. */
int64_t sm_worker_longer(int64_t wait_ms);

/* Every log line about an item has the ids of its request, even if an earlier process got the
 * request. */
#define ORIGIN       "s:s*, s:s*"
#define TEXT(text)   ((text)[0] == '\0' ? NULL : (text))
#define ORIGIN_OF(c) "request", TEXT((c)->origin.request), "trace", TEXT((c)->origin.trace)

/* What an audit keeps of an image beside its score. */
struct kept {
    void *png; /* a thumbnail; NULL: none */
    size_t png_bytes;
    uint8_t pixels[SM_PIXELS_BYTES_MAX]; /* packed features */
    size_t pixels_bytes;                 /* 0: none */
};

struct sm_pending;

struct worker {
    struct sm_jobs *jobs;
    struct sm_team_worker *worker;
    struct sm_standing *next;       /* its claim of the item after the current one */
    struct sm_pending *pending;     /* the result before the current item; NULL: settled */
    const struct sm_claim *current; /* the item at the bottom of its stack; NULL: none */
    bool unsettled;                 /* the commit of the claim of `current` is not known */
    bool lost;                      /* it failed */
    uint64_t seen;                  /* the team's count of news when it last looked for work */
    int depth;                      /* items that wait below the current one on its stack */
    int64_t lend_ms;                /* monotonic time from which it may lend itself again */
    int64_t wanted_ms;              /* monotonic time of the next check that the item is wanted */
    int64_t canary_ms; /* monotonic time from which it claims no next item before a canary */
};

/* Waits for the commit of the result before the current item, and of the claim of this item.
 * Returns false if the item was not claimed. Call it before anything is written about the item. */
bool sm_worker_settle(struct worker *w);
/* Tells whether sm_worker_settle would wait for the result before the current item. */
bool sm_worker_is_committing(const struct worker *w);
/* Queues the item again without counting the attempt. */
void sm_worker_give_back(struct worker *w, const struct sm_claim *claim);
/* Queues the next item again if it has come. */
void sm_worker_drop_next(struct worker *w);
/* Pauses an audit, because an operator must act and its other items would meet the same problem.
 * Returns false if the store failed for now and the caller must try again. */
bool sm_worker_pause_audit(struct sm_jobs *jobs, const struct sm_claim *claim, const char *reason);
void sm_worker_commit_failure(struct worker *w, const struct sm_claim *claim,
                              const struct sm_err *why);
/* Looks for the score key in history. */
bool sm_worker_find_history(struct worker *w, const struct sm_claim *claim, const char *key);
/* Finishes the item with the score of that key. Returns false if it is gone. */
bool sm_worker_commit_history(struct worker *w, const struct sm_claim *claim, const char *key,
                              const struct kept *kept);
/* Commits a computed score, without waiting for it if the worker may go on at once. */
void sm_worker_commit_score(struct worker *w, const struct sm_claim *claim,
                            const struct sm_score *score, json_t *document,
                            const struct kept *kept);

#endif
