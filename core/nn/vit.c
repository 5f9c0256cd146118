/* ViT, pre-norm: x + proj(attention(norm1 x)), then x + fc2(gelu(fc1(norm2 x))); seven nodes per
 * block.
 *
 * Width, depth, patch and grid follow from shapes, and the qkv bias from being there. The head
 * count does not show in any tensor: it is the configuration's, or width / 64 as in every published
 * size. A Linear of PyTorch is [out, in]; sgemm gets [in, out], permuted once here. The patch
 * convolution is an ordinary convolution with stride = k. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/nn/build.h"

#define HEAD_DIM 64

struct builder {
    struct sm_graph *graph;
    struct sm_names *names;
    struct sm_err *err;
    int32_t dim, heads, patch, grid;
    double eps;
};

/* [c, c_in, window] -> [window, c_in, c], in place of *weight. A Linear has a window of 1. */
static enum sm_code permute(float **weight, size_t c, size_t c_in, size_t window,
                            struct sm_err *err)
{
    float *out = malloc(c * c_in * window * sizeof *out);
    if (!out)
        return sm_err_set(err, SM_NOMEM, "no memory for %zu weights", c * c_in * window);
    for (size_t o = 0; o < c; o++)
        for (size_t i = 0; i < c_in; i++)
            for (size_t t = 0; t < window; t++)
                out[(t * c_in + i) * c + o] = (*weight)[(o * c_in + i) * window + t];
    free(*weight);
    *weight = out;
    return SM_OK;
}

/* Reads "<layer>.bias" [c]; zeros when it may be left out and is. */
static enum sm_code read_bias(struct builder *b, struct sm_node *node, const char *layer, int64_t c,
                              bool optional)
{
    char name[SM_NODE_NAME + 16];
    snprintf(name, sizeof name, "%s.bias", layer);
    if (optional && !sm_names_find(b->names, name)) {
        node->bias = calloc((size_t)c, sizeof *node->bias);
        return node->bias ? SM_OK : sm_err_set(b->err, SM_NOMEM, "no memory for %s", name);
    }
    node->parameters += c;
    return sm_names_read(b->names, &node->bias, name, 1, &c, b->err);
}

/* Adds a node whose weight is "<node->name>.weight": [c, c_in] or [c, c_in, k, k]. */
static enum sm_code add_product(int32_t *index, struct builder *b, struct sm_node *node, int rank,
                                const int64_t *shape, bool bias_optional)
{
    char name[SM_NODE_NAME + 16];
    int64_t c = shape[0], c_in = shape[1], window = rank == 4 ? shape[2] * shape[3] : 1;
    snprintf(name, sizeof name, "%s.weight", node->name);
    enum sm_code code = sm_names_read(b->names, &node->weight, name, rank, shape, b->err);
    if (code == SM_OK)
        code = permute(&node->weight, (size_t)c, (size_t)c_in, (size_t)window, b->err);
    node->parameters = c * c_in * window;
    if (code == SM_OK)
        code = read_bias(b, node, node->name, c, bias_optional);
    if (code != SM_OK) {
        free(node->weight);
        free(node->bias);
        return code;
    }
    node->g.c = (int32_t)c;
    return sm_graph_add(b->graph, node, index, b->err);
}

static enum sm_code add_linear(int32_t *at, struct builder *b, const char *block, const char *part,
                               int64_t out, int32_t residual, enum sm_activation activation)
{
    struct sm_node node = {.kernel = SM_KERNEL_LINEAR,
                           .in = *at,
                           .residual = residual,
                           .g = {.activation = activation}};
    snprintf(node.name, sizeof node.name, "%s.%s", block, part);
    return add_product(at, b, &node, 2, (int64_t[]){out, b->graph->nodes[*at].g.c},
                       !strcmp(part, "attn.qkv"));
}

static enum sm_code add_norm(int32_t *at, struct builder *b, const char *layer)
{
    struct sm_node node = {.kernel = SM_KERNEL_LAYERNORM,
                           .in = *at,
                           .residual = SM_NODE_NONE,
                           .g = {.eps = b->eps},
                           .parameters = b->dim};
    char name[SM_NODE_NAME + 16];
    int64_t dim = b->dim;
    snprintf(node.name, sizeof node.name, "%s", layer);
    snprintf(name, sizeof name, "%s.weight", layer);
    enum sm_code code = sm_names_read(b->names, &node.weight, name, 1, &dim, b->err);
    if (code == SM_OK)
        code = read_bias(b, &node, layer, dim, false);
    if (code != SM_OK) {
        free(node.weight);
        return code;
    }
    return sm_graph_add(b->graph, &node, at, b->err);
}

