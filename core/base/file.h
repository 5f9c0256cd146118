/* Files: maps whole files for reading and writes whole files.
 *
 * Owner:   the caller releases a mapping; sm_file_release accepts a zeroed object.
 * Threads: no state.
 * Errors:  SM_NOT_FOUND, SM_IO, SM_LIMIT. */
#ifndef CORE_BASE_FILE_H
#define CORE_BASE_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sslmem/err.h"

struct sm_file {
    const uint8_t *bytes; /* the mapped content; NULL for an empty file */
    size_t bytes_count;
};

/* Maps a regular file read-only. SM_LIMIT if it has more than `bytes_max` bytes. */
enum sm_code sm_file_map(struct sm_file *out, const char *path, int64_t bytes_max,
                         struct sm_err *err);
void sm_file_release(struct sm_file *file);

/* Reads from `fd` until the end of the file or until `bytes` is full. Returns the number of bytes
 * read, or -1 with errno set. */
ssize_t sm_file_read(int fd, void *bytes, size_t bytes_max);

/* Writes a file completely or leaves the old one: writes a temporary file in the same folder,
 * flushes it with fsync and renames it. An old file keeps its mode; a new one gets 0644. A link
 * stays, and the file that it leads to is replaced. */
enum sm_code sm_file_write(const char *path, const void *bytes, size_t bytes_count,
                           struct sm_err *err);

#endif
