/* Bodies: each is collected whole, within its declared length. Bodies in memory share one budget of
 * bytes, spooled bodies another.
 *
 * Owner: the caller; sm_body_release frees memory, file and budget, and accepts a zeroed body. */
#ifndef SERVER_HTTP_BODY_H
#define SERVER_HTTP_BODY_H

#include <stdatomic.h>

#include "server/http/request.h"
#include "sslmem/err.h"

/* Bytes that all bodies together use and may use. Any thread. */
struct sm_body_budget {
    _Atomic int64_t used;
    _Atomic int64_t max;
};

/* Reserves memory for a body of `length` bytes. Errors: SM_BUSY (over the budget), SM_NOMEM. */
enum sm_code sm_body_reserve(struct sm_body *body, struct sm_body_budget *budget, size_t length);
/* Reserves a file without a name in `folder` for a body of `length` bytes. Errors: SM_BUSY (over
 * the budget), SM_FULL (the disk has no room), SM_IO. */
enum sm_code sm_body_spool(struct sm_body *body, struct sm_body_budget *budget, const char *folder,
                           size_t length, struct sm_err *err);
/* Appends bytes. Returns false if the body grows beyond its declared length or the disk fails. */
bool sm_body_append(struct sm_body *body, const void *bytes, size_t bytes_count);
void sm_body_release(struct sm_body *body, struct sm_body_budget *budget);

#endif
