/* The table of dialects. To add one, add a row here and a golden case. The builders (vit.c,
 * resnet.c, convnext.c) decide what a network computes; they look up optional tensors by canonical
 * name. */
#include "core/names/dialect.h"

#define END                                                                                        \
    {                                                                                              \
        NULL, NULL                                                                                 \
    }

static const struct sm_rename none[] = {END};

/* Names of torchvision models/resnet.py. CIFAR ResNets name the projection of option B "shortcut".
 * The attention pooling has the names of openai/CLIP clip/model.py. */
static const struct sm_rename torchvision[] = {
    {"attnpool.qkv", "attnpool.q_proj+attnpool.k_proj+attnpool.v_proj"}, END};

/* The published SimCLR script (sprintml/MemorizationSSL, models/SimCLR/model.py) drops maxpool and
 * fc from the children and wraps the rest in a Sequential. */
static const struct sm_rename sequential[] = {
    {"conv1", "0"},  {"bn1", "1"}, {"layer1", "3"}, {"layer2", "4"}, {"layer3", "5"},
    {"layer4", "6"}, END};

/* Names of Sequential(*list(resnet.children())[:-1]), with the pooling at 3: the VICReg script of
 * sprintml/MemorizationSSL, lightly, and many others. */
static const struct sm_rename sequential_pool[] = {
    {"conv1", "0"},  {"bn1", "1"}, {"layer1", "4"}, {"layer2", "5"}, {"layer3", "6"},
    {"layer4", "7"}, END};

/* Names of timm and of the official code of DINO, MAE, MoCo v3, iBOT, I-JEPA, DINOv2 and DINOv3.
 * DINOv2 has register_tokens, ls1 and w12; DINOv3 has storage_tokens, w1 and w2; timm has
 * reg_token, gamma_1, fc1_g and q_bias. */
static const struct sm_rename timm[] = {{"reg_token", "reg_token,register_tokens,storage_tokens"},
                                        {"rope.periods", "rope_embed.periods"},
                                        {"attn_pool.qkv", "attn_pool.q+attn_pool.kv"},
                                        {"attn_pool.probe", "attn_pool.latent"},
                                        END};
static const struct sm_rename timm_block[] = {
    {"attn.qkv.bias", "attn.qkv.bias,attn.q_bias+attn.k_bias+attn.v_bias"},
    {"attn.qkv.bias_mask", "attn.qkv.bias_mask"},
    {"attn.qkv", "attn.qkv,attn.q_proj+attn.k_proj+attn.v_proj"},
    {"ls1", "ls1.gamma,gamma_1"},
    {"ls2", "ls2.gamma,gamma_2"},
    {"mlp.fc1", "mlp.fc1,mlp.w12,mlp.w1+mlp.w2,mlp.fc1_g+mlp.fc1_x"},
    {"mlp.fc2", "mlp.fc2,mlp.w3"},
    END};

/* Names of sprintml/MemorizationSSL models/MAE/model.py: timm's blocks under other names. */
static const struct sm_rename memssl_mae[] = {
    {"patch_embed.proj", "patchify"}, {"pos_embed", "pos_embedding"}, {"norm", "layer_norm"}, END};

/* Names of openai/CLIP clip/model.py and mlfoundations/open_clip transformer.py. */
static const struct sm_rename clip[] = {{"patch_embed.proj", "conv1"},
                                        {"cls_token", "class_embedding"},
                                        {"pos_embed", "positional_embedding"},
                                        {"norm_pre", "ln_pre"},
                                        {"norm", "ln_post"},
                                        {"visual_projection", "proj"},
                                        END};
static const struct sm_rename clip_block[] = {{"norm1", "ln_1"},
                                              {"norm2", "ln_2"},
                                              {"attn.qkv.weight", "attn.in_proj_weight"},
                                              {"attn.qkv.bias", "attn.in_proj_bias"},
                                              {"attn.proj", "attn.out_proj"},
                                              {"ls1", "ls_1.gamma"},
                                              {"ls2", "ls_2.gamma"},
                                              {"mlp.fc1", "mlp.c_fc"},
                                              {"mlp.fc2", "mlp.c_proj"},
                                              END};

/* Names of Hugging Face transformers modeling_vit.py and modeling_vit_mae.py. */
static const struct sm_rename hf_embeddings[] = {
    {"patch_embed.proj", "embeddings.patch_embeddings.projection"},
    {"cls_token", "embeddings.cls_token"},
    {"reg_token", "embeddings.register_tokens"},
    {"pos_embed", "embeddings.position_embeddings"},
    {"norm", "layernorm"},
    {"pooler", "pooler.dense"},
    END};
