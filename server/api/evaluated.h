/* The audit that was evaluated last, with its items: clients often fetch several exports of one
 * audit in a row.
 *
 * Owner:   sm_api. Threads: the single thread of the crew `reports`. */
#ifndef SERVER_API_EVALUATED_H
#define SERVER_API_EVALUATED_H

#include "server/api/api.h"
#include "server/store/audits.h"

struct sm_evaluated {
    struct sm_audit_id audit;
    int64_t revision;
    struct sm_store_audit_record record;
    struct sm_audit_result *result;
};

/* Returns the evaluation of the audit at its present revision, and evaluates it unless the cache
 * has that revision. The cache owns the result, which is valid until the next call. Errors: those
 * of the store and of sm_audit_evaluate. */
enum sm_code sm_evaluated_get(struct sm_evaluated **out, struct sm_api *api,
                              const struct sm_audit_id *audit, struct sm_err *err);
void sm_evaluated_free(struct sm_evaluated *evaluated);

#endif
