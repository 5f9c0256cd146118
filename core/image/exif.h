/* EXIF orientation, and nothing else of EXIF. */
#ifndef CORE_IMAGE_EXIF_H
#define CORE_IMAGE_EXIF_H

#include "sslmem/image.h"

/* Orientation 1..8 out of a TIFF block; 1 when absent or unreadable. */
int sm_exif_orientation(const uint8_t *tiff, size_t tiff_count);

/* Turns the pixels upright: `image` is replaced by its upright form. Orientation 1..8. */
enum sm_code sm_exif_apply(struct sm_image *image, int orientation, struct sm_err *err);

#endif
