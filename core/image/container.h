/* Image files to pixels, a file per format. Each decoder proves a step before it takes the next:
 * the size is checked before pixels have memory, and nothing reaches a library that could lead it
 * out of its tables.
 *
 * Owner: the caller releases `out`, which is written on success only; `bytes` are not kept.
 * Threads: no shared state.
 * Errors: SM_CORRUPT, SM_UNSUPPORTED, SM_LIMIT, SM_NOMEM; the text names the part and both
 * numbers. */
#ifndef CORE_IMAGE_CONTAINER_H
#define CORE_IMAGE_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/image/exif.h"
#include "sslmem/err.h"

#define SM_JPEG_MAGIC "\xff\xd8\xff"
#define SM_PNG_MAGIC  "\x89PNG\r\n\x1a\n"

/* What a file says besides its pixels. */
struct sm_found {
    struct sm_exif exif;
    int decoder_warnings; /* of broken data, for which the decoder made up pixels */
};

/* Files that begin with the magic. */
enum sm_code sm_jpeg_decode(struct sm_image *out, struct sm_found *found, const uint8_t *bytes,
                            size_t bytes_count, struct sm_err *err);
enum sm_code sm_png_decode(struct sm_image *out, struct sm_found *found, const uint8_t *bytes,
                           size_t bytes_count, struct sm_err *err);

/* "libjpeg-turbo-2.1.5": the headers' version; the soname keeps the library to its pixels. */
const char *sm_jpeg_decoder(void);
const char *sm_png_decoder(void);

/* SM_UNSUPPORTED when the first bytes already say that the file is of a kind that is refused. */
enum sm_code sm_png_check_kind(const uint8_t *bytes, size_t bytes_count, struct sm_err *err);

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
