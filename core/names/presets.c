/* Presets: the facts about published encoders that their tensors do not show.
 *
 * There are two tables. A family states what all its sizes share, from its own training or model
 * code. A preset is a family in one size; it also states the width, blocks and patch that the file
 * must have. A family states only what its source states; all other fields stay unset, for the
 * checkpoint and its sidecars to decide. The normalisation is that of the training. The input size
 * is that of the family's own evaluation (DINOv2 and DINOv3: 224, though DINOv2's table is for
 * 518).
 *
 * Some fields are the same for all presets (eps of BatchNorm, stem pooling, strides, order of
 * norms). They stay unset too: the builder takes its usual value and records the preset as its
 * source (sm_usual). `width` is the number of channels of the tokens or of the last map. `blocks`
 * counts residual blocks over all stages.
 *
 * An unknown name costs one pass of edit distances, each of at most 31 x 31 steps. */
#include <stdio.h>
#include <string.h>

#include "core/base/edits.h"
#include "core/names/config.h"

#define NAME_MAX_BYTES (sizeof((struct sm_encoder_config){0}.preset) - 1)
#define NEAREST        3

static const struct {
    double mean[3], std[3];
} norms[] = {
    /* from torchvision and timm */
    [SM_PIXELS_IMAGENET] = {{.485, .456, .406}, {.229, .224, .225}},
    [SM_PIXELS_HALF] = {{.5, .5, .5}, {.5, .5, .5}},
    /* from openai/CLIP clip/clip.py */
    [SM_PIXELS_CLIP] = {{.48145466, .4578275, .40821073}, {.26862954, .26130258, .27577711}},
    /* from facebookresearch/swav src/multicropdataset.py: red has std .228, not .229 */
    [SM_PIXELS_SWAV] = {{.485, .456, .406}, {.228, .224, .225}},
    /* from facebookresearch/dinov3, satellite weights */
    [SM_PIXELS_SAT493M] = {{.430, .411, .296}, {.213, .156, .143}},
    /* from solo-learn solo/data/pretrain_dataloader.py */
    [SM_PIXELS_CIFAR10] = {{.4914, .4822, .4465}, {.2470, .2435, .2616}},
    [SM_PIXELS_CIFAR100] = {{.5071, .4865, .4409}, {.2673, .2564, .2762}},
    [SM_PIXELS_STL10] = {{.4914, .4823, .4466}, {.247, .243, .261}},
    /* from the SimCLR script of sprintml/MemorizationSSL */
    [SM_PIXELS_CIFAR10_SIMCLR] = {{.4914, .4822, .4465}, {.2023, .1994, .2010}},
};

void sm_pixels_set(struct sm_encoder_config *out, enum sm_pixels pixels)
{
    memcpy(out->mean, norms[pixels].mean, sizeof out->mean);
    memcpy(out->std, norms[pixels].std, sizeof out->std);
}

enum family {
    DINO,
    MAE,
    MOCOV3,
    DINOV2,
    DINOV2_REG,
    DINOV3,
    DINOV3_SAT,
    DINOV3_CONVNEXT,
    IJEPA,
    CLIP,
    CLIP_RESNET,
    OPENCLIP,
    OPENCLIP_OPEN_PIXELS,
    SIGLIP,
    RESNET,
    SWAV,
    SIMCLR_CIFAR,
    SOLO_CIFAR10,
    SOLO_CIFAR100,
    MEMSSL_MAE,
    MEMSSL_VICREG,
    FAMILIES
};

#define BEFORE SM_FINAL_NORM_BEFORE_POOL

