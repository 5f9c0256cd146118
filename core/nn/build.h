/* Builders: from names to a graph, one per family. They fill family, dim, tokens, heads, blocks,
 * stages, registers, has_cls, norm_eps and choices of `info`, the taps and the input size of the
 * graph. On failure the graph holds what was added so far: the caller releases it. Errors: as
 * names.h and graph.h. */
#ifndef CORE_NN_BUILD_H
#define CORE_NN_BUILD_H

#include "core/names/names.h"
#include "core/nn/graph.h"
#include "sslmem/encoder.h"

/* ResNets: v1.5 as torchvision 0.14 models/resnet.py (basic or bottleneck blocks, any block counts,
 * widths and groups; ImageNet or CIFAR stem), v1 strides, option A shortcuts (He et al. 2016,
 * akamaster/pytorch_resnet_cifar10), and the modified ResNet of openai/CLIP clip/model.py (stem of
 * three convolutions, average pooling before strides, attention pooling). */
enum sm_code sm_resnet_build(struct sm_graph *graph, struct sm_encoder_info *info,
                             struct sm_names *names, const struct sm_encoder_config *config,
                             struct sm_err *err);

/* Pre-norm ViTs: timm models/vision_transformer.py and what descends from it or converges with it
 * (DINO, MAE, MoCo v3, iBOT, I-JEPA, DINOv2, DINOv3, CLIP, SigLIP, the MAE of
 * sprintml/MemorizationSSL). */
enum sm_code sm_vit_build(struct sm_graph *graph, struct sm_encoder_info *info,
                          struct sm_names *names, const struct sm_encoder_config *config,
                          struct sm_err *err);

/* ConvNeXt as facebookresearch/dinov3 models/convnext.py. */
enum sm_code sm_convnext_build(struct sm_graph *graph, struct sm_encoder_info *info,
                               struct sm_names *names, const struct sm_encoder_config *config,
                               struct sm_err *err);

/* Adds a choice to info->choices: of a row of facts.h, by a source that the row allows. */
void sm_choose(struct sm_encoder_info *info, const char *name, enum sm_source source,
               const char *why, const char *value, ...) __attribute__((format(printf, 5, 6)));

/* Leaves in *value, which holds the usual value, what the configuration says, if it does, and notes
 * who decided; `usual` and `why` are of the usual value. The reason of a preset and of another
 * program's file is its name. */
void sm_settle(struct sm_encoder_info *info, const struct sm_encoder_config *config,
               enum sm_config_field field, void *value, enum sm_source usual, const char *why);

/* Who decides a usual value that nobody said: the preset, which stands for its whole network, or
 * the file of another program that said `mark`; else it is a guess. */
enum sm_source sm_usual(const struct sm_encoder_config *config, enum sm_config_field mark);

/* SM_INVALID when the configuration or encoder.json says something that no encoder of the family
 * (bits of facts.h), called `what`, has. What presets and files of other programs say besides is no
 * mistake. */
enum sm_code sm_check_said(const struct sm_encoder_config *config, unsigned family,
                           const char *what, const char *prefix, struct sm_err *err);

/* Why a choice is as the configuration says: the preset's name, where it was the preset. */
const char *sm_said_by(const struct sm_encoder_config *config, enum sm_config_field field);

/* The kernels' form of an activation that is set. */
enum sm_activation sm_activation_of(enum sm_activation_kind kind);

/* Layers that several families have. All names canonical, without ".weight". */

struct sm_conv_spec {
    const char *conv, *bn; /* bn NULL: the convolution has a bias of its own */
    bool bias_optional;    /* … or none */
    int32_t in, residual;
    int32_t k, stride, pad, groups; /* groups 0: 1 */
    int32_t dilation;               /* 0: 1. The kernel becomes a larger one with zeros. */
    double bn_eps;
    enum sm_activation activation;
};

/* A convolution with the batch normalisation after it folded in, in double. */
enum sm_code sm_add_conv(int32_t *index, struct sm_graph *graph, struct sm_names *names,
                         const struct sm_conv_spec *spec, struct sm_err *err);

struct sm_linear_spec {
    const char *name;      /* of weight [c, c_in] and bias [c] */
    bool bias_optional;    /* zeros when the file has none */
    const char *scale;     /* LayerScale [c] folded in, full canonical name; NULL: none */
    const char *bias_mask; /* factors of the bias [c], full canonical name; NULL: none */
    int64_t c;             /* -1: as the file says */
    int32_t in, residual;
    enum sm_activation activation;
};

enum sm_code sm_add_linear(int32_t *index, struct sm_graph *graph, struct sm_names *names,
                           const struct sm_linear_spec *spec, struct sm_err *err);

/* LayerNorm over the channels of node `in`. */
enum sm_code sm_add_norm(int32_t *index, struct sm_graph *graph, struct sm_names *names,
                         const char *name, int32_t in, double eps, struct sm_err *err);

#endif
