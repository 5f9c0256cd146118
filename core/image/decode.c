/* Decodes an image file: checks size and kind, calls the format's decoder, applies the orientation.
 * The result takes 3 bytes per pixel. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/kind.h"
#include "core/image/container.h"

static enum sm_code accept_kind(const uint8_t *bytes, size_t bytes_count, struct sm_err *err)
{
    (void)bytes, (void)bytes_count, (void)err;
    return SM_OK;
}

static const struct format {
    const char *media_type, *magic;
    const char *(*decoder)(void);
    enum sm_code (*check_kind)(const uint8_t *, size_t, struct sm_err *);
    enum sm_code (*decode)(struct sm_image *, struct sm_found *, const uint8_t *, size_t,
                           struct sm_err *);
} formats[] = {
    {"image/jpeg", SM_JPEG_MAGIC, sm_jpeg_decoder, accept_kind, sm_jpeg_decode},
    {"image/png", SM_PNG_MAGIC, sm_png_decoder, sm_png_check_kind, sm_png_decode},
    {SM_IMAGE_RAW_TYPE, SM_RAW_MAGIC, sm_raw_decoder, accept_kind, sm_raw_decode},
};
enum { FORMATS_COUNT = sizeof formats / sizeof formats[0] };

static const struct format *format_of(const void *bytes, size_t bytes_count)
{
    for (size_t i = 0; i < FORMATS_COUNT; i++) {
        size_t magic_count = strlen(formats[i].magic);
        if (bytes_count >= magic_count && memcmp(bytes, formats[i].magic, magic_count) == 0)
            return &formats[i];
    }
    return NULL;
}

const char *sm_image_sniff(const void *bytes, size_t bytes_count)
{
    const struct format *format = format_of(bytes, bytes_count);
    return format ? format->media_type : NULL;
}

const char *sm_image_decoder(const char *media_type)
{
    for (size_t i = 0; media_type && i < FORMATS_COUNT; i++)
        if (strcmp(formats[i].media_type, media_type) == 0)
            return formats[i].decoder();
    return "none";
}

static enum sm_code refuse(const void *bytes, size_t bytes_count, struct sm_err *err)
{
    struct sm_kind kind;
    if (sm_kind_find(&kind, bytes, bytes_count, NULL, SM_WANTED_IMAGE))
        return sm_err_set(err, SM_UNSUPPORTED, "%s: %s", kind.name, kind.advice);
    return sm_err_set(err, SM_UNSUPPORTED, "no JPEG, PNG or raw image: %zu bytes", bytes_count);
}

enum sm_code sm_image_find_decoder(const char **decoder, const void *bytes, size_t bytes_count,
                                   struct sm_err *err)
{
    const struct format *format = format_of(bytes, bytes_count);
    if (!format)
        return refuse(bytes, bytes_count, err);
    *decoder = format->decoder();
    return format->check_kind(bytes, bytes_count, err);
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
    if (!out->rgb)
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

enum sm_code sm_image_decode(struct sm_image *out, const void *bytes, size_t bytes_count,
                             bool apply_orientation, struct sm_image_info *info, struct sm_err *err)
{
    struct sm_found found = {.exif = {1, false}};
    const char *decoder;
    *out = (struct sm_image){0};
    if (info)
        *info = (struct sm_image_info){0};
    if (bytes_count > SM_IMAGE_BYTES_MAX)
        return sm_err_set(err, SM_LIMIT, "image of %zu bytes, the limit is %u", bytes_count,
                          SM_IMAGE_BYTES_MAX);
    enum sm_code code = sm_image_find_decoder(&decoder, bytes, bytes_count, err);
    if (code != SM_OK)
        return code;
    const struct format *format = format_of(bytes, bytes_count);
    code = format->decode(out, &found, bytes, bytes_count, err);
    if (code != SM_OK)
        return code;
    struct sm_image_info image = {.media_type = format->media_type,
                                  .width_px = out->width_px,
                                  .height_px = out->height_px,
                                  .orientation = found.exif.orientation,
                                  .oriented = apply_orientation && found.exif.orientation != 1,
                                  .exif_unreadable = found.exif.unreadable,
                                  .decoder_warnings = found.decoder_warnings};
    if (apply_orientation && (code = sm_exif_apply(out, found.exif.orientation, err)) != SM_OK) {
        sm_image_release(out);
        return code;
    }
    if (info)
        *info = image;
    return SM_OK;
}
