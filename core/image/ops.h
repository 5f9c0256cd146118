/* Pixel ops on RGB images. Each gives the pixels of Pillow 9.4 / torchvision 0.14, bit for bit.
 *
 * Ops that keep the size work in place. The others write `out`, which must not be the input; they
 * leave it zeroed on failure, and the caller releases it.
 * Threads: no shared state. Errors: SM_LIMIT, SM_NOMEM, SM_CANCELLED from a watch. */
#ifndef CORE_IMAGE_OPS_H
#define CORE_IMAGE_OPS_H

#include "sslmem/image.h"
#include "sslmem/watch.h"

enum sm_code sm_ops_copy(struct sm_image *out, const struct sm_image *image, struct sm_err *err);

/* Copies a rectangle, which must lie inside the image. */
enum sm_code sm_ops_crop(struct sm_image *out, const struct sm_image *image, int32_t top,
                         int32_t left, int32_t height, int32_t width, struct sm_err *err);

/* torchvision's center_crop: pads a smaller image with black, then copies the central square. */
enum sm_code sm_ops_center_crop(struct sm_image *out, const struct sm_image *image, int32_t size,
                                struct sm_err *err);

struct sm_margins {
    int32_t left, top, right, bottom;
};

/* Adds margins in pixels, with all channels set to `fill`. */
enum sm_code sm_ops_pad(struct sm_image *out, const struct sm_image *image,
                        struct sm_margins margins, uint8_t fill, struct sm_err *err);

/* Computes the sides after torchvision's Resize(size): the short side becomes `size`, the long one
 * int(size * long / short). */
void sm_ops_short_side(int64_t *width, int64_t *height, const struct sm_image *image, int32_t size);

void sm_ops_flip(struct sm_image *image); /* exchanges left and right */

/* torchvision's adjust_brightness, _contrast and _saturation. A factor of 1 changes nothing; 0
 * makes the image black, its mean grey, or grey pixels. */
void sm_ops_brightness(struct sm_image *image, double factor);
void sm_ops_contrast(struct sm_image *image, double factor);
void sm_ops_saturation(struct sm_image *image, double factor);
/* Turns the hue by `factor` of the circle, -0.5..0.5, through Pillow's 8-bit HSV. */
void sm_ops_hue(struct sm_image *image, double factor);

void sm_ops_grayscale(struct sm_image *image);                   /* sets channels to the luma */
void sm_ops_solarize(struct sm_image *image, int32_t threshold); /* inverts values >= threshold */

/* Pillow's GaussianBlur(sigma), sigma in pixels: three passes of an extended box blur along rows,
 * then three along columns. `watch` (may be NULL) is asked before each block of lines. */
enum sm_code sm_ops_gaussian_blur(struct sm_image *image, double sigma,
                                  const struct sm_watch *watch, struct sm_err *err);

#endif
