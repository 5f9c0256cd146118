/* The route table. openapi.yaml describes the same rows; tests/api compares them both ways. */
#include "server/api/handlers.h"

const struct sm_route sm_api_routes[] = {
    {"POST", "/v1/scores", "createScores", .accepts = "image/jpeg, image/png, multipart/form-data",
     .query = "pair", .admit = sm_api_post_scores_admit, .handler = sm_api_post_scores},
    {"GET", "/v1/scores", "listScores",
     .query = "pair image since until min max order limit cursor", .handler = sm_api_list_scores},
    {"GET", "/v1/scores/{id}", "getScore", .handler = sm_api_get_score},
    {"GET", "/v1/jobs/{id}", "getJob", .handler = sm_api_get_job},
    {"GET", "/v1/pairs", "listPairs", .handler = sm_api_list_pairs},
    {"GET", "/v1/pairs/{name}", "getPair", .handler = sm_api_get_pair},
    {"GET", "/v1/limits", "getLimits", .handler = sm_api_limits},
    {"GET", "/metrics", "getMetrics", .handler = sm_api_public_metrics},
    {"GET", "/livez", "getLiveness", .handler = sm_api_livez},
    {"GET", "/readyz", "getReadiness", .handler = sm_api_readyz},
    {"GET", "/version", "getVersion", .handler = sm_api_version},
    {"GET", "/openapi.yaml", "getDescription", .handler = sm_api_openapi},
    {0},
};

const struct sm_route sm_api_admin_routes[] = {
    {"GET", "/metrics", "getMetrics", .handler = sm_api_metrics},
    {0},
};
