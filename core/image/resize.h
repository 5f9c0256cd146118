/* Antialiased resize, bit for bit that of Pillow 9.4 for RGB images. */
#ifndef CORE_IMAGE_RESIZE_H
#define CORE_IMAGE_RESIZE_H

#include "sslmem/views.h"

struct sm_resize_to {
    int64_t width_px, height_px; /* 1 to SM_IMAGE_SIDE_MAX_PX */
    enum sm_interpolation interpolation;
    const struct sm_watch *watch; /* asked before each block of rows; may be NULL */
};
/* Resizes the whole of `image`. Errors: SM_LIMIT, SM_NOMEM, SM_CANCELLED. */
enum sm_code sm_resize(struct sm_image *out, const struct sm_image *image,
                       const struct sm_resize_to *to, struct sm_err *err);

/* Input pixels on each side of an output pixel's centre that an enlargement reads: 1 or 2. */
double sm_resize_support(enum sm_interpolation interpolation);

#endif