#define HF_ATTENTION                                                                               \
    {"attn.qkv", "attention.attention.query+attention.attention.key+attention.attention.value"},   \
    {                                                                                              \
        "attn.proj", "attention.output.dense"                                                      \
    }
static const struct sm_rename hf_vit_block[] = {HF_ATTENTION,
                                                {"norm1", "layernorm_before"},
                                                {"norm2", "layernorm_after"},
                                                {"mlp.fc1", "intermediate.dense"},
                                                {"mlp.fc2", "output.dense"},
                                                END};

/* Names of transformers modeling_dinov2.py, with or without registers. */
static const struct sm_rename hf_dinov2_block[] = {HF_ATTENTION,
                                                   {"ls1", "layer_scale1.lambda1"},
                                                   {"ls2", "layer_scale2.lambda1"},
                                                   {"mlp.fc1", "mlp.fc1,mlp.weights_in"},
                                                   {"mlp.fc2", "mlp.fc2,mlp.weights_out"},
                                                   END};

/* Names of transformers modeling_dinov3_vit.py. */
static const struct sm_rename hf_dinov3[] = {{"patch_embed.proj", "embeddings.patch_embeddings"},
                                             {"cls_token", "embeddings.cls_token"},
                                             {"reg_token", "embeddings.register_tokens"},
                                             END};
static const struct sm_rename hf_dinov3_block[] = {
    {"attn.qkv", "attention.q_proj+attention.k_proj+attention.v_proj"},
    {"attn.proj", "attention.o_proj"},
    {"ls1", "layer_scale1.lambda1"},
    {"ls2", "layer_scale2.lambda1"},
    {"mlp.fc1", "mlp.gate_proj+mlp.up_proj,mlp.up_proj"},
    {"mlp.fc2", "mlp.down_proj"},
    END};

/* Names of transformers modeling_clip.py, modeling_siglip.py ("pre_layrnorm" is their spelling). */
static const struct sm_rename hf_clip[] = {
    {"patch_embed.proj", "vision_model.embeddings.patch_embedding"},
    {"cls_token", "vision_model.embeddings.class_embedding"},
    {"pos_embed", "vision_model.embeddings.position_embedding.weight"},
    {"norm_pre", "vision_model.pre_layrnorm"},
    {"norm", "vision_model.post_layernorm"},
    {"attn_pool.probe", "vision_model.head.probe"},
    {"attn_pool.qkv.weight", "vision_model.head.attention.in_proj_weight"},
    {"attn_pool.qkv.bias", "vision_model.head.attention.in_proj_bias"},
    {"attn_pool.proj", "vision_model.head.attention.out_proj"},
    {"attn_pool.norm", "vision_model.head.layernorm"},
    {"attn_pool.mlp", "vision_model.head.mlp"},
    END};
static const struct sm_rename hf_clip_block[] = {
    {"attn.qkv", "self_attn.q_proj+self_attn.k_proj+self_attn.v_proj"},
    {"attn.proj", "self_attn.out_proj"},
    {"norm1", "layer_norm1"},
    {"norm2", "layer_norm2"},
    END};

/* Names of torchvision models/vision_transformer.py: mlp.0 and mlp.3 since version 0.14,
 * mlp.linear_1 and mlp.linear_2 before. */
static const struct sm_rename torchvision_vit[] = {{"patch_embed.proj", "conv_proj"},
                                                   {"cls_token", "class_token"},
                                                   {"pos_embed", "encoder.pos_embedding"},
                                                   {"norm", "encoder.ln"},
                                                   END};
static const struct sm_rename torchvision_vit_block[] = {
    {"norm1", "ln_1"},
    {"norm2", "ln_2"},
    {"attn.qkv.weight", "self_attention.in_proj_weight"},
    {"attn.qkv.bias", "self_attention.in_proj_bias"},
    {"attn.proj", "self_attention.out_proj"},
    {"mlp.fc1", "mlp.0,mlp.linear_1"},
    {"mlp.fc2", "mlp.3,mlp.linear_2"},
    END};

/* Names of google-research/big_vision models/vit.py, as its .npz files flatten them. */
#define FLAX_MHA(ours, theirs)                                                                     \
    {ours ".qkv.weight", theirs "query/kernel+" theirs "key/kernel+" theirs "value/kernel"},       \
        {ours ".qkv.bias", theirs "query/bias+" theirs "key/bias+" theirs "value/bias"},           \
        {ours ".proj.weight", theirs "out/kernel"},                                                \
    {                                                                                              \
        ours ".proj.bias", theirs "out/bias"                                                       \
    }
