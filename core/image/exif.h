/* EXIF orientation, and nothing else of EXIF. */
#ifndef CORE_IMAGE_EXIF_H
#define CORE_IMAGE_EXIF_H

#include "sslmem/image.h"

struct sm_exif {
    int orientation; /* 1..8 */
    bool unreadable; /* there is a block, but no orientation can be read; orientation is 1 then */
};

/* Reads a TIFF block; NULL: the file has none, which is orientation 1. */
struct sm_exif sm_exif_read(const uint8_t *tiff, size_t tiff_count);

/* Turns the pixels upright: `image` is replaced by its upright form. Orientation 1..8. */
enum sm_code sm_exif_apply(struct sm_image *image, int orientation, struct sm_err *err);

#endif
