/* Adds the outputs of a ViT.
 *
 *     tokens   norm(stream). DINOv3 may have a cls_norm for CLS and registers. If there is only
 *              fc_norm (MAE fine-tuned, iBOT with mean pooling), patches stay as they are and the
 *              CLS row becomes fc_norm(mean of patches), or fc_norm(CLS) if `pool` is cls. If the
 *              norm comes after pooling (open_clip), or the last block ends in it (post-norm), the
 *              tokens are the stream itself.
 *     cls      first row of the tokens; mean: mean of their patches
 *     pooled   cls, mean, or attention pooling; then CLIP's projection
 *     logits   the file's classifier on pooled; pooler: Hugging Face's tanh layer on cls
 *
 * Attention pooling (SigLIP) has one learned query, the same for every image. So its projection is
 * computed once, here, and stored in the bias of a q, k, v product whose weights for q are zero. An
 * ordinary attention follows, of which only the first row is used. That wastes one block's
 * attention and saves a kernel. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/nn/vit.h"

static enum sm_code add_rows(int32_t *out, const struct sm_vit *v, enum sm_kernel kernel,
                             int32_t in, int32_t skip, int32_t rows, const char *name)
{
    struct sm_node node = {
        .kernel = kernel, .in = in, .residual = SM_NODE_NONE, .g = {.skip = skip, .rows = rows}};
    snprintf(node.name, sizeof node.name, "%s", name);
    return sm_graph_add(v->graph, &node, out, v->err);
}

static enum sm_code add_norm(int32_t *out, const struct sm_vit *v, const char *name, int32_t in)
{
    return sm_add_norm(out, v->graph, v->names, name, in, v->eps, v->err);
}

/* Adds a node with the rows of `in`, the first `rows` of them replaced by those of `head`. */
static enum sm_code replace_rows(int32_t *out, const struct sm_vit *v, int32_t in, int32_t head,
                                 int32_t rows)
{
    struct sm_node node = {.kernel = SM_KERNEL_PREPEND,
                           .in = in,
                           .residual = head,
                           .g = {.rows = rows, .skip = rows},
                           .name = "tokens"};
    node.bias = calloc((size_t)rows * (size_t)v->dim, sizeof *node.bias);
    if (!node.bias)
        return sm_err_set(v->err, SM_NOMEM, "no memory for %d rows of tokens", (int)rows);
    return sm_graph_add(v->graph, &node, out, v->err);
}

/* Adds "tokens". Sets *pooled only if pooling comes before the norm. */
static enum sm_code add_tokens(int32_t *tokens, int32_t *pooled, const struct sm_vit *v,
                               int32_t stream)
{
    int32_t head, prefix = sm_vit_prefix(v);
    bool fc_norm =
        !sm_names_has(v->names, "norm.weight") && sm_names_has(v->names, "fc_norm.weight");
    bool after = v->final_norm == SM_FINAL_NORM_AFTER_POOL && v->pool == SM_POOL_MEAN;
    enum sm_code code;
    if (fc_norm || after) {
        code = v->pool == SM_POOL_CLS
                   ? add_rows(&head, v, SM_KERNEL_PICK, stream, 0, 1, "pool")
                   : add_rows(&head, v, SM_KERNEL_MEAN, stream, prefix, 0, "pool");
        if (code == SM_OK)
            code = add_norm(&head, v, fc_norm ? "fc_norm" : "norm", head);
        *tokens = stream;
        *pooled = head;
        return code == SM_OK && fc_norm && v->cls ? replace_rows(tokens, v, stream, head, 1) : code;
    }
    if (v->norm_post && !sm_names_has(v->names, "norm.weight")) {
        *tokens = stream;
        return SM_OK;
    }
    code = add_norm(tokens, v, "norm", stream);
    if (code != SM_OK || !prefix || !sm_names_has(v->names, "cls_norm.weight"))
        return code;
    code = add_rows(&head, v, SM_KERNEL_PICK, stream, 0, prefix, "prefix");
    if (code == SM_OK)
        code = add_norm(&head, v, "cls_norm", head);
    return code == SM_OK ? replace_rows(tokens, v, *tokens, head, prefix) : code;
}

/* Changes the product's weight [c, 3 c] and bias [3 c] so that q is W_q probe + b_q for any
 * input. */
static void fix_query(float *weight, float *bias, const float *probe, size_t c)
{
    for (size_t j = 0; j < c; j++) {
        double q = (double)bias[j];
        for (size_t i = 0; i < c; i++) {
            q += (double)probe[i] * (double)weight[i * 3 * c + j];
            weight[i * 3 * c + j] = 0;
        }
        bias[j] = (float)q;
    }
}

