/* Refuses request heads that two readers could understand differently (request smuggling).
 *
 * Threads: the one that has the request. */
#ifndef SERVER_HTTP_HEAD_H
#define SERVER_HTTP_HEAD_H

#include "server/http/request.h"

/* Returns true if the head has one meaning only, and one end of the request. Otherwise replies; the
 * caller must then read nothing more from the connection. */
bool sm_head_check(struct sm_request *request);

#endif
