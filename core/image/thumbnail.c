/* Thumbnails: resizes an image as for views and writes an 8-bit RGB PNG with one IDAT chunk. Every
 * row has the filter "Sub" (difference to the left pixel), which suits small photographs; zlib
 * compresses the rows. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "core/image/resize.h"
#include "sslmem/image.h"

static uint8_t *put_u32(uint8_t *to, uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        *to++ = (uint8_t)(value >> shift);
    return to;
}

/* Adds length, type and CRC to a chunk whose data is already at to + 8. Returns the chunk's end. */
static uint8_t *close_chunk(uint8_t *to, const char *type, size_t bytes_count)
{
    put_u32(to, (uint32_t)bytes_count);
    memcpy(to + 4, type, 4);
    uLong crc = crc32(crc32(0, NULL, 0), to + 4, (uInt)bytes_count + 4);
    return put_u32(to + 8 + bytes_count, (uint32_t)crc);
}

static void filter_rows(uint8_t *out, const struct sm_image *image)
{
    size_t row_bytes = (size_t)image->width_px * 3;
    for (int32_t y = 0; y < image->height_px; y++) {
        const uint8_t *row = image->rgb + (size_t)y * row_bytes;
        *out++ = 1;
        for (size_t i = 0; i < row_bytes; i++)
            *out++ = (uint8_t)(row[i] - (i < 3 ? 0 : row[i - 3]));
    }
}

static enum sm_code encode(void **out, size_t *bytes_count, const struct sm_image *image,
                           struct sm_err *err)
{
    static const uint8_t signature[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    static const uint8_t depth_and_kind[] = {8, 2, 0, 0, 0};
    size_t raw_bytes = ((size_t)image->width_px * 3 + 1) * (size_t)image->height_px;
    uLongf packed_bytes = compressBound(raw_bytes);
    uint8_t *raw = malloc(raw_bytes), *png = malloc(sizeof signature + 3 * 12 + 13 + packed_bytes);
    int result = Z_MEM_ERROR;
    if (raw && png) {
        uint8_t *to = png;
        memcpy(to, signature, sizeof signature);
        to += sizeof signature;
        memcpy(put_u32(put_u32(to + 8, (uint32_t)image->width_px), (uint32_t)image->height_px),
               depth_and_kind, sizeof depth_and_kind);
        to = close_chunk(to, "IHDR", 13);
        filter_rows(raw, image);
        result = compress2(to + 8, &packed_bytes, raw, raw_bytes, Z_BEST_COMPRESSION);
        to = close_chunk(to, "IDAT", packed_bytes);
        to = close_chunk(to, "IEND", 0);
        *bytes_count = (size_t)(to - png);
    }
    free(raw);
    if (result == Z_OK) {
        *out = png;
        return SM_OK;
    }
    free(png);
    return sm_err_set(err, SM_NOMEM, "thumbnail of %d x %d px: out of memory", (int)image->width_px,
                      (int)image->height_px);
}

enum sm_code sm_image_thumbnail(void **out, size_t *bytes_count, const struct sm_image *image,
                                int32_t side_max_px, struct sm_err *err)
{
    int32_t width = image->width_px, height = image->height_px;
    int32_t side = width > height ? width : height;
    struct sm_image small = {0};
    *out = NULL;
    *bytes_count = 0;
    if (side <= side_max_px)
        return encode(out, bytes_count, image, err);
    int64_t small_width = (int64_t)width * side_max_px / side;
    int64_t small_height = (int64_t)height * side_max_px / side;
    struct sm_resize_to to = {small_width ? small_width : 1, small_height ? small_height : 1,
                              SM_BILINEAR, NULL};
    enum sm_code code = sm_resize(&small, image, &to, err);
    if (code == SM_OK)
        code = encode(out, bytes_count, &small, err);
    sm_image_release(&small);
    return code;
}
