/* Reads the name of a zip's entry as bytes.
 *
 * libarchive converts a name that is marked as UTF-8 to the locale's characters. It composes them,
 * which changes the name, and drops a name that the locale cannot represent.
 *
 * Owner, threads: no state. */
#ifndef SERVER_INGEST_ZIP_NAME_H
#define SERVER_INGEST_ZIP_NAME_H

#include <stdbool.h>
#include <stdint.h>

#define SM_ZIP_NAME_BYTES 1024 /* longer names are cut; labels are shorter anyway */

/* Reads the name in the local header at byte `at` of a plain zip, or in the header after a data
 * descriptor at `at`. Returns false if no header is found. */
bool sm_ingest_zip_name(char out[SM_ZIP_NAME_BYTES], int fd, int64_t at);

#endif