/* `at`: the residual stream before, then after the block. */
static enum sm_code add_block(int32_t *at, struct builder *b, int32_t index)
{
    char block[32], name[SM_NODE_NAME];
    const struct sm_tensor *fc1;
    int32_t stream = *at;
    snprintf(block, sizeof block, "blocks.%d", (int)index);
    snprintf(name, sizeof name, "%s.mlp.fc1.weight", block);
    enum sm_code code = sm_names_expect(&fc1, b->names, name, 2, (int64_t[]){-1, b->dim}, b->err);
    if (code != SM_OK)
        return code;
    snprintf(name, sizeof name, "%s.norm1", block);
    code = add_norm(at, b, name);
    if (code == SM_OK)
        code = add_linear(at, b, block, "attn.qkv", 3 * (int64_t)b->dim, SM_NODE_NONE, SM_ACT_NONE);
    if (code != SM_OK)
        return code;
    struct sm_node attention = {.kernel = SM_KERNEL_ATTENTION,
                                .in = *at,
                                .residual = SM_NODE_NONE,
                                .g = {.heads = b->heads}};
    snprintf(attention.name, sizeof attention.name, "%s.attn", block);
    code = sm_graph_add(b->graph, &attention, at, b->err);
    if (code == SM_OK)
        code = add_linear(at, b, block, "attn.proj", b->dim, stream, SM_ACT_NONE);
    stream = *at;
    snprintf(name, sizeof name, "%s.norm2", block);
    if (code == SM_OK)
        code = add_norm(at, b, name);
    if (code == SM_OK)
        code = add_linear(at, b, block, "mlp.fc1", fc1->shape[0], SM_NODE_NONE, SM_ACT_GELU);
    if (code == SM_OK)
        code = add_linear(at, b, block, "mlp.fc2", b->dim, stream, SM_ACT_NONE);
    snprintf(name, sizeof name, "block.%d", (int)index);
    return code == SM_OK ? sm_graph_tap(b->graph, name, *at, b->err) : code;
}

/* The row of CLS and the rows of the patches, as the embed kernel wants them. */
static enum sm_code add_embed(int32_t *at, struct builder *b)
{
    struct sm_node node = {
        .kernel = SM_KERNEL_EMBED, .in = *at, .residual = SM_NODE_NONE, .name = "pos_embed"};
    bool cls_position = b->names->dialect->cls_position;
    int64_t dim = b->dim, patches = (int64_t)b->grid * b->grid;
    int64_t shape[2][3] = {{patches, 1, dim}, {1, patches + 1, dim}};
    float *table = NULL;
    enum sm_code code =
        sm_names_read(b->names, &node.bias, "cls_token", 3, (int64_t[]){1, 1, dim}, b->err);
    if (code == SM_OK)
        code = sm_names_read(b->names, &table, "pos_embed", 3, shape[cls_position], b->err);
    if (code == SM_OK) {
        node.weight = malloc((size_t)(patches * dim) * sizeof *node.weight);
        if (!node.weight)
            code = sm_err_set(b->err, SM_NOMEM, "no memory for %lld positions", (long long)patches);
    }
    if (code != SM_OK) {
        free(node.bias);
        free(table);
        return code;
    }
    for (int64_t i = 0; cls_position && i < dim; i++)
        node.bias[i] += table[i];
    memcpy(node.weight, table + (cls_position ? dim : 0),
           (size_t)(patches * dim) * sizeof *node.weight);
    free(table);
    node.parameters = dim * (patches + cls_position + 1);
    return sm_graph_add(b->graph, &node, at, b->err);
}

static int32_t square_root(int64_t n)
{
    int32_t root = 0;
    while ((int64_t)(root + 1) * (root + 1) <= n && root < SM_INPUT_MAX_PX)
        root++;
    return root;
}

/* Width, patch and grid from the patch embedding and the position table. */
static enum sm_code measure(struct builder *b, const struct sm_encoder_config *config)
{
    const struct sm_tensor *proj, *table;
    bool cls_position = b->names->dialect->cls_position;
    enum sm_code code = sm_names_expect(&proj, b->names, "patch_embed.proj.weight", 4,
                                        (int64_t[]){-1, 3, -1, -1}, b->err);
    if (code == SM_OK)
        code = sm_names_expect(&table, b->names, "pos_embed", 3,
                               cls_position ? (int64_t[]){1, -1, proj->shape[0]}
                                            : (int64_t[]){-1, 1, proj->shape[0]},
                               b->err);
    if (code != SM_OK)
        return code;
    int64_t patches = cls_position ? table->shape[1] - 1 : table->shape[0];
    int32_t grid = square_root(patches);
    if (grid < 1 || (int64_t)grid * grid != patches)
        return sm_err_set(b->err, SM_UNSUPPORTED,
                          "tensor %s has %lld patches, expected a square number", table->name,
                          (long long)patches);
    if (proj->shape[2] != proj->shape[3])
        return sm_err_set(b->err, SM_UNSUPPORTED,
                          "tensor %s has patches of %lldx%lld, expected square ones", proj->name,
                          (long long)proj->shape[2], (long long)proj->shape[3]);
    if (grid * proj->shape[2] > SM_INPUT_MAX_PX)
        return sm_err_set(b->err, SM_LIMIT, "input of %lld pixels a side, most is %d",
                          (long long)(grid * proj->shape[2]), SM_INPUT_MAX_PX);
    b->dim = (int32_t)proj->shape[0];
    b->patch = (int32_t)proj->shape[2];
    b->grid = grid;
    if (config->input_px && config->input_px != grid * b->patch)
        return sm_err_set(b->err, SM_INVALID,
                          "\"input_px\" is %d, but tensor %s is for %d (%dx%d patches of %d)",
                          (int)config->input_px, table->name, (int)(grid * b->patch), (int)grid,
                          (int)grid, (int)b->patch);
    return SM_OK;
}

