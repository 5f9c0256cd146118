/* Reads the body of POST /v1/scores, raw or multipart, into items and a recipe.
 *
 * Owner:  items and parts borrow the request's body; sm_upload_release accepts a zeroed object.
 * Errors: the functions that return false have replied. */
#ifndef SERVER_API_UPLOAD_H
#define SERVER_API_UPLOAD_H

#include "server/http/multipart.h"
#include "server/http/request.h"
#include "server/store/store.h"
#include "sslmem/score.h"

#define SM_RECIPE_BYTES_MAX (64u << 10)
#define SM_RECIPE_DEPTH_MAX 8

struct sm_upload {
    struct sm_item_in *items;
    int items_count;
    struct sm_recipe recipe;
    char recipe_digest[65];
    struct sm_part *parts; /* NULL for a raw body */
};

/* Reads at most `images_max` images, and a recipe that is checked against the pair. */
bool sm_upload_read(struct sm_upload *out, struct sm_request *request, const struct sm_pair *pair,
                    int64_t images_max);
void sm_upload_release(struct sm_upload *upload);

/* Splits a multipart body into at most `parts_max` parts, which borrow it. `allowed` describes the
 * limit in the error text. */
bool sm_upload_split(struct sm_part *parts, int *parts_count, int parts_max,
                     struct sm_request *request, const char *allowed);

/* Replies that the bytes are no image; for an archive it names the route that takes archives. */
void sm_api_reply_no_image(struct sm_request *request, const void *bytes, size_t bytes_count);

#endif
