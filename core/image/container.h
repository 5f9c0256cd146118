/* Image decoders, one source file per format. A decoder checks the size before it allocates pixels,
 * and passes no data to a library that could make it read outside of its tables. Private to
 * core/image.
 *
 * Owner:   the caller releases `out`, which is written only on success; `bytes` are not kept.
 * Threads: no shared state.
 * Errors:  SM_CORRUPT, SM_UNSUPPORTED, SM_LIMIT, SM_NOMEM; the text names the part and both
 *          numbers. */
#ifndef CORE_IMAGE_CONTAINER_H
#define CORE_IMAGE_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/image/exif.h"
#include "sslmem/err.h"

#define SM_JPEG_MAGIC "\xff\xd8\xff"
#define SM_PNG_MAGIC  "\x89PNG\r\n\x1a\n"
#define SM_RAW_MAGIC  "\x93SMRAW\r\n"

/* Data of a file other than its pixels. */
struct sm_found {
    struct sm_exif exif;
    int decoder_warnings; /* places of broken data where the decoder invented pixels */
};

/* Decode a file that begins with the format's magic bytes. */
enum sm_code sm_jpeg_decode(struct sm_image *out, struct sm_found *found, const uint8_t *bytes,
                            size_t bytes_count, struct sm_err *err);
enum sm_code sm_png_decode(struct sm_image *out, struct sm_found *found, const uint8_t *bytes,
                           size_t bytes_count, struct sm_err *err);
enum sm_code sm_raw_decode(struct sm_image *out, struct sm_found *found, const uint8_t *bytes,
                           size_t bytes_count, struct sm_err *err);

/* Reads the size in a raw image's header; false if the header is cut. */
bool sm_raw_size(uint32_t *width, uint32_t *height, const uint8_t *bytes, size_t bytes_count);

/* Return the name and version of a decoder: "libjpeg-turbo-2.1.5". For libjpeg-turbo this is the
 * version of its headers; any library with the same soname decodes the same pixels. */
const char *sm_jpeg_decoder(void);
const char *sm_png_decoder(void);
const char *sm_raw_decoder(void);

/* SM_UNSUPPORTED if the first bytes show a kind of PNG that is refused (16-bit grey). */
enum sm_code sm_png_check_kind(const uint8_t *bytes, size_t bytes_count, struct sm_err *err);

/* Checks sides and number of pixels against the limits of sslmem/image.h. SM_LIMIT, or SM_CORRUPT
 * for a side below 1. */
enum sm_code sm_image_check_size(int64_t width_px, int64_t height_px, struct sm_err *err);

/* Read big-endian numbers of 16 and 32 bits. */
static inline uint32_t sm_be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t sm_be32(const uint8_t *p)
{
    return sm_be16(p) << 16 | sm_be16(p + 2);
}

#endif