static const struct {
    double norm_eps;
    enum sm_activation_kind activation; /* activation of MLPs without a gate */
    enum sm_pool pool;
    enum sm_final_norm final_norm;
    enum sm_pos_resize pos_resize; /* unset: the family has no position table or never resizes it */
    int32_t stem_pad;
    enum sm_stride_at stride_at; /* which convolution strides; basic blocks ignore it */
    enum sm_pixels pixels;
} families[FAMILIES] = {
    /* from facebookresearch/dino vision_transformer.py, bytedance/ibot
     * models/vision_transformer.py */
    [DINO] = {1e-6, SM_ACTIVATION_GELU, SM_POOL_CLS, BEFORE, SM_POS_RESIZE_OFFSET, 0, 0,
              SM_PIXELS_IMAGENET},
    /* from facebookresearch/mae models_vit.py (CLS pooled, as in pretraining), util/pos_embed.py */
    [MAE] = {1e-6, SM_ACTIVATION_GELU, SM_POOL_CLS, BEFORE, SM_POS_RESIZE_PLAIN, 0, 0,
             SM_PIXELS_IMAGENET},
    /* from facebookresearch/moco-v3 vits.py, which never resizes the position table */
    [MOCOV3] = {1e-6, SM_ACTIVATION_GELU, SM_POOL_CLS, BEFORE, 0, 0, 0, SM_PIXELS_IMAGENET},
    /* from facebookresearch/dinov2 hub/backbones.py: offset .1; with registers 0 and
     * antialiasing */
    [DINOV2] = {1e-6, SM_ACTIVATION_GELU, SM_POOL_CLS, BEFORE, SM_POS_RESIZE_OFFSET, 0, 0,
                SM_PIXELS_IMAGENET},
    [DINOV2_REG] = {1e-6, SM_ACTIVATION_GELU, SM_POOL_CLS, BEFORE, SM_POS_RESIZE_ANTIALIAS, 0, 0,
                    SM_PIXELS_IMAGENET},
    /* from facebookresearch/dinov3 hub/backbones.py: norm layer "layernormbf16", eps 1e-5 */
    [DINOV3] = {1e-5, SM_ACTIVATION_GELU, SM_POOL_CLS, BEFORE, 0, 0, 0, SM_PIXELS_IMAGENET},
    [DINOV3_SAT] = {1e-5, SM_ACTIVATION_GELU, SM_POOL_CLS, BEFORE, 0, 0, 0, SM_PIXELS_SAT493M},
    /* from facebookresearch/dinov3 models/convnext.py */
    [DINOV3_CONVNEXT] = {1e-6, SM_ACTIVATION_GELU, 0, 0, 0, 0, 0, SM_PIXELS_IMAGENET},
    /* From facebookresearch/ijepa src/models/vision_transformer.py. pos_resize is unset, because
     * the resizing there assumes a CLS row, which the table does not have. */
    [IJEPA] = {1e-6, SM_ACTIVATION_GELU, SM_POOL_MEAN, BEFORE, 0, 0, 0, SM_PIXELS_IMAGENET},
    /* from openai/CLIP clip/model.py: ln_post sees CLS only, which equals a norm before pooling */
    [CLIP] = {1e-5, SM_ACTIVATION_QUICK_GELU, SM_POOL_CLS, BEFORE, 0, 0, 0, SM_PIXELS_CLIP},
    [CLIP_RESNET] = {0, 0, 0, 0, 0, 0, 0, SM_PIXELS_CLIP},
    /* From mlfoundations/open_clip model_configs/ViT-B-32.json, ViT-L-14.json: no quick_gelu. L-14
     * has no normalisation here, because its LAION-2B release (.5) differs from the others
     * (pretrained.py). */
    [OPENCLIP] = {1e-5, SM_ACTIVATION_GELU, SM_POOL_CLS, BEFORE, 0, 0, 0, SM_PIXELS_CLIP},
    [OPENCLIP_OPEN_PIXELS] = {1e-5, SM_ACTIVATION_GELU, SM_POOL_CLS, BEFORE, 0, 0, 0,
                              SM_PIXELS_UNSET},
    /* From transformers models/siglip: tanh approximation, as flax's gelu in
     * google-research/big_vision. timm's towers of the first SigLIP compute the exact GELU: set
     * "activation" for them. */
    [SIGLIP] = {1e-6, SM_ACTIVATION_GELU_TANH, SM_POOL_MAP, BEFORE, 0, 0, 0, SM_PIXELS_HALF},
    /* From torchvision models/resnet.py, which these projects import or copy:
     * facebookresearch/moco, simsiam, moco-v3, dino, vicreg (resnet.py), barlowtwins; for BYOL,
     * solo-learn and lightly. */
    [RESNET] = {0, 0, 0, 0, 0, 0, SM_STRIDE_CONV2, SM_PIXELS_IMAGENET},
    [SWAV] = {0, 0, 0, 0, 0, 0, SM_STRIDE_CONV2, SM_PIXELS_SWAV},
    /* from sprintml/MemorizationSSL models/SimCLR/model.py: torchvision's, conv1 3x3, padding 1 */
    [SIMCLR_CIFAR] = {0, 0, 0, 0, 0, 1, SM_STRIDE_CONV2, SM_PIXELS_CIFAR10_SIMCLR},
    /* from vturrisi/solo-learn solo/methods/base.py: torchvision's, conv1 3x3, padding 2 */
    [SOLO_CIFAR10] = {0, 0, 0, 0, 0, 2, SM_STRIDE_CONV2, SM_PIXELS_CIFAR10},
    [SOLO_CIFAR100] = {0, 0, 0, 0, 0, 2, SM_STRIDE_CONV2, SM_PIXELS_CIFAR100},
    /* from sprintml/MemorizationSSL models/MAE/model.py: timm's Block with PyTorch's default eps */
    [MEMSSL_MAE] = {1e-5, SM_ACTIVATION_GELU, SM_POOL_CLS, BEFORE, 0, 0, 0, SM_PIXELS_HALF},
    /* from sprintml/MemorizationSSL models/VicReg/model.py: torchvision's with its 7x7 stem */
    [MEMSSL_VICREG] = {0, 0, 0, 0, 0, 0, SM_STRIDE_CONV2, SM_PIXELS_HALF},
};

