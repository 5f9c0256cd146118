/* Colour ops. Pillow blends an image with a degenerate one (black, mean grey or the grey picture)
 * in float and truncates the result. For hue it converts to an 8-bit HSV in a mix of float and
 * double. The precision of each value decides bits of the result, so every expression here has the
 * types of Pillow 9.4 (Blend.c, Convert.c). */
#include "core/image/ops.h"

static size_t pixels_of(const struct sm_image *image)
{
    return (size_t)image->width_px * (size_t)image->height_px;
}

/* Returns the ITU-R 601 luma of a pixel, computed in 16-bit fixed point. */
static uint8_t luma(const uint8_t *p)
{
    return (uint8_t)((p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 0x8000u) >> 16);
}

/* Returns from + factor * (to - from), first truncated, then clipped to 0..255. Compilers make
 * branches when they clip a float, and a client's pixels could mispredict half of them. */
static uint8_t blend(int from, int to, float factor)
{
    int value = (int)((float)from + factor * (float)(to - from));
    value = value < 255 ? value : 255;
    return (uint8_t)(value & ~(value >> 31)); /* a negative value becomes 0 */
}

static void blend_with_level(struct sm_image *image, int level, double factor)
{
    uint8_t blended[256];
    size_t count = pixels_of(image) * 3;
    for (int value = 0; value < 256; value++)
        blended[value] = blend(level, value, (float)factor);
    for (size_t i = 0; i < count; i++)
        image->rgb[i] = blended[image->rgb[i]];
}

void sm_ops_brightness(struct sm_image *image, double factor)
{
    blend_with_level(image, 0, factor);
}

void sm_ops_contrast(struct sm_image *image, double factor)
{
    uint64_t sum = 0;
    size_t count = pixels_of(image);
    for (size_t i = 0; i < count; i++)
        sum += luma(image->rgb + 3 * i);
    blend_with_level(image, (int)((double)sum / (double)count + 0.5), factor);
}

void sm_ops_saturation(struct sm_image *image, double factor)
{
    uint8_t *p = image->rgb;
    for (size_t i = pixels_of(image); i > 0; i--, p += 3) {
        int grey = luma(p);
        for (int c = 0; c < 3; c++)
            p[c] = blend(grey, p[c], (float)factor);
    }
}

void sm_ops_grayscale(struct sm_image *image)
{
    uint8_t *p = image->rgb;
    for (size_t i = pixels_of(image); i > 0; i--, p += 3)
        p[0] = p[1] = p[2] = luma(p);
}

void sm_ops_solarize(struct sm_image *image, int32_t threshold)
{
    size_t count = pixels_of(image) * 3;
    for (size_t i = 0; i < count; i++) {
        if (image->rgb[i] >= threshold)
            image->rgb[i] = (uint8_t)(255 - image->rgb[i]);
    }
}

/* Computes hue and saturation of a pixel that is not grey, with channels between low and high. */
static void hue_saturation(uint8_t *hue, uint8_t *saturation, const uint8_t *p, int high, int low)
{
    float range = (float)(high - low);
    float r = (float)(high - p[0]) / range;
    float g = (float)(high - p[1]) / range;
    float b = (float)(high - p[2]) / range;
    float h;
    if (p[0] == high)
        h = b - g;
    else if (p[1] == high)
        h = (float)(2.0 + r - b);
    else
        h = (float)(4.0 + g - r);
    double turns = h / 6.0 + 1.0; /* in [0, 2); the next line equals Pillow's fmod(turns, 1) */
    h = (float)(turns >= 1.0 ? turns - 1.0 : turns);
    float s = range / (float)high;
    *hue = (uint8_t)(int)(h * 255.0);
    *saturation = (uint8_t)(int)(s * 255.0);
}

/* Rounds as Pillow's round() does: all 2^24 triples of hue, saturation and value were compared. */
static uint8_t nearest(double value)
{
    return (uint8_t)(int)(value + 0.5);
}

static void from_hsv(uint8_t *p, uint8_t hue, uint8_t saturation, uint8_t value)
{
    /* For each sixth of the circle: the indices in `level` of red, green and blue. */
    static const uint8_t order[6][3] = {{0, 3, 1}, {2, 0, 1}, {1, 0, 3},
                                        {1, 2, 0}, {3, 1, 0}, {0, 1, 2}};
    int sixth = (int)((float)hue * 6.0 / 255.0);
    float rest = (float)((float)hue * 6.0 / 255.0 - (float)sixth);
    float s = (float)((float)saturation / 255.0);
    float v = (float)value;
    const uint8_t level[4] = {
        value,
        nearest(v * (1.0 - s)),
        nearest(v * (1.0 - s * rest)),
        nearest(v * (1.0 - s * (1.0 - rest))),
    };
    for (int c = 0; c < 3; c++)
        p[c] = level[order[sixth % 6][c]];
}

void sm_ops_hue(struct sm_image *image, double factor)
{
    uint8_t turn = (uint8_t)(int)(factor * 255);
    uint8_t *p = image->rgb;
    for (size_t i = pixels_of(image); i > 0; i--, p += 3) {
        uint8_t high = p[0] > p[1] ? p[0] : p[1], low = p[0] < p[1] ? p[0] : p[1];
        uint8_t hue, saturation;
        high = p[2] > high ? p[2] : high;
        low = p[2] < low ? p[2] : low;
        if (high == low)
            continue;
        hue_saturation(&hue, &saturation, p, high, low);
        if (saturation == 0) /* high - low is below high / 255: the pixel becomes grey */
            p[0] = p[1] = p[2] = high;
        else
            from_hsv(p, (uint8_t)(hue + turn), saturation, high);
    }
}
