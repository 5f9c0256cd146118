/* The service's operations over HTTP: what handlers share, and the route table.
 *
 *     struct sm_api api = {…};
 *     sm_http_start(&http, &(struct sm_http_params){.context = &api, …}, &err);
 *
 * Owner:   everything is borrowed and must outlive the HTTP daemon.
 * Threads: handlers run on HTTP threads; they read rows and hash uploads, and never compute. */
#ifndef SERVER_API_API_H
#define SERVER_API_API_H

#include "server/base/config.h"
#include "server/http/route.h"
#include "server/jobs/jobs.h"

struct sm_api {
    const struct sm_config *config;
    const struct sm_pairs *pairs;
    struct sm_store *store;
    struct sm_jobs *jobs;
    int64_t started_ms; /* of the process, Unix time */
};

extern const struct sm_route sm_api_routes[];
extern const struct sm_route sm_api_admin_routes[]; /* of the admin listener */

#endif
