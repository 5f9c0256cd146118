/* Builds a ViT. A pre-norm block is x + ls1 * proj(attention(norm1 x)), then x + ls2 * mlp(norm2
 * x): seven nodes, one more with RoPE and one more with SwiGLU. Post-norm applies the norms after
 * the sums. LayerScale is folded into the products, and so is a scale of attention that differs
 * from the kernel's.
 *
 * The patch embedding is an ordinary convolution with stride = k, unless configured otherwise.
 * Tokens are CLS, registers, then patches row by row. Positions are added before registers are
 * inserted. Each half of a block can be tapped before its residual: a second node shares the
 * product's weights and runs only if it is tapped. */
#include "core/nn/vit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/nn/resample.h"

static enum sm_code fail_memory(const struct sm_vit *v, const char *what)
{
    return sm_err_set(v->err, SM_NOMEM, "no memory for the %s of a ViT", what);
}

/* Adds the stem of MoCo v3 (vits.py, ConvStem): four 3x3 convolutions of stride 2 with BatchNorm
 * and ReLU, then a 1x1 with bias, in a Sequential. */
static enum sm_code add_conv_stem(int32_t *at, const struct sm_vit *v)
{
    enum sm_code code = SM_OK;
    for (int i = 0; i < 5 && code == SM_OK; i++) {
        char conv[32], bn[32];
        bool last = i == 4;
        snprintf(conv, sizeof conv, "patch_embed.proj.%d", 3 * i);
        snprintf(bn, sizeof bn, "patch_embed.proj.%d", 3 * i + 1);
        code = sm_add_conv(at, v->graph, v->names,
                           &(struct sm_conv_spec){.conv = conv,
                                                  .bn = last ? NULL : bn,
                                                  .bn_eps = v->stem_eps,
                                                  .in = *at,
                                                  .residual = SM_NODE_NONE,
                                                  .k = last ? 1 : 3,
                                                  .stride = last ? 1 : 2,
                                                  .pad = !last,
                                                  .activation = last ? SM_ACT_NONE : SM_ACT_RELU},
                           v->err);
    }
    return code;
}

static enum sm_code add_patches(int32_t *at, const struct sm_vit *v)
{
    const struct sm_node layout = {
        .kernel = SM_KERNEL_LAYOUT, .in = SM_NODE_IMAGE, .residual = SM_NODE_NONE, .name = "input"};
    enum sm_code code = sm_graph_add(v->graph, &layout, at, v->err);
    if (code != SM_OK)
        return code;
    if (v->conv_stem)
        return add_conv_stem(at, v);
    bool clip = v->norm_pre || sm_names_has(v->names, "visual_projection");
    return sm_add_conv(at, v->graph, v->names,
                       &(struct sm_conv_spec){.conv = "patch_embed.proj",
                                              .bias_optional = clip,
                                              .in = *at,
                                              .residual = SM_NODE_NONE,
                                              .k = v->patch,
                                              .stride = v->patch_stride},
                       v->err);
}

/* Reads the position table for the input's patches, *out [rows * cols, dim], which the caller
 * frees. Adds the table's row for CLS, if it has one, to `cls`. */
static enum sm_code read_positions(float **out, float *cls, const struct sm_vit *v)
{
    const int64_t side = v->table_side, dim = v->dim;
    float *table;
    *out = NULL;
    enum sm_code code = sm_names_read(v->names, &table, "pos_embed", 2,
                                      (int64_t[]){side * side + v->cls_position, dim}, v->err);
    if (code != SM_OK)
        return code;
    for (int64_t i = 0; v->cls_position && i < dim; i++)
        cls[i] += table[i];
    size_t count = (size_t)v->rows * (size_t)v->cols * (size_t)dim;
    *out = malloc(count * sizeof **out);
    const float *patches = table + (v->cls_position ? dim : 0);
    if (!*out)
        code = fail_memory(v, "positions");
    else if (v->rows == side && v->cols == side)
        memcpy(*out, patches, count * sizeof **out);
    else
        code = sm_pos_resample(*out, patches, v->table_side, v->table_side, v->dim, v->rows,
                               v->cols, v->pos_resize, v->err);
    free(table);
    return code;
}

