/* Determines what a ViT is from shapes and from which tensors exist. Facts that these do not show
 * come from the configuration, from the values that all published encoders of the family share, or
 * are guesses. Every such choice is recorded with its source, for `sslmem inspect`.
 *
 * facts.c lists the facts that no tensor shows: head count, LayerNorm eps, form of GELU, meaning of
 * "pooled", resampling of the position table and others. A wrong value moves outputs by 1e-4 to 1
 * without any error. So a fact that cannot be guessed with reason is an error that names the
 * setting. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/names/config.h"
#include "core/names/facts.h"
#include "core/names/names_impl.h"
#include "core/nn/vit.h"

#define HEAD_DIM       64
#define DEFAULT_PX     224
#define REGISTERS_MAX  64
#define CONV_STEM_PX   16 /* patch side: four convolutions of stride 2 */
#define CONV_STEM_EPS  1e-5
#define ROPE_BASE      100
#define CONV_STEM_LAST "patch_embed.proj.12.weight"

double sm_vit_attn_scale(const struct sm_vit *v)
{
    return 1 / sqrt((double)v->dim / v->heads);
}

/* Returns the source of a usual value that the configuration does not set. A file that states
 * norm_eps comes from the code that computes this encoder, so it decides. timm's file states the
 * pooling only and does not. */
static enum sm_source usual_source(const struct sm_vit *v)
{
    enum sm_source by = sm_usual(v->config, SM_CONFIG_NORM_EPS);
    return by == SM_SOURCE_GUESS && v->names->dialect->fixed ? SM_SOURCE_FAMILY : by;
}

static void settle(struct sm_vit *v, enum sm_config_field field, void *value, const char *why)
{
    sm_settle(v->info, v->config, field, value, usual_source(v), why);
}

static bool has(const struct sm_vit *v, const char *canonical)
{
    return sm_names_has(v->names, canonical);
}

static int32_t square_root(int64_t n)
{
    int32_t root = 0;
    while ((int64_t)(root + 1) * (root + 1) <= n && root < SM_INPUT_MAX_PX)
        root++;
    return (int64_t)root * root == n ? root : 0;
}

static enum sm_code measure_patch(struct sm_vit *v)
{
    int64_t shape[4];
    v->conv_stem = has(v, "patch_embed.proj.0.weight");
    if (v->conv_stem) {
        enum sm_code code =
            sm_names_shape(shape, v->names, CONV_STEM_LAST, 4, (int64_t[]){-1, -1, 1, 1}, v->err);
        v->dim = code == SM_OK ? (int32_t)shape[0] : 0;
        v->patch = CONV_STEM_PX;
        return code;
    }
    enum sm_code code = sm_names_shape(shape, v->names, "patch_embed.proj.weight", 4,
                                       (int64_t[]){-1, 3, -1, -1}, v->err);
    if (code != SM_OK)
        return code;
    if (shape[2] != shape[3] || shape[2] > SM_INPUT_MAX_PX)
        return sm_err_set(v->err, SM_UNSUPPORTED,
                          "patches of %lldx%lld pixels, expected square ones of at most %d",
                          (long long)shape[2], (long long)shape[3], SM_INPUT_MAX_PX);
    v->dim = (int32_t)shape[0];
    v->patch = (int32_t)shape[2];
    return SM_OK;
}

/* Settles the rotation of a ViT without a position table: it is DINOv3's, whose published encoders
 * all have a CLS token. */
static enum sm_code choose_rope(struct sm_vit *v)
{
    bool told = has(v, "rope.periods"), hf = !strcmp(v->names->dialect->name, "hf-dinov3");
    enum sm_source usual = usual_source(v);
    if (!v->cls)
        return sm_err_set(v->err, SM_UNSUPPORTED,
                          "%s names under \"%.60s\" have neither a position table nor a CLS token: "
                          "rotary positions other than DINOv3's are in no tensor and not supported",
                          v->names->dialect->name, v->names->prefix);
    sm_choose(v->info, "rope",
              told                             ? SM_SOURCE_TENSORS
              : hf && usual == SM_SOURCE_GUESS ? SM_SOURCE_FAMILY
                                               : usual,
              told ? "its periods"
              : hf ? "DINOv3's names"
                   : "no position table; timm has encoders that rotate otherwise",
              "dinov3");
    return SM_OK;
}

