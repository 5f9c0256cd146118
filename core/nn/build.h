/* Builders: turn named tensors into a graph, one builder per family. A builder fills the members of
 * `info` that describe the network, its choices, and the taps and input size of the graph. On
 * failure the caller releases the graph, which holds some nodes. Errors: as in names.h and
 * graph.h. */
#ifndef CORE_NN_BUILD_H
#define CORE_NN_BUILD_H

#include "core/names/names.h"
#include "core/nn/graph.h"
#include "sslmem/encoder.h"

/* Builds a ResNet. Supported are v1.5 as in torchvision 0.14 models/resnet.py (basic or bottleneck
 * blocks, any block counts, widths and groups; ImageNet or CIFAR stem), v1 strides, option A
 * shortcuts (He et al. 2016, akamaster/pytorch_resnet_cifar10), and the modified ResNet of
 * openai/CLIP clip/model.py (stem of three convolutions, average pooling before strides, attention
 * pooling). */
enum sm_code sm_resnet_build(struct sm_graph *graph, struct sm_encoder_info *info,
                             struct sm_names *names, const struct sm_encoder_config *config,
                             struct sm_err *err);

/* Builds a ViT, pre-norm unless configured as post-norm: timm models/vision_transformer.py and code
 * derived from or equivalent to it (DINO, MAE, MoCo v3, iBOT, I-JEPA, DINOv2, DINOv3, CLIP, SigLIP,
 * the MAE of sprintml/MemorizationSSL). */
enum sm_code sm_vit_build(struct sm_graph *graph, struct sm_encoder_info *info,
                          struct sm_names *names, const struct sm_encoder_config *config,
                          struct sm_err *err);

/* Builds a ConvNeXt as in facebookresearch/dinov3 models/convnext.py. */
enum sm_code sm_convnext_build(struct sm_graph *graph, struct sm_encoder_info *info,
                               struct sm_names *names, const struct sm_encoder_config *config,
                               struct sm_err *err);

/* Adds a choice to `info`. Row `name` of facts.h must allow `source`; `value` is a printf
 * format. */
void sm_choose(struct sm_encoder_info *info, const char *name, enum sm_source source,
               const char *why, const char *value, ...) __attribute__((format(printf, 5, 6)));

/* Settles one setting and records it as a choice. *value holds the usual value; if the
 * configuration sets the field, its value replaces it. `usual` and `why` are the source and the
 * reason of the usual value. If a preset decided, its name is recorded as the reason. */
void sm_settle(struct sm_encoder_info *info, const struct sm_encoder_config *config,
               enum sm_config_field field, void *value, enum sm_source usual, const char *why);

/* Returns the source of a usual value that the configuration does not set: the preset, if one is
 * named, because it describes its whole network; another program's file, if it set the field
 * `mark`; else a guess. */
enum sm_source sm_usual(const struct sm_encoder_config *config, enum sm_config_field mark);

/* Returns SM_INVALID if the configuration or encoder.json sets a field that no encoder of the
 * family has. `family` holds bits of facts.h, `what` is the family's name for the error. Fields
 * from presets and from files of other programs are not checked. */
enum sm_code sm_check_said(const struct sm_encoder_config *config, unsigned family,
                           const char *what, const char *prefix, struct sm_err *err);

/* Returns the reason of a configured value: the preset's name if that set it, else a fixed text. */
const char *sm_said_by(const struct sm_encoder_config *config, enum sm_config_field field);

/* Returns the kernels' value for an activation, which must be set. */
enum sm_activation sm_activation_of(enum sm_activation_kind kind);

/* Layers that several families share. All names are canonical, without ".weight". */

struct sm_conv_spec {
    /* `bn` is the batch normalisation after `conv`; NULL: the convolution has a bias of its own */
    const char *conv, *bn;
    bool bias_optional; /* without bn: the bias may be missing */
    int32_t in, residual;
    int32_t k, stride, pad, groups; /* groups 0 means 1 */
    /* 0 means 1; a dilated kernel becomes a larger one with zeros */
    int32_t dilation;
    double bn_eps;
    enum sm_activation activation;
};

/* Adds a convolution and folds the batch normalisation after it into the weights, in double. */
enum sm_code sm_add_conv(int32_t *index, struct sm_graph *graph, struct sm_names *names,
                         const struct sm_conv_spec *spec, struct sm_err *err);

struct sm_linear_spec {
    const char *name;      /* prefix of the layer's weight [c, c_in] and bias [c] */
    bool bias_optional;    /* a missing bias is zeros */
    const char *scale;     /* full canonical name of a LayerScale [c] to fold in; NULL: none */
    const char *bias_mask; /* full canonical name of factors of the bias [c]; NULL: none */
    int64_t c;             /* outputs; -1: as many as the file has */
    int32_t in, residual;
    enum sm_activation activation;
};

enum sm_code sm_add_linear(int32_t *index, struct sm_graph *graph, struct sm_names *names,
                           const struct sm_linear_spec *spec, struct sm_err *err);

/* Adds a LayerNorm over the channels of node `in`. */
enum sm_code sm_add_norm(int32_t *index, struct sm_graph *graph, struct sm_names *names,
                         const char *name, int32_t in, double eps, struct sm_err *err);

#endif