static enum sm_code read_tokens(float *out, const struct sm_vit *v, const char *name, int32_t rows)
{
    float *tokens;
    enum sm_code code =
        sm_names_read(v->names, &tokens, name, 2, (int64_t[]){rows, v->dim}, v->err);
    if (code == SM_OK)
        memcpy(out, tokens, (size_t)rows * (size_t)v->dim * sizeof *out);
    free(tokens);
    return code;
}

static enum sm_code add_embed(int32_t *at, const struct sm_vit *v)
{
    struct sm_node node = {.kernel = SM_KERNEL_PREPEND,
                           .in = *at,
                           .residual = SM_NODE_NONE,
                           .g = {.rows = sm_vit_prefix(v)},
                           .name = "embed"};
    size_t dim = (size_t)v->dim;
    enum sm_code code = SM_OK;
    node.bias = calloc((size_t)sm_vit_prefix(v) * dim + 1, sizeof *node.bias);
    if (!node.bias)
        return fail_memory(v, "tokens");
    if (v->cls)
        code = read_tokens(node.bias, v, "cls_token", 1);
    if (code == SM_OK && v->registers)
        code = read_tokens(node.bias + (v->cls ? dim : 0), v, "reg_token", v->registers);
    if (code == SM_OK && v->table_side)
        code = read_positions(&node.weight, node.bias, v);
    if (code != SM_OK) {
        free(node.weight);
        free(node.bias);
        return code;
    }
    int64_t positions = (int64_t)v->table_side * v->table_side + v->cls_position;
    node.parameters = v->dim * (positions + sm_vit_prefix(v));
    return sm_graph_add(v->graph, &node, at, v->err);
}

static enum sm_code read_periods(double *periods, const struct sm_vit *v)
{
    int64_t count = v->dim / v->heads / 4;
    float *stored;
    for (int64_t i = 0; i < count; i++)
        periods[i] = pow(v->rope_base, (double)i / (double)count);
    if (!sm_names_has(v->names, "rope.periods"))
        return SM_OK;
    enum sm_code code = sm_names_read(v->names, &stored, "rope.periods", 1, &count, v->err);
    for (int64_t i = 0; code == SM_OK && i < count; i++)
        periods[i] = (double)stored[i];
    free(stored);
    return code;
}

/* Adds the rotation of q and k of the patches. All blocks share the tables of the first rotation,
 * node *shared; negative: none yet. */
static enum sm_code add_rope(int32_t *at, const struct sm_vit *v, int32_t *shared)
{
    struct sm_node node = {.kernel = SM_KERNEL_ROPE,
                           .in = *at,
                           .residual = SM_NODE_NONE,
                           .g = {.heads = v->heads, .skip = sm_vit_prefix(v)},
                           .name = "rope"};
    enum sm_code code = SM_OK;
    if (*shared >= 0) {
        node.weight = v->graph->nodes[*shared].weight;
        node.bias = v->graph->nodes[*shared].bias;
        node.shares_weights = true;
        node.weights_of = *shared;
        return sm_graph_add(v->graph, &node, at, v->err);
    }
    int32_t head_dim = v->dim / v->heads;
    size_t count = (size_t)v->rows * (size_t)v->cols * (size_t)head_dim;
    double *periods = malloc((size_t)head_dim * sizeof *periods);
    node.weight = malloc(count * sizeof *node.weight);
    node.bias = malloc(count * sizeof *node.bias);
    if (!periods || !node.weight || !node.bias)
        code = fail_memory(v, "rotary positions");
    if (code == SM_OK)
        code = read_periods(periods, v);
    if (code == SM_OK)
        sm_rope_tables(node.weight, node.bias, periods, head_dim, v->rows, v->cols);
    free(periods);
    if (code != SM_OK) {
        free(node.weight);
        free(node.bias);
        return code;
    }
    code = sm_graph_add(v->graph, &node, at, v->err);
    *shared = *at;
    return code;
}

