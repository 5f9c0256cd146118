/* Who asks: what a request's key lets its client do. Filled in when the key is checked; a zeroed
 * one is nobody in particular, of the default tenant.
 *
 * Owner, threads: a value. */
#ifndef SERVER_BASE_CALLER_H
#define SERVER_BASE_CALLER_H

#include <stdbool.h>
#include <stdint.h>

#define SM_TENANT_DEFAULT 0
#define SM_SCOPES         "score read audit admin metrics" /* every scope there is */
#define SM_SCOPES_BYTES   sizeof SM_SCOPES

#define SM_IDEMPOTENCY_KEY_BYTES 256 /* an Idempotency-Key and its NUL */

struct sm_caller {
    char api_key_id[37]; /* "": no key was needed */
    int64_t tenant;
    char scopes[SM_SCOPES_BYTES];
    int64_t scores_per_day;  /* 0: as many as it likes */
    int64_t cost_ms_per_day; /* of sm_cost_ms; 0: as much as it likes */
    bool rounds;             /* figures are shown to so many digits of their spread */
    int digits;
};

#endif
