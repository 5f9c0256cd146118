/* Files without a name, for what is too large for memory: they are gone with their descriptor, also
 * after a crash.
 *
 * Owner: the caller closes the descriptor. Threads: no state. */
#ifndef SERVER_HTTP_SPOOL_H
#define SERVER_HTTP_SPOOL_H

#include <stdint.h>

#include "sslmem/err.h"

/* Opens one in `folder` for reading and writing, with disk room for `bytes_count` (may be 0).
 * SM_FULL when the disk has none, SM_IO. */
enum sm_code sm_spool_open(int *fd, const char *folder, int64_t bytes_count, struct sm_err *err);
/* SHA-256 of all that is in it. */
enum sm_code sm_spool_sha256(uint8_t out[32], int fd, struct sm_err *err);

/* What is free on the file system of `folder`; INT64_MAX when it does not say: a full disk shows
 * then when it is written. */
int64_t sm_spool_free(const char *folder);
/* SM_FULL unless `bytes_count` fit in there with `reserve_bytes` left. */
enum sm_code sm_spool_room(const char *folder, int64_t bytes_count, int64_t reserve_bytes,
                           struct sm_err *err);

#endif