/* Adds the norm before a half of a block. Post-norm has none there and leaves *at unchanged. */
static enum sm_code begin_half(int32_t *at, const struct sm_vit *v, const char *norm)
{
    return v->norm_post ? SM_OK : sm_add_norm(at, v->graph, v->names, norm, *at, v->eps, v->err);
}

/* Ends a half of a block with its last product, `spec`, which adds the residual stream. Taps the
 * product before the residual as "block.N.<half>". Taps the stream after it (post-norm: after the
 * norm) as "block.N.<half>.residual". */
static enum sm_code end_half(int32_t *at, const struct sm_vit *v, const struct sm_linear_spec *spec,
                             const char *norm, int32_t block, const char *half)
{
    char tap[SM_TAP_NAME];
    int32_t before;
    enum sm_code code = sm_add_linear(at, v->graph, v->names, spec, v->err);
    if (code == SM_OK)
        code = sm_graph_add_unfused(v->graph, *at, &before, v->err);
    if (code != SM_OK)
        return code;
    snprintf(tap, sizeof tap, "block.%d.%s", (int)block, half);
    code = sm_graph_tap(v->graph, tap, before, v->err);
    if (code == SM_OK && v->norm_post)
        code = sm_add_norm(at, v->graph, v->names, norm, *at, v->eps, v->err);
    if (code != SM_OK)
        return code;
    snprintf(tap, sizeof tap, "block.%d.%s.residual", (int)block, half);
    return sm_graph_tap(v->graph, tap, *at, v->err);
}