static enum sm_code measure_tokens(struct sm_vit *v)
{
    int64_t shape[2];
    v->cls = has(v, "cls_token");
    if (has(v, "reg_token")) {
        enum sm_code code =
            sm_names_shape(shape, v->names, "reg_token", 2, (int64_t[]){-1, v->dim}, v->err);
        if (code != SM_OK)
            return code;
        if (shape[0] > REGISTERS_MAX)
            return sm_err_set(v->err, SM_LIMIT, "%lld register tokens, limit is %d",
                              (long long)shape[0], REGISTERS_MAX);
        v->registers = (int32_t)shape[0];
    }
    if (!has(v, "pos_embed") && (has(v, "rope.periods") || v->registers))
        return choose_rope(v);
    enum sm_code code =
        sm_names_shape(shape, v->names, "pos_embed", 2, (int64_t[]){-1, v->dim}, v->err);
    if (code != SM_OK)
        return code;
    v->table_side = v->cls ? square_root(shape[0] - 1) : 0;
    v->cls_position = v->table_side > 0;
    if (!v->table_side)
        v->table_side = square_root(shape[0]);
    if (!v->table_side)
        return sm_err_set(v->err, SM_UNSUPPORTED,
                          "the position table has %lld patches, expected a square number",
                          (long long)shape[0] - v->cls);
    return SM_OK;
}

/* Refuses EVA-02, which has RoPE as well as a position table; RoPE leaves no tensor there. EVA-02's
 * files have separate q, k and v under timm's names. */
static enum sm_code refuse_eva(struct sm_vit *v)
{
    char name[SM_NAME_BYTES];
    snprintf(name, sizeof name, "%sblocks.0.attn.q_proj.weight", v->names->prefix);
    if (!v->table_side)
        return SM_OK;
    if (!strcmp(v->names->dialect->name, "timm") && sm_names_entry(v->names, name))
        return sm_err_set(
            v->err, SM_UNSUPPORTED,
            "tensor %.120s beside a position table is EVA-02's, whose rotary positions "
            "are in no tensor and not supported",
            name);
    sm_choose(v->info, "rope", usual_source(v),
              "position table; EVA-02 and Perception Encoder rotate, too", "none");
    return SM_OK;
}

static enum sm_code measure_input(struct sm_vit *v)
{
    v->patch_stride = v->patch;
    if (!v->conv_stem)
        settle(v, SM_CONFIG_PATCH_STRIDE, &v->patch_stride, "patches side by side; some overlap");
    int64_t table = (int64_t)(v->table_side - 1) * v->patch_stride + v->patch;
    int64_t side = v->table_side ? table : DEFAULT_PX;
    int64_t h = v->config->input_h_px ? v->config->input_h_px : side;
    int64_t w = v->config->input_w_px ? v->config->input_w_px : side;
    if (h > SM_INPUT_MAX_PX || w > SM_INPUT_MAX_PX || h < v->patch || w < v->patch)
        return sm_err_set(v->err, SM_LIMIT,
                          "input of %lldx%lld pixels, each side must be from %d (a patch) to %d",
                          (long long)h, (long long)w, (int)v->patch, SM_INPUT_MAX_PX);
    if (v->config->input_h_px)
        sm_choose(v->info, "input_px", (enum sm_source)v->config->source[SM_CONFIG_INPUT_PX],
                  sm_said_by(v->config, SM_CONFIG_INPUT_PX), "%d", (int)h);
    else if (!v->table_side)
        sm_choose(v->info, "input_px", SM_SOURCE_GUESS, "RoPE takes any size", "%d", DEFAULT_PX);
    v->graph->input_h_px = (int32_t)h;
    v->graph->input_w_px = (int32_t)w;
    v->rows = (int32_t)((h - v->patch) / v->patch_stride + 1);
    v->cols = (int32_t)((w - v->patch) / v->patch_stride + 1);
    return SM_OK;
}

/* Takes LayerScale, bias mask and gate from the first block. A block that differs then has missing
 * or unused tensors. */
