/* Bytes to pixels: size, kind, walk, decode, orientation; each step may assume what the ones before
 * it have proved. Memory: the decoder's own buffers (for 16-bit RGBA up to some 24 bytes per pixel)
 * are freed before this returns; what stays is 3 bytes per pixel. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/image/container.h"
#include "core/image/exif.h"
#include "core/image/stb.h"
#include "sslmem/image.h"

static const struct format {
    const char *media_type, *magic;
    size_t magic_count;
    enum sm_code (*walk)(struct sm_container *, const uint8_t *, size_t, struct sm_err *);
} formats[] = {
    {"image/jpeg", "\xff\xd8\xff", 3, sm_jpeg_walk},
    {"image/png", "\x89PNG\r\n\x1a\n", 8, sm_png_walk},
};

static const struct format *format_of(const void *bytes, size_t bytes_count)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (bytes_count >= formats[i].magic_count &&
            memcmp(bytes, formats[i].magic, formats[i].magic_count) == 0)
            return &formats[i];
    }
    return NULL;
}

const char *sm_image_sniff(const void *bytes, size_t bytes_count)
{
    const struct format *format = format_of(bytes, bytes_count);
    return format ? format->media_type : NULL;
}

const char *sm_image_decoder(void)
{
    return "stb_image-2.27";
}

enum sm_code sm_image_check_size(int64_t width_px, int64_t height_px, struct sm_err *err)
{
    if (width_px < 1 || height_px < 1)
        return sm_err_set(err, SM_CORRUPT, "image of %" PRId64 "x%" PRId64 " pixels has no area",
                          width_px, height_px);
    if (width_px > SM_IMAGE_SIDE_MAX_PX || height_px > SM_IMAGE_SIDE_MAX_PX)
        return sm_err_set(err, SM_LIMIT,
                          "image of %" PRId64 "x%" PRId64 " pixels, the limit is %d per side",
                          width_px, height_px, SM_IMAGE_SIDE_MAX_PX);
    if (width_px * height_px > SM_IMAGE_PIXELS_MAX)
        return sm_err_set(err, SM_LIMIT, "image of %" PRId64 " pixels, the limit is %u",
                          width_px * height_px, SM_IMAGE_PIXELS_MAX);
    return SM_OK;
}

enum sm_code sm_image_alloc(struct sm_image *out, int32_t width_px, int32_t height_px,
                            struct sm_err *err)
{
    *out = (struct sm_image){0};
    enum sm_code code = sm_image_check_size(width_px, height_px, err);
    if (code != SM_OK)
        return code;
    out->rgb = calloc((size_t)width_px * (size_t)height_px, 3);
    if (out->rgb == NULL)
        return sm_err_set(err, SM_NOMEM, "out of memory for %dx%d pixels", width_px, height_px);
    out->width_px = width_px;
    out->height_px = height_px;
    return SM_OK;
}

void sm_image_release(struct sm_image *image)
{
    free(image->rgb);
    *image = (struct sm_image){0};
}

/* RGBA to RGB: alpha is dropped, not blended, so that pixels are what training pipelines see. */
static enum sm_code take_rgb(struct sm_image *out, const struct sm_stb_pixels *pixels,
                             struct sm_err *err)
{
    enum sm_code code = sm_image_alloc(out, pixels->width_px, pixels->height_px, err);
    if (code != SM_OK)
        return code;
    size_t count = (size_t)pixels->width_px * (size_t)pixels->height_px;
    for (size_t i = 0; i < count; i++)
        memcpy(out->rgb + 3 * i, pixels->rgba + 4 * i, 3);
    return SM_OK;
}

/* Decodes a walked file. Twice the filtered rows is room for the inflate buffer's doubling, twice
 * the file for the collected IDAT chunks'. */
static enum sm_code decode_walked(struct sm_image *out, const struct sm_container *walked,
                                  const uint8_t *bytes, size_t bytes_count, struct sm_err *err)
{
    struct sm_stb_pixels pixels = {0};
    uint8_t *padded = NULL;
    int width, height;
    enum sm_code code;
    if (walked->palette_entries < walked->palette_reachable) {
        padded = sm_png_pad_palette(&bytes_count, walked, bytes, bytes_count);
        if (padded == NULL)
            return sm_err_set(err, SM_NOMEM, "out of memory for a copy of %zu bytes", bytes_count);
        bytes = padded;
    }
    if ((code = sm_stb_info(&width, &height, bytes, bytes_count, err)) != SM_OK)
        goto out;
    size_t file_room = 2 * bytes_count + 8192, rows_room = 2 * walked->inflated_bytes + 65536;
    code = sm_stb_decode(&pixels, bytes, bytes_count, file_room > rows_room ? file_room : rows_room,
                         err);
    if (code != SM_OK)
        goto out;
    if (width != walked->width_px || height != walked->height_px || width != pixels.width_px ||
        height != pixels.height_px) {
        code = sm_err_set(err, SM_CORRUPT, "image is %dx%d in one header and %dx%d in another",
                          walked->width_px, walked->height_px, width, height);
        goto out;
    }
    code = take_rgb(out, &pixels, err);
out:
    sm_stb_free(&pixels);
    free(padded);
    return code;
}

enum sm_code sm_image_decode(struct sm_image *out, const void *bytes, size_t bytes_count,
                             bool apply_orientation, struct sm_image_info *info, struct sm_err *err)
{
    struct sm_container walked;
    *out = (struct sm_image){0};
    if (info != NULL)
        *info = (struct sm_image_info){0};
    if (bytes_count > SM_IMAGE_BYTES_MAX)
        return sm_err_set(err, SM_LIMIT, "image of %zu bytes, the limit is %u", bytes_count,
                          SM_IMAGE_BYTES_MAX);
    const struct format *format = format_of(bytes, bytes_count);
    if (format == NULL)
        return sm_err_set(err, SM_UNSUPPORTED, "neither a JPEG nor a PNG: %zu bytes", bytes_count);
    enum sm_code code = format->walk(&walked, bytes, bytes_count, err);
    if (code != SM_OK)
        return code;
    code = decode_walked(out, &walked, bytes, bytes_count, err);
    if (code != SM_OK)
        return code;
    int orientation = sm_exif_orientation(walked.exif, walked.exif_count);
    if (apply_orientation && (code = sm_exif_apply(out, orientation, err)) != SM_OK) {
        sm_image_release(out);
        return code;
    }
    if (info != NULL)
        *info = (struct sm_image_info){format->media_type, walked.width_px, walked.height_px,
                                       orientation, apply_orientation && orientation != 1};
    return SM_OK;
}
