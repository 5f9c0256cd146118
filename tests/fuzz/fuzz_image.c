/* Fuzzes the code that a decoder runs on an image file: walk, decoding, EXIF, thumbnails, views. A
 * PNG runs twice, unchanged and with the CRC of every chunk corrected, so that mutations get past
 * the walk.
 *
 * Properties: the errors are those that image.h names, with a text and without pixels; sizes are
 * within the limits; upright pixels that are turned back equal the stored ones; a thumbnail can be
 * decoded. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "core/image/container.h"
#include "core/image/exif.h"
#include "sslmem/views.h"

#define SMALL_PIXELS_MAX  4096 /* larger images are only decoded */
#define THUMBNAIL_SIDE_PX 32
#define PNG_SIGNATURE     8
#define PNG_CHUNK         12 /* length, name, CRC */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);

static void view(const struct sm_image *image, size_t choice)
{
    static const uint8_t digest[32];
    const char *const *names = sm_augment_presets();
    size_t count = 0;
    while (names[count])
        count++;
    json_t *name = json_string(names[choice % count]);
    struct sm_augment augment;
    if (sm_augment_parse(&augment, name, 8, "", NULL) != SM_OK)
        abort();
    struct sm_stream_key key = {choice, digest, 0};
    struct sm_image out;
    if (sm_view_render(&out, image, &augment, &key, NULL, NULL) == SM_OK) {
        float *tensor = malloc((size_t)out.width_px * (size_t)out.height_px * 3 * sizeof *tensor);
        sm_view_tensor(tensor, &out, (float[3]){0.5f, 0.5f, 0.5f}, (float[3]){0.5f, 0.5f, 0.5f});
        free(tensor);
    }
    sm_image_release(&out);
    json_decref(name);
}

static bool same_pixels(const struct sm_image *a, const struct sm_image *b)
{
    return a->width_px == b->width_px && a->height_px == b->height_px &&
           memcmp(a->rgb, b->rgb, (size_t)a->width_px * (size_t)a->height_px * 3) == 0;
}

static void check_upright(const struct sm_image *stored, const struct sm_image_info *info,
                          const uint8_t *bytes, size_t bytes_count)
{
    static const int back[] = {0, 1, 2, 3, 4, 5, 8, 7, 6};
    struct sm_image upright;
    struct sm_image_info again;
    enum sm_code code = sm_image_decode(&upright, bytes, bytes_count, true, &again, NULL);
    if (code == SM_NOMEM)
        return;
    assert(code == SM_OK && again.orientation == info->orientation);
    assert(again.oriented == (info->orientation != 1));
    assert(again.width_px == info->width_px && again.height_px == info->height_px);
    if (sm_exif_apply(&upright, back[info->orientation], NULL) == SM_OK)
        assert(same_pixels(stored, &upright));
    sm_image_release(&upright);
}

static void check_thumbnail(const struct sm_image *image)
{
    struct sm_image small;
    void *png;
    size_t count;
    if (sm_image_thumbnail(&png, &count, image, THUMBNAIL_SIDE_PX, NULL) != SM_OK)
        return;
    assert(sm_image_decode(&small, png, count, false, NULL, NULL) == SM_OK);
    assert(small.width_px <= THUMBNAIL_SIDE_PX && small.height_px <= THUMBNAIL_SIDE_PX);
    sm_image_release(&small);
    free(png);
}

static void check_refusal(enum sm_code code, const struct sm_image *image,
                          const struct sm_image_info *info, const struct sm_err *err)
{
    assert(code == SM_UNSUPPORTED || code == SM_CORRUPT || code == SM_LIMIT || code == SM_NOMEM);
    assert(err->code == code && err->text[0] != '\0');
    assert(!image->rgb && !info->media_type);
}

/* Checks that a file that was decoded gets the same decoder for its score key. */
static void check_key(const uint8_t *bytes, size_t bytes_count, const char *media_type)
{
    const char *decoder = NULL;
    assert(sm_image_find_decoder(&decoder, bytes, bytes_count, NULL) == SM_OK);
    assert(decoder && strcmp(decoder, sm_image_decoder(media_type)) == 0);
}

static void decode(const uint8_t *bytes, size_t bytes_count)
{
    struct sm_image image;
    struct sm_image_info info;
    struct sm_err err = {0};
    enum sm_code code = sm_image_decode(&image, bytes, bytes_count, false, &info, &err);
    if (code != SM_OK) {
        check_refusal(code, &image, &info, &err);
        return;
    }
    assert(info.media_type == sm_image_sniff(bytes, bytes_count) && !info.oriented);
    assert(sm_image_check_size(info.width_px, info.height_px, NULL) == SM_OK);
    assert(image.width_px == info.width_px && image.height_px == info.height_px);
    assert(info.orientation >= 1 && info.orientation <= 8 && info.decoder_warnings >= 0);
    check_key(bytes, bytes_count, info.media_type);
    if ((int64_t)image.width_px * image.height_px <= SMALL_PIXELS_MAX) {
        check_upright(&image, &info, bytes, bytes_count);
        check_thumbnail(&image);
        view(&image, bytes_count);
    }
    sm_image_release(&image);
}

/* Corrects the CRCs of all chunks; returns whether one was wrong. */
static bool mend(uint8_t *png, size_t count)
{
    bool mended = false;
    for (size_t at = PNG_SIGNATURE; at < count && count - at >= PNG_CHUNK;) {
        size_t data_count = sm_be32(png + at);
        if (data_count > count - at - PNG_CHUNK)
            break;
        uint8_t *end = png + at + 8 + data_count;
        uint32_t crc = (uint32_t)crc32(0, png + at + 4, (uInt)(data_count + 4));
        mended |= sm_be32(end) != crc;
        for (int i = 0; i < 4; i++)
            end[i] = (uint8_t)(crc >> (24 - 8 * i));
        at += data_count + PNG_CHUNK;
    }
    return mended;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count)
{
    const char *type = sm_image_sniff(bytes, bytes_count);
    struct sm_exif exif = sm_exif_read(bytes, bytes_count);
    assert(exif.orientation >= 1 && exif.orientation <= (exif.unreadable ? 1 : 8));
    decode(bytes, bytes_count);
    if (!type || strcmp(type, "image/png") != 0)
        return 0;
    uint8_t *copy = malloc(bytes_count);
    if (!copy)
        return 0;
    memcpy(copy, bytes, bytes_count);
    if (mend(copy, bytes_count))
        decode(copy, bytes_count);
    free(copy);
    return 0;
}
