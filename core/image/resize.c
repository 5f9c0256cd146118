/* Resampling by convolution, mirrors Pillow 9.4 (src/libImaging/Resample.c). The filter is
 * stretched by the reduction factor. Its weights are computed in double, normalised to sum 1 and
 * rounded to 22-bit fixed point. Two passes apply them, the horizontal one first, with an 8-bit
 * image in between; a pass whose side does not change is skipped. The order of operations and the
 * rounding must not change, because they decide bits. Cost per output pixel and pass: the filter's
 * width, 2 * support * max(1, in / out). */
#include "core/image/resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PRECISION_BITS (32 - 8 - 2) /* 8 bits of result, 2 bits for overshoot */

/* The triangle filter. */
static double bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* The filter of Keys' cubic convolution with a = -0.5. */
static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * a : 0.0;
}

static const struct filter {
    double (*weight)(double x);
    double support;
} filters[] = {[SM_BILINEAR] = {bilinear, 1.0}, [SM_BICUBIC] = {bicubic, 2.0}};

double sm_resize_support(enum sm_interpolation interpolation)
{
    return filters[interpolation].support;
}

/* Weights along one axis: output i is the sum over j < width[i] of
 * in[first[i] + j] * k[i * stride + j]. */
struct taps {
    int32_t *first, *width, *k;
    int stride;
    int64_t sum; /* sum of all `width` */
};

static void taps_release(struct taps *t)
{
    free(t->first);
    free(t->width);
    free(t->k);
    *t = (struct taps){0};
}

static int32_t to_fixed(double weight)
{
    double scaled = weight * (1 << PRECISION_BITS);
    return (int32_t)(weight < 0 ? scaled - 0.5 : scaled + 0.5);
}

/* Computes the weights of output `i`; `w` is a buffer of t->stride numbers. */
static void taps_compute(struct taps *t, int i, int in, double scale, const struct filter *filter,
                         double *w)
{
    double stretch = scale < 1.0 ? 1.0 : scale;
    double support = filter->support * stretch;
    double center = (i + 0.5) * scale, step = 1.0 / stretch, sum = 0.0;
    int first = (int)(center - support + 0.5), end = (int)(center + support + 0.5);
    first = first < 0 ? 0 : first;
    end = end > in ? in : end;
    for (int j = 0; j < end - first; j++) {
        w[j] = filter->weight((j + first - center + 0.5) * step);
        sum += w[j];
    }
    for (int j = 0; j < end - first; j++)
        t->k[(size_t)i * t->stride + j] = to_fixed(sum != 0.0 ? w[j] / sum : w[j]);
    t->first[i] = first;
    t->width[i] = end - first;
    t->sum += end - first;
}

static enum sm_code taps_init(struct taps *t, int in, int out, const struct filter *filter,
                              struct sm_err *err)
{
    double scale = (double)in / out;
    t->stride = (int)ceil(filter->support * (scale < 1.0 ? 1.0 : scale)) * 2 + 1;
    t->first = calloc(out, sizeof *t->first);
    t->width = calloc(out, sizeof *t->width);
    t->k = calloc((size_t)out * t->stride, sizeof *t->k);
    double *room = calloc(t->stride, sizeof *room);
    enum sm_code code = SM_OK;
    if (!t->first || !t->width || !t->k || !room)
        code = sm_err_set(err, SM_NOMEM, "out of memory for weights of %d to %d pixels", in, out);
    for (int i = 0; code == SM_OK && i < out; i++)
        taps_compute(t, i, in, scale, filter, room);
    free(room);
    return code;
}