static enum sm_code add_attention_pool(int32_t *at, const struct sm_vit *v, int32_t tokens)
{
    struct sm_linear_spec qkv = {
        .name = "attn_pool.qkv", .c = 3 * (int64_t)v->dim, .in = tokens, .residual = SM_NODE_NONE};
    float *probe;
    int32_t pooled;
    int64_t dim = v->dim;
    enum sm_code code = sm_names_read(v->names, &probe, "attn_pool.probe", 1, &dim, v->err);
    if (code == SM_OK)
        code = sm_add_linear(at, v->graph, v->names, &qkv, v->err);
    if (code == SM_OK)
        fix_query(v->graph->nodes[*at].weight, v->graph->nodes[*at].bias, probe, (size_t)v->dim);
    free(probe);
    if (code != SM_OK)
        return code;
    struct sm_node attention = {.kernel = SM_KERNEL_ATTENTION,
                                .in = *at,
                                .residual = SM_NODE_NONE,
                                .g = {.heads = v->heads},
                                .name = "attn_pool"};
    v->graph->nodes[*at].parameters += v->dim;
    code = sm_graph_add(v->graph, &attention, at, v->err);
    if (code == SM_OK)
        code = add_rows(at, v, SM_KERNEL_PICK, *at, 0, 1, "attn_pool.query");
    if (code == SM_OK)
        code = sm_add_linear(
            &pooled, v->graph, v->names,
            &(struct sm_linear_spec){
                .name = "attn_pool.proj", .c = dim, .in = *at, .residual = SM_NODE_NONE},
            v->err);
    if (code == SM_OK)
        code = add_norm(at, v, "attn_pool.norm", pooled);
    if (code == SM_OK)
        code = sm_add_linear(at, v->graph, v->names,
                             &(struct sm_linear_spec){.name = "attn_pool.mlp.fc1",
                                                      .c = -1,
                                                      .in = *at,
                                                      .residual = SM_NODE_NONE,
                                                      .activation = v->activation},
                             v->err);
    if (code == SM_OK)
        code =
            sm_add_linear(at, v->graph, v->names,
                          &(struct sm_linear_spec){
                              .name = "attn_pool.mlp.fc2", .c = dim, .in = *at, .residual = pooled},
                          v->err);
    return code;
}

/* Adds the projection of OpenAI and open_clip. It is stored as [dim, out] and multiplied from the
 * right, which is the layout of the kernels. */
static enum sm_code add_right_product(int32_t *at, const struct sm_vit *v)
{
    struct sm_node node = {
        .kernel = SM_KERNEL_LINEAR, .in = *at, .residual = SM_NODE_NONE, .name = "proj"};
    int64_t shape[2];
    enum sm_code code =
        sm_names_shape(shape, v->names, "visual_projection", 2, (int64_t[]){v->dim, -1}, v->err);
    if (code == SM_OK)
        code = sm_names_read(v->names, &node.weight, "visual_projection", 2, shape, v->err);
    if (code != SM_OK)
        return code;
    node.bias = calloc((size_t)shape[1], sizeof *node.bias);
    if (!node.bias) {
        free(node.weight);
        return sm_err_set(v->err, SM_NOMEM, "no memory for the projection");
    }
    node.parameters = shape[0] * shape[1];
    node.g.c = (int32_t)shape[1];
    return sm_graph_add(v->graph, &node, at, v->err);
}

/* Adds "pooled" as *at, which on entry is the node pooled before the norm, or negative. */
static enum sm_code add_pooled(int32_t *at, const struct sm_vit *v, int32_t tokens, int32_t cls,
                               int32_t mean)
{
    if (v->pool == SM_POOL_MAP) {
        enum sm_code code = add_attention_pool(at, v, tokens);
        if (code != SM_OK)
            return code;
    } else if (*at < 0) {
        *at = v->pool == SM_POOL_MEAN ? mean : cls;
    }
    if (sm_names_has(v->names, "visual_projection"))
        return add_right_product(at, v);
    if (sm_names_has(v->names, "visual_projection.weight"))
        return sm_add_linear(at, v->graph, v->names,
                             &(struct sm_linear_spec){.name = "visual_projection",
                                                      .bias_optional = true,
                                                      .c = -1,
                                                      .in = *at,
                                                      .residual = SM_NODE_NONE},
                             v->err);
    return SM_OK;
}

/* Adds a head, a linear layer of the file on node `in`, tapped as `tap`. Adds nothing if the file
 * has no head that fits: heads are not part of the encoder. */
static enum sm_code add_head(const struct sm_vit *v, const char *name, const char *tap, int32_t in,
                             enum sm_activation activation)
{
    char weight[SM_NODE_NAME];
    int64_t shape[2];
    int32_t at;
    snprintf(weight, sizeof weight, "%s.weight", name);
    if (sm_names_shape(shape, v->names, weight, 2, (int64_t[]){-1, v->graph->nodes[in].g.c},
                       NULL) != SM_OK)
        return SM_OK;
    enum sm_code code = sm_add_linear(&at, v->graph, v->names,
                                      &(struct sm_linear_spec){.name = name,
                                                               .bias_optional = true,
                                                               .c = -1,
                                                               .in = in,
                                                               .residual = SM_NODE_NONE,
                                                               .activation = activation},
                                      v->err);
    if (code != SM_OK)
        return code;
    v->graph->nodes[at].tap_only = true;
    return sm_graph_tap(v->graph, tap, at, v->err);
}

enum sm_code sm_vit_out(struct sm_vit *v, int32_t stream)
{
    int32_t tokens, mean = SM_NODE_NONE, cls = SM_NODE_NONE, pooled = SM_NODE_NONE;
    enum sm_code code = add_tokens(&tokens, &pooled, v, stream);
    if (code == SM_OK)
        code = add_rows(&mean, v, SM_KERNEL_MEAN, tokens, sm_vit_prefix(v), 0, "mean");
    if (code == SM_OK && v->cls)
        code = add_rows(&cls, v, SM_KERNEL_PICK, tokens, 0, 1, "cls");
    if (code == SM_OK)
        code = add_pooled(&pooled, v, tokens, cls, mean);
    const struct sm_graph_tap taps[] = {
        {"tokens", tokens}, {"mean", mean}, {"pooled", pooled}, {"cls", cls}};
    for (size_t i = 0; i < sizeof taps / sizeof taps[0] && code == SM_OK; i++)
        if (taps[i].node >= 0)
            code = sm_graph_tap(v->graph, taps[i].name, taps[i].node, v->err);
    if (code == SM_OK)
        code = add_head(v, "head", "logits", pooled, SM_ACT_NONE);
    return code == SM_OK && v->cls ? add_head(v, "pooler", "pooler", cls, SM_ACT_TANH) : code;
}
