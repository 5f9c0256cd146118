/* Ops of geometry, and blur. Colour ops are in color.c.
 *
 * The blur mirrors Pillow 9.4 (src/libImaging/BoxBlur.c, after Gwosdek et al., SSVM 2011). It keeps
 * a running sum, so that the cost per pixel does not depend on sigma. As in Pillow, weights are
 * 24-bit fixed point and computed in float. */
#include "core/image/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLUR_PASSES 3

static size_t row_bytes(const struct sm_image *image)
{
    return (size_t)image->width_px * 3;
}

enum sm_code sm_ops_copy(struct sm_image *out, const struct sm_image *image, struct sm_err *err)
{
    enum sm_code code = sm_image_alloc(out, image->width_px, image->height_px, err);
    if (code == SM_OK)
        memcpy(out->rgb, image->rgb, row_bytes(image) * (size_t)image->height_px);
    return code;
}

enum sm_code sm_ops_crop(struct sm_image *out, const struct sm_image *image, int32_t top,
                         int32_t left, int32_t height, int32_t width, struct sm_err *err)
{
    enum sm_code code = sm_image_alloc(out, width, height, err);
    if (code != SM_OK)
        return code;
    const uint8_t *from = image->rgb + (size_t)top * row_bytes(image) + (size_t)left * 3;
    for (int32_t y = 0; y < height; y++)
        memcpy(out->rgb + (size_t)y * row_bytes(out), from + (size_t)y * row_bytes(image),
               row_bytes(out));
    return SM_OK;
}

enum sm_code sm_ops_pad(struct sm_image *out, const struct sm_image *image,
                        struct sm_margins margins, uint8_t fill, struct sm_err *err)
{
    enum sm_code code = sm_image_alloc(out, margins.left + image->width_px + margins.right,
                                       margins.top + image->height_px + margins.bottom, err);
    if (code != SM_OK)
        return code;
    memset(out->rgb, fill, row_bytes(out) * (size_t)out->height_px);
    uint8_t *to = out->rgb + (size_t)margins.top * row_bytes(out) + (size_t)margins.left * 3;
    for (int32_t y = 0; y < image->height_px; y++)
        memcpy(to + (size_t)y * row_bytes(out), image->rgb + (size_t)y * row_bytes(image),
               row_bytes(image));
    return SM_OK;
}

/* Returns excess / 2 rounded as Python's int(round(excess / 2.0)): halves to the even integer. */
static int32_t half_even(int32_t excess)
{
    return (int32_t)nearbyint(excess / 2.0);
}

enum sm_code sm_ops_center_crop(struct sm_image *out, const struct sm_image *image, int32_t size,
                                struct sm_err *err)
{
    struct sm_image padded = {0};
    int32_t lack_x = size > image->width_px ? size - image->width_px : 0;
    int32_t lack_y = size > image->height_px ? size - image->height_px : 0;
    if (lack_x > 0 || lack_y > 0) {
        struct sm_margins margins = {lack_x / 2, lack_y / 2, (lack_x + 1) / 2, (lack_y + 1) / 2};
        enum sm_code code = sm_ops_pad(&padded, image, margins, 0, err);
        if (code != SM_OK) {
            *out = (struct sm_image){0};
            return code;
        }
        image = &padded;
    }
    enum sm_code code = sm_ops_crop(out, image, half_even(image->height_px - size),
                                    half_even(image->width_px - size), size, size, err);
    sm_image_release(&padded);
    return code;
}

void sm_ops_short_side(int64_t *width, int64_t *height, const struct sm_image *image, int32_t size)
{
    int64_t w = image->width_px, h = image->height_px;
    bool tall = w <= h;
    /* As in Python: an exact integer product, then a division in double. */
    int64_t longer = (int64_t)((double)(size * (tall ? h : w)) / (double)(tall ? w : h));
    *width = tall ? size : longer;
    *height = tall ? longer : size;
}

void sm_ops_flip(struct sm_image *image)
{
    for (int32_t y = 0; y < image->height_px; y++) {
        uint8_t *left = image->rgb + (size_t)y * row_bytes(image);
        uint8_t *right = left + row_bytes(image) - 3;
        for (; left < right; left += 3, right -= 3) {
            uint8_t kept[3];
            memcpy(kept, left, 3);
            memcpy(left, right, 3);
            memcpy(right, kept, 3);
        }
    }
}