#define FLAX_NORM(ours, theirs)                                                                    \
    {ours ".weight", theirs "/scale"},                                                             \
    {                                                                                              \
        ours ".bias", theirs "/bias"                                                               \
    }
#define FLAX_DENSE(ours, theirs)                                                                   \
    {ours ".weight", theirs "/kernel"},                                                            \
    {                                                                                              \
        ours ".bias", theirs "/bias"                                                               \
    }
static const struct sm_rename big_vision[] = {
    FLAX_DENSE("patch_embed.proj", "embedding"),
    {"cls_token", "cls"},
    {"pos_embed", "pos_embedding"},
    FLAX_NORM("norm", "Transformer/encoder_norm"),
    {"attn_pool.probe", "MAPHead_0/probe"},
    FLAX_MHA("attn_pool", "MAPHead_0/MultiHeadDotProductAttention_0/"),
    FLAX_NORM("attn_pool.norm", "MAPHead_0/LayerNorm_0"),
    FLAX_DENSE("attn_pool.mlp.fc1", "MAPHead_0/MlpBlock_0/Dense_0"),
    FLAX_DENSE("attn_pool.mlp.fc2", "MAPHead_0/MlpBlock_0/Dense_1"),
    END};
static const struct sm_rename big_vision_block[] = {
    FLAX_NORM("norm1", "LayerNorm_0"),
    FLAX_NORM("norm2", "LayerNorm_1"),
    FLAX_MHA("attn", "MultiHeadDotProductAttention_0/"),
    FLAX_DENSE("mlp.fc1", "MlpBlock_0/Dense_0"),
    FLAX_DENSE("mlp.fc2", "MlpBlock_0/Dense_1"),
    END};

#define OWN(...) ((const char *const[]){__VA_ARGS__, NULL})

#define TIMM_OWN                                                                                   \
    OWN("cls_token", "pos_embed", "patch_embed", "blocks", "norm", "norm_pre", "fc_norm",          \
        "cls_norm", "reg_token", "register_tokens", "storage_tokens", "dist_token", "attn_pool",   \
        "rope", "rope_embed", "rel_pos_bias")

