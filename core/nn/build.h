/* Builders: from names to a graph, one per family. They fill family, input_px, dim, tokens, heads,
 * blocks, has_cls and norm_eps of `info`, and the taps of the graph. On failure the graph holds
 * what was added so far: the caller releases it. Errors: as names.h and graph.h. */
#ifndef CORE_NN_BUILD_H
#define CORE_NN_BUILD_H

#include "core/nn/graph.h"
#include "core/nn/names.h"
#include "sslmem/encoder.h"

/* ResNet v1.5 as torchvision 0.14 models/resnet.py: basic or bottleneck blocks, stride in the 3x3,
 * any block counts and widths; ImageNet stem (7x7 stride 2, maxpool 3x3 stride 2) or CIFAR stem
 * (3x3 stride 1). */
enum sm_code sm_resnet_build(struct sm_graph *graph, struct sm_encoder_info *info,
                             struct sm_names *names, const struct sm_encoder_config *config,
                             struct sm_err *err);

/* Pre-norm ViT as timm 0.3 to 0.9 models/vision_transformer.py (DINO and MAE are subclasses or
 * copies of it) and as the MAE of sprintml/MemorizationSSL: CLS token, learned positions, exact
 * GELU, final norm. */
enum sm_code sm_vit_build(struct sm_graph *graph, struct sm_encoder_info *info,
                          struct sm_names *names, const struct sm_encoder_config *config,
                          struct sm_err *err);

#endif