/* patch 0: no patches; heads 0: no attention; input_px 0: the preset states no input size. */
static const struct preset {
    const char *name;
    enum family family;
    int32_t width, blocks, patch, heads, input_px;
} presets[] = {
    {"dino-vits16", DINO, 384, 12, 16, 6, 224},
    {"dino-vits8", DINO, 384, 12, 8, 6, 224},
    {"dino-vitb16", DINO, 768, 12, 16, 12, 224},
    {"dino-vitb8", DINO, 768, 12, 8, 12, 224},
    {"dino-resnet50", RESNET, 2048, 16, 0, 0, 224},
    {"ibot-vits16", DINO, 384, 12, 16, 6, 224},
    {"ibot-vitb16", DINO, 768, 12, 16, 12, 224},
    {"ibot-vitl16", DINO, 1024, 24, 16, 16, 224},
    {"mae-vitb16", MAE, 768, 12, 16, 12, 224},
    {"mae-vitl16", MAE, 1024, 24, 16, 16, 224},
    {"mae-vith14", MAE, 1280, 32, 14, 16, 224},
    {"mocov2-resnet50", RESNET, 2048, 16, 0, 0, 224},
    {"mocov3-vits16", MOCOV3, 384, 12, 16, 12, 224}, /* 12 heads; DINO's ViT-S has 6 */
    {"mocov3-vitb16", MOCOV3, 768, 12, 16, 12, 224},
    /* convolutional stem in place of patches */
    {"mocov3-conv-vits16", MOCOV3, 384, 11, 16, 12, 224},
    {"mocov3-conv-vitb16", MOCOV3, 768, 11, 16, 12, 224},
    {"mocov3-resnet50", RESNET, 2048, 16, 0, 0, 224},
    {"dinov2-vits14", DINOV2, 384, 12, 14, 6, 224},
    {"dinov2-vitb14", DINOV2, 768, 12, 14, 12, 224},
    {"dinov2-vitl14", DINOV2, 1024, 24, 14, 16, 224},
    {"dinov2-vitg14", DINOV2, 1536, 40, 14, 24, 224},
    {"dinov2-vits14-reg", DINOV2_REG, 384, 12, 14, 6, 224},
    {"dinov2-vitb14-reg", DINOV2_REG, 768, 12, 14, 12, 224},
    {"dinov2-vitl14-reg", DINOV2_REG, 1024, 24, 14, 16, 224},
    {"dinov2-vitg14-reg", DINOV2_REG, 1536, 40, 14, 24, 224},
    {"dinov3-vits16", DINOV3, 384, 12, 16, 6, 224},
    {"dinov3-vits16plus", DINOV3, 384, 12, 16, 6, 224},
    {"dinov3-vitb16", DINOV3, 768, 12, 16, 12, 224},
    {"dinov3-vitl16", DINOV3, 1024, 24, 16, 16, 224},
    {"dinov3-vith16plus", DINOV3, 1280, 32, 16, 20, 224},
    {"dinov3-vit7b16", DINOV3, 4096, 40, 16, 32, 224},
    {"dinov3-vitl16-sat493m", DINOV3_SAT, 1024, 24, 16, 16, 224},
    {"dinov3-vit7b16-sat493m", DINOV3_SAT, 4096, 40, 16, 32, 224},
    {"dinov3-convnext-tiny", DINOV3_CONVNEXT, 768, 18, 0, 0, 224},
    {"dinov3-convnext-small", DINOV3_CONVNEXT, 768, 36, 0, 0, 224},
    {"dinov3-convnext-base", DINOV3_CONVNEXT, 1024, 36, 0, 0, 224},
    {"dinov3-convnext-large", DINOV3_CONVNEXT, 1536, 36, 0, 0, 224},
    {"ijepa-vith14", IJEPA, 1280, 32, 14, 16, 224},
    {"ijepa-vith16-448", IJEPA, 1280, 32, 16, 16, 448},
    {"ijepa-vitg16", IJEPA, 1408, 40, 16, 16, 224},
    {"clip-vitb32", CLIP, 768, 12, 32, 12, 224},
    {"clip-vitb16", CLIP, 768, 12, 16, 12, 224},
    {"clip-vitl14", CLIP, 1024, 24, 14, 16, 224},
    {"clip-vitl14-336", CLIP, 1024, 24, 14, 16, 336},
    {"clip-rn50", CLIP_RESNET, 2048, 16, 0, 32, 224}, /* 32 heads of the attention pooling */
    {"clip-rn101", CLIP_RESNET, 2048, 33, 0, 32, 224},
    {"clip-rn50x4", CLIP_RESNET, 2560, 26, 0, 40, 288},
    {"clip-rn50x16", CLIP_RESNET, 3072, 40, 0, 48, 384},
    {"clip-rn50x64", CLIP_RESNET, 4096, 64, 0, 64, 448},
    {"openclip-vitb32", OPENCLIP, 768, 12, 32, 12, 224},
    {"openclip-vitl14", OPENCLIP_OPEN_PIXELS, 1024, 24, 14, 16, 224},
    {"siglip-vitb16-224", SIGLIP, 768, 12, 16, 12, 224},
    {"siglip-vitl16-256", SIGLIP, 1024, 24, 16, 16, 256},
    {"siglip-so400m14-384", SIGLIP, 1152, 27, 14, 16, 384}, /* 27 x 27 patches, 6 pixels unused */
    {"simclr-cifar-resnet18", SIMCLR_CIFAR, 512, 8, 0, 0, 32},
    {"simclr-cifar-resnet50", SIMCLR_CIFAR, 2048, 16, 0, 0, 32},
    {"sololearn-cifar-resnet18", SOLO_CIFAR10, 512, 8, 0, 0, 32},
    {"sololearn-cifar100-resnet18", SOLO_CIFAR100, 512, 8, 0, 0, 32},
    {"vicreg-resnet50", RESNET, 2048, 16, 0, 0, 224},
    {"barlowtwins-resnet50", RESNET, 2048, 16, 0, 0, 224},
    {"swav-resnet50", SWAV, 2048, 16, 0, 0, 224},
    {"byol-resnet50", RESNET, 2048, 16, 0, 0, 224},
    {"byol-cifar-resnet18", SOLO_CIFAR10, 512, 8, 0, 0, 32},
    {"simsiam-resnet50", RESNET, 2048, 16, 0, 0, 224},
    {"memssl-mae-vittiny", MEMSSL_MAE, 192, 12, 2, 3, 32},
    {"memssl-simclr-resnet50", SIMCLR_CIFAR, 2048, 16, 0, 0, 32},
    {"memssl-vicreg-resnet50", MEMSSL_VICREG, 2048, 16, 0, 0, 0},
};

