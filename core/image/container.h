/* JPEG and PNG containers, walked from the first byte to the end marker before a decoder sees them.
 *
 * A walk proves that the file is whole, of a kind that we decode, inside the limits, and that no
 * segment of it can lead stb_image out of its tables. It decodes nothing and allocates nothing.
 *
 * Owner: pointers in the result point into `bytes`. Threads: no shared state.
 * Errors: SM_CORRUPT, SM_UNSUPPORTED, SM_LIMIT; the text names the part and both numbers. */
#ifndef CORE_IMAGE_CONTAINER_H
#define CORE_IMAGE_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

struct sm_container {
    int32_t width_px, height_px;
    const uint8_t *exif; /* TIFF block of the EXIF data, NULL when absent */
    size_t exif_count;
    size_t inflated_bytes; /* PNG: size of the filtered rows; 0 for JPEG */
    /* PNG palette shorter than the pixels can index: where its chunk begins, and its entries. */
    size_t palette_offset;
    int palette_entries, palette_reachable;
};

enum sm_code sm_jpeg_walk(struct sm_container *out, const uint8_t *bytes, size_t bytes_count,
                          struct sm_err *err);

enum sm_code sm_png_walk(struct sm_container *out, const uint8_t *bytes, size_t bytes_count,
                         struct sm_err *err);

/* A copy of the PNG whose palette has every reachable entry, the missing ones black, as libpng has
 * it. Allocated with malloc, NULL when out of memory. */
uint8_t *sm_png_pad_palette(size_t *padded_count, const struct sm_container *png,
                            const uint8_t *bytes, size_t bytes_count);

/* Sides and pixels against the limits of sslmem/image.h; zero sizes are SM_CORRUPT. */
enum sm_code sm_image_check_size(int64_t width_px, int64_t height_px, struct sm_err *err);

static inline uint32_t sm_be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t sm_be32(const uint8_t *p)
{
    return sm_be16(p) << 16 | sm_be16(p + 2);
}

#endif