static enum sm_code measure_blocks(struct sm_vit *v)
{
    int64_t fc1[2], fc2[2];
    v->blocks = sm_names_count(v->names, "blocks");
    v->scaled = has(v, "blocks.0.ls1");
    v->bias_mask = has(v, "blocks.0.attn.qkv.bias_mask");
    v->norm_pre = has(v, "norm_pre.weight");
    enum sm_code code = sm_names_shape(fc2, v->names, "blocks.0.mlp.fc2.weight", 2,
                                       (int64_t[]){v->dim, -1}, v->err);
    if (code == SM_OK)
        code = sm_names_shape(fc1, v->names, "blocks.0.mlp.fc1.weight", 2, (int64_t[]){-1, v->dim},
                              v->err);
    if (code != SM_OK)
        return code;
    v->fc1 = fc1[0];
    v->gated = fc1[0] == 2 * fc2[1];
    return SM_OK;
}

/* Compares claims and preset before anything is taken from them: they may describe another
 * network. */
static enum sm_code compare_claims(struct sm_vit *v)
{
    v->info->dim = v->dim;
    v->info->blocks = v->blocks;
    v->info->registers = v->registers;
    v->info->patch = v->patch;
    v->info->mlp = (int32_t)(v->gated ? v->fc1 / 2 : v->fc1);
    v->info->table_side = v->table_side;
    enum sm_code code = sm_claims_check(v->config, v->info, v->err);
    return code == SM_OK ? sm_preset_check_size(v->config, v->info, v->err) : code;
}

static enum sm_code choose_heads(struct sm_vit *v)
{
    static const struct {
        int32_t dim, heads;
        const char *why;
    } usual[] = {{192, 3, "width/64; MAE-Lite's ViT-Ti has 12"},
                 {768, 12, "width/64; timm's first ViT-S has 8"},
                 {1024, 16, "width/64"},
                 {1152, 16, "So400m has 16"},
                 {1280, 16, "ViT-H of MAE and I-JEPA; others have 20"},
                 {1408, 16, "ViT-g has 16"},
                 {1536, 24, "DINOv2's ViT-g; SigLIP 2's has 16"},
                 {1664, 16, "ViT-bigG has 16"},
                 {4096, 32, "DINOv3 7B has 32"}};
    int64_t periods;
    enum sm_source source = (enum sm_source)v->config->source[SM_CONFIG_HEADS];
    const char *why = sm_said_by(v->config, SM_CONFIG_HEADS), *prefix = v->names->prefix;
    v->heads = v->config->heads;
    if (!v->heads && has(v, "rope.periods")) {
        enum sm_code code =
            sm_names_shape(&periods, v->names, "rope.periods", 1, (int64_t[]){-1}, v->err);
        if (code != SM_OK)
            return code;
        v->heads = periods <= v->dim / 4 ? (int32_t)(v->dim / (4 * periods)) : 0;
        source = SM_SOURCE_TENSORS;
        why = "a head is four RoPE periods wide";
    }
    if (!v->heads && (strstr(prefix, "base_encoder") || strstr(prefix, "momentum_encoder"))) {
        v->heads = 12;
        source = SM_SOURCE_GUESS;
        why = "MoCo v3's code has 12; its paper's ViT-L and encoders of timm have 16, 3, ...";
    }
    for (size_t i = 0; !v->heads && i < sizeof usual / sizeof usual[0]; i++) {
        if (usual[i].dim != v->dim)
            continue;
        v->heads = usual[i].heads;
        source = SM_SOURCE_GUESS;
        why = usual[i].why;
    }
    if (!v->heads && v->dim % HEAD_DIM == 0) {
        v->heads = v->dim / HEAD_DIM;
        source = SM_SOURCE_GUESS;
        why = v->dim == 384 ? "width/64; MoCo v3's ViT-S has 12" : "width/64";
    }
    if (!v->heads)
        return sm_err_field(v->err, "/heads",
                            "a ViT of width %d (%s names under \"%.60s\") has no usual head "
                            "count; set \"heads\"",
                            (int)v->dim, v->names->dialect->name, prefix);
    if (v->heads < 1 || v->dim % v->heads)
        return sm_err_field(v->err, "/heads", "\"heads\" is %d, which does not divide width %d",
                            (int)v->heads, (int)v->dim);
    if (!v->table_side && v->dim / v->heads % 4)
        return sm_err_set(v->err, SM_INVALID,
                          "\"heads\" is %d: RoPE needs a head width divisible by 4, not %d",
                          (int)v->heads, (int)(v->dim / v->heads));
    sm_choose(v->info, "heads", source, why, "%d", (int)v->heads);
    return SM_OK;
}

