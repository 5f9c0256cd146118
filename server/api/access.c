/* Logs which API key reads which records (ids of scores, jobs and audits), before the answer is
 * sent. A request without an API key is not logged. */
#include <stdio.h>

#include "server/api/handlers.h"
#include "server/base/id.h"
#include "server/store/access.h"

void sm_api_log_reads(struct sm_request *request, char (*ids)[SM_ID_BYTES], size_t count)
{
    if (request->caller.api_key_id[0] != '\0')
        sm_store_log_access(sm_api_of(request)->store,
                            &(struct sm_access){.api_key_id = request->caller.api_key_id,
                                                .request = request->id,
                                                .operation = request->route->operation,
                                                .records = ids,
                                                .records_count = count});
}

void sm_api_log_read(struct sm_request *request, const char *id)
{
    char ids[1][SM_ID_BYTES];
    snprintf(ids[0], sizeof ids[0], "%s", id);
    sm_api_log_reads(request, ids, 1);
}

void sm_api_log_access(struct sm_request *request)
{
    if (request->status < 400 && sm_id_valid(request->capture))
        sm_api_log_read(request, request->capture);
}
