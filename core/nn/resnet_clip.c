/* The attention pool of openai/CLIP clip/model.py, AttentionPool2d. The mean of the map is put
 * before its positions, and each gets its row of a position table. One multi-head attention
 * follows; the output is the projection of its result for the mean. The results for the positions
 * are computed and not used: their queries are 3 % of an RN50, and no kernel is needed for this
 * network only.
 *
 * The table ties the network to one input size, 32 pixels per position. It must have a row for each
 * position of the map and one for the mean, so a network whose stages produce another map is
 * refused with both shapes. */
#include <stdlib.h>
#include <string.h>

#include "core/names/config.h"
#include "core/nn/resnet.h"

#define POSITION_PX 32
#define HEAD_DIM    64

static int32_t square_root(int64_t n)
{
    int32_t root = 0;
    while (root < SM_INPUT_MAX_PX && (int64_t)(root + 1) * (root + 1) <= n)
        root++;
    return root;
}

/* The table has one row for the mean and one for each position of a square map. */
enum sm_code sm_resnet_clip_input(struct sm_resnet *b)
{
    static const char table[] = "attnpool.positional_embedding";
    const struct sm_encoder_config *config = b->config;
    int64_t shape[2];
    enum sm_code code = sm_names_shape(shape, b->names, table, 2, (int64_t[]){-1, -1}, b->err);
    if (code != SM_OK)
        return code;
    int32_t side = square_root(shape[0] - 1), px = side * POSITION_PX;
    if (side < 1 || (int64_t)side * side != shape[0] - 1)
        return sm_err_set(b->err, SM_UNSUPPORTED,
                          "tensor %s%s has %lld rows, expected one more than a square number",
                          b->names->prefix, table, (long long)shape[0]);
    if (px > SM_INPUT_MAX_PX)
        return sm_err_set(b->err, SM_LIMIT, "tensor %s%s is for %d pixels a side, most is %d",
                          b->names->prefix, table, (int)px, SM_INPUT_MAX_PX);
    if (config->input_h_px && (config->input_h_px != px || config->input_w_px != px))
        return sm_err_set(b->err, SM_INVALID,
                          "\"input_px\" is %dx%d, but tensor %s%s is for %dx%d pixels",
                          (int)config->input_h_px, (int)config->input_w_px, b->names->prefix, table,
                          (int)px, (int)px);
    b->graph->input_h_px = b->graph->input_w_px = px;
    b->info->table_side = side;
    sm_choose(b->info, "input_px", SM_SOURCE_TENSORS,
              "32 for each position of the attention pool's table", "%d", (int)px);
    return SM_OK;
}

static enum sm_code choose_heads(struct sm_resnet *b, int32_t dim)
{
    int32_t heads = b->config->heads;
    if (!heads && dim % HEAD_DIM)
        return sm_err_field(b->err, "/heads",
                            "an attention pool of width %d has no usual head count; set \"heads\"",
                            (int)dim);
    if (heads)
        sm_choose(b->info, "heads", sm_resnet_said(b, SM_CONFIG_HEADS),
                  sm_said_by(b->config, SM_CONFIG_HEADS), "%d", (int)heads);
    else
        sm_choose(b->info, "heads", SM_SOURCE_GUESS, "heads of 64; open_clip can have others", "%d",
                  (int)(dim / HEAD_DIM));
    b->info->heads = heads ? heads : dim / HEAD_DIM;
    if (b->info->heads < 1 || dim % b->info->heads)
        return sm_err_field(b->err, "/heads", "\"heads\" is %d, which does not divide width %d",
                            (int)b->info->heads, (int)dim);
    return SM_OK;
}

/* Puts the mean before the positions of the map and adds its row of the table to each of them. */
static enum sm_code add_positions(int32_t *at, struct sm_resnet *b, int32_t map, int32_t mean)
{
    const struct sm_geometry *g = &b->graph->nodes[map].g;
    int64_t rows = (int64_t)g->h * g->w + 1;
    size_t row = (size_t)g->c;
    struct sm_node node = {.kernel = SM_KERNEL_PREPEND,
                           .in = map,
                           .residual = mean,
                           .g = {.rows = 1},
                           .parameters = rows * g->c,
                           .name = "attnpool.positional_embedding"};
    enum sm_code code =
        sm_names_read(b->names, &node.weight, node.name, 2, (int64_t[]){rows, g->c}, b->err);
    if (code != SM_OK)
        return code;
    node.bias = malloc(row * sizeof *node.bias);
    if (!node.bias) {
        free(node.weight);
        return sm_err_set(b->err, SM_NOMEM, "no memory for %s", node.name);
    }
    memcpy(node.bias, node.weight, row * sizeof *node.bias);
    memmove(node.weight, node.weight + row, (size_t)(rows - 1) * row * sizeof *node.weight);
    return sm_graph_add(b->graph, &node, at, b->err);
}

enum sm_code sm_resnet_clip_pool(int32_t *pooled, struct sm_resnet *b, int32_t map, int32_t mean)
{
    int32_t dim = b->graph->nodes[map].g.c;
    struct sm_linear_spec qkv = {.name = "attnpool.qkv", .c = 3 * (int64_t)dim};
    struct sm_linear_spec out = {.name = "attnpool.c_proj", .c = -1};
    struct sm_node attention = {.kernel = SM_KERNEL_ATTENTION, .name = "attnpool"};
    struct sm_node pick = {.kernel = SM_KERNEL_PICK, .name = "attnpool.pick"};
    qkv.residual = out.residual = attention.residual = pick.residual = SM_NODE_NONE;
    enum sm_code code = choose_heads(b, dim);
    if (code == SM_OK)
        code = add_positions(&qkv.in, b, map, mean);
    if (code == SM_OK)
        code = sm_add_linear(&attention.in, b->graph, b->names, &qkv, b->err);
    attention.g.heads = b->info->heads;
    if (code == SM_OK)
        code = sm_graph_add(b->graph, &attention, &pick.in, b->err);
    if (code == SM_OK)
        code = sm_graph_add(b->graph, &pick, &out.in, b->err);
    return code == SM_OK ? sm_add_linear(pooled, b->graph, b->names, &out, b->err) : code;
}