/* Settles eps, order of norms and scale of attention, and what only some ViTs have: BatchNorm in a
 * stem, the base of RoPE. */
static void choose_blocks(struct sm_vit *v)
{
    bool dinov3 = !v->table_side, clip = v->norm_pre;
    enum sm_norm_order order = SM_NORM_ORDER_PRE;
    v->eps = dinov3 || clip ? 1e-5 : v->names->dialect->norm_eps;
    v->attn_scale = sm_vit_attn_scale(v);
    settle(v, SM_CONFIG_NORM_EPS, &v->eps,
           dinov3 ? "DINOv3"
           : clip ? "CLIP; CLIPA has 1e-6"
                  : "usual with these names; other code has another");
    settle(v, SM_CONFIG_NORM_ORDER, &order, "all published; post-norm has the same tensors");
    settle(v, SM_CONFIG_ATTN_SCALE, &v->attn_scale,
           "1/sqrt(head width); timm's first ViT-S has 1/sqrt(width)");
    v->norm_post = order == SM_NORM_ORDER_POST;
    v->stem_eps = CONV_STEM_EPS;
    if (v->conv_stem)
        settle(v, SM_CONFIG_STEM_NORM_EPS, &v->stem_eps, "PyTorch's BatchNorm, as MoCo v3");
    v->rope_base = ROPE_BASE;
    if (!v->table_side && !has(v, "rope.periods"))
        settle(v, SM_CONFIG_ROPE_BASE, &v->rope_base, "DINOv3; its periods are not in the file");
}

/* Returns the activation that the names suggest, with its source and reason. */
static enum sm_activation_kind usual_activation(const struct sm_vit *v, enum sm_source *source,
                                                const char **why)
{
    const struct sm_dialect *dialect = v->names->dialect;
    *source = usual_source(v);
    if (sm_names_entry(v->names, "input_resolution")) {
        *source = SM_SOURCE_TENSORS;
        *why = "input_resolution: an archive of OpenAI's";
        return SM_ACTIVATION_QUICK_GELU;
    }
    if (!strcmp(dialect->name, "hf-clip")) {
        *why = "default of config.json, which is not here; LAION's towers have gelu";
        return SM_ACTIVATION_QUICK_GELU;
    }
    if (!strcmp(dialect->name, "clip")) {
        *why = "open_clip; OpenAI's weights need quick_gelu";
        return SM_ACTIVATION_GELU;
    }
    bool tower = v->norm_pre || has(v, "attn_pool.probe");
    *why = tower ? "usual with these names; some CLIP and SigLIP towers have another"
                 : "usual with these names; some have an approximation";
    return dialect->activation;
}

static enum sm_code choose_activation(struct sm_vit *v)
{
    enum sm_source source;
    const char *why;
    enum sm_activation_kind form = usual_activation(v, &source, &why);
    if (!v->gated) {
        sm_settle(v->info, v->config, SM_CONFIG_ACTIVATION, &form, source, why);
    } else {
        enum sm_source by = (enum sm_source)v->config->source[SM_CONFIG_ACTIVATION];
        if (v->config->activation && by <= SM_SOURCE_FILE)
            return sm_err_set(v->err, SM_INVALID,
                              "\"activation\" is set, but the MLPs under \"%.60s\" are gated: SiLU "
                              "of fc1's first half is the only gate that is supported",
                              v->names->prefix);
        sm_choose(v->info, "gate", usual_source(v),
                  "SiLU of the first half, as all published; timm's GluMlp takes the second",
                  "silu");
    }
    v->activation = sm_activation_of(form);
    return SM_OK;
}

