/* Views: augments an image by a list of ops; every encoder gets the same views.
 *
 *     struct sm_augment aug;
 *     sm_augment_parse(&aug, json_string("simclr-cifar"), 32, "/augment", &err);
 *     sm_view_render(&view, &image, &aug, &(struct sm_stream_key){seed, digest, 3}, NULL, &err);
 *     sm_view_tensor(x, &view, mean, std);            // [3, H, W], an encoder's input
 *
 * Every op works on 8-bit pixels and produces, bit for bit, the pixels of Pillow 9.4 / torchvision
 * 0.14 for the same drawn parameters. Random numbers are Philox4x32-10 with key (seed, image
 * digest) and counter (view, op, draw). Therefore a view depends only on the image file, the op
 * list, the seed and the view's index; with stratified draws also on the number of views.
 *
 * Owner:   the caller owns everything; sm_augment holds no memory.
 * Threads: no shared state. */
#ifndef SSLMEM_VIEWS_H
#define SSLMEM_VIEWS_H

#include <jansson.h>

#include "sslmem/image.h"
#include "sslmem/watch.h"

#define SM_OPS_MAX 16

/* Kinds of ops, with the fields of struct sm_op that each kind uses. */
enum sm_op_kind {
    SM_OP_RANDOM_RESIZED_CROP, /* fields: size, scale, ratio, interpolation */
    SM_OP_FLIP,                /* exchanges left and right; field: p */
    SM_OP_COLOR_JITTER,        /* fields: brightness, contrast, saturation, hue, p */
    SM_OP_GRAYSCALE,           /* field: p */
    SM_OP_GAUSSIAN_BLUR,       /* Pillow's approximation by box blurs; fields: sigma (a range), p */
    SM_OP_SOLARIZE,            /* fields: threshold, p */
    SM_OP_RESIZE,              /* fields: size (of the short side), interpolation */
    SM_OP_CENTER_CROP,         /* field: size */
    SM_OP_PAD                  /* fields: padding (on every side), fill (0..255) */
};

enum sm_interpolation { SM_BILINEAR, SM_BICUBIC };

/* One op. A field that the kind does not use is zero. */
struct sm_op {
    enum sm_op_kind kind;
    enum sm_interpolation interpolation;
    double p;        /* probability that the op is applied; 1 for kinds without p */
    int32_t size_px; /* side of the result; for SM_OP_RESIZE its short side */
    double scale[2], ratio[2];
    /* Jitter ranges b as in torchvision: factors in [max(0, 1 - b), 1 + b]; for hue in [-b, b]. */
    double brightness, contrast, saturation, hue;
    double sigma[2];
    int32_t threshold, padding_px, fill;
};

struct sm_augment {
    struct sm_op ops[SM_OPS_MAX];
    int count;
};

/* The stream key of a view's random numbers. */
struct sm_stream_key {
    uint64_t seed;
    const uint8_t *image_digest; /* [32] SHA-256 of the image file's bytes */
    uint32_t view;
    const struct sm_watch *watch; /* not part of the key: asked during rendering; may be NULL */
    uint32_t
        strata; /* 0: independent draws. Otherwise the number of views, above `view`, over which
                        each draw is stratified */
};

/* Reads a preset's name or a list of ops. A size that an op omits becomes `size_px`. `pointer` is
 * the node's JSON pointer. SM_INVALID with the pointer of the bad field. */
enum sm_code sm_augment_parse(struct sm_augment *out, const json_t *node, int32_t size_px,
                              const char *pointer, struct sm_err *err);

/* Writes the list of ops with every parameter; sm_augment_parse reads it back to the same value.
 * Returns a new reference, NULL when out of memory. */
json_t *sm_augment_json(const struct sm_augment *augment);

/* Returns the names of the presets, a static NULL-terminated array. */
const char *const *sm_augment_presets(void);

/* Renders one view; the caller releases `out`. `drawn` (an empty JSON array, or NULL) receives an
 * object for each op with its drawn parameters: {"op":"flip","applied":true},
 * {"op":"random_resized_crop","top":…}, … */
enum sm_code sm_view_render(struct sm_image *out, const struct sm_image *image,
                            const struct sm_augment *augment, const struct sm_stream_key *key,
                            json_t *drawn, struct sm_err *err);

/* Converts a view to normalised floats: out [3, height, width] = (rgb/255 - mean)/std. Mirrors
 * torchvision's ToTensor and Normalize. */
void sm_view_tensor(float *out, const struct sm_image *view, const float mean[3],
                    const float std[3]);

#endif