static uint8_t clip8(int32_t fixed)
{
    int32_t value = fixed >> PRECISION_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* Computes one output pixel from `width` input pixels, which are `step` bytes apart. */
static void resample_pixel(uint8_t *out, const uint8_t *in, size_t step, const int32_t *k,
                           int width)
{
    int32_t r = 1 << (PRECISION_BITS - 1), g = r, b = r;
    for (int j = 0; j < width; j++, in += step) {
        r += in[0] * k[j];
        g += in[1] * k[j];
        b += in[2] * k[j];
    }
    out[0] = clip8(r);
    out[1] = clip8(g);
    out[2] = clip8(b);
}

static enum sm_code horizontal(uint8_t *out, int out_width, const uint8_t *in, int in_width,
                               int height, const struct taps *t, const struct sm_watch *watch,
                               struct sm_err *err)
{
    int64_t rows = sm_watch_rows(t->sum);
    for (int y = 0; y < height; y++) {
        if (y % rows == 0 && sm_watch_ask(watch, err) != SM_OK)
            return SM_CANCELLED;
        const uint8_t *row = in + (size_t)y * in_width * 3;
        for (int x = 0; x < out_width; x++, out += 3)
            resample_pixel(out, row + (size_t)t->first[x] * 3, 3, t->k + (size_t)x * t->stride,
                           t->width[x]);
    }
    return SM_OK;
}

static enum sm_code vertical(uint8_t *out, int out_height, const uint8_t *in, int width,
                             const struct taps *t, const struct sm_watch *watch, struct sm_err *err)
{
    size_t row_bytes = (size_t)width * 3;
    int64_t rows = sm_watch_rows(width * t->sum / out_height);
    for (int y = 0; y < out_height; y++) {
        if (y % rows == 0 && sm_watch_ask(watch, err) != SM_OK)
            return SM_CANCELLED;
        const uint8_t *top = in + (size_t)t->first[y] * row_bytes;
        for (int x = 0; x < width; x++, out += 3)
            resample_pixel(out, top + (size_t)x * 3, row_bytes, t->k + (size_t)y * t->stride,
                           t->width[y]);
    }
    return SM_OK;
}

enum sm_code sm_resize(struct sm_image *out, const struct sm_image *image,
                       const struct sm_resize_to *to, struct sm_err *err)
{
    struct taps across = {0}, down = {0};
    uint8_t *between = NULL;
    const uint8_t *source = image->rgb;
    const struct filter *filter = &filters[to->interpolation];
    int in_width = image->width_px, in_height = image->height_px;
    *out = (struct sm_image){0};
    if (to->width_px < 1 || to->height_px < 1 || to->width_px > SM_IMAGE_SIDE_MAX_PX ||
        to->height_px > SM_IMAGE_SIDE_MAX_PX)
        return sm_err_set(err, SM_LIMIT, "resize to %lldx%lld pixels, sides may be 1 to %d",
                          (long long)to->width_px, (long long)to->height_px, SM_IMAGE_SIDE_MAX_PX);
    int width = (int)to->width_px, height = (int)to->height_px;
    enum sm_code code = sm_image_alloc(out, width, height, err);
    if (code != SM_OK)
        return code;
    if (width != in_width) {
        between = height == in_height ? out->rgb : malloc((size_t)width * in_height * 3);
        if (!between) {
            code = sm_err_set(err, SM_NOMEM, "out of memory for %dx%d pixels", width, in_height);
            goto out;
        }
        if ((code = taps_init(&across, in_width, width, filter, err)) != SM_OK)
            goto out;
        code = horizontal(between, width, source, in_width, in_height, &across, to->watch, err);
        if (code != SM_OK)
            goto out;
        source = between;
    }
    if (height != in_height) {
        if ((code = taps_init(&down, in_height, height, filter, err)) != SM_OK)
            goto out;
        code = vertical(out->rgb, height, source, width, &down, to->watch, err);
    } else if (source == image->rgb) {
        memcpy(out->rgb, image->rgb, (size_t)width * height * 3);
    }
out:
    taps_release(&across);
    taps_release(&down);
    if (between != out->rgb)
        free(between);
    if (code != SM_OK)
        sm_image_release(out);
    return code;
}
