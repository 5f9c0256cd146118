/* The service's operations over HTTP: what handlers share, and the route table.
 *
 *     struct sm_api api = {.config = …, .pairs = …, .store = …, .jobs = …};
 *     sm_api_start(&api, &err);
 *     sm_http_start(&http, &(struct sm_http_params){.context = &api, …}, &err);
 *     …
 *     sm_http_stop(http);
 *     sm_api_stop(&api);
 *
 * Owner:   what is set before the start is borrowed and must outlive the stop.
 * Threads: handlers run on HTTP threads; they read rows and hash uploads, and never compute. What
 *          takes longer is a call of one of the crews (call.h). */
#ifndef SERVER_API_API_H
#define SERVER_API_API_H

#include "server/api/call.h"
#include "server/base/buckets.h"
#include "server/base/config.h"
#include "server/http/route.h"
#include "server/jobs/jobs.h"

#define SM_API_ITEMS_MAX      1000 /* images of an audit in a page */
#define SM_API_JSON_BYTES_MAX (64 << 10)
#define SM_API_JSON_DEPTH_MAX 8 /* levels of a body */

struct sm_evaluated;
struct sm_idempotency;

struct sm_api {
    const struct sm_config *config;
    struct sm_pairs *pairs;
    struct sm_store *store;
    struct sm_jobs *jobs;
    struct sm_decoders *decoders; /* NULL: none */
    int64_t started_ms;           /* of the process, Unix time */
    atomic_bool draining;         /* set before the end: /readyz fails, all else goes on */

    char spool[1024]; /* folder of the database: for files without a name */
    struct sm_crew *uploads, *writes, *reports, *loads;
    struct sm_evaluated *evaluated; /* the last one; of the one thread of `reports` */
    struct sm_idempotency *retries;
    struct sm_buckets *auth_failures; /* by address */
};

enum sm_code sm_api_start(struct sm_api *api, struct sm_err *err);
/* After the HTTP daemon has stopped; also after a start that failed. */
void sm_api_stop(struct sm_api *api);

/* sm_http_params.authorize: the caller of a request from its key. */
void sm_api_authorize(struct sm_request *request);

/* sm_http_params.answered: notes who was told of what. */
void sm_api_idempotency_answered(struct sm_request *request);

extern const struct sm_route sm_api_routes[];
extern const struct sm_route sm_api_admin_routes[]; /* of the admin listener */

#endif
