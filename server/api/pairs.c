/* GET /v1/pairs, /v1/pairs/{name}: what is loaded, and why the rest is not. */
#include "server/api/handlers.h"

const struct sm_pair *sm_api_pair(struct sm_request *request, const char *name)
{
    const struct sm_pairs *pairs = sm_api_of(request)->pairs;
    int index = sm_pairs_find(pairs, name);
    const char *reason = NULL;

    if (index < 0) {
        sm_reply_problem(request, SM_PROBLEM_PAIR_UNKNOWN, "there is no pair '%.64s'", name);
        return NULL;
    }
    const struct sm_pair *pair = sm_pairs_at(pairs, index, &reason);
    if (pair == NULL)
        sm_reply_problem(request, SM_PROBLEM_PAIR_FAILED, "pair '%s': %s", name,
                         reason == NULL ? "failed" : reason);
    return pair;
}

void sm_api_list_pairs(struct sm_request *request)
{
    const struct sm_pairs *pairs = sm_api_of(request)->pairs;
    json_t *list = json_array();

    for (int i = 0; i < sm_pairs_count(pairs); i++)
        if (json_array_append_new(list, sm_pairs_json(pairs, i)) != 0) {
            json_decref(list);
            list = NULL;
            break;
        }
    sm_reply_json(request, 200, list == NULL ? NULL : json_pack("{s:o}", "pairs", list));
}

void sm_api_get_pair(struct sm_request *request)
{
    const struct sm_pairs *pairs = sm_api_of(request)->pairs;
    int index = sm_pairs_find(pairs, request->capture);

    if (index < 0)
        sm_reply_problem(request, SM_PROBLEM_PAIR_UNKNOWN, "there is no pair '%s'",
                         request->capture);
    else
        sm_reply_json(request, 200, sm_pairs_json(pairs, index));
}
