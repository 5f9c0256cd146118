/* Bodies: collected whole, each within its declared length, all within one budget.
 *
 * A body in memory has one budget, a spooled one another.
 *
 * Owner: sm_body_release gives memory, file and budget back; accepts a zeroed body. */
#ifndef SERVER_HTTP_BODY_H
#define SERVER_HTTP_BODY_H

#include <stdatomic.h>

#include "server/http/request.h"
#include "sslmem/err.h"

/* Bytes that bodies may take together. Any thread. */
struct sm_body_budget {
    _Atomic int64_t used;
    _Atomic int64_t max;
};

/* Reserves room for a body of `length` bytes. SM_BUSY over the budget, SM_NOMEM. */
enum sm_code sm_body_reserve(struct sm_body *body, struct sm_body_budget *budget, size_t length);
/* The same in a file without a name in `folder`. SM_FULL: the disk has no room for it, SM_IO. */
enum sm_code sm_body_spool(struct sm_body *body, struct sm_body_budget *budget, const char *folder,
                           size_t length, struct sm_err *err);
/* Appends; false when more comes than was declared, or the disk fails. */
bool sm_body_append(struct sm_body *body, const void *bytes, size_t bytes_count);
void sm_body_release(struct sm_body *body, struct sm_body_budget *budget);

#endif
