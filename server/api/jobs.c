/* GET /v1/jobs/{id}: the state of a job, with the full scores of its succeeded items. */
#include "server/api/handlers.h"
#include "server/base/id.h"

void sm_api_get_job(struct sm_request *request)
{
    struct sm_err err = {0};
    json_t *job = NULL;
    if (sm_id_valid(request->capture) &&
        sm_store_job(&job, sm_api_of(request)->store, request->caller.tenant, request->capture,
                     &err) == SM_OK)
        sm_reply_json(request, 200, job);
    else if (err.code == SM_OK || err.code == SM_NOT_FOUND)
        sm_reply_problem(request, SM_PROBLEM_JOB_UNKNOWN, "there is no job '%s'", request->capture);
    else
        sm_reply_failure(request, &err);
}
