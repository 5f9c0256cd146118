/* The handlers of the route table and what more than one of their files uses. */
#ifndef SERVER_API_HANDLERS_H
#define SERVER_API_HANDLERS_H

#include "server/api/api.h"
#include "server/http/reply.h"

sm_handler sm_api_post_scores_admit, sm_api_post_scores;                /* post_scores.c */
sm_handler sm_api_list_scores, sm_api_get_score;                        /* scores.c */
sm_handler sm_api_metrics, sm_api_public_metrics;                       /* metrics.c */
sm_handler sm_api_limits;                                               /* limits.c */
sm_handler sm_api_get_job;                                              /* jobs.c */
sm_handler sm_api_list_pairs, sm_api_get_pair;                          /* pairs.c */
sm_handler sm_api_livez, sm_api_readyz, sm_api_version, sm_api_openapi; /* health.c */

static inline struct sm_api *sm_api_of(const struct sm_request *request)
{
    return request->context;
}

#endif
