/* Image in: hostile JPEG and PNG bytes to 8-bit RGB pixels.
 *
 *     struct sm_image img;
 *     struct sm_image_info info;
 *     if (sm_image_decode(&img, bytes, n, false, &info, &err) == SM_OK) {
 *         ... img.rgb[(y * img.width_px + x) * 3 + c] ...
 *         sm_image_release(&img);
 *     }
 *
 * Owner:   the caller releases `sm_image`; release accepts a zeroed object and may be called twice.
 * Threads: no shared state.
 * Errors:  SM_UNSUPPORTED (not a JPEG or PNG, or a kind that we refuse), SM_CORRUPT (truncated or
 *          broken), SM_LIMIT (over one of the limits below), SM_NOMEM.
 * Limits:  the three constants below, checked on the header before anything is decoded. */
#ifndef SSLMEM_IMAGE_H
#define SSLMEM_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

#define SM_IMAGE_BYTES_MAX   (16u << 20)
#define SM_IMAGE_SIDE_MAX_PX 8192
#define SM_IMAGE_PIXELS_MAX  (40u * 1000 * 1000)

struct sm_image {
    uint8_t *rgb; /* [height, width, 3] */
    int32_t width_px, height_px;
};

struct sm_image_info {
    const char *media_type;      /* "image/jpeg" or "image/png"; static */
    int32_t width_px, height_px; /* as stored in the file, before any orientation */
    int orientation;             /* EXIF 1..8; 1 when absent or unreadable */
    bool oriented;               /* the orientation was applied to the pixels */
    bool exif_unreadable;        /* there is EXIF data, but no orientation can be read from it */
    int decoder_warnings; /* of broken JPEG data, for which the decoder made up pixels; Pillow
                                    shows the same ones */
};

/* "image/jpeg", "image/png" or NULL, from the first bytes. */
const char *sm_image_sniff(const void *bytes, size_t bytes_count);

/* The size that the header declares, as stored in the file. False and 0 x 0 when there is none, or
 * one over the limits: such a file is refused by the decoder. Reads the first bytes alone. */
bool sm_image_declared_size(int32_t *width_px, int32_t *height_px, const void *bytes,
                            size_t bytes_count);

/* Decodes one image to the pixels of Pillow's convert("RGB"), bit for bit: alpha is dropped (never
 * blended), palettes are expanded, 16 bit is reduced to 8, grey becomes RGB. A JPEG that Pillow
 * refuses is refused, and so are files that are cut or that readers disagree about. Of a PNG,
 * Pillow checks three things more, without which the pixels are the same: the CRC of ancillary
 * chunks, the Adler-32 of the data, and that no chunk stands between those of the data. `info` may
 * be NULL. */
enum sm_code sm_image_decode(struct sm_image *out, const void *bytes, size_t bytes_count,
                             bool apply_orientation, struct sm_image_info *info,
                             struct sm_err *err);

/* Zeroed pixels. */
enum sm_code sm_image_alloc(struct sm_image *out, int32_t width_px, int32_t height_px,
                            struct sm_err *err);

void sm_image_release(struct sm_image *image);

/* A PNG to look at, to be freed, with no side above `side_max_px`; smaller images keep their size.
 */
enum sm_code sm_image_thumbnail(void **out, size_t *bytes_count, const struct sm_image *image,
                                int32_t side_max_px, struct sm_err *err);

/* Name and version of the decoder of a media type, for a score's provenance: "stb_image-2.27";
 * "none" for another one, or NULL: pixels that were drawn. */
const char *sm_image_decoder(const char *media_type);
/* The decoder that takes these bytes. Refuses what their first ones refuse, as sm_image_decode
 * does; needs no decoding, so a score's key can be known before. */
enum sm_code sm_image_find_decoder(const char **decoder, const void *bytes, size_t bytes_count,
                                   struct sm_err *err);

#endif
