/* How archives are opened and end, for all that read them with libarchive: core/data/archive.c and
 * server/ingest/archive.c.
 *
 * Owner: the caller frees the archive with archive_read_free. Threads: no state. */
#ifndef CORE_DATA_ARCHIVE_H
#define CORE_DATA_ARCHIVE_H

#include <archive.h>
#include <stdint.h>

#include "sslmem/err.h"

#define SM_ARCHIVE_BLOCK_BYTES 65536

/* Where an archive is read from; must outlive it. */
struct sm_archive_input {
    int fd; /* borrowed; read from where it stands */
    /* Called before each block; an error ends the reading, and libarchive's call fails. This bounds
     * what unpacks between two entries, which libarchive passes over in one call. */
    enum sm_code (*check)(const void *arg, struct sm_err *err);
    const void *arg;
    uint8_t block[SM_ARCHIVE_BLOCK_BYTES];
};

/* Opens a tar, or several one behind the other, or a zip, plain or compressed with gzip or zstd,
 * and nothing else. *out is set before the first block is read, also if an error follows. SM_NOMEM,
 * SM_UNSUPPORTED; SM_CORRUPT: archive_error_string tells why. */
enum sm_code sm_archive_open(struct archive **out, struct sm_archive_input *input,
                             struct sm_err *err);

/* Checks an archive of which libarchive has read the last entry: SM_CORRUPT for a tar without its
 * end mark, which may have been cut between two entries. */
enum sm_code sm_archive_check_end(struct archive *archive, int64_t entries_count,
                                  struct sm_err *err);

#endif
