/* The one door to stb_image. Everything it is given has passed the checks of png.c.
 * Owner: pixels are freed with sm_stb_free. Threads: no shared state. */
#ifndef CORE_IMAGE_STB_H
#define CORE_IMAGE_STB_H

#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

struct sm_stb_pixels {
    uint8_t *rgba; /* [height, width, 4] */
    int width_px, height_px;
};

/* Decodes to RGBA. A buffer of stb_image may grow to `grow_max_bytes` and no further: a stream that
 * inflates past it is SM_CORRUPT. */
enum sm_code sm_stb_decode(struct sm_stb_pixels *out, const uint8_t *bytes, size_t bytes_count,
                           size_t grow_max_bytes, struct sm_err *err);

void sm_stb_free(struct sm_stb_pixels *pixels);

#endif
