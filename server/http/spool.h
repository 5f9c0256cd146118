/* Spool files: files without a name, for data that is too large for memory. They vanish with their
 * descriptor, even after a crash.
 *
 * Owner: the caller closes the descriptor. Threads: no state. */
#ifndef SERVER_HTTP_SPOOL_H
#define SERVER_HTTP_SPOOL_H

#include <stdint.h>

#include "sslmem/err.h"

/* Opens a spool file in `folder` for reading and writing, and reserves disk space for `bytes_count`
 * bytes (may be 0) if the file system can. Errors: SM_FULL (no disk space), SM_IO. */
enum sm_code sm_spool_open(int *fd, const char *folder, int64_t bytes_count, struct sm_err *err);
/* Computes the SHA-256 of the whole file. Errors: SM_IO. */
enum sm_code sm_spool_sha256(uint8_t out[32], int fd, struct sm_err *err);

/* Returns the free bytes on the file system of `folder`; INT64_MAX if the system does not tell, so
 * that a full disk is noticed at the write. */
int64_t sm_spool_free(const char *folder);
/* Returns SM_FULL unless `bytes_count` fit on the file system with `reserve_bytes` left free. */
enum sm_code sm_spool_room(const char *folder, int64_t bytes_count, int64_t reserve_bytes,
                           struct sm_err *err);

#endif