#define PRESETS (sizeof presets / sizeof *presets)

const char *sm_encoder_preset(size_t index)
{
    return index < PRESETS ? presets[index].name : NULL;
}

static enum sm_code no_preset(const char *name, struct sm_err *err)
{
    const char *nearest[NEAREST] = {0};
    size_t distances[NEAREST];
    for (size_t i = 0; i < PRESETS; i++) {
        size_t d = sm_edits(name, presets[i].name);
        int at = NEAREST;
        while (at > 0 && (!nearest[at - 1] || d < distances[at - 1]))
            at--;
        for (int k = NEAREST - 1; k > at; k--) {
            nearest[k] = nearest[k - 1];
            distances[k] = distances[k - 1];
        }
        if (at < NEAREST) {
            nearest[at] = presets[i].name;
            distances[at] = d;
        }
    }
    return sm_err_set(err, SM_NOT_FOUND, "no preset \"%s\"; nearest: %s, %s, %s", name, nearest[0],
                      nearest[1], nearest[2]);
}

static const struct preset *find(const char *name)
{
    for (size_t i = 0; i < PRESETS; i++)
        if (strcmp(presets[i].name, name) == 0)
            return &presets[i];
    return NULL;
}

enum sm_code sm_preset_config(struct sm_encoder_config *out, const char *name, struct sm_err *err)
{
    const struct preset *preset = find(name);
    *out = (struct sm_encoder_config){0};
    if (!preset)
        return no_preset(name, err);
    *out = (struct sm_encoder_config){
        .input_h_px = preset->input_px,
        .input_w_px = preset->input_px,
        .heads = preset->heads,
        .norm_eps = families[preset->family].norm_eps,
        .activation = families[preset->family].activation,
        .pool = families[preset->family].pool,
        .final_norm = families[preset->family].final_norm,
        .pos_resize = families[preset->family].pos_resize,
        .stem_pad = families[preset->family].stem_pad,
        .stride_at = families[preset->family].stride_at,
    };
    sm_pixels_set(out, families[preset->family].pixels);
    return SM_OK;
}

