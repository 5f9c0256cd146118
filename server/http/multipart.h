/* Splits a multipart/form-data body (RFC 7578) in memory into parts that point into it.
 *
 *     struct sm_part parts[3];
 *     int count;
 *     sm_multipart_split(parts, &count, 3, body, body_bytes, "boundary", &err);
 *
 * Owner:   parts borrow the body's bytes. Threads: no state.
 * Errors:  SM_INVALID (the body breaks the format), SM_LIMIT (more than `parts_max` parts).
 * Limits:  SM_PART_HEADERS_MAX bytes of header lines per part; names must fit struct sm_part. */
#ifndef SERVER_HTTP_MULTIPART_H
#define SERVER_HTTP_MULTIPART_H

#include <stddef.h>
#include <stdint.h>

#include "server/http/header.h"
#include "sslmem/err.h"

#define SM_PART_HEADERS_MAX 4096
#define SM_BOUNDARY_BYTES   71 /* RFC 2046: 1 to 70 characters */

struct sm_part {
    char name[64];                        /* name of the form field */
    char filename[256];                   /* name of the uploaded file; "" if absent or invalid */
    char media_type[SM_MEDIA_TYPE_BYTES]; /* "" if absent or invalid */
    const uint8_t *bytes;
    size_t bytes_count;
};

enum sm_code sm_multipart_split(struct sm_part *parts, int *parts_count, int parts_max,
                                const void *body, size_t body_bytes, const char *boundary,
                                struct sm_err *err);

#endif
