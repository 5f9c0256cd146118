/* The last audit that was evaluated, with its items: several exports are often asked for in a row.
 *
 * Owner:   sm_api. Threads: the one of the crew `reports`. */
#ifndef SERVER_API_EVALUATED_H
#define SERVER_API_EVALUATED_H

#include "server/api/api.h"
#include "server/store/audits.h"

struct sm_evaluated {
    char id[SM_ID_BYTES];
    int64_t revision;
    struct sm_store_audit_record record;
    struct sm_audit_result *result;
};

/* The audit as it stands, evaluated again when its revision is another. Errors: those of the store
 * and of sm_audit_evaluate. */
enum sm_code sm_evaluated_get(struct sm_evaluated **out, struct sm_api *api, const char *id,
                              struct sm_err *err);
void sm_evaluated_free(struct sm_evaluated *evaluated);

#endif