enum sm_code sm_preset_check_size(const struct sm_encoder_config *config,
                                  const struct sm_encoder_info *info, struct sm_err *err)
{
    const struct preset *preset = find(config->preset);
    if (!preset)
        return config->preset[0] ? no_preset(config->preset, err) : SM_OK;
    if (preset->width != info->dim)
        return sm_err_set(err, SM_CONFLICT, "preset %s is of width %d, the file of width %d",
                          preset->name, (int)preset->width, (int)info->dim);
    if (preset->blocks != info->blocks)
        return sm_err_set(err, SM_CONFLICT, "preset %s is of %d blocks, the file of %d",
                          preset->name, (int)preset->blocks, (int)info->blocks);
    return SM_OK;
}

enum sm_code sm_preset_check(const struct sm_encoder_config *config,
                             const struct sm_encoder_info *info, struct sm_err *err)
{
    const struct preset *preset = find(config->preset);
    enum sm_code code = sm_preset_check_size(config, info, err);
    if (code != SM_OK || !preset || !preset->patch)
        return code;
    int32_t stride = config->patch_stride ? config->patch_stride : preset->patch;
    int32_t wanted = ((info->input_h_px - preset->patch) / stride + 1) *
                     ((info->input_w_px - preset->patch) / stride + 1);
    int32_t patches = info->tokens - info->registers - info->has_cls;
    if (wanted != patches)
        return sm_err_set(err, SM_CONFLICT,
                          "preset %s has patches of %d, so %d of %dx%d pixels, the file %d",
                          preset->name, (int)preset->patch, (int)wanted, (int)info->input_h_px,
                          (int)info->input_w_px, (int)patches);
    return SM_OK;
}