/* Returns the radius of the box whose BLUR_PASSES-fold convolution with itself has the variance
 * sigma^2. Computes in float as Pillow does. */
static float box_radius(float sigma)
{
    float variance = sigma * sigma / BLUR_PASSES;
    float length = (float)sqrt(12.0 * variance + 1.0);
    float whole = (float)floor((length - 1.0) / 2.0);
    float part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance);
    part /= 6 * (variance - (whole + 1) * (whole + 1));
    return whole + part;
}

/* A box of a radius that need not be an integer: weights in units of 2^-24, `inner` for the pixels
 * within `radius` of the centre, `edge` for the next pixel on each side. */
struct box {
    int radius;
    uint32_t inner, edge;
};

static int clamp_index(int i, int count)
{
    return i < 0 ? 0 : i >= count ? count - 1 : i;
}

/* Blurs a line of `count` pixels once; beyond its ends, the first or last pixel repeats. */
static void box_blur_line(uint8_t *out, const uint8_t *in, int count, struct box box)
{
    int r = box.radius;
    for (int c = 0; c < 3; c++) {
        uint32_t sum = 0; /* sum of the pixels in the box around pixel -1 */
        for (int i = -r - 1; i < r && i < count; i++)
            sum += in[3 * clamp_index(i, count) + c];
        if (r > count)
            sum += (uint32_t)in[3 * (count - 1) + c] * (uint32_t)(r - count);
        for (int x = 0; x < count; x++) {
            uint32_t leaving = in[3 * clamp_index(x - r - 1, count) + c];
            uint32_t entering = in[3 * clamp_index(x + r, count) + c];
            uint32_t beyond = in[3 * clamp_index(x + r + 1, count) + c];
            sum += entering - leaving;
            uint32_t weighted = sum * box.inner + (leaving + beyond) * box.edge;
            out[3 * x + c] = (uint8_t)((weighted + (1u << 23)) >> 24);
        }
    }
}

/* Blurs a line in place by all passes. Pixels are `step` bytes apart; `room` fits two lines. */
static void blur_line(uint8_t *line, size_t step, int count, struct box box, uint8_t *room)
{
    uint8_t *from = room, *to = room + (size_t)count * 3;
    for (int i = 0; i < count; i++)
        memcpy(from + (size_t)i * 3, line + (size_t)i * step, 3);
    for (int pass = 0; pass < BLUR_PASSES; pass++) {
        box_blur_line(to, from, count, box);
        uint8_t *swapped = from;
        from = to;
        to = swapped;
    }
    for (int i = 0; i < count; i++)
        memcpy(line + (size_t)i * step, from + (size_t)i * 3, 3);
}

enum sm_code sm_ops_gaussian_blur(struct sm_image *image, double sigma,
                                  const struct sm_watch *watch, struct sm_err *err)
{
    float radius = box_radius((float)sigma);
    struct box box = {.radius = (int)radius};
    box.inner = (uint32_t)((float)(1u << 24) / (radius * 2 + 1));
    box.edge = ((1u << 24) - (uint32_t)(box.radius * 2 + 1) * box.inner) / 2;
    int w = image->width_px, h = image->height_px;
    uint8_t *room = malloc((size_t)(w > h ? w : h) * 6);
    if (!room)
        return sm_err_set(err, SM_NOMEM, "out of memory for two lines of %d pixels", w > h ? w : h);
    int64_t rows = sm_watch_rows(BLUR_PASSES * (int64_t)w);
    int64_t columns = sm_watch_rows(BLUR_PASSES * (int64_t)h);
    enum sm_code code = SM_OK;
    for (int y = 0; y < h && code == SM_OK; y++) {
        if (y % rows == 0)
            code = sm_watch_ask(watch, err);
        if (code == SM_OK)
            blur_line(image->rgb + (size_t)y * row_bytes(image), 3, w, box, room);
    }
    for (int x = 0; x < w && code == SM_OK; x++) {
        if (x % columns == 0)
            code = sm_watch_ask(watch, err);
        if (code == SM_OK)
            blur_line(image->rgb + (size_t)x * 3, row_bytes(image), h, box, room);
    }
    free(room);
    return code;
}
