/* Files that the Makefile builds into the binary: migrations/NNNN_*.sql in order, openapi.yaml. */
#ifndef SERVER_BASE_EMBED_H
#define SERVER_BASE_EMBED_H

#include <stddef.h>

struct sm_embedded {
    const char *name; /* path in the repository; NULL ends the table */
    const unsigned char *bytes;
    size_t bytes_count;
};

extern const struct sm_embedded sm_embedded[];

#endif
