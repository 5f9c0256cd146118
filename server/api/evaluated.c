/* The revision is read before the items: should they change in between, the next caller finds
 * another revision and evaluates again. */
#include "server/api/evaluated.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sm_evaluated_free(struct sm_evaluated *evaluated)
{
    if (!evaluated)
        return;
    sm_audit_result_free(evaluated->result);
    sm_store_audit_record_release(&evaluated->record);
    free(evaluated);
}

enum sm_code sm_evaluated_get(struct sm_evaluated **out, struct sm_api *api, const char *id,
                              struct sm_err *err)
{
    struct sm_evaluated *e = api->evaluated;
    int64_t revision = sm_store_audit_revision(api->store, id);
    if (e && e->revision == revision && strcmp(e->id, id) == 0) {
        *out = e;
        return SM_OK;
    }
    sm_evaluated_free(e); /* first: two large audits need not fit */
    api->evaluated = NULL;
    if (!(e = calloc(1, sizeof *e)))
        return sm_err_set(err, SM_NOMEM, "audit %s: out of memory", id);
    snprintf(e->id, sizeof e->id, "%s", id);
    e->revision = revision;
    enum sm_code code = sm_store_audit_record(&e->record, api->store, id, err);
    if (code == SM_OK)
        code = sm_audit_evaluate(&e->result, &e->record.audit, err);
    if (code != SM_OK) {
        sm_evaluated_free(e);
        return code;
    }
    api->evaluated = e;
    *out = e;
    return SM_OK;
}
