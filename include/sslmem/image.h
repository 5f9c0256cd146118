/* Images: decodes untrusted JPEG and PNG files, and raw images, to 8-bit RGB pixels.
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
 * Errors:  SM_UNSUPPORTED (neither JPEG, PNG nor raw, or a kind of them that is refused),
 *          SM_CORRUPT (truncated or broken), SM_LIMIT (over one of the limits below), SM_NOMEM.
 * Limits:  the three constants below; they are checked before pixels are decoded. */
#ifndef SSLMEM_IMAGE_H
#define SSLMEM_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

#define SM_IMAGE_BYTES_MAX (16u << 20) /* maximum size of a file, bytes */
/* The error of a file of more bytes, which reports show: the same wherever the file came from. */
#define SM_IMAGE_TOO_LARGE   "the image has over %u bytes, which is the limit"
#define SM_IMAGE_SIDE_MAX_PX 8192
#define SM_IMAGE_PIXELS_MAX  (40u * 1000 * 1000)

/* A raw image is an image without a file: this header, then rows of pixels (core/image/raw.c). */
#define SM_IMAGE_RAW_TYPE         "image/x-sslmem-raw"
#define SM_IMAGE_RAW_HEADER_BYTES 20
void sm_image_raw_header(uint8_t out[SM_IMAGE_RAW_HEADER_BYTES], uint32_t height_px,
                         uint32_t width_px, uint32_t channels);

struct sm_image {
    uint8_t *rgb; /* [height_px, width_px, 3], owned */
    int32_t width_px, height_px;
};

struct sm_image_info {
    const char *media_type;      /* "image/jpeg", "image/png" or SM_IMAGE_RAW_TYPE, static */
    int32_t width_px, height_px; /* size stored in the file, before any orientation is applied */
    int orientation;             /* EXIF orientation 1..8; 1 if absent or unreadable */
    bool oriented;               /* true: the orientation was applied to the pixels */
    bool exif_unreadable;        /* the file has EXIF data, but its orientation cannot be read */
    int decoder_warnings;        /* places of broken JPEG data where the decoder invented pixels;
                                    Pillow invents the same pixels */
};

/* Returns the media type, one of the three of sm_image_info, or NULL for any other file; reads only
 * the first bytes. */
const char *sm_image_sniff(const void *bytes, size_t bytes_count);

/* Reads the stored size from the file's header without decoding. Returns false and 0 x 0 if the
 * header has no size or one over the limits; the decoder refuses such a file. */
bool sm_image_declared_size(int32_t *width_px, int32_t *height_px, const void *bytes,
                            size_t bytes_count);

/* Decodes one image to the pixels of Pillow's convert("RGB"), bit for bit: alpha is dropped (never
 * blended), palettes are expanded, 16 bits are reduced to 8, grey becomes RGB. Refuses every JPEG
 * that Pillow refuses, truncated files, and files that common decoders read differently. Accepts
 * PNG files with three faults that Pillow refuses but that do not change the pixels: a wrong CRC of
 * an ancillary chunk, a wrong Adler-32 of the data, or another chunk between the data chunks.
 * `info` may be NULL. */
enum sm_code sm_image_decode(struct sm_image *out, const void *bytes, size_t bytes_count,
                             bool apply_orientation, struct sm_image_info *info,
                             struct sm_err *err);

/* Allocates an image with all pixels zero. SM_LIMIT for a size over the limits. */
enum sm_code sm_image_alloc(struct sm_image *out, int32_t width_px, int32_t height_px,
                            struct sm_err *err);

void sm_image_release(struct sm_image *image);

/* Makes a PNG preview whose longer side is at most `side_max_px`; smaller images keep their size.
 * The caller frees `*out`. */
enum sm_code sm_image_thumbnail(void **out, size_t *bytes_count, const struct sm_image *image,
                                int32_t side_max_px, struct sm_err *err);

/* Returns the name and version of the decoder for a media type, for a score's provenance:
 * "stb_image-2.27". Returns "none" for any other media type and for NULL, which means pixels that
 * were not decoded from a file. */
const char *sm_image_decoder(const char *media_type);
/* Finds the decoder for a file without decoding it, so that the score key can be computed first.
 * Fails as sm_image_decode does if the first bytes are those of no supported image. */
enum sm_code sm_image_find_decoder(const char **decoder, const void *bytes, size_t bytes_count,
                                   struct sm_err *err);

#endif
