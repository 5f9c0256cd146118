/* Body collection: the length is known and bounded before the first byte comes, so one allocation.
 */
#include "server/http/body.h"

#include <stdlib.h>
#include <string.h>

enum sm_code sm_body_reserve(struct sm_body *body, struct sm_body_budget *budget, size_t length)
{
    *body = (struct sm_body){0};
    if (length == 0)
        return SM_OK;
    int64_t before = atomic_fetch_add(&budget->used, (int64_t)length);
    if (before + (int64_t)length > budget->max) {
        atomic_fetch_sub(&budget->used, (int64_t)length);
        return SM_BUSY;
    }
    body->capacity = length;
    if ((body->bytes = malloc(length)) == NULL) {
        sm_body_release(body, budget);
        return SM_NOMEM;
    }
    return SM_OK;
}

bool sm_body_append(struct sm_body *body, const void *bytes, size_t bytes_count)
{
    if (bytes_count > body->capacity - body->bytes_count)
        return false;
    memcpy(body->bytes + body->bytes_count, bytes, bytes_count);
    body->bytes_count += bytes_count;
    return true;
}

void sm_body_release(struct sm_body *body, struct sm_body_budget *budget)
{
    atomic_fetch_sub(&budget->used, (int64_t)body->capacity);
    free(body->bytes);
    *body = (struct sm_body){0};
}
