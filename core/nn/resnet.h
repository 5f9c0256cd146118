/* What the files that build a ResNet share: stem, blocks and mean (resnet.c), the attention pool of
 * CLIP (resnet_clip.c). Private to resnet*.c. */
#ifndef CORE_NN_RESNET_H
#define CORE_NN_RESNET_H

#include "core/nn/build.h"

#define SM_RESNET_STAGES_MAX 4

enum sm_stem { STEM_IMAGENET, STEM_CIFAR, STEM_CLIP };

struct sm_resnet_block {
    int convs;
    int32_t k[3];
    int strided; /* which convolution, from 1, has the stride … */
    bool pools;  /* … or is followed by the mean instead */
};

struct sm_resnet {
    struct sm_graph *graph;
    struct sm_encoder_info *info;
    struct sm_names *names;
    const struct sm_encoder_config *config;
    struct sm_err *err;
    enum sm_stem stem;
    const struct sm_resnet_block *block;
    const char *projection; /* what shortcuts are called; NULL: option A, they have no tensors */
    int32_t groups;         /* of the first convolution that has some; 0: none has */
    enum sm_activation activation;
    enum sm_dilate_from dilate_from;
    enum sm_shortcut_pad shortcut_pad; /* of option A */
    int32_t first_dilation, dilation;  /* of a block's first 3x3 and of those after it */
    int32_t counts[SM_RESNET_STAGES_MAX];
};

/* The source of a field of the configuration that is set. */
static inline enum sm_source sm_resnet_said(const struct sm_resnet *b, enum sm_config_field field)
{
    return (enum sm_source)b->config->source[field];
}

/* The input size that the position table is for; another that is configured is an error. */
enum sm_code sm_resnet_clip_input(struct sm_resnet *b);

/* Adds the attention pool of `map` and its mean. */
enum sm_code sm_resnet_clip_pool(int32_t *pooled, struct sm_resnet *b, int32_t map, int32_t mean);

#endif
