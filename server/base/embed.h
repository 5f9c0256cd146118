/* Files built into the binary by the Makefile: migrations/NNNN_*.sql in order, and openapi.yaml. */
#ifndef SERVER_BASE_EMBED_H
#define SERVER_BASE_EMBED_H

#include <stddef.h>

struct sm_embedded {
    const char *name; /* "migrations/0001_init.sql", "openapi.yaml"; NULL ends the table */
    const unsigned char *bytes;
    size_t bytes_count;
};

extern const struct sm_embedded sm_embedded[];

#endif
