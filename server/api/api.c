/* Starts and stops the crews, one for each kind of slow work: `uploads` reads archives from disk, a
 * few at a time; `writes` waits for commits; `reports` evaluates audits, one at a time because that
 * takes a processor; `loads` reads pairs from disk. */
#include "server/api/api.h"

#include <stdio.h>
#include <string.h>

#include "server/api/evaluated.h"
#include "server/api/idempotency.h"

#define UPLOAD_THREADS 4
#define WRITE_THREADS  2

enum sm_code sm_api_start(struct sm_api *api, struct sm_err *err)
{
    const char *db = api->config->db, *slash = strrchr(db, '/');
    size_t length = !slash ? 0 : (size_t)(slash - db) + (slash == db);
    snprintf(api->spool, sizeof api->spool, "%.*s", (int)(length == 0 ? 1 : length),
             length == 0 ? "." : db);
    enum sm_code code = sm_buckets_new(&api->auth_failures, api->config->auth_failures_max, err);
    if (code == SM_OK)
        code = sm_crew_start(&api->uploads, "uploads", UPLOAD_THREADS, err);
    if (code == SM_OK)
        code = sm_crew_start(&api->writes, "writes", WRITE_THREADS, err);
    if (code == SM_OK)
        code = sm_crew_start(&api->reports, "reports", 1, err);
    if (code == SM_OK)
        code = sm_crew_start(&api->loads, "loads", 1, err);
    if (code == SM_OK)
        code = sm_idempotency_start(&api->idempotency, err);
    return code;
}

void sm_api_stop(struct sm_api *api)
{
    sm_crew_stop(api->uploads);
    sm_crew_stop(api->writes);
    sm_crew_stop(api->reports);
    sm_crew_stop(api->loads);
    sm_evaluated_free(api->evaluated);
    sm_idempotency_stop(api->idempotency);
    sm_buckets_free(api->auth_failures);
}
