/* How archives are opened and end, for all that read them with libarchive: core/data/archive.c and
 * server/ingest/archive.c.
 *
 * Owner: the caller frees the archive with archive_read_free. Threads: no state. */
#ifndef CORE_DATA_ARCHIVE_H
#define CORE_DATA_ARCHIVE_H

#include <archive.h>
#include <stdint.h>

#include "sslmem/err.h"

/* Makes a reader of tar and zip, plain or compressed with gzip or zstd, and of nothing else. *out
 * may be set after an error. SM_NOMEM, SM_UNSUPPORTED. */
enum sm_code sm_archive_new(struct archive **out, struct sm_err *err);

/* Checks an archive of which libarchive has read the last entry: SM_CORRUPT for a tar without its
 * end mark, which may have been cut between two entries. */
enum sm_code sm_archive_check_end(struct archive *archive, int64_t entries_count,
                                  struct sm_err *err);

#endif
