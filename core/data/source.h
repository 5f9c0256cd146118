/* A sequence of bytes from a file, from a gzip file or from a zip entry, read once from front to
 * back. Private to core/data.
 *
 * Owner:   sm_source_close frees it and accepts NULL. A zip must outlive its sources.
 * Errors:  SM_CORRUPT (it ends early, or its packed form is broken), SM_LIMIT (it unpacks to more
 *          than SM_DATASET_RATIO_MAX or SM_DATASET_UNPACKED_BYTES_MAX allow), SM_NOT_FOUND, SM_IO,
 *          SM_NOMEM. */
#ifndef CORE_DATA_SOURCE_H
#define CORE_DATA_SOURCE_H

#include "core/ckpt/zip.h"

struct sm_source;

/* Opens a file, which is unpacked if it begins as gzip does. */
enum sm_code sm_source_open(struct sm_source **out, const char *path, struct sm_err *err);
enum sm_code sm_source_open_entry(struct sm_source **out, struct sm_zip *zip, uint64_t entry,
                                  struct sm_err *err);
void sm_source_close(struct sm_source *source);

/* Returns the number of all bytes; -1 if unknown (gzip). An entry's number is its claim. */
int64_t sm_source_bytes(const struct sm_source *source);

enum sm_code sm_source_take(struct sm_source *source, void *bytes, size_t count,
                            struct sm_err *err);
enum sm_code sm_source_skip(struct sm_source *source, int64_t count, struct sm_err *err);
/* Checks that no byte follows, and the CRC of a zip entry. */
enum sm_code sm_source_end(struct sm_source *source, struct sm_err *err);

#endif
