/* Labels: text of strangers as valid UTF-8 without control characters, of bounded length.
 *
 * Owner, threads: no state. */
#ifndef SERVER_INGEST_LABEL_H
#define SERVER_INGEST_LABEL_H

#include "server/ingest/ingest.h"

#define SM_LABEL_BYTES (SM_INGEST_LABEL_BYTES_MAX + 1)

/* Replaces what is no printable character by '?' and cuts between characters; NULL is "". */
void sm_label(char out[SM_LABEL_BYTES], const char *text);

#endif