static enum sm_code choose_heads(struct builder *b, const struct sm_encoder_config *config)
{
    b->heads = config->heads ? config->heads : b->dim / HEAD_DIM;
    if (!config->heads && b->dim % HEAD_DIM)
        return sm_err_set(b->err, SM_INVALID,
                          "a ViT of width %d has no usual head count; set \"heads\" in pair.json",
                          (int)b->dim);
    if (b->heads < 1 || b->dim % b->heads)
        return sm_err_set(b->err, SM_INVALID, "\"heads\" is %d, which does not divide width %d",
                          (int)b->heads, (int)b->dim);
    return SM_OK;
}

static enum sm_code add_patches(int32_t *at, struct builder *b)
{
    const struct sm_node layout = {
        .kernel = SM_KERNEL_LAYOUT, .in = SM_NODE_IMAGE, .residual = SM_NODE_NONE, .name = "input"};
    struct sm_node proj = {.kernel = SM_KERNEL_CONV2D,
                           .residual = SM_NODE_NONE,
                           .g = {.k = b->patch, .stride = b->patch},
                           .name = "patch_embed.proj"};
    enum sm_code code = sm_graph_add(b->graph, &layout, at, b->err);
    proj.in = *at;
    return code == SM_OK
               ? add_product(at, b, &proj, 4, (int64_t[]){b->dim, 3, b->patch, b->patch}, false)
               : code;
}

/* Taps after the final norm: all tokens, CLS, mean of the patches. */
static enum sm_code add_taps(struct builder *b, int32_t tokens)
{
    const struct sm_node pick = {
        .kernel = SM_KERNEL_PICK, .in = tokens, .residual = SM_NODE_NONE, .name = "cls"};
    const struct sm_node mean = {.kernel = SM_KERNEL_MEAN,
                                 .in = tokens,
                                 .residual = SM_NODE_NONE,
                                 .g = {.skip = 1},
                                 .name = "mean"};
    int32_t cls_at, mean_at;
    enum sm_code code = sm_graph_add(b->graph, &pick, &cls_at, b->err);
    if (code == SM_OK)
        code = sm_graph_add(b->graph, &mean, &mean_at, b->err);
    if (code != SM_OK)
        return code;
    const struct sm_graph_tap taps[] = {
        {"tokens", tokens}, {"cls", cls_at}, {"mean", mean_at}, {"pooled", cls_at}};
    for (size_t i = 0; i < 4 && code == SM_OK; i++)
        code = sm_graph_tap(b->graph, taps[i].name, taps[i].node, b->err);
    return code;
}

enum sm_code sm_vit_build(struct sm_graph *graph, struct sm_encoder_info *info,
                          struct sm_names *names, const struct sm_encoder_config *config,
                          struct sm_err *err)
{
    struct builder b = {.graph = graph, .names = names, .err = err};
    int32_t at, blocks = sm_names_count(names, "blocks");
    b.eps = config->norm_eps > 0 ? config->norm_eps : names->dialect->norm_eps;
    enum sm_code code = measure(&b, config);
    if (code == SM_OK)
        code = choose_heads(&b, config);
    if (code != SM_OK)
        return code;
    graph->input_px = b.grid * b.patch;
    code = add_patches(&at, &b);
    if (code == SM_OK)
        code = add_embed(&at, &b);
    for (int32_t i = 0; i < blocks && code == SM_OK; i++)
        code = add_block(&at, &b, i);
    if (code == SM_OK)
        code = add_norm(&at, &b, "norm");
    if (code == SM_OK)
        code = add_taps(&b, at);
    if (code != SM_OK)
        return code;
    snprintf(info->family, sizeof info->family, "vit");
    info->tokens = graph->nodes[at].g.h;
    info->dim = b.dim;
    info->heads = b.heads;
    info->blocks = blocks;
    info->has_cls = true;
    info->norm_eps = b.eps;
    return SM_OK;
}
