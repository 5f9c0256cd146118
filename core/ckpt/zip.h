/* Zip archives in mapped bytes, read by libzip. Tensors must be stored without compression; they
 * are located in the mapping and never copied. Private to core/ckpt and core/data.
 *
 *     int64_t entry = sm_zip_find(zip, "archive/data.pkl");
 *     sm_zip_locate(&at, &count, zip, entry, &err);      // bytes [at, at + count) of the archive
 *     sm_zip_check(zip, entry, &err);                    // compares their CRC; call before use
 *
 * Owner:   sm_zip_close frees an archive and accepts NULL. The bytes must outlive it.
 * Errors:  SM_CORRUPT, SM_UNSUPPORTED (compressed or encrypted entries), SM_LIMIT, SM_NOMEM.
 * Limits:  16384 entries; together they may not claim more bytes than the archive has. */
#ifndef CORE_CKPT_ZIP_H
#define CORE_CKPT_ZIP_H

#include "core/ckpt/format.h"

struct sm_zip;

/* Returns true if the bytes begin like a zip file. Then *name points to the name of the first
 * entry, without NUL, and *name_count is its length, cut at the end of the bytes. */
bool sm_zip_sniff(const uint8_t *bytes, size_t bytes_count, const char **name, size_t *name_count);

enum sm_code sm_zip_open(struct sm_zip **out, const uint8_t *bytes, size_t bytes_count,
                         struct sm_err *err);
void sm_zip_close(struct sm_zip *zip);

uint64_t sm_zip_count(const struct sm_zip *zip);
/* Returns an entry's name as the file has it, in any encoding; owned by the archive. */
const char *sm_zip_name(const struct sm_zip *zip, uint64_t entry);
/* Returns the index of the entry of this name, or -1. */
int64_t sm_zip_find(const struct sm_zip *zip, const char *name);

/* Finds the position and number of an entry's bytes in the archive; later calls return at once. */
enum sm_code sm_zip_locate(uint64_t *at, uint64_t *bytes_count, struct sm_zip *zip, uint64_t entry,
                           struct sm_err *err);
/* Compares the CRC of an entry's bytes; later calls return at once if it was correct. */
enum sm_code sm_zip_check(struct sm_zip *zip, uint64_t entry, struct sm_err *err);

/* Checks that the entries located so far do not overlap. */
enum sm_code sm_zip_check_overlaps(const struct sm_zip *zip, struct sm_err *err);

/* Reads an entry, stored or deflated, from front to back. `bytes_count` and `packed_count` are its
 * claimed sizes. A read after the last byte gives 0 bytes, or SM_CORRUPT if the CRC differs. The
 * zip must outlive the stream. */
struct sm_zip_stream;
enum sm_code sm_zip_stream_open(struct sm_zip_stream **out, uint64_t *bytes_count,
                                uint64_t *packed_count, struct sm_zip *zip, uint64_t entry,
                                struct sm_err *err);
enum sm_code sm_zip_stream_read(size_t *count, struct sm_zip_stream *stream, void *bytes,
                                size_t bytes_max, struct sm_err *err);
void sm_zip_stream_close(struct sm_zip_stream *stream);

/* The functions `read` and `close` of formats that keep a struct sm_zip in ckpt->state and the
 * entry's index in sm_place.part. sm_zip_read checks the entry, then converts the tensor. */
enum sm_code sm_zip_read(struct sm_ckpt *ckpt, size_t index, int64_t row, float *out,
                         struct sm_err *err);
void sm_zip_close_state(void *zip);

#endif
