/* The revision is read before the items: if items change in between, the next call finds another
 * revision and evaluates again. */
#include "server/api/evaluated.h"

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

static bool is_current(const struct sm_evaluated *e, const struct sm_audit_head *head)
{
    return e && e->revision == head->revision && e->audit.tenant == head->audit.tenant &&
           strcmp(e->audit.id, head->audit.id) == 0;
}

enum sm_code sm_evaluated_get(struct sm_evaluated **out, struct sm_api *api,
                              const struct sm_audit_id *audit, struct sm_err *err)
{
    struct sm_evaluated *e = api->evaluated;
    struct sm_audit_head head;
    enum sm_code code = sm_store_audit_head(&head, api->store, audit, err);
    if (code != SM_OK)
        return code;
    if (is_current(e, &head)) {
        *out = e;
        return SM_OK;
    }
    sm_evaluated_free(e); /* first: two large audits need not fit */
    api->evaluated = NULL;
    if (!(e = calloc(1, sizeof *e)))
        return sm_err_set(err, SM_NOMEM, "audit %s: out of memory", audit->id);
    e->audit = *audit;
    e->revision = head.revision;
    code = sm_store_audit_record(&e->record, api->store, audit, err);
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
