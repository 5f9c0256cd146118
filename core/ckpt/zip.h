/* Zip archives over mapped bytes, through libzip. Entries must be stored as they are: what is
 * listed is where their bytes stand in the mapping, and nothing is copied. Private to core/ckpt.
 *
 *     int64_t entry = sm_zip_find(zip, "archive/data.pkl");
 *     sm_zip_locate(&at, &count, zip, entry, &err);      // bytes [at, at + count) of the archive
 *     sm_zip_check(zip, entry, &err);                    // their CRC: before use
 *
 * Owner:   sm_zip_close; accepts NULL. The archive's bytes must outlive it.
 * Errors:  SM_CORRUPT, SM_UNSUPPORTED (compressed or encrypted entries), SM_LIMIT, SM_NOMEM.
 * Limits:  16384 entries, which together may not claim more bytes than the archive has. */
#ifndef CORE_CKPT_ZIP_H
#define CORE_CKPT_ZIP_H

#include "core/ckpt/format.h"

struct sm_zip;

/* Whether bytes begin with a local entry; if so and `name` is not NULL, its name (not terminated)
 * and that name's length, cut at the end of the bytes. */
bool sm_zip_sniff(const uint8_t *bytes, size_t bytes_count, const char **name, size_t *name_count);

enum sm_code sm_zip_open(struct sm_zip **out, const uint8_t *bytes, size_t bytes_count,
                         struct sm_err *err);
void sm_zip_close(struct sm_zip *zip);

uint64_t sm_zip_count(const struct sm_zip *zip);
const char *sm_zip_name(const struct sm_zip *zip, uint64_t entry); /* raw bytes of the file */
int64_t sm_zip_find(const struct sm_zip *zip, const char *name);   /* -1: none */

/* Where the bytes of a stored entry are. A second call costs nothing. */
enum sm_code sm_zip_locate(uint64_t *at, uint64_t *bytes_count, struct sm_zip *zip, uint64_t entry,
                           struct sm_err *err);
/* The bytes of an entry have their CRC; a second call costs nothing. */
enum sm_code sm_zip_check(struct sm_zip *zip, uint64_t entry, struct sm_err *err);

/* No byte belongs to two of the entries that were located. */
enum sm_code sm_zip_check_overlaps(const struct sm_zip *zip, struct sm_err *err);

/* `read` and `close` of the formats whose state is a struct sm_zip and whose parts are its entries:
 * checks the entry, then reads from the tensor's place. */
enum sm_code sm_zip_read(struct sm_ckpt *ckpt, size_t index, int64_t row, float *out,
                         struct sm_err *err);
void sm_zip_close_state(void *zip);

#endif
