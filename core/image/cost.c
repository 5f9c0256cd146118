/* Counts the steps of a view op by op and follows the image's size through the list, as augment.c
 * changes it.
 *
 * The size of a result depends only on the size of the input. Drawn parameters change the work, so
 * the count assumes the most expensive ones: a random crop is counted as the whole input. */
#include <math.h>

#include "core/image/resize.h"
#include "sslmem/cost.h"

#define BLUR_LINE_PASSES 6 /* passes over each pixel: 3 along rows, 3 along columns */

struct extent {
    double width, height;
};

static double pixels_of(const struct extent *e)
{
    return e->width * e->height;
}

static bool is_image(const struct extent *e)
{
    return e->width >= 1 && e->height >= 1 && e->width <= SM_IMAGE_SIDE_MAX_PX &&
           e->height <= SM_IMAGE_SIDE_MAX_PX && pixels_of(e) <= SM_IMAGE_PIXELS_MAX;
}

/* Returns the number of input pixels under the filter of one output pixel, along one axis. */
static double taps_of(double in, double out, enum sm_interpolation interpolation)
{
    return 2 * sm_resize_support(interpolation) * fmax(1, in / out);
}

static void count_resize(double steps[SM_WORKS], struct extent *e, const struct sm_op *op,
                         const struct extent *to)
{
    if (!is_image(to)) {
        *e = *to;
        return;
    }
    if (to->width != e->width)
        steps[SM_WORK_RESIZE] +=
            to->width * e->height * taps_of(e->width, to->width, op->interpolation);
    if (to->height != e->height)
        steps[SM_WORK_RESIZE] += pixels_of(to) * taps_of(e->height, to->height, op->interpolation);
    steps[SM_WORK_COPY] += pixels_of(to);
    *e = *to;
}

static void count_crop_and_resize(double steps[SM_WORKS], struct extent *e, const struct sm_op *op)
{
    steps[SM_WORK_COPY] += pixels_of(e);
    count_resize(steps, e, op, &(struct extent){op->size_px, op->size_px});
}

static void count_short_side(double steps[SM_WORKS], struct extent *e, const struct sm_op *op)
{
    double longer = floor(op->size_px * fmax(e->width, e->height) / fmin(e->width, e->height));
    struct extent to = {op->size_px, longer};
    if (e->width > e->height)
        to = (struct extent){longer, op->size_px};
    count_resize(steps, e, op, &to);
}

/* A center crop first pads an image that is smaller than the size. */
static void count_center_crop(double steps[SM_WORKS], struct extent *e, const struct sm_op *op)
{
    struct extent padded = {fmax(e->width, op->size_px), fmax(e->height, op->size_px)};
    if (pixels_of(&padded) > pixels_of(e))
        steps[SM_WORK_COPY] += pixels_of(&padded);
    *e = (struct extent){op->size_px, op->size_px};
    steps[SM_WORK_COPY] += pixels_of(e);
}

static void count_pad(double steps[SM_WORKS], struct extent *e, const struct sm_op *op)
{
    e->width += 2.0 * op->padding_px;
    e->height += 2.0 * op->padding_px;
    if (is_image(e))
        steps[SM_WORK_COPY] += pixels_of(e);
}

static void count_jitter(double steps[SM_WORKS], const struct extent *e, const struct sm_op *op)
{
    const double widths[] = {op->brightness, op->contrast, op->saturation, op->hue};
    for (int i = 0; i < 4; i++)
        steps[SM_WORK_BRIGHTNESS + i] += widths[i] > 0 ? pixels_of(e) : 0;
}

/* A pass over a line first sums up the pixels of a box, which may be longer than the line. For
 * sigma s the box has about s pixels on each side, and each costs a third of a step. */
static void count_blur(double steps[SM_WORKS], const struct extent *e, const struct sm_op *op)
{
    double box = op->sigma[1] + 1;
    double lines = e->width + e->height;
    double start = lines * box + e->height * fmin(box, e->width) + e->width * fmin(box, e->height);
    steps[SM_WORK_BLUR] += BLUR_LINE_PASSES * pixels_of(e) + BLUR_LINE_PASSES / 2 * start / 3;
}

/* Kinds of ops that keep the size and need one step a pixel, with the kind of that step. */
static const enum sm_work pixel_work[] = {[SM_OP_FLIP] = SM_WORK_FLIP,
                                          [SM_OP_GRAYSCALE] = SM_WORK_GRAYSCALE,
                                          [SM_OP_SOLARIZE] = SM_WORK_SOLARIZE};

static void count_in_place(double steps[SM_WORKS], const struct extent *e, const struct sm_op *op)
{
    steps[SM_WORK_COPY] += pixels_of(e);
    if (op->kind == SM_OP_COLOR_JITTER)
        count_jitter(steps, e, op);
    else if (op->kind == SM_OP_GAUSSIAN_BLUR)
        count_blur(steps, e, op);
    else
        steps[pixel_work[op->kind]] += pixels_of(e);
}

static void count_op(double steps[SM_WORKS], struct extent *e, const struct sm_op *op)
{
    switch (op->kind) {
    case SM_OP_RANDOM_RESIZED_CROP:
        count_crop_and_resize(steps, e, op);
        break;
    case SM_OP_RESIZE:
        count_short_side(steps, e, op);
        break;
    case SM_OP_CENTER_CROP:
        count_center_crop(steps, e, op);
        break;
    case SM_OP_PAD:
        count_pad(steps, e, op);
        break;
    case SM_OP_FLIP:
    case SM_OP_COLOR_JITTER:
    case SM_OP_GRAYSCALE:
    case SM_OP_GAUSSIAN_BLUR:
    case SM_OP_SOLARIZE:
        if (op->p > 0)
            count_in_place(steps, e, op);
        break;
    }
}

void sm_augment_count(double steps[SM_WORKS], const struct sm_augment *augment, int32_t width_px,
                      int32_t height_px)
{
    struct extent e = {width_px, height_px};
    for (int i = 0; i < augment->count && is_image(&e); i++)
        count_op(steps, &e, &augment->ops[i]);
}
