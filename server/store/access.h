/* The log of reads: who read which record. Rows are only ever added; the database refuses the rest.
 *
 * Threads: any; the rows are posted to the writer and not waited for. What cannot be stored goes
 *          to the log of the service instead. Limits: SM_ACCESS_WAITING_MAX ids may wait. */
#ifndef SERVER_STORE_ACCESS_H
#define SERVER_STORE_ACCESS_H

#include "server/store/store.h"

#define SM_ACCESS_WAITING_MAX 100000

struct sm_access {
    const char *api_key_id, *request, *operation;
    char (*records)[SM_ID_BYTES]; /* ids */
    size_t records_count;
};
void sm_store_log_access(struct sm_store *store, const struct sm_access *access);
/* More than can be stored are being read: no more should be told now. */
bool sm_store_access_full(struct sm_store *store);

#endif
