/* The checks of GET /readyz; /metrics shows them too.
 *
 * Owner, threads: no state; called on HTTP threads. */
#ifndef SERVER_API_READY_H
#define SERVER_API_READY_H

#include "server/http/request.h"

/* Percent of queue_max, or of queue_cost_ms_max, from which on /readyz fails. */
#define SM_READY_QUEUE_PERCENT 90

enum { SM_READY_CHECKS = 8 };

struct sm_ready_check {
    const char *name;
    bool ok;
};
/* Runs all checks; returns false when out of memory. */
bool sm_api_ready(struct sm_ready_check out[SM_READY_CHECKS], struct sm_request *request);

#endif
