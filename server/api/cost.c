/* An image is weighed by the size that its header declares, which needs only its first bytes. A
 * worker weighs it again when it is decoded. */
#include "server/api/cost.h"

#include <stdio.h>

#define WHAT_TO_DO "ask for fewer views, smaller sizes or fewer ops"

static void reply_too_costly(struct sm_request *request, const char *what, int64_t cost_ms,
                             const char *limit_name, int64_t limit_ms, const char *todo)
{
    sm_reply_problem(request, SM_PROBLEM_RECIPE_TOO_COSTLY,
                     "%s costs %lld ms with this recipe, %s is %lld: %s", what, (long long)cost_ms,
                     limit_name, (long long)limit_ms, todo);
}

bool sm_api_weigh(struct sm_request *request, struct sm_item_in *items, int items_count,
                  const struct sm_pair *pair, const struct sm_recipe *recipe)
{
    const struct sm_config *config = sm_api_of(request)->config;
    int64_t sum_ms = 0;
    char what[64];
    for (int i = 0; i < items_count; i++) {
        int32_t width_px, height_px;
        sm_image_declared_size(&width_px, &height_px, items[i].bytes, items[i].bytes_count);
        items[i].cost_ms = sm_cost_ms(pair, recipe, width_px, height_px);
        sum_ms += items[i].cost_ms;
        if (items[i].cost_ms <= config->item_cost_ms_max)
            continue;
        snprintf(what, sizeof what, "image %d of %dx%d pixels", i, (int)width_px, (int)height_px);
        reply_too_costly(request, what, items[i].cost_ms, "item_cost_ms_max",
                         config->item_cost_ms_max, WHAT_TO_DO);
        return false;
    }
    if (sum_ms <= config->request_cost_ms_max)
        return true;
    snprintf(what, sizeof what, "all %d images together", items_count);
    reply_too_costly(request, what, sum_ms, "request_cost_ms_max", config->request_cost_ms_max,
                     "send fewer images at once, or " WHAT_TO_DO);
    return false;
}

bool sm_api_check_recipe_cost(struct sm_request *request, const struct sm_pair *pair,
                              const struct sm_recipe *recipe)
{
    int64_t max_ms = sm_api_of(request)->config->item_cost_ms_max;
    int64_t cost_ms = sm_cost_ms(pair, recipe, 1, 1);
    if (cost_ms <= max_ms)
        return true;
    reply_too_costly(request, "the smallest image", cost_ms, "item_cost_ms_max", max_ms,
                     WHAT_TO_DO);
    return false;
}

void sm_api_retry_after(struct sm_request *request, int64_t cost_ms, int64_t max_s)
{
    int64_t s = sm_jobs_wait_s(sm_api_of(request)->jobs, cost_ms);
    sm_reply_header(request, "Retry-After", "%lld", (long long)(s < max_s ? s : max_s));
}
