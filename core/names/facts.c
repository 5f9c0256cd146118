/* The table of facts. If published code disagrees on a value and no source states it, the value is
 * a guess, however usual it is: the file at hand may be an exception. */
#include "core/names/facts.h"

#include <string.h>

#define TENSORS (1u << SM_SOURCE_TENSORS)
#define FAMILY  (1u << SM_SOURCE_FAMILY)
#define GUESS   (1u << SM_SOURCE_GUESS)

static const struct sm_fact facts[] = {
    {"input_px", true, SM_OF_RESNET | SM_OF_VIT | SM_OF_CONVNEXT, TENSORS | GUESS,
     "a position table tells; without one any size fits"},
    {"channel_order", true, SM_OF_ALL, GUESS, "rgb; bgr where Caffe trained"},
    {"mean", true, SM_OF_ALL, GUESS, "of the training's normalisation"},
    {"std", true, SM_OF_ALL, GUESS, "of the training's normalisation"},
    {"heads", true, SM_OF_CLIP_RESNET | SM_OF_VIT, TENSORS | FAMILY | GUESS,
     "heads of 64; MAE-Lite's ViT-Ti, MoCo v3's ViT-S and ViT-H differ; RoPE periods tell"},
    {"norm_eps", true, SM_OF_ALL, FAMILY | GUESS,
     "1e-12, 1e-6, 1e-5, 1e-3; code converted from TensorFlow keeps its own"},
    {"stem_norm_eps", true, SM_OF_VIT, FAMILY | GUESS, "MoCo v3's convolutional stem: 1e-5"},
    {"activation", true, SM_OF_ALL, TENSORS | FAMILY | GUESS, "gelu, gelu_tanh, quick_gelu, relu"},
    {"pool", true, SM_OF_RESNET | SM_OF_VIT, TENSORS | FAMILY | GUESS,
     "cls or mean; map and fc_norm have tensors; ResNet: mean or max"},
    {"final_norm", true, SM_OF_VIT | SM_OF_CONVNEXT, FAMILY | GUESS,
     "before or after pooling by the mean"},
    {"norm_order", true, SM_OF_VIT, FAMILY | GUESS,
     "pre; the first Transformer's post has the same tensors"},
    {"attn_scale", true, SM_OF_VIT, FAMILY | GUESS,
     "1 / sqrt(head width); timm's first ViT-S has 1 / sqrt(width)"},
    {"pos_resize", true, SM_OF_VIT, GUESS, "plain, offset, antialias"},
    {"rope_base", true, SM_OF_VIT, FAMILY | GUESS,
     "100 in DINOv3, where the file does not hold the periods"},
    {"patch_stride", true, SM_OF_VIT, FAMILY | GUESS, "the patch; smaller where patches overlap"},
    {"stem_pool", true, SM_OF_RESNET, GUESS,
     "max behind 7x7, none behind 3x3; both exist the other way round; max_ceil in Caffe"},
    {"stem_stride", true, SM_OF_RESNET | SM_OF_CONVNEXT, GUESS,
     "2 of 7x7, 1 of 3x3, 4 of ConvNeXt; others for other image sizes"},
    {"stem_pad", true, SM_OF_RESNET, GUESS, "3 of 7x7; 1 of 3x3, solo-learn 2"},
    {"stride_at", true, SM_OF_RESNET, GUESS, "conv2 (v1.5) or conv1 (v1)"},
    {"dilate_from", true, SM_OF_RESNET, GUESS, "none; dense tasks dilate layer3 or 4"},
    {"shortcut_pad", true, SM_OF_RESNET, GUESS, "zero channels on both sides or after"},

    {"input_px", false, SM_OF_CLIP_RESNET, TENSORS, "32 for each position of the table"},
    {"shortcut", false, SM_OF_RESNET, TENSORS, "no projections: option A"},
    {"groups", false, SM_OF_RESNETS, TENSORS, "shape of conv2"},
    {"ResNet norm", false, SM_OF_RESNETS, TENSORS,
     "BatchNorm has running statistics; GroupNorm has none and is refused"},
    {"ResNet block order", false, SM_OF_RESNETS, TENSORS,
     "pre-activation has no bn1 after the stem: missing"},
    {"zero-init of the last norm", false, SM_OF_RESNETS, TENSORS, "weights as trained"},
    {"clip stem", false, SM_OF_CLIP_RESNET, TENSORS,
     "stride 2 and a mean of 2x2: the position table fits no other"},
    {"clip pool", false, SM_OF_CLIP_RESNET, TENSORS, "attnpool"},
    {"layer scale", false, SM_OF_VIT | SM_OF_CONVNEXT, TENSORS, "ls1, gamma"},
    {"gate", false, SM_OF_VIT, 1u << SM_SOURCE_PRESET | 1u << SM_SOURCE_SIDECAR | FAMILY | GUESS,
     "fc1 twice as wide as fc2: SiLU of the first half; timm's GluMlp gates by the second"},
    {"q, k norm", false, SM_OF_VIT, TENSORS, "q_norm is refused"},
    {"register tokens", false, SM_OF_VIT, TENSORS, "reg_token"},
    {"token order", false, SM_OF_VIT, FAMILY, "CLS, registers, patches row by row"},
    {"CLS position", false, SM_OF_VIT, TENSORS, "rows of the position table"},
    {"rope", false, SM_OF_VIT,
     1u << SM_SOURCE_PRESET | 1u << SM_SOURCE_SIDECAR | TENSORS | FAMILY | GUESS,
     "none beside a position table; EVA-02 and Perception Encoder rotate, too, and are not read"},
    {"RoPE grid", false, SM_OF_VIT, FAMILY, "DINOv3: centres of patches in [-1, 1]"},
    {"map pool scale", false, SM_OF_VIT, FAMILY, "1 / sqrt(head width)"},
    {"conv stem strides", false, SM_OF_VIT, FAMILY, "MoCo v3: 2, 2, 2, 2, 1"},
    {"depthwise padding", false, SM_OF_CONVNEXT, FAMILY, "3 of 7x7"},
};

const struct sm_fact *sm_fact_at(size_t index)
{
    return index < sizeof facts / sizeof *facts ? &facts[index] : NULL;
}

const struct sm_fact *sm_fact_find(const char *name, unsigned families)
{
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        if (strcmp(facts[i].name, name) == 0 && facts[i].families & families)
            return &facts[i];
    return NULL;
}

bool sm_fact_allows(const char *name, enum sm_source source)
{
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        if (strcmp(facts[i].name, name) == 0 &&
            ((facts[i].setting && source < SM_SOURCE_TENSORS) || facts[i].sources >> source & 1u))
            return true;
    return false;
}
