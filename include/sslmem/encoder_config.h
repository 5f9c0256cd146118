/* The configuration of an encoder: what tensors do not tell, and who said it.
 *
 *     struct sm_encoder_config config = {.heads = 3};
 *     sm_encoder_config_complete(&config, "f/dino.pth", &err); // preset, files beside it
 *
 * A zeroed configuration says nothing; core/names/facts.c lists what then decides.
 *
 * Threads: no state. Errors: SM_INVALID with the field, SM_NOT_FOUND for an unknown preset. */
#ifndef SSLMEM_ENCODER_CONFIG_H
#define SSLMEM_ENCODER_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

/* Values of the configuration. 0 is "not said": a preset, a file beside the checkpoint, the family
 * or a guess decides, in this order. */
enum sm_activation_kind {
    SM_ACTIVATION_UNSET,
    SM_ACTIVATION_GELU,
    SM_ACTIVATION_GELU_TANH,
    SM_ACTIVATION_QUICK_GELU,
    SM_ACTIVATION_RELU
};
enum sm_pool { SM_POOL_UNSET, SM_POOL_CLS, SM_POOL_MEAN, SM_POOL_MAP, SM_POOL_MAX };
enum sm_final_norm { SM_FINAL_NORM_UNSET, SM_FINAL_NORM_BEFORE_POOL, SM_FINAL_NORM_AFTER_POOL };
/* How a position table is resampled for another input size; all bicubic without aligned corners. */
enum sm_pos_resize {
    SM_POS_RESIZE_UNSET,
    SM_POS_RESIZE_PLAIN,    /* a = -0.75, to the size: MAE */
    SM_POS_RESIZE_OFFSET,   /* a = -0.75, scales (n + 0.1) / grid: DINO, iBOT, DINOv2 */
    SM_POS_RESIZE_ANTIALIAS /* a = -0.5, antialiased, to the size: DINOv2 with registers, timm */
};
enum sm_stride_at { SM_STRIDE_UNSET, SM_STRIDE_CONV1, SM_STRIDE_CONV2 }; /* ResNet v1, v1.5 */
enum sm_stem_pool {
    SM_STEM_POOL_UNSET,
    SM_STEM_POOL_MAX,      /* 3x3 / 2, padding 1: torchvision */
    SM_STEM_POOL_MAX_CEIL, /* 3x3 / 2, no padding, output sides rounded up: Caffe */
    SM_STEM_POOL_NONE
};
/* The first stage whose stride becomes a dilation of its 3x3 convolutions and of those after it, as
 * torchvision's replace_stride_with_dilation. */
enum sm_dilate_from {
    SM_DILATE_UNSET,
    SM_DILATE_NONE,
    SM_DILATE_LAYER2,
    SM_DILATE_LAYER3,
    SM_DILATE_LAYER4
};
/* Where a shortcut without projection puts its zero channels. */
enum sm_shortcut_pad { SM_SHORTCUT_PAD_UNSET, SM_SHORTCUT_PAD_BOTH, SM_SHORTCUT_PAD_AFTER };
/* norm(x) before attention and MLP, or norm(x + …) after them. */
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

/* Who decided something that tensors do not tell, from most to least certain. */
enum sm_source {
    SM_SOURCE_CONFIG,  /* the configuration given */
    SM_SOURCE_FILE,    /* encoder.json beside the checkpoint */
    SM_SOURCE_PRESET,  /* the named preset */
    SM_SOURCE_SIDECAR, /* config.json, open_clip_config.json or args.json beside the checkpoint */
    SM_SOURCE_TENSORS, /* the checkpoint itself */
    SM_SOURCE_FAMILY,  /* all published encoders with these names agree */
    SM_SOURCE_GUESS    /* they do not: the most usual value */
};

/* What a file of another program says that the tensors tell, too (core/names/claims.c). */
#define SM_CLAIMS_MAX 32
struct sm_config_claim {
    uint16_t row, fact;
    int32_t value[4];
};

/* What tensors cannot tell. A zeroed struct says nothing. */
struct sm_encoder_config {
    char preset[32];
    char key[128]; /* which encoder of the file: names on the way to it, "teacher",
                      "model.teacher.backbone" */
    bool has_key;  /* false: there must be one only; true with "": the one at the root */
    int32_t input_h_px, input_w_px;
    int32_t heads;
    double norm_eps; /* of LayerNorm, of a ResNet's BatchNorm */
    enum sm_activation_kind activation;
    enum sm_pool pool;                   /* ViT, ResNet: what "pooled" is made of */
    enum sm_final_norm final_norm;       /* ViT, ConvNeXt */
    enum sm_pos_resize pos_resize;       /* ViT */
    int32_t stem_pad;                    /* padding of a ResNet's first convolution */
    enum sm_stride_at stride_at;         /* of a ResNet's strided bottlenecks */
    enum sm_stem_pool stem_pool;         /* ResNet */
    int32_t stem_stride;                 /* of the first convolution: ResNet, ConvNeXt */
    double stem_norm_eps;                /* of the BatchNorm in a ViT's convolutional stem */
    enum sm_dilate_from dilate_from;     /* ResNet */
    enum sm_shortcut_pad shortcut_pad;   /* ResNet without projections */
    enum sm_norm_order norm_order;       /* ViT */
    double attn_scale;                   /* ViT: factor of q k^T */
    double rope_base;                    /* ViT with RoPE whose periods are not in the file */
    int32_t patch_stride;                /* ViT: pixels from patch to patch */
    enum sm_channel_order channel_order; /* of the network's input; mean and std stay RGB */
    double mean[3], std[3];              /* input normalisation on [0, 1]; std 0: not said */
    uint8_t source[SM_CONFIG_FIELDS];    /* enum sm_source of each field that is set */
    struct sm_config_claim claims[SM_CLAIMS_MAX];
    int32_t claims_count;
};

/* Reads {"preset", "key", "input_px", "heads", "norm_eps", "activation", "pool", "final_norm",
 * "pos_resize", "stem_pad", "stride_at", "stem_pool", "stem_stride", "stem_norm_eps",
 * "dilate_from", "shortcut_pad", "norm_order", "attn_scale", "rope_base", "patch_stride",
 * "channel_order", "mean", "std"}; an unknown field is an error. NULL node: says nothing. */
enum sm_code sm_encoder_config_parse(struct sm_encoder_config *out, const json_t *node,
                                     const char *pointer, struct sm_err *err);
/* What is set, in the form that parse reads. New reference, NULL when out of memory. */
json_t *sm_encoder_config_json(const struct sm_encoder_config *config);
/* Fills in what `config` does not say: from encoder.json beside the checkpoint at `path` (NULL: no
 * files), the preset, then config.json (Hugging Face), open_clip_config.json or args.json
 * (solo-learn). SM_NOT_FOUND for an unknown preset, SM_INVALID for a file that is broken; a
 * config.json of another program is left alone. Whether the files are about the checkpoint's
 * network is told when it opens. */
enum sm_code sm_encoder_config_complete(struct sm_encoder_config *config, const char *path,
                                        struct sm_err *err);

/* Presets, by index; NULL past the end. */
const char *sm_encoder_preset(size_t index);

#endif