static enum sm_code choose_pool(struct sm_vit *v)
{
    static const char *const names[] = {"", "cls", "mean", "map", "max"};
    bool probe = has(v, "attn_pool.probe"), fc_norm = has(v, "fc_norm.weight");
    bool told = probe || fc_norm || !v->cls;
    enum sm_source source = probe     ? SM_SOURCE_TENSORS
                            : !v->cls ? SM_SOURCE_FAMILY
                                      : usual_source(v);
    v->pool = probe ? SM_POOL_MAP : told ? SM_POOL_MEAN : SM_POOL_CLS;
    sm_settle(v->info, v->config, SM_CONFIG_POOL, &v->pool, source,
              probe     ? "attention pooling"
              : fc_norm ? "fc_norm, usual of the mean; timm can have it of CLS"
              : !v->cls ? "no CLS token"
                        : "the CLS token; others take the mean of the patches");
    if ((v->pool == SM_POOL_CLS && !v->cls) || (v->pool == SM_POOL_MAP && !probe))
        return sm_err_set(v->err, SM_INVALID, "\"pool\" is \"%s\", but there is no %s",
                          names[v->pool], v->pool == SM_POOL_CLS ? "CLS token" : "attn_pool");
    if (v->pool == SM_POOL_MAX)
        return sm_err_set(v->err, SM_INVALID, "\"pool\" is \"max\", which only a ResNet has");
    v->final_norm = SM_FINAL_NORM_BEFORE_POOL;
    if (v->pool == SM_POOL_MEAN && !fc_norm)
        settle(v, SM_CONFIG_FINAL_NORM, &v->final_norm,
               "usual; open_clip's final_ln_after_pool is not");
    return SM_OK;
}

/* Returns the rule by which the family resamples, recognised by names that only its files have;
 * UNSET if none is recognised. */
static enum sm_pos_resize usual_resize(const struct sm_vit *v, const char **why)
{
    const char *prefix = v->names->prefix, *dialect = v->names->dialect->name;
    char decoder[SM_NAME_BYTES], mask[SM_NAME_BYTES];
    snprintf(decoder, sizeof decoder, "%sdecoder_pos_embed", prefix);
    snprintf(mask, sizeof mask, "%smask_token", prefix);
    *why = "";
    if (v->registers) {
        *why = "encoders with registers";
        return SM_POS_RESIZE_ANTIALIAS;
    }
    if (!strcmp(dialect, "hf-dinov2") || (sm_names_entry(v->names, mask) && v->scaled)) {
        *why = "DINOv2 without registers";
        return SM_POS_RESIZE_OFFSET;
    }
    if (sm_names_entry(v->names, decoder)) {
        *why = "MAE";
        return SM_POS_RESIZE_PLAIN;
    }
    if (strstr(prefix, "teacher") || strstr(prefix, "student")) {
        *why = "DINO, iBOT";
        return SM_POS_RESIZE_OFFSET;
    }
    if (!strcmp(dialect, "timm") && (v->norm_pre || has(v, "attn_pool.probe"))) {
        *why = "timm";
        return SM_POS_RESIZE_ANTIALIAS;
    }
    return SM_POS_RESIZE_UNSET;
}

static enum sm_code choose_resize(struct sm_vit *v)
{
    static const char *const names[] = {"", "plain", "offset", "antialias"};
    enum sm_source source = (enum sm_source)v->config->source[SM_CONFIG_POS_RESIZE];
    const char *why = sm_said_by(v->config, SM_CONFIG_POS_RESIZE);
    v->pos_resize = v->config->pos_resize;
    if (!v->table_side || (v->rows == v->table_side && v->cols == v->table_side))
        return SM_OK;
    if (!v->pos_resize) {
        v->pos_resize = usual_resize(v, &why);
        source = SM_SOURCE_GUESS;
    }
    if (!v->pos_resize)
        return sm_err_field(v->err, "/pos_resize",
                            "the position table is for %dx%d patches, the input has %dx%d, and "
                            "families resample differently; set \"pos_resize\"",
                            (int)v->table_side, (int)v->table_side, (int)v->rows, (int)v->cols);
    sm_choose(v->info, "pos_resize", source, why, "%s", names[v->pos_resize]);
    return SM_OK;
}

enum sm_code sm_vit_facts(struct sm_vit *v)
{
    enum sm_code code = sm_check_said(v->config, SM_OF_VIT, "ViT", v->names->prefix, v->err);
    static enum sm_code (*const steps[])(struct sm_vit *) = {
        measure_patch, measure_tokens, measure_blocks, compare_claims,
        refuse_eva,    measure_input,  choose_heads};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && code == SM_OK; i++)
        code = steps[i](v);
    if (code != SM_OK)
        return code;
    choose_blocks(v);
    code = choose_activation(v);
    if (code == SM_OK)
        code = choose_pool(v);
    return code == SM_OK ? choose_resize(v) : code;
}
