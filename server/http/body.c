/* The length of a body is known and bounded before its first byte comes, so one allocation, or one
 * reservation on the disk, is enough. */
#include "server/http/body.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/http/spool.h"

static bool take(struct sm_body_budget *budget, size_t length)
{
    int64_t before = atomic_fetch_add(&budget->used, (int64_t)length);
    if (before + (int64_t)length <= budget->max)
        return true;
    atomic_fetch_sub(&budget->used, (int64_t)length);
    return false;
}

enum sm_code sm_body_reserve(struct sm_body *body, struct sm_body_budget *budget, size_t length)
{
    *body = (struct sm_body){0};
    if (length == 0)
        return SM_OK;
    if (!take(budget, length))
        return SM_BUSY;
    body->capacity = length;
    if (!(body->bytes = malloc(length))) {
        sm_body_release(body, budget);
        return SM_NOMEM;
    }
    return SM_OK;
}

enum sm_code sm_body_spool(struct sm_body *body, struct sm_body_budget *budget, const char *folder,
                           size_t length, struct sm_err *err)
{
    int fd;
    *body = (struct sm_body){0};
    if (!take(budget, length))
        return sm_err_set(err, SM_BUSY, "no room for a body of %zu bytes now", length);
    body->capacity = length;
    enum sm_code code = sm_spool_open(&fd, folder, (int64_t)length, err);
    if (code != SM_OK) {
        sm_body_release(body, budget);
        return code;
    }
    body->spooled = true;
    body->fd = fd;
    return SM_OK;
}

static bool write_all(int fd, const char *bytes, size_t bytes_count)
{
    while (bytes_count > 0) {
        ssize_t n = write(fd, bytes, bytes_count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        bytes_count -= (size_t)n;
    }
    return true;
}

bool sm_body_append(struct sm_body *body, const void *bytes, size_t bytes_count)
{
    if (bytes_count > body->capacity - body->bytes_count)
        return false;
    if (body->spooled && !write_all(body->fd, bytes, bytes_count))
        return false;
    if (!body->spooled)
        memcpy(body->bytes + body->bytes_count, bytes, bytes_count);
    body->bytes_count += bytes_count;
    return true;
}

void sm_body_release(struct sm_body *body, struct sm_body_budget *budget)
{
    atomic_fetch_sub(&budget->used, (int64_t)body->capacity);
    free(body->bytes);
    if (body->spooled)
        close(body->fd);
    *body = (struct sm_body){0};
}
