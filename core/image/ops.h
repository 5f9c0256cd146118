/* Pixel ops, each bit for bit that of Pillow 9.4 / torchvision 0.14 on RGB images.
 *
 * Ops that keep the size work in place; the others fill `out`, which must not be the input, and
 * leave it zeroed on failure. Errors: SM_LIMIT, SM_NOMEM, SM_CANCELLED of a watch. Threads: no
 * shared state. */
#ifndef CORE_IMAGE_OPS_H
#define CORE_IMAGE_OPS_H

#include "sslmem/image.h"
#include "sslmem/watch.h"

enum sm_code sm_ops_copy(struct sm_image *out, const struct sm_image *image, struct sm_err *err);

/* The rectangle must lie inside the image. */
enum sm_code sm_ops_crop(struct sm_image *out, const struct sm_image *image, int32_t top,
                         int32_t left, int32_t height, int32_t width, struct sm_err *err);

/* Square in the middle; black is added where the image is smaller (torchvision center_crop). */
enum sm_code sm_ops_center_crop(struct sm_image *out, const struct sm_image *image, int32_t size,
                                struct sm_err *err);

struct sm_margins {
    int32_t left, top, right, bottom;
};

enum sm_code sm_ops_pad(struct sm_image *out, const struct sm_image *image,
                        struct sm_margins margins, uint8_t fill, struct sm_err *err);

/* Sides after torchvision's Resize(size): the short one becomes `size`, the long one int(size *
 * long / short). */
void sm_ops_short_side(int64_t *width, int64_t *height, const struct sm_image *image, int32_t size);

void sm_ops_flip(struct sm_image *image); /* left to right */

/* torchvision's adjust_*; 1 changes nothing, 0 gives black / the mean grey / a grey picture. */
void sm_ops_brightness(struct sm_image *image, double factor);
void sm_ops_contrast(struct sm_image *image, double factor);
void sm_ops_saturation(struct sm_image *image, double factor);
/* Turns the hue by `factor` of the circle, -0.5..0.5, through Pillow's 8-bit HSV. */
void sm_ops_hue(struct sm_image *image, double factor);

void sm_ops_grayscale(struct sm_image *image);                   /* three equal channels */
void sm_ops_solarize(struct sm_image *image, int32_t threshold); /* inverts values >= threshold */

/* Pillow's GaussianBlur(sigma): three passes of an extended box blur along rows, then along
 * columns. `watch` (may be NULL) is asked before each block of lines. */
enum sm_code sm_ops_gaussian_blur(struct sm_image *image, double sigma,
                                  const struct sm_watch *watch, struct sm_err *err);

#endif
