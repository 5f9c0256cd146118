/* Cost at admission, in the unit of sslmem/cost.h: the limits of an image and of a request, and the
 * times after which a client may come back. */
#ifndef SERVER_API_COST_H
#define SERVER_API_COST_H

#include "server/api/handlers.h"
#include "sslmem/cost.h"

/* Sets the cost of each item from the size in the image's header. Returns false after replying 422
 * recipe_too_costly. A file without a readable size counts as 0 x 0 pixels: decoding it fails, or a
 * worker weighs it after decoding. */
bool sm_api_weigh(struct sm_request *request, struct sm_item_in *items, int items_count,
                  const struct sm_pair *pair, const struct sm_recipe *recipe);
/* Checks a recipe before there are images: returns false after replying 422 if even an image of 1x1
 * pixels costs more than the limit. */
bool sm_api_check_recipe_cost(struct sm_request *request, const struct sm_pair *pair,
                              const struct sm_recipe *recipe);
/* Adds Retry-After: the time in which the workers do work of `cost_ms`, but at most `max_s`. */
void sm_api_retry_after(struct sm_request *request, int64_t cost_ms, int64_t max_s);

#endif
