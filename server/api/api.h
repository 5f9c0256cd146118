/* The service's operations over HTTP: the state that handlers share, and the route tables.
 *
 *     struct sm_api api = {.config = …, .pairs = …, .store = …, .jobs = …};
 *     sm_api_start(&api, &err);
 *     sm_http_start(&http, &(struct sm_http_params){.context = &api, …}, &err);
 *     …
 *     sm_http_stop(http);
 *     sm_api_stop(&api);
 *
 * Owner:   fields set before sm_api_start are borrowed and must outlive sm_api_stop.
 * Threads: handlers run on HTTP threads; they read rows and hash uploads, and never compute. Slower
 *          work is a call of one of the crews (call.h). */
#ifndef SERVER_API_API_H
#define SERVER_API_API_H

#include "server/api/call.h"
#include "server/base/buckets.h"
#include "server/base/config.h"
#include "server/http/route.h"
#include "server/jobs/jobs.h"

#define SM_API_ITEMS_MAX      1000 /* items of an audit in one page */
#define SM_API_JSON_BYTES_MAX (64 << 10)
#define SM_API_JSON_DEPTH_MAX 8 /* nested levels of a body */

struct sm_evaluated;
struct sm_idempotency;

struct sm_api {
    const struct sm_config *config;
    struct sm_pairs *pairs;
    struct sm_store *store;
    struct sm_jobs *jobs;
    struct sm_decoders *decoders; /* NULL: images are decoded in this process */
    int64_t started_ms;           /* start of the process, Unix time */
    atomic_bool draining;         /* the drain has begun: /readyz fails, requests are served */

    char spool[1024]; /* folder for unnamed spool files: that of the database */
    struct sm_crew *uploads, *writes, *reports, *loads;
    struct sm_evaluated *evaluated; /* the last audit evaluated; only for the crew `reports` */
    struct sm_idempotency *idempotency;
    struct sm_buckets *auth_failures; /* limits failures per client address */
};

/* Starts the crews and sets the fields below `draining`. */
enum sm_code sm_api_start(struct sm_api *api, struct sm_err *err);
/* Call after the HTTP daemon has stopped, also if sm_api_start failed. */
void sm_api_stop(struct sm_api *api);

/* For sm_http_params.authorize: fills in request->caller from the API key, or replies. */
void sm_api_authorize(struct sm_request *request);

/* For sm_http_params.answered: logs that the caller read the record that the path names. */
void sm_api_log_access(struct sm_request *request);

extern const struct sm_route sm_api_routes[];
extern const struct sm_route sm_api_admin_routes[]; /* for the admin listener */

#endif
