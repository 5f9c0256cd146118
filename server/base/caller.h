/* The caller of a request: the rights that its API key grants. The check of the key fills it in; a
 * zeroed caller is anonymous and belongs to the default tenant.
 *
 * Owner, threads: a plain value. */
#ifndef SERVER_BASE_CALLER_H
#define SERVER_BASE_CALLER_H

#include <stdbool.h>
#include <stdint.h>

#define SM_TENANT_DEFAULT 0
#define SM_SCOPES         "score read audit admin metrics" /* all scopes, space-separated */
#define SM_SCOPES_BYTES   sizeof SM_SCOPES

#define SM_IDEMPOTENCY_KEY_BYTES 256 /* bytes of an Idempotency-Key and its NUL */

struct sm_caller {
    char api_key_id[37]; /* "": the request needed no API key */
    int64_t tenant;
    char scopes[SM_SCOPES_BYTES];
    int64_t scores_per_day;  /* limit of scores per day; 0: unlimited */
    int64_t cost_ms_per_day; /* limit in ms of a reference core (sm_cost_ms); 0: unlimited */
    bool rounds;             /* replies show rounded figures (server/http/rounding.h) */
    int digits;              /* digits of the reference's sd to which figures are rounded */
};

#endif
