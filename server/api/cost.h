/* Costs at admission: the limits of an image, of a request and of the queue in one unit
 * (sslmem/cost.h), and the waits that follow from them. */
#ifndef SERVER_API_COST_H
#define SERVER_API_COST_H

#include "server/api/handlers.h"
#include "sslmem/cost.h"

/* Sets the cost of each item from its header. False after 422 recipe_too_costly. A header that is
 * not read costs what every image does: its file fails, or is weighed when it is decoded. */
bool sm_api_weigh(struct sm_request *request, struct sm_item_in *items, int items_count,
                  const struct sm_pair *pair, const struct sm_recipe *recipe);
/* For a recipe without an image: false after 422 when even one of 1x1 pixels is over the limit. */
bool sm_api_check_recipe_cost(struct sm_request *request, const struct sm_pair *pair,
                              const struct sm_recipe *recipe);
/* Retry-After of an answer whose client is to come back when so much cost is worked off, or sooner.
 */
void sm_api_retry_after(struct sm_request *request, int64_t cost_ms, int64_t max_s);

#endif
