/* Heads of requests that two readers could read differently.
 *
 * Threads: the one that has the request. */
#ifndef SERVER_HTTP_HEAD_H
#define SERVER_HTTP_HEAD_H

#include "server/http/request.h"

/* Whether it is beyond doubt what the head says and where the request ends; replies when not. The
 * connection must not be read on then. */
bool sm_head_check(struct sm_request *request);

#endif
