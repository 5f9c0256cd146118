/* Retention: deletes data older than its period, in small batches.
 *
 *     struct sm_expiry expiry = {.days = {[SM_EXPIRE_JOBS] = 30}};
 *     bool done;
 *     sm_store_expire(&done, &expiry, store, now_ms, 1000, &err); // until `done`, then again later
 *
 * Unfinished work is never deleted: no item, score or thumbnail of a job or audit that is open,
 * queued, running or paused. Each period counts from the following time:
 *
 *     thumbnails  the end of their audit
 *     audits      their end; all of the audit is deleted, with scores that only it uses
 *     jobs        the end of a plain job; its scores stay in history
 *     scores      their creation; scores of an audit stay until the audit is deleted
 *
 * Owner:   the caller owns the expiry; the zero value deletes nothing.
 * Threads: any, one at a time per expiry.
 * Errors:  those of store.h; the next call continues where this one ended. */
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
    int64_t days[SM_EXPIRES];   /* periods; 0: keep for ever */
    int64_t counts[SM_EXPIRES]; /* rows that the current pass deleted */
    /* position of the current pass */
    int at;                  /* enum sm_expire */
    char after[SM_ID_BYTES]; /* the last score that was looked at */
};

/* Deletes batches for `limit_ms`, at least one; `done` is true at the end of a pass. */
enum sm_code sm_store_expire(bool *done, struct sm_expiry *expiry, struct sm_store *store,
                             int64_t now_ms, int64_t limit_ms, struct sm_err *err);

#endif
