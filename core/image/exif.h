/* EXIF orientation; other EXIF data is not read. Threads: no state. Private to core/image. */
#ifndef CORE_IMAGE_EXIF_H
#define CORE_IMAGE_EXIF_H

#include "sslmem/image.h"

struct sm_exif {
    int orientation; /* EXIF's code 1..8; 1: upright */
    bool unreadable; /* the file has EXIF data without a readable orientation, which is then 1 */
};

/* Reads the orientation from a TIFF block; 1 for NULL, that is, for a file without EXIF data. */
struct sm_exif sm_exif_read(const uint8_t *tiff, size_t tiff_count);

/* Replaces `image` by its upright form. `orientation` is 1..8. SM_NOMEM. */
enum sm_code sm_exif_apply(struct sm_image *image, int orientation, struct sm_err *err);

#endif
