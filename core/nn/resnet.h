/* Shared by the files that build a ResNet: resnet.c (stem, blocks, mean) and resnet_clip.c (CLIP's
 * attention pool). Private to resnet*.c. */
#ifndef CORE_NN_RESNET_H
#define CORE_NN_RESNET_H

#include "core/nn/build.h"

#define SM_RESNET_STAGES_MAX 4

enum sm_stem { STEM_IMAGENET, STEM_CIFAR, STEM_CLIP };

struct sm_resnet_block {
    int convs;
    int32_t k[3];
    int strided; /* which convolution has the stride, counted from 1 */
    bool pools;  /* that convolution has stride 1 and a mean pooling after it has the stride */
};

struct sm_resnet {
    struct sm_graph *graph;
    struct sm_encoder_info *info;
    struct sm_names *names;
    const struct sm_encoder_config *config;
    struct sm_err *err;
    enum sm_stem stem;
    const struct sm_resnet_block *block;
    /* name of projections in the file; NULL: option A, which has no tensors */
    const char *projection;
    int32_t groups; /* groups of the first grouped convolution; 0: none so far */
    enum sm_activation activation;
    enum sm_dilate_from dilate_from;
    enum sm_shortcut_pad shortcut_pad; /* where option A shortcuts put zero channels */
    int32_t first_dilation, dilation;  /* dilation of a block's first 3x3, and of later ones */
    int32_t counts[SM_RESNET_STAGES_MAX];
};

/* Returns the source of a field that the configuration sets. */
static inline enum sm_source sm_resnet_said(const struct sm_resnet *b, enum sm_config_field field)
{
    return (enum sm_source)b->config->source[field];
}

/* Sets the input size to that of the position table. SM_INVALID if another size is configured. */
enum sm_code sm_resnet_clip_input(struct sm_resnet *b);

/* Adds the attention pool over node `map` and its mean, node `mean`; *pooled is its output node. */
enum sm_code sm_resnet_clip_pool(int32_t *pooled, struct sm_resnet *b, int32_t map, int32_t mean);

#endif
