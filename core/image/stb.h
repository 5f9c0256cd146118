/* The only access to stb_image. png.c checks every file before it is decoded here.
 *
 * Owner:   the caller frees the pixels with sm_stb_free.
 * Threads: no shared state. Errors: SM_CORRUPT, SM_NOMEM. */
#ifndef CORE_IMAGE_STB_H
#define CORE_IMAGE_STB_H

#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

struct sm_stb_pixels {
    uint8_t *rgba; /* [height_px, width_px, 4], owned */
    int width_px, height_px;
};

/* Decodes a PNG to RGBA. Buffers of stb_image may grow up to `grow_max_bytes`; a stream that
 * inflates to more is SM_CORRUPT. */
enum sm_code sm_stb_decode(struct sm_stb_pixels *out, const uint8_t *bytes, size_t bytes_count,
                           size_t grow_max_bytes, struct sm_err *err);

void sm_stb_free(struct sm_stb_pixels *pixels);

#endif
