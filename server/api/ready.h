/* The checks of GET /readyz, for /metrics too.
 *
 * Owner, threads: no state; on an HTTP thread. */
#ifndef SERVER_API_READY_H
#define SERVER_API_READY_H

#include "server/http/request.h"

#define SM_READY_QUEUE_PERCENT 90 /* of queue_max, from which on no more should be sent */

enum { SM_READY_CHECKS = 8 };

struct sm_ready_check {
    const char *name;
    bool ok;
};
/* False when out of memory. */
bool sm_api_ready(struct sm_ready_check out[SM_READY_CHECKS], struct sm_request *request);

#endif
