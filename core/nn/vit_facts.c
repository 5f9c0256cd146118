/* What a ViT is: from shapes and from which tensors there are, and where these do not tell, from
 * the configuration, from what all published encoders of the family have, or from a guess. Every
 * such choice is noted with its source, for `inspect`.
 *
 * Not in any tensor: head count, LayerNorm eps, form of GELU, what "pooled" means, how a position
 * table is resampled. A wrong one moves outputs by 1e-4 to 1 without any error, so what cannot be
 * guessed with reason is an error that says what to set. */
#include <stdio.h>
#include <string.h>

#include "core/nn/names_impl.h"
#include "core/nn/vit.h"

#define HEAD_DIM       64
#define DEFAULT_PX     224
#define REGISTERS_MAX  64
#define CONV_STEM_PX   16 /* four convolutions of stride 2 */
#define CONV_STEM_LAST "patch_embed.proj.12.weight"

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
        return SM_OK; /* DINOv3: RoPE */
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

static enum sm_code measure_input(struct sm_vit *v)
{
    int64_t side = v->table_side ? (int64_t)v->table_side * v->patch : DEFAULT_PX;
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
    v->rows = (int32_t)(h / v->patch);
    v->cols = (int32_t)(w / v->patch);
    return SM_OK;
}

/* Bias masks and gates follow the first block; a block that differs has tensors missing or over. */
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

static enum sm_code choose_heads(struct sm_vit *v)
{
    static const struct {
        int32_t dim, heads;
        enum sm_source source;
        const char *why;
    } usual[] = {{192, 3, SM_SOURCE_FAMILY, "width/64 at this width"},
                 {768, 12, SM_SOURCE_FAMILY, "width/64 at this width"},
                 {1024, 16, SM_SOURCE_FAMILY, "width/64 at this width"},
                 {1152, 16, SM_SOURCE_FAMILY, "So400m has 16"},
                 {1280, 16, SM_SOURCE_GUESS, "ViT-H of MAE and I-JEPA; others have 20"},
                 {1408, 16, SM_SOURCE_FAMILY, "ViT-g has 16"},
                 {1536, 24, SM_SOURCE_GUESS, "DINOv2's ViT-g; SigLIP 2's has 16"},
                 {1664, 16, SM_SOURCE_FAMILY, "ViT-bigG has 16"},
                 {4096, 32, SM_SOURCE_FAMILY, "DINOv3 7B has 32"}};
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
        source = SM_SOURCE_FAMILY;
        why = "MoCo v3 has 12 heads at every width";
    }
    for (size_t i = 0; !v->heads && i < sizeof usual / sizeof usual[0]; i++) {
        if (usual[i].dim != v->dim)
            continue;
        v->heads = usual[i].heads;
        source = usual[i].source;
        why = usual[i].why;
    }
    if (!v->heads && v->dim % HEAD_DIM == 0) {
        v->heads = v->dim / HEAD_DIM;
        source = SM_SOURCE_GUESS;
        why = v->dim == 384 ? "width/64; MoCo v3's ViT-S has 12" : "width/64";
    }
    if (!v->heads)
        return sm_err_set(v->err, SM_INVALID,
                          "a ViT of width %d (%s names under \"%.60s\") has no usual head count; "
                          "set \"heads\"",
                          (int)v->dim, v->names->dialect->name, prefix);
    if (v->heads < 1 || v->dim % v->heads)
        return sm_err_set(v->err, SM_INVALID, "\"heads\" is %d, which does not divide width %d",
                          (int)v->heads, (int)v->dim);
    if (!v->table_side && v->dim / v->heads % 4)
        return sm_err_set(v->err, SM_INVALID,
                          "\"heads\" is %d: RoPE needs a head width divisible by 4, not %d",
                          (int)v->heads, (int)(v->dim / v->heads));
    sm_choose(v->info, "heads", source, why, "%d", (int)v->heads);
    return SM_OK;
}

static void choose_eps(struct sm_vit *v)
{
    bool dinov3 = !v->table_side, clip = v->norm_pre;
    v->eps = v->config->norm_eps;
    if (v->eps > 0) {
        sm_choose(v->info, "norm_eps", (enum sm_source)v->config->source[SM_CONFIG_NORM_EPS],
                  sm_said_by(v->config, SM_CONFIG_NORM_EPS), "%g", v->eps);
        return;
    }
    v->eps = dinov3 || clip ? 1e-5 : v->names->dialect->norm_eps;
    sm_choose(v->info, "norm_eps", SM_SOURCE_FAMILY,
              dinov3 ? "DINOv3"
              : clip ? "CLIP"
                     : v->names->dialect->name,
              "%g", v->eps);
}

