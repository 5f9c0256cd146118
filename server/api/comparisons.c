/* GET /v1/comparisons: compares audits of the same images. */
#include <stdlib.h>
#include <string.h>

#include "server/api/handlers.h"
#include "server/base/id.h"

struct comparison {
    struct sm_call call;
    struct sm_store *store;
    int64_t tenant;
    char ids[SM_AUDIT_COMPARED_MAX][SM_ID_BYTES];
    size_t count;
    struct sm_store_audit_record records[SM_AUDIT_COMPARED_MAX];
    size_t records_count;
    json_t *result;
};

static void comparison_free(struct sm_call *call)
{
    struct comparison *c = (struct comparison *)call;
    for (size_t i = 0; i < c->records_count; i++)
        sm_store_audit_record_release(&c->records[i]);
    json_decref(c->result);
    free(c);
}

static struct sm_audit_id audit_at(const struct comparison *c, size_t i)
{
    struct sm_audit_id audit = {.tenant = c->tenant};
    memcpy(audit.id, c->ids[i], sizeof audit.id);
    return audit;
}

static enum sm_code work(struct sm_call *call, struct sm_err *err)
{
    struct comparison *c = (struct comparison *)call;
    const struct sm_audit *audits[SM_AUDIT_COMPARED_MAX];
    enum sm_code code = SM_OK;
    for (size_t i = 0; i < c->count && code == SM_OK; i++) {
        struct sm_audit_id audit = audit_at(c, i);
        code = sm_store_audit_record(&c->records[i], c->store, &audit, err);
        c->records_count += code == SM_OK;
        audits[i] = &c->records[i].audit;
    }
    return code == SM_OK ? sm_audit_compare(&c->result, audits, c->count, SM_AUDIT_POINTS_MAX, err)
                         : code;
}

static void reply(struct sm_request *request, struct sm_call *call)
{
    struct comparison *c = (struct comparison *)call;
    if (call->code == SM_OK)
        sm_api_log_reads(request, c->ids, c->count);
    if (call->code == SM_OK)
        sm_reply_json(request, 200, json_incref(c->result));
    else if (call->code == SM_INVALID)
        sm_reply_problem(request, SM_PROBLEM_COMPARISON_INVALID, "%s", call->err.text);
    else
        sm_api_reply_audit_failure(request, &call->err);
}

/* Returns whether the last id is a repetition; true after a reply. */
static bool is_repeated(const struct comparison *c, struct sm_request *request)
{
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->ids[i], c->ids[c->count]) == 0) {
            sm_reply_problem(request, SM_PROBLEM_QUERY_INVALID,
                             "audits names %s twice: an audit is compared with another one",
                             c->ids[i]);
            return true;
        }
    return false;
}

/* Reads different ids, separated by commas; false after a reply. */
static bool read_ids(struct comparison *c, struct sm_request *request)
{
    const char *text = sm_request_query(request, "audits");
    for (const char *at = text; at && c->count < SM_AUDIT_COMPARED_MAX; c->count++) {
        size_t n = strcspn(at, ",");
        char *id = c->ids[c->count];
        if (n != SM_ID_BYTES - 1)
            break;
        memcpy(id, at, n);
        id[n] = '\0';
        if (!sm_id_valid(id))
            break;
        if (is_repeated(c, request))
            return false;
        if (at[n] == '\0' && c->count >= 1) {
            c->count++;
            return true;
        }
        at = at[n] == '\0' ? NULL : at + n + 1;
    }
    sm_reply_problem(request, SM_PROBLEM_QUERY_INVALID,
                     "audits must be 2 to %d ids of audits between commas", SM_AUDIT_COMPARED_MAX);
    return false;
}

/* Returns true if the caller's tenant has every audit and all have ended; otherwise replies and
 * returns false. */
static bool check_audits(const struct comparison *c, struct sm_request *request)
{
    struct sm_err err;
    for (size_t i = 0; i < c->count; i++) {
        struct sm_audit_id audit = audit_at(c, i);
        struct sm_audit_head head;
        enum sm_code code = sm_store_audit_head(&head, c->store, &audit, &err);
        if (code == SM_NOT_FOUND)
            sm_reply_problem(request, SM_PROBLEM_AUDIT_UNKNOWN, "there is no audit '%s'", audit.id);
        else if (code != SM_OK)
            sm_reply_failure(request, &err);
        else if (!head.finished)
            sm_api_reply_audit_state(request, &head, "it must have ended to be compared");
        if (code != SM_OK || !head.finished)
            return false;
    }
    return true;
}

void sm_api_get_comparison(struct sm_request *request)
{
    struct comparison *c = calloc(1, sizeof *c);
    if (!c) {
        sm_reply_no_memory(request);
        return;
    }
    c->call = (struct sm_call){.work = work, .reply = reply, .release = comparison_free};
    c->store = sm_api_of(request)->store;
    c->tenant = request->caller.tenant;
    if (read_ids(c, request) && check_audits(c, request))
        sm_call_begin(&c->call, request, sm_api_of(request)->reports);
    else
        free(c);
}
