/* POST /v1/audits/{id}/gates: judges an audit that has ended by other gates.
 *
 * The crew `reports` evaluates the stored scores. Nothing is stored: the audit's reports keep the
 * gates that it was started with. A repeated request is judged again, because a verdict must not
 * outlive images that were erased since. */
#include <stdlib.h>

#include "server/api/evaluated.h"
#include "server/api/handlers.h"
#include "server/api/idempotency.h"

struct judging {
    struct sm_call call;
    struct sm_api *api;
    struct sm_audit_id audit;
    struct sm_audit_spec gates; /* only its gates are used */
    json_t *answer;
};

static void judging_free(struct sm_call *call)
{
    struct judging *j = (struct judging *)call;
    json_decref(j->answer);
    free(j);
}

static enum sm_code work(struct sm_call *call, struct sm_err *err)
{
    struct judging *j = (struct judging *)call;
    struct sm_evaluated *e;
    enum sm_code code = sm_evaluated_get(&e, j->api, &j->audit, err);
    return code == SM_OK ? sm_audit_judge(&j->answer, e->result, &j->gates, err) : code;
}

static void reply(struct sm_request *request, struct sm_call *call)
{
    struct judging *j = (struct judging *)call;
    if (call->code == SM_OK)
        sm_reply_json(request, 200, json_incref(j->answer));
    else
        sm_api_reply_audit_failure(request, &call->err);
}

/* An empty list is refused: it would pass every audit. */
static enum sm_code parse_gates(void *out, const json_t *list, struct sm_err *err)
{
    struct sm_audit_spec *gates = out;
    enum sm_code code = sm_audit_gates_parse(gates, list, err);
    if (code == SM_OK && gates->gates_count == 0)
        code = sm_err_field(err, "/gates", "gates has 0 entries, must be from 1 to %d",
                            SM_AUDIT_GATES_MAX);
    return code;
}

/* Returns false after a reply. */
static bool check_ended(struct sm_request *request)
{
    struct sm_audit_head head;
    if (!sm_api_audit_head(&head, request))
        return false;
    if (!head.finished)
        sm_api_reply_audit_state(request, &head, "it must have ended to be judged");
    return head.finished;
}

void sm_api_post_gates(struct sm_request *request)
{
    struct judging *j = calloc(1, sizeof *j);
    if (!j) {
        sm_reply_no_memory(request);
        return;
    }
    j->call = (struct sm_call){.work = work, .reply = reply, .release = judging_free};
    j->api = sm_api_of(request);
    j->audit = sm_api_audit_id(request);
    sm_api_idempotency_skip(request);
    if (check_ended(request) &&
        sm_api_read_member(&j->gates, request, "gates", SM_PROBLEM_AUDIT_INVALID, parse_gates))
        sm_call_begin(&j->call, request, j->api->reports);
    else
        free(j);
}