const struct sm_dialect sm_dialects[] = {
    {.name = "torchvision",
     .family = SM_FAMILY_RESNET,
     .anchors = {"layer1.0.conv1.weight", "conv1.weight"},
     .renames = torchvision,
     .own = OWN("conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "layer0", "layer5", "conv2",
                "bn2", "conv3", "bn3", "stem", "attnpool"),
     .stem_pool = -1},
    {.name = "sequential",
     .family = SM_FAMILY_RESNET,
     .anchors = {"3.0.conv1.weight", "0.weight"},
     .renames = sequential,
     .own = OWN("0", "1", "2", "3", "4", "5", "6"),
     .stem_pool = 0},
    {.name = "sequential",
     .family = SM_FAMILY_RESNET,
     .anchors = {"7.0.conv1.weight", "4.0.conv1.weight", "0.weight"},
     .renames = sequential_pool,
     .own = OWN("0", "1", "2", "3", "4", "5", "6", "7"),
     .stem_pool = 1},
    {.name = "convnext",
     .family = SM_FAMILY_CONVNEXT,
     .anchors = {"downsample_layers.0.0.weight", "stages.0.0.dwconv.weight"},
     .renames = none,
     .own = OWN("downsample_layers", "stages", "norm")},
    {.name = "timm",
     .family = SM_FAMILY_VIT,
     .anchors = {"blocks.0.norm1.weight", "patch_embed.proj.weight,patch_embed.proj.0.weight"},
     .renames = timm,
     .block = "blocks.#.",
     .block_renames = timm_block,
     .own = TIMM_OWN,
     .norm_eps = 1e-6,
     .activation = SM_ACTIVATION_GELU},
    {.name = "memssl-mae",
     .family = SM_FAMILY_VIT,
     .anchors = {"transformer.0.norm1.weight", "patchify.weight"},
     .renames = memssl_mae,
     .block = "transformer.#.",
     .block_renames = timm_block,
     .own = OWN("cls_token", "pos_embedding", "patchify", "transformer", "layer_norm"),
     .fixed = true,
     .norm_eps = 1e-5,
     .activation = SM_ACTIVATION_GELU},
    {.name = "clip",
     .family = SM_FAMILY_VIT,
     .anchors = {"transformer.resblocks.0.ln_1.weight", "conv1.weight", "positional_embedding"},
     .renames = clip,
     .block = "transformer.resblocks.#.",
     .block_renames = clip_block,
     .own = OWN("class_embedding", "positional_embedding", "conv1", "ln_pre", "transformer",
                "ln_post", "proj", "attn_pool"),
     .norm_eps = 1e-5},
    {.name = "hf-vit",
     .family = SM_FAMILY_VIT,
     .anchors = {"encoder.layer.0.layernorm_before.weight",
                 "embeddings.patch_embeddings.projection.weight"},
     .renames = hf_embeddings,
     .block = "encoder.layer.#.",
     .block_renames = hf_vit_block,
     .own = OWN("embeddings", "encoder", "layernorm"),
     .unread = OWN("embeddings.mask_token"),
     .norm_eps = 1e-12,
     .activation = SM_ACTIVATION_GELU},
    {.name = "hf-dinov2",
     .family = SM_FAMILY_VIT,
     .anchors = {"encoder.layer.0.norm1.weight", "embeddings.patch_embeddings.projection.weight"},
     .renames = hf_embeddings,
     .block = "encoder.layer.#.",
     .block_renames = hf_dinov2_block,
     .own = OWN("embeddings", "encoder", "layernorm"),
     .unread = OWN("embeddings.mask_token"),
     .norm_eps = 1e-6,
     .activation = SM_ACTIVATION_GELU},
    {.name = "hf-dinov3",
     .family = SM_FAMILY_VIT,
     .anchors = {"layer.0.attention.o_proj.weight", "embeddings.patch_embeddings.weight"},
     .renames = hf_dinov3,
     .block = "layer.#.",
     .block_renames = hf_dinov3_block,
     .own = OWN("embeddings", "layer", "norm", "rope_embeddings"),
     .unread = OWN("embeddings.mask_token", "rope_embeddings"),
     .norm_eps = 1e-5,
     .activation = SM_ACTIVATION_GELU},
    {.name = "hf-clip",
     .family = SM_FAMILY_VIT,
     .anchors = {"vision_model.encoder.layers.0.layer_norm1.weight",
                 "vision_model.embeddings.class_embedding"},
     .renames = hf_clip,
     .block = "vision_model.encoder.layers.#.",
     .block_renames = hf_clip_block,
     .own = OWN("vision_model", "visual_projection"),
     .unread = OWN("vision_model.embeddings.position_ids"),
     .norm_eps = 1e-5},
    {.name = "hf-siglip",
     .family = SM_FAMILY_VIT,
     .anchors = {"vision_model.encoder.layers.0.layer_norm1.weight",
                 "vision_model.embeddings.patch_embedding.weight"},
     .renames = hf_clip,
     .block = "vision_model.encoder.layers.#.",
     .block_renames = hf_clip_block,
     .own = OWN("vision_model"),
     .unread = OWN("vision_model.embeddings.position_ids"),
     .norm_eps = 1e-6,
     .activation = SM_ACTIVATION_GELU_TANH},
    {.name = "torchvision-vit",
     .family = SM_FAMILY_VIT,
     .anchors = {"encoder.layers.encoder_layer_0.ln_1.weight", "conv_proj.weight"},
     .renames = torchvision_vit,
     .block = "encoder.layers.encoder_layer_#.",
     .block_renames = torchvision_vit_block,
     .own = OWN("conv_proj", "class_token", "encoder"),
     .norm_eps = 1e-6,
     .activation = SM_ACTIVATION_GELU},
    {.name = "big_vision",
     .family = SM_FAMILY_VIT,
     .anchors = {"Transformer/encoderblock_0/LayerNorm_0/scale", "embedding/kernel"},
     .renames = big_vision,
     .block = "Transformer/encoderblock_#/",
     .block_renames = big_vision_block,
     .own = OWN("embedding", "cls", "pos_embedding", "Transformer", "MAPHead_0"),
     .in_out = true,
     .fixed = true,
     .norm_eps = 1e-6,
     .activation = SM_ACTIVATION_GELU_TANH},
    {.name = "big_vision", /* files trained with scan=True, which stacks the blocks */
     .family = SM_FAMILY_VIT,
     .anchors = {"Transformer/encoderblock/LayerNorm_0/scale", "embedding/kernel"},
     .renames = big_vision,
     .block = "Transformer/encoderblock/",
     .block_renames = big_vision_block,
     .stacked = true,
     .own = OWN("embedding", "cls", "pos_embedding", "Transformer", "MAPHead_0"),
     .in_out = true,
     .fixed = true,
     .norm_eps = 1e-6,
     .activation = SM_ACTIVATION_GELU_TANH},
    {.name = NULL},
};
