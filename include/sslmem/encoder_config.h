/* The configuration of an encoder: settings that its tensors do not determine, with their sources.
 *
 *     struct sm_encoder_config config = {.heads = 3};
 *     sm_encoder_config_complete(&config, "f/dino.pth", &err); // preset, files in f/
 *
 * A zeroed configuration sets no field. core/names/facts.c lists which source decides a field that
 * is not set.
 *
 * Threads: no state. Errors: SM_INVALID with the field, SM_NOT_FOUND for an unknown preset. */
#ifndef SSLMEM_ENCODER_CONFIG_H
#define SSLMEM_ENCODER_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

/* Values of settings. 0 is "not set": the next source of enum sm_source that has one decides. */
enum sm_activation_kind {
    SM_ACTIVATION_UNSET,
    SM_ACTIVATION_GELU,
    SM_ACTIVATION_GELU_TANH,
    SM_ACTIVATION_QUICK_GELU,
    SM_ACTIVATION_RELU
};
enum sm_pool { SM_POOL_UNSET, SM_POOL_CLS, SM_POOL_MEAN, SM_POOL_MAP, SM_POOL_MAX };
enum sm_final_norm { SM_FINAL_NORM_UNSET, SM_FINAL_NORM_BEFORE_POOL, SM_FINAL_NORM_AFTER_POOL };
/* How a position table is resampled for another input size. All are bicubic without aligned
 * corners; `a` is the parameter of the cubic kernel. */
enum sm_pos_resize {
    SM_POS_RESIZE_UNSET,
    SM_POS_RESIZE_PLAIN,    /* a = -0.75, scale from the two sizes: MAE */
    SM_POS_RESIZE_OFFSET,   /* a = -0.75, scale (n + 0.1) / grid: DINO, iBOT, DINOv2 */
    SM_POS_RESIZE_ANTIALIAS /* a = -0.5, antialiased, scale from the two sizes: DINOv2 with
                               registers, timm */
};
/* Which convolution of a bottleneck has the stride: the first (ResNet v1) or the second (v1.5). */
enum sm_stride_at { SM_STRIDE_UNSET, SM_STRIDE_CONV1, SM_STRIDE_CONV2 };
enum sm_stem_pool {
    SM_STEM_POOL_UNSET,
    SM_STEM_POOL_MAX,      /* 3x3, stride 2, padding 1: torchvision */
    SM_STEM_POOL_MAX_CEIL, /* 3x3, stride 2, no padding, output sides rounded up: Caffe */
    SM_STEM_POOL_NONE
};
/* The first stage with dilation: from it on, stages replace their stride by a dilation of the 3x3
 * convolutions, as torchvision's replace_stride_with_dilation does. */
enum sm_dilate_from {
    SM_DILATE_UNSET,
    SM_DILATE_NONE,
    SM_DILATE_LAYER2,
    SM_DILATE_LAYER3,
    SM_DILATE_LAYER4
};
/* Where a shortcut without projection adds its zero channels: half before and half after the
 * input's channels, or all after them. */
enum sm_shortcut_pad { SM_SHORTCUT_PAD_UNSET, SM_SHORTCUT_PAD_BOTH, SM_SHORTCUT_PAD_AFTER };
/* Whether a block normalises the input of attention and MLP (PRE) or the sum after each (POST). */
enum sm_norm_order { SM_NORM_ORDER_UNSET, SM_NORM_ORDER_PRE, SM_NORM_ORDER_POST };
enum sm_channel_order { SM_CHANNELS_UNSET, SM_CHANNELS_RGB, SM_CHANNELS_BGR };

enum sm_config_field {
    SM_CONFIG_PRESET,
    SM_CONFIG_KEY,
    SM_CONFIG_INPUT_PX,
    SM_CONFIG_HEADS,
    SM_CONFIG_NORM_EPS,
    SM_CONFIG_ACTIVATION,
    SM_CONFIG_POOL,
    SM_CONFIG_FINAL_NORM,
    SM_CONFIG_POS_RESIZE,
    SM_CONFIG_STEM_PAD,
    SM_CONFIG_STRIDE_AT,
    SM_CONFIG_STEM_POOL,
    SM_CONFIG_STEM_STRIDE,
    SM_CONFIG_STEM_NORM_EPS,
    SM_CONFIG_DILATE_FROM,
    SM_CONFIG_SHORTCUT_PAD,
    SM_CONFIG_NORM_ORDER,
    SM_CONFIG_ATTN_SCALE,
    SM_CONFIG_ROPE_BASE,
    SM_CONFIG_PATCH_STRIDE,
    SM_CONFIG_CHANNEL_ORDER,
    SM_CONFIG_MEAN,
    SM_CONFIG_STD,
    SM_CONFIG_FIELDS
};