#define NAME(part)                                                                                 \
    char part##_name[SM_NODE_NAME];                                                                \
    snprintf(part##_name, sizeof part##_name, "blocks.%d." NAME_##part, (int)block)
#define NAME_norm1     "norm1"
#define NAME_qkv       "attn.qkv"
#define NAME_mask      "attn.qkv.bias_mask"
#define NAME_attention "attn"
#define NAME_proj      "attn.proj"
#define NAME_ls1       "ls1"
#define NAME_norm2     "norm2"
#define NAME_fc1       "mlp.fc1"
#define NAME_gate      "mlp.gate"
#define NAME_fc2       "mlp.fc2"
#define NAME_ls2       "ls2"

/* Makes the scale of q k^T the configured one: multiplies q in the product [dim, 3 dim] by the
 * configured scale over the kernel's. */
static void scale_queries(struct sm_node *qkv, const struct sm_vit *v)
{
    size_t dim = (size_t)v->dim;
    double factor = v->attn_scale / sm_vit_attn_scale(v);
    for (size_t j = 0; factor != 1 && j < dim; j++) {
        qkv->bias[j] = (float)((double)qkv->bias[j] * factor);
        for (size_t i = 0; i < dim; i++)
            qkv->weight[i * 3 * dim + j] = (float)((double)qkv->weight[i * 3 * dim + j] * factor);
    }
}

/* Adds the attention half of a block. *at is the residual stream before it, then after it. */
static enum sm_code add_attention(int32_t *at, const struct sm_vit *v, int32_t block, int32_t *rope)
{
    NAME(norm1);
    NAME(qkv);
    NAME(mask);
    NAME(attention);
    NAME(proj);
    NAME(ls1);
    int32_t stream = *at;
    enum sm_code code = begin_half(at, v, norm1_name);
    if (code == SM_OK)
        code = sm_add_linear(at, v->graph, v->names,
                             &(struct sm_linear_spec){.name = qkv_name,
                                                      .bias_optional = true,
                                                      .bias_mask = v->bias_mask ? mask_name : NULL,
                                                      .c = 3 * (int64_t)v->dim,
                                                      .in = *at,
                                                      .residual = SM_NODE_NONE},
                             v->err);
    if (code == SM_OK)
        scale_queries(&v->graph->nodes[*at], v);
    if (code == SM_OK && !v->table_side)
        code = add_rope(at, v, rope);
    if (code != SM_OK)
        return code;
    struct sm_node attention = {.kernel = SM_KERNEL_ATTENTION,
                                .in = *at,
                                .residual = SM_NODE_NONE,
                                .g = {.heads = v->heads}};
    memcpy(attention.name, attention_name, sizeof attention.name);
    code = sm_graph_add(v->graph, &attention, at, v->err);
    return code == SM_OK ? end_half(at, v,
                                    &(struct sm_linear_spec){.name = proj_name,
                                                             .scale = v->scaled ? ls1_name : NULL,
                                                             .c = v->dim,
                                                             .in = *at,
                                                             .residual = stream},
                                    norm1_name, block, "attn")
                         : code;
}

/* Adds the MLP half of a block. *at is the residual stream before it, then after it. */
static enum sm_code add_mlp(int32_t *at, const struct sm_vit *v, int32_t block)
{
    NAME(norm2);
    NAME(fc1);
    NAME(gate);
    NAME(fc2);
    NAME(ls2);
    int32_t stream = *at;
    enum sm_code code = begin_half(at, v, norm2_name);
    if (code == SM_OK)
        code = sm_add_linear(
            at, v->graph, v->names,
            &(struct sm_linear_spec){.name = fc1_name,
                                     .c = v->fc1,
                                     .in = *at,
                                     .residual = SM_NODE_NONE,
                                     .activation = v->gated ? SM_ACT_NONE : v->activation},
            v->err);
    if (code == SM_OK && v->gated) {
        struct sm_node gate = {.kernel = SM_KERNEL_GATE, .in = *at, .residual = SM_NODE_NONE};
        memcpy(gate.name, gate_name, sizeof gate.name);
        code = sm_graph_add(v->graph, &gate, at, v->err);
    }
    return code == SM_OK ? end_half(at, v,
                                    &(struct sm_linear_spec){.name = fc2_name,
                                                             .scale = v->scaled ? ls2_name : NULL,
                                                             .c = v->dim,
                                                             .in = *at,
                                                             .residual = stream},
                                    norm2_name, block, "mlp")
                         : code;
}

static enum sm_code add_block(int32_t *at, const struct sm_vit *v, int32_t block, int32_t *rope)
{
    char tap[SM_TAP_NAME];
    enum sm_code code = add_attention(at, v, block, rope);
    if (code == SM_OK)
        code = add_mlp(at, v, block);
    snprintf(tap, sizeof tap, "block.%d", (int)block);
    return code == SM_OK ? sm_graph_tap(v->graph, tap, *at, v->err) : code;
}

enum sm_code sm_vit_build(struct sm_graph *graph, struct sm_encoder_info *info,
                          struct sm_names *names, const struct sm_encoder_config *config,
                          struct sm_err *err)
{
    struct sm_vit v = {graph, info, names, config, err, .dim = 0};
    int32_t at, rope = SM_NODE_NONE;
    enum sm_code code = sm_vit_facts(&v);
    if (code != SM_OK)
        return code;
    code = add_patches(&at, &v);
    if (code == SM_OK)
        code = add_embed(&at, &v);
    if (code == SM_OK && v.norm_pre)
        code = sm_add_norm(&at, graph, names, "norm_pre", at, v.eps, err);
    for (int32_t i = 0; i < v.blocks && code == SM_OK; i++)
        code = add_block(&at, &v, i, &rope);
    if (code != SM_OK)
        return code;
    snprintf(info->family, sizeof info->family, "vit");
    info->tokens = graph->nodes[at].g.h;
    info->heads = v.heads;
    info->has_cls = v.cls;
    info->norm_eps = v.eps;
    return sm_vit_out(&v, at);
}