static void choose_activation(struct sm_vit *v)
{
    static const struct {
        enum sm_activation activation;
        const char *name;
    } forms[] = {[SM_GELU_EXACT] = {SM_ACT_GELU, "gelu"},
                 [SM_GELU_TANH] = {SM_ACT_GELU_TANH, "gelu_tanh"},
                 [SM_GELU_QUICK] = {SM_ACT_GELU_QUICK, "quick_gelu"}};
    enum sm_gelu form = v->config->activation;
    enum sm_source source = (enum sm_source)v->config->source[SM_CONFIG_ACTIVATION];
    const char *why = sm_said_by(v->config, SM_CONFIG_ACTIVATION),
               *dialect = v->names->dialect->name;
    if (!form && sm_names_entry(v->names, "input_resolution")) {
        form = SM_GELU_QUICK;
        source = SM_SOURCE_TENSORS;
        why = "input_resolution: an archive of OpenAI's";
    } else if (!form && !strcmp(dialect, "hf-clip")) {
        form = SM_GELU_QUICK;
        source = SM_SOURCE_GUESS;
        why = "default of config.json, which is not here; LAION's towers have gelu";
    } else if (!form && !strcmp(dialect, "clip")) {
        form = SM_GELU_EXACT;
        source = SM_SOURCE_GUESS;
        why = "open_clip; OpenAI's weights need quick_gelu";
    } else if (!form) {
        bool differ = v->norm_pre || (has(v, "attn_pool.probe") && !strcmp(dialect, "timm"));
        form = v->names->dialect->activation;
        source = differ ? SM_SOURCE_GUESS : SM_SOURCE_FAMILY;
        why = differ ? "timm; some CLIP and SigLIP towers have another" : dialect;
    }
    v->activation = forms[form].activation;
    if (!v->gated)
        sm_choose(v->info, "activation", source, why, "%s", forms[form].name);
}

/* Only open_clip's towers (final_ln_after_pool) may have it after; elsewhere it is before. */
static void choose_final_norm(struct sm_vit *v)
{
    enum sm_source source = has(v, "visual_projection") ? SM_SOURCE_GUESS : SM_SOURCE_FAMILY;
    const char *why = "open_clip's final_ln_after_pool";
    if (v->config->final_norm) {
        source = (enum sm_source)v->config->source[SM_CONFIG_FINAL_NORM];
        why = sm_said_by(v->config, SM_CONFIG_FINAL_NORM);
    }
    sm_choose(v->info, "final_norm", source, why, "%s",
              v->final_norm == SM_FINAL_NORM_BEFORE_POOL ? "before_pool" : "after_pool");
}

static enum sm_code choose_pool(struct sm_vit *v)
{
    static const char *const names[] = {"", "cls", "mean", "map"};
    bool probe = has(v, "attn_pool.probe"), fc_norm = has(v, "fc_norm.weight");
    enum sm_source source = (enum sm_source)v->config->source[SM_CONFIG_POOL];
    const char *why = sm_said_by(v->config, SM_CONFIG_POOL);
    v->pool = v->config->pool;
    if (!v->pool && (probe || fc_norm)) {
        v->pool = probe ? SM_POOL_MAP : SM_POOL_MEAN;
        source = SM_SOURCE_TENSORS;
        why = probe ? "attention pooling" : "fc_norm";
    } else if (!v->pool) {
        bool timm_dinov3 = !v->table_side && !has(v, "rope.periods");
        v->pool = v->cls ? SM_POOL_CLS : SM_POOL_MEAN;
        source = timm_dinov3 ? SM_SOURCE_GUESS : SM_SOURCE_FAMILY;
        why = timm_dinov3 ? "as DINOv3 itself; timm's default is mean"
              : v->cls    ? "the CLS token"
                          : "no CLS token";
    }
    if ((v->pool == SM_POOL_CLS && !v->cls) || (v->pool == SM_POOL_MAP && !probe))
        return sm_err_set(v->err, SM_INVALID, "\"pool\" is \"%s\", but there is no %s",
                          names[v->pool], v->pool == SM_POOL_CLS ? "CLS token" : "attn_pool");
    sm_choose(v->info, "pool", source, why, "%s", names[v->pool]);
    v->final_norm = v->config->final_norm ? v->config->final_norm : SM_FINAL_NORM_BEFORE_POOL;
    if (v->pool == SM_POOL_MEAN && !fc_norm)
        choose_final_norm(v);
    return SM_OK;
}

/* Which rule the family resamples by, from what only its files have. */
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
        source = SM_SOURCE_FAMILY;
    }
    if (!v->pos_resize)
        return sm_err_set(v->err, SM_INVALID,
                          "the position table is for %dx%d patches, the input has %dx%d, and "
                          "families resample differently; set \"pos_resize\"",
                          (int)v->table_side, (int)v->table_side, (int)v->rows, (int)v->cols);
    sm_choose(v->info, "pos_resize", source, why, "%s", names[v->pos_resize]);
    return SM_OK;
}

enum sm_code sm_vit_facts(struct sm_vit *v)
{
    static enum sm_code (*const steps[])(struct sm_vit *) = {
        measure_patch, measure_tokens, measure_input, measure_blocks, choose_heads};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        enum sm_code code = steps[i](v);
        if (code != SM_OK)
            return code;
    }
    choose_eps(v);
    choose_activation(v);
    enum sm_code code = choose_pool(v);
    return code == SM_OK ? choose_resize(v) : code;
}
