/* Reads the orientation from EXIF data (CIPA DC-008): a TIFF block whose first directory may have
 * the tag 0x0112. Only that directory is read. Every offset comes from the file and is checked
 * against the size of the block before use. */
#include "core/image/exif.h"

#include <string.h>

#define TAG_ORIENTATION 0x0112
#define TYPE_SHORT      3
#define ENTRY_BYTES     12

struct tiff {
    const uint8_t *bytes;
    size_t count;
    bool little;
};

static uint32_t tiff_u16(const struct tiff *t, size_t at)
{
    const uint8_t *p = t->bytes + at;
    return t->little ? (uint32_t)p[1] << 8 | p[0] : (uint32_t)p[0] << 8 | p[1];
}

static uint32_t tiff_u32(const struct tiff *t, size_t at)
{
    uint32_t first = tiff_u16(t, at), second = tiff_u16(t, at + 2);
    return t->little ? second << 16 | first : first << 16 | second;
}

struct sm_exif sm_exif_read(const uint8_t *tiff, size_t tiff_count)
{
    static const struct sm_exif none = {1, false}, unreadable = {1, true};
    struct tiff t = {tiff, tiff_count, false};
    if (!tiff)
        return none;
    if (tiff_count < 8)
        return unreadable;
    if (memcmp(tiff, "II", 2) == 0)
        t.little = true;
    else if (memcmp(tiff, "MM", 2) != 0)
        return unreadable;
    size_t directory = tiff_u32(&t, 4);
    if (tiff_u16(&t, 2) != 42 || directory > tiff_count - 2)
        return unreadable;
    size_t entries = tiff_u16(&t, directory);
    size_t entries_inside = (tiff_count - directory - 2) / ENTRY_BYTES;
    for (size_t i = 0; i < entries && i < entries_inside; i++) {
        size_t at = directory + 2 + i * ENTRY_BYTES;
        if (tiff_u16(&t, at) != TAG_ORIENTATION)
            continue;
        uint32_t value = tiff_u16(&t, at + 8);
        bool readable = tiff_u16(&t, at + 2) == TYPE_SHORT && tiff_u32(&t, at + 4) == 1;
        return readable && value >= 1 && value <= 8 ? (struct sm_exif){(int)value, false}
                                                    : unreadable;
    }
    return entries > entries_inside ? unreadable : none;
}

/* For each orientation, the way from an upright pixel to its source: swap x and y, then mirror. */
static const struct {
    bool swap, mirror_x, mirror_y;
} turns[9] = {
    [1] = {false, false, false}, [2] = {false, true, false}, [3] = {false, true, true},
    [4] = {false, false, true},  [5] = {true, false, false}, [6] = {true, false, true},
    [7] = {true, true, true},    [8] = {true, true, false},
};

enum sm_code sm_exif_apply(struct sm_image *image, int orientation, struct sm_err *err)
{
    if (orientation == 1)
        return SM_OK;
    int32_t w = image->width_px, h = image->height_px;
    bool swap = turns[orientation].swap;
    struct sm_image upright;
    enum sm_code code = sm_image_alloc(&upright, swap ? h : w, swap ? w : h, err);
    if (code != SM_OK)
        return code;
    uint8_t *to = upright.rgb;
    for (int32_t y = 0; y < upright.height_px; y++) {
        for (int32_t x = 0; x < upright.width_px; x++, to += 3) {
            int32_t from_x = swap ? y : x, from_y = swap ? x : y;
            if (turns[orientation].mirror_x)
                from_x = w - 1 - from_x;
            if (turns[orientation].mirror_y)
                from_y = h - 1 - from_y;
            memcpy(to, image->rgb + ((size_t)from_y * w + from_x) * 3, 3);
        }
    }
    sm_image_release(image);
    *image = upright;
    return SM_OK;
}