/* The source of a setting, from the most to the least certain. */
enum sm_source {
    SM_SOURCE_CONFIG,  /* the caller's configuration */
    SM_SOURCE_FILE,    /* encoder.json in the checkpoint's folder */
    SM_SOURCE_PRESET,  /* the preset that the configuration names */
    SM_SOURCE_SIDECAR, /* another program's file in that folder: config.json, args.json, … */
    SM_SOURCE_TENSORS, /* the checkpoint's tensors */
    SM_SOURCE_FAMILY,  /* the value of all published encoders with these tensor names */
    SM_SOURCE_GUESS    /* published encoders differ; this is the most common value */
};

/* A number in another program's file that open compares with the tensors (core/names/claims.c). */
#define SM_CLAIMS_MAX 32
struct sm_config_claim {
    uint16_t row, fact; /* indices of the tables in core/names/claims.c */
    int32_t value[4];
};

/* The settings. A zeroed struct sets none. */
struct sm_encoder_config {
    char preset[32];
    char key[128]; /* selects one of several encoders in a file by its prefix or part of it:
                      "teacher", "model.teacher.backbone" */
    bool has_key;  /* false: the file must hold one encoder; true with "": the one without prefix */
    int32_t input_h_px, input_w_px;
    int32_t heads;
    double norm_eps; /* epsilon of LayerNorm, or of a ResNet's BatchNorm */
    enum sm_activation_kind activation;
    enum sm_pool pool;                 /* ViT, ResNet: how the tap "pooled" is made */
    enum sm_final_norm final_norm;     /* ViT, ConvNeXt: norm before or after pooling */
    enum sm_pos_resize pos_resize;     /* ViT: resampling of the position table */
    int32_t stem_pad;                  /* ResNet: padding of the first convolution, pixels */
    enum sm_stride_at stride_at;       /* ResNet with bottlenecks: the strided convolution */
    enum sm_stem_pool stem_pool;       /* ResNet: pooling after the first convolution */
    int32_t stem_stride;               /* ResNet, ConvNeXt: stride of the first convolution */
    double stem_norm_eps;              /* ViT with convolutional stem: epsilon of its BatchNorm */
    enum sm_dilate_from dilate_from;   /* ResNet: first dilated stage */
    enum sm_shortcut_pad shortcut_pad; /* ResNet without projections: position of zero channels */
    enum sm_norm_order norm_order;     /* ViT: norm before or after attention and MLP */
    double attn_scale;                 /* ViT: factor of q k^T */
    double rope_base;                  /* ViT with RoPE whose file lacks the periods: their base */
    int32_t patch_stride;              /* ViT: pixels from one patch to the next */
    enum sm_channel_order channel_order; /* channels of the network's input; mean, std stay RGB */
    double mean[3], std[3];              /* RGB input normalisation on [0, 1]; std 0: not set */
    uint8_t source[SM_CONFIG_FIELDS];    /* enum sm_source of each field that is set */
    struct sm_config_claim claims[SM_CLAIMS_MAX];
    int32_t claims_count;
};

/* Reads a JSON object with the fields {"preset", "key", "input_px", "heads", "norm_eps",
 * "activation", "pool", "final_norm", "pos_resize", "stem_pad", "stride_at", "stem_pool",
 * "stem_stride", "stem_norm_eps", "dilate_from", "shortcut_pad", "norm_order", "attn_scale",
 * "rope_base", "patch_stride", "channel_order", "mean", "std"}, all optional; an unknown field is
 * an error. A NULL node sets no field. `pointer` is the node's JSON pointer, for errors. */
enum sm_code sm_encoder_config_parse(struct sm_encoder_config *out, const json_t *node,
                                     const char *pointer, struct sm_err *err);
/* Writes the set fields as an object that parse reads. Returns a new reference; NULL when out of
 * memory or if a value is out of range. */
json_t *sm_encoder_config_json(const struct sm_encoder_config *config);
/* As sm_encoder_config_json, without the fields that the preset decides. */
json_t *sm_encoder_config_said_json(const struct sm_encoder_config *config);
/* Sets the fields that `config` leaves open: first from encoder.json in the folder of the
 * checkpoint at `path` (NULL: reads no files), then from the preset, then from config.json and
 * preprocessor_config.json (Hugging Face, timm), open_clip_config.json and args.json (solo-learn)
 * in that folder. SM_NOT_FOUND for an unknown preset, SM_INVALID for a broken file. A config.json
 * or args.json of an unknown program is ignored. sm_encoder_open checks that the files describe the
 * checkpoint's network. */
enum sm_code sm_encoder_config_complete(struct sm_encoder_config *config, const char *path,
                                        struct sm_err *err);

/* Return the name of preset or setting `index`, NULL past the end. */
const char *sm_encoder_preset(size_t index);
const char *sm_encoder_setting(size_t index);

#endif
