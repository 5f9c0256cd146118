/* The name of a zip's entry as bytes.
 *
 * libarchive converts a name that is marked as UTF-8 into characters of the locale. It composes
 * them, so the name is no longer that of the file, and drops a name that the locale cannot hold.
 *
 * Owner, threads: no state. */
#ifndef SERVER_INGEST_ZIP_NAME_H
#define SERVER_INGEST_ZIP_NAME_H

#include <stdbool.h>
#include <stdint.h>

#define SM_ZIP_NAME_BYTES 1024 /* the rest is cut: labels are shorter */

/* The name in the local header that begins at byte `at` of a plain zip, or behind the data
 * descriptor there. False when there is none. */
bool sm_ingest_zip_name(char out[SM_ZIP_NAME_BYTES], int fd, int64_t at);

#endif
