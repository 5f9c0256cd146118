/* Labels: turns untrusted text into valid UTF-8 of bounded length without control characters.
 *
 * Owner, threads: no state. */
#ifndef SERVER_INGEST_LABEL_H
#define SERVER_INGEST_LABEL_H

#include "server/ingest/ingest.h"

#define SM_LABEL_BYTES (SM_INGEST_LABEL_BYTES_MAX + 1)

/* Copies `text`, replaces each byte or character that is not printable by '?', and cuts a long text
 * between two characters. NULL gives "". */
void sm_label(char out[SM_LABEL_BYTES], const char *text);

/* Copies the first folder of a path, as sm_label does; "" if the path has no folder. */
void sm_label_folder(char out[SM_LABEL_BYTES], const char *path);

#endif
