/* Reads the size that a file's header declares: PNG and raw images have it at a fixed offset, JPEG
 * in its first frame header. The rest of the file is not checked; decoding does that. */
#include <string.h>

#include "core/image/container.h"
#include "sslmem/image.h"

#define PNG_SIZE_AT   16
#define PNG_SIZE_ENDS 24
#define JPEG_START    2

static bool png_size(uint32_t *width, uint32_t *height, const uint8_t *p, size_t count)
{
    if (count < PNG_SIZE_ENDS || memcmp(p + 12, "IHDR", 4) != 0)
        return false;
    *width = sm_be32(p + PNG_SIZE_AT);
    *height = sm_be32(p + PNG_SIZE_AT + 4);
    return true;
}

/* Frame headers have the markers C0 to CF except C4 (tables), C8 (reserved), CC (conditioning). */
static bool is_frame(uint8_t marker)
{
    return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

static bool jpeg_size(uint32_t *width, uint32_t *height, const uint8_t *p, size_t count)
{
    size_t at = JPEG_START;
    while (at + 9 <= count && p[at] == 0xff) {
        uint8_t marker = p[at + 1];
        if (marker == 0xff || marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
            at += marker == 0xff ? 1 : 2; /* skips a fill byte or a marker without a segment */
            continue;
        }
        if (is_frame(marker)) {
            *height = sm_be16(p + at + 5);
            *width = sm_be16(p + at + 7);
            return true;
        }
        at += 2 + sm_be16(p + at + 2);
    }
    return false;
}

bool sm_image_declared_size(int32_t *width_px, int32_t *height_px, const void *bytes,
                            size_t bytes_count)
{
    const char *type = sm_image_sniff(bytes, bytes_count);
    uint32_t width = 0, height = 0;
    bool found = type && (strcmp(type, "image/png") == 0 ? png_size
                          : strcmp(type, SM_IMAGE_RAW_TYPE) == 0
                              ? sm_raw_size
                              : jpeg_size)(&width, &height, bytes, bytes_count);
    found = found && sm_image_check_size(width, height, NULL) == SM_OK;
    *width_px = found ? (int32_t)width : 0;
    *height_px = found ? (int32_t)height : 0;
    return found;
}
