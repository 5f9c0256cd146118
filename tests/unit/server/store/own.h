/* Names an audit of a test by its id. */
#ifndef TESTS_UNIT_SERVER_STORE_OWN_H
#define TESTS_UNIT_SERVER_STORE_OWN_H

#include <stdio.h>

#include "server/store/audits.h"

struct owned {
    struct sm_audit_id at[1];
};
static inline struct owned owned_by(int64_t tenant, const char *id)
{
    struct owned own = {{{.tenant = tenant}}};
    snprintf(own.at->id, sizeof own.at->id, "%s", id);
    return own;
}
/* A pointer that is valid until the end of the expression. */
#define OWN(id) (owned_by(SM_TENANT_DEFAULT, (id)).at)

#endif
