/* The access log: which API key read which record. Rows are only added; triggers of the database
 * refuse changes and deletions.
 *
 * Threads: any. The rows are queued to the writer; the caller does not wait for the commit.
 * Errors:  none are returned. An entry that cannot be stored is written to the service's log.
 * Limits:  SM_ACCESS_WAITING_MAX ids may wait for their commit. */
#ifndef SERVER_STORE_ACCESS_H
#define SERVER_STORE_ACCESS_H

#include "server/store/store.h"

#define SM_ACCESS_WAITING_MAX 100000

struct sm_access {
    const char *api_key_id, *request, *operation;
    char (*records)[SM_ID_BYTES]; /* ids of scores, jobs or audits */
    size_t records_count;
};
/* Copies the entry and queues it. Does nothing without records. */
void sm_store_log_access(struct sm_store *store, const struct sm_access *access);
/* Tells whether too many ids wait; the caller should then refuse to send records. */
bool sm_store_access_full(struct sm_store *store);

#endif
