/* Antialiased resize, bit for bit that of Pillow 9.4 for RGB images. */
#ifndef CORE_IMAGE_RESIZE_H
#define CORE_IMAGE_RESIZE_H

#include "sslmem/views.h"

/* Resizes the whole of `image`; sides from 1 to SM_IMAGE_SIDE_MAX_PX. Errors: SM_LIMIT, SM_NOMEM.
 */
enum sm_code sm_resize(struct sm_image *out, const struct sm_image *image, int64_t width_px,
                       int64_t height_px, enum sm_interpolation interpolation, struct sm_err *err);

#endif
