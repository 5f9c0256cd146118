/* Pixel features: what an image looks like, in at most 200 bytes, for the controls of an audit.
 *
 *     struct sm_pixels pixels;
 *     uint8_t packed[SM_PIXELS_BYTES_MAX];
 *     if (sm_pixels_measure(&pixels, &image, info.media_type, file_bytes, &err) == SM_OK)
 *         size_t count = sm_pixels_pack(packed, &pixels);
 *
 * Levels are those of 8-bit channels, 0 to 255. Luminance is Pillow's convert("L") of a pixel. The
 * features are a function of the pixels as they were scored, the format and the size of the file.
 *
 * Owner: no memory of its own. Threads: no state. Errors: SM_NOMEM. */
#ifndef SSLMEM_PIXELS_H
#define SSLMEM_PIXELS_H

#include "sslmem/image.h"

#define SM_PIXELS_GRID        8  /* luminance cells on a side */
#define SM_PIXELS_PROFILE_MAX 32 /* longest side, in pixels, of an image that has profiles */
#define SM_PIXELS_BYTES_MAX   200
#define SM_PIXELS_VERSION     1

enum sm_pixels_format { SM_PIXELS_RAW, SM_PIXELS_JPEG, SM_PIXELS_PNG, SM_PIXELS_FORMATS };

struct sm_pixels {
    enum sm_pixels_format format;
    int32_t width_px, height_px; /* with the orientation that the recipe applied */
    double bytes_per_pixel;      /* of the file */
    double mean[3], sd[3];       /* of red, green, blue; sd with divisor n */
    uint64_t hash; /* perceptual hash: bit 63 - k is coefficient k of the low 8x8 block, row by row;
                      bit 63, the mean, is 0 */
    uint8_t luminance[SM_PIXELS_GRID * SM_PIXELS_GRID]; /* means of cells, row by row */
    /* Mean luminance of each row and column; only of images whose sides are at most
     * SM_PIXELS_PROFILE_MAX. */
    uint8_t rows[SM_PIXELS_PROFILE_MAX], columns[SM_PIXELS_PROFILE_MAX];
};

/* Measures a decoded image. `media_type`: of sm_image_info. The hash: luminance of the image
 * resized to 32x32 (bilinear), DCT-II, low 8x8 block, rounded to 1/1024 so that a flat image has no
 * noise; a coefficient above the median of the 63 without the mean gives 1. */
enum sm_code sm_pixels_measure(struct sm_pixels *out, const struct sm_image *image,
                               const char *media_type, size_t file_bytes, struct sm_err *err);

/* Writes the packed form; returns its bytes. Numbers are little-endian:
 *
 *     byte 0   version (1)        byte 10  mean[3], sd[3]: u16, 1/256 levels
 *     byte 1   format             byte 22  hash: u64
 *     byte 2   width, height: u16 byte 30  luminance: u8 [64]
 *     byte 6   bytes per pixel:   byte 94  rows: u8 [height], columns: u8 [width], if both sides
 *              float32                     are at most 32 */
size_t sm_pixels_pack(uint8_t out[SM_PIXELS_BYTES_MAX], const struct sm_pixels *pixels);
/* Reads the packed form; false for another version, a wrong length or impossible values. */
bool sm_pixels_unpack(struct sm_pixels *out, const void *packed, size_t bytes_count);

/* Tells whether two images are near-duplicates: copies that were cropped by a pixel or so and
 * encoded again, not merely alike.
 *   Sides of both at most 32 pixels: the profiles agree, at the best offset if one image can be a
 *   crop of the other by at most two pixels a side. A hash of 64 bits is too coarse for such
 *   images: of 1,000 Fashion-MNIST pictures, 350 pairs have hashes within 6 bits.
 *   Else: hashes within SM_PIXELS_HASH_BITS, and luminances that agree. */
#define SM_PIXELS_HASH_BITS 6
#define SM_PIXELS_CROP_MAX  2   /* pixels by which the sides of a crop may be shorter */
#define SM_PIXELS_LEVELS    6.0 /* largest root mean square difference of profiles */
bool sm_pixels_has_profiles(const struct sm_pixels *pixels);
bool sm_pixels_near(const struct sm_pixels *a, const struct sm_pixels *b);

#endif
