/* Views: an image and a list of ops to augmented images, the same ones for every encoder.
 *
 *     struct sm_augment aug;
 *     sm_augment_parse(&aug, json_string("simclr-cifar"), 32, "/augment", &err);
 *     sm_view_render(&view, &image, &aug, &(struct sm_stream_key){seed, digest, 3}, NULL, &err);
 *     sm_view_tensor(x, &view, mean, std);            // [3, H, W] as fed to the encoder
 *
 * Every op works on 8-bit pixels and gives what Pillow 9.4 / torchvision 0.14 give for the same
 * drawn parameters, bit for bit. Random numbers are Philox4x32-10: key = (seed, image digest),
 * counter = (view, op, draw); so a view depends on the image bytes, the op list, the seed and its
 * index, and on nothing else.
 *
 * Owner:   the caller owns everything; sm_augment holds no memory.
 * Threads: no shared state. */
#ifndef SSLMEM_VIEWS_H
#define SSLMEM_VIEWS_H

#include <jansson.h>

#include "sslmem/image.h"
#include "sslmem/watch.h"

#define SM_OPS_MAX 16

enum sm_op_kind {
    SM_OP_RANDOM_RESIZED_CROP, /* size, scale, ratio, interpolation */
    SM_OP_FLIP,                /* horizontal; p */
    SM_OP_COLOR_JITTER,        /* brightness, contrast, saturation, hue; p */
    SM_OP_GRAYSCALE,           /* p */
    SM_OP_GAUSSIAN_BLUR,       /* Pillow's; sigma range; p */
    SM_OP_SOLARIZE,            /* threshold; p */
    SM_OP_RESIZE,              /* size: the short side; interpolation */
    SM_OP_CENTER_CROP,         /* size */
    SM_OP_PAD                  /* padding on every side, fill 0..255 */
};

enum sm_interpolation { SM_BILINEAR, SM_BICUBIC };

/* One op. A field that the kind does not use is zero. */
struct sm_op {
    enum sm_op_kind kind;
    enum sm_interpolation interpolation;
    double p;        /* probability that the op is applied; 1 where the kind has none */
    int32_t size_px; /* side of the result */
    double scale[2], ratio[2];
    double brightness, contrast, saturation,
        hue; /* torchvision's factors: [max(0,1-b), 1+b], [-h,h] */
    double sigma[2];
    int32_t threshold, padding_px, fill;
};

struct sm_augment {
    struct sm_op ops[SM_OPS_MAX];
    int count;
};

struct sm_stream_key {
    uint64_t seed;
    const uint8_t *image_digest; /* [32] SHA-256 of the image file's bytes */
    uint32_t view;
    const struct sm_watch *watch; /* no part of the key: asked all along; may be NULL */
};

/* Reads a preset's name or a list of ops. A size that is left out is `size_px`. `pointer` is where
 * the node stands in its document, for errors (SM_INVALID with the exact field). */
enum sm_code sm_augment_parse(struct sm_augment *out, const json_t *node, int32_t size_px,
                              const char *pointer, struct sm_err *err);

/* The list of ops with every parameter written out: sm_augment_parse of it gives the same value.
 * Returns a new reference, NULL when out of memory. */
json_t *sm_augment_json(const struct sm_augment *augment);

/* Names of the presets, NULL-terminated. */
const char *const *sm_augment_presets(void);

/* Renders one view. `drawn` (an empty JSON array, or NULL) receives one object per op with every
 * drawn parameter: {"op":"flip","applied":true}, {"op":"random_resized_crop","top":…}, … */
enum sm_code sm_view_render(struct sm_image *out, const struct sm_image *image,
                            const struct sm_augment *augment, const struct sm_stream_key *key,
                            json_t *drawn, struct sm_err *err);

/* ToTensor and Normalize: out [3, height, width] = (rgb/255 - mean)/std, in float as torchvision.
 */
void sm_view_tensor(float *out, const struct sm_image *view, const float mean[3],
                    const float std[3]);

#endif
