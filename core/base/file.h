/* Read-only mapping of a whole file, with a size cap.
 * Owner: sm_file_release unmaps; accepts a zeroed object. Errors: SM_NOT_FOUND, SM_IO, SM_LIMIT,
 * SM_NOMEM. */
#ifndef CORE_BASE_FILE_H
#define CORE_BASE_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sslmem/err.h"

struct sm_file {
    const uint8_t *bytes; /* NULL for an empty file */
    size_t bytes_count;
};

enum sm_code sm_file_map(struct sm_file *out, const char *path, int64_t bytes_max,
                         struct sm_err *err);
void sm_file_release(struct sm_file *file);

/* Reads on to the end or until `bytes` is full: how many there were, or -1 with errno. */
ssize_t sm_file_read(int fd, void *bytes, size_t bytes_max);

/* Writes a file whole or not at all: temporary file beside it, fsync, rename. */
enum sm_code sm_file_write(const char *path, const void *bytes, size_t bytes_count,
                           struct sm_err *err);

#endif
