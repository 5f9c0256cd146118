/* Retention: what is older than its period goes, a little at a time.
 *
 *     struct sm_expiry expiry = {.days = {[SM_EXPIRE_JOBS] = 30}};
 *     bool done;
 *     sm_store_expire(&done, &expiry, store, now_ms, 1000, &err); // until `done`, then again later
 *
 * Nothing that is unfinished goes, however old: no item, score or thumbnail of a job or audit that
 * is open, waits, runs or is paused.
 *
 *     thumbnails  of audits that ended so long ago
 *     audits      that ended so long ago, whole, with scores that nothing else has
 *     jobs        plain ones that ended so long ago; their scores stay in history
 *     scores      made so long ago, unless an audit has them: those go with it
 *
 * Owner:   the caller; the zero value keeps everything. Threads: one at a time, any.
 * Errors:  those of store.h; the next call goes on where this one ended. */
#ifndef SERVER_STORE_EXPIRE_H
#define SERVER_STORE_EXPIRE_H

#include "server/store/store.h"

enum sm_expire {
    SM_EXPIRE_THUMBNAILS,
    SM_EXPIRE_AUDITS,
    SM_EXPIRE_JOBS,
    SM_EXPIRE_SCORES,
    SM_EXPIRES
};

struct sm_expiry {
    int64_t days[SM_EXPIRES];   /* 0: for ever */
    int64_t counts[SM_EXPIRES]; /* of rows that this pass deleted */
    /* where the pass is */
    int at;
    char after[SM_ID_BYTES];
};

/* Works for `limit_ms`, one batch at least; `done` when a pass is at its end. */
enum sm_code sm_store_expire(bool *done, struct sm_expiry *expiry, struct sm_store *store,
                             int64_t now_ms, int64_t limit_ms, struct sm_err *err);

#endif
