/* Raw images: pixels of an array, which came from no image file.
 *
 *     byte 0   "\x93SMRAW\r\n"
 *     byte 8   height, byte 12 width, byte 16 channels (1 grey or 3 RGB): u32, little-endian
 *     byte 20  height * width * channels bytes, row by row; nothing follows
 *
 * The bytes are a function of height, width, channels and pixels, so that their SHA-256 covers all
 * of them and nothing else. Decoding is a check of the length and a copy. */
#include <inttypes.h>
#include <string.h>

#include "core/image/container.h"

static uint32_t le32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void sm_image_raw_header(uint8_t out[SM_IMAGE_RAW_HEADER_BYTES], uint32_t height_px,
                         uint32_t width_px, uint32_t channels)
{
    const uint32_t numbers[] = {height_px, width_px, channels};
    memcpy(out, SM_RAW_MAGIC, 8);
    for (size_t i = 0; i < 12; i++)
        out[8 + i] = (uint8_t)(numbers[i / 4] >> (8 * (i % 4)));
}

bool sm_raw_size(uint32_t *width, uint32_t *height, const uint8_t *bytes, size_t bytes_count)
{
    if (bytes_count < SM_IMAGE_RAW_HEADER_BYTES)
        return false;
    *height = le32(bytes + 8);
    *width = le32(bytes + 12);
    return true;
}

const char *sm_raw_decoder(void)
{
    return "raw-1";
}

enum sm_code sm_raw_decode(struct sm_image *out, struct sm_found *found, const uint8_t *bytes,
                           size_t bytes_count, struct sm_err *err)
{
    uint32_t width, height;
    (void)found;
    if (!sm_raw_size(&width, &height, bytes, bytes_count))
        return sm_err_set(err, SM_CORRUPT, "raw image of %zu bytes, its header alone has %d",
                          bytes_count, SM_IMAGE_RAW_HEADER_BYTES);
    enum sm_code code = sm_image_check_size(width, height, err);
    if (code != SM_OK)
        return code;
    uint32_t channels = le32(bytes + 16);
    if (channels != 1 && channels != 3)
        return sm_err_set(err, SM_UNSUPPORTED, "raw image has %" PRIu32 " channels, must be 1 or 3",
                          channels);
    size_t pixels = (size_t)width * height;
    if (bytes_count - SM_IMAGE_RAW_HEADER_BYTES != pixels * channels)
        return sm_err_set(err, SM_CORRUPT, "raw image has %zu bytes of pixels, its size needs %zu",
                          bytes_count - SM_IMAGE_RAW_HEADER_BYTES, pixels * channels);
    code = sm_image_alloc(out, (int32_t)width, (int32_t)height, err);
    if (code != SM_OK)
        return code;
    const uint8_t *from = bytes + SM_IMAGE_RAW_HEADER_BYTES;
    if (channels == 3)
        memcpy(out->rgb, from, pixels * 3);
    for (size_t i = 0; channels == 1 && i < pixels; i++)
        memset(out->rgb + 3 * i, from[i], 3);
    return SM_OK;
}
