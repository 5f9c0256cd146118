/* Antialiased resize of RGB images to the pixels of Pillow 9.4, bit for bit. Threads: no state. */
#ifndef CORE_IMAGE_RESIZE_H
#define CORE_IMAGE_RESIZE_H

#include "sslmem/views.h"

struct sm_resize_to {
    int64_t width_px, height_px; /* size of the result; sides of 1 to SM_IMAGE_SIDE_MAX_PX */
    enum sm_interpolation interpolation;
    const struct sm_watch *watch; /* asked before each block of rows; may be NULL */
};
/* Resizes an image; the caller releases `out`. Errors: SM_LIMIT, SM_NOMEM, SM_CANCELLED. */
enum sm_code sm_resize(struct sm_image *out, const struct sm_image *image,
                       const struct sm_resize_to *to, struct sm_err *err);

/* Returns half the unstretched filter's width in input pixels: 1 for bilinear, 2 for bicubic. */
double sm_resize_support(enum sm_interpolation interpolation);

#endif
