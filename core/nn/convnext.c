/* Builds a ConvNeXt, as facebookresearch/dinov3 dinov3/models/convnext.py and
 * facebookresearch/ConvNeXt before it. The canonical names are those of this code.
 *
 *   downsample_layers.0    4x4 / 4, norm              stages.i.j   x + gamma * pwconv2(gelu(
 *   downsample_layers.i    norm, 2x2 / 2                           pwconv1(norm(dwconv x))))
 *
 * Depths and widths are read from the tensors. Maps are stored channels last, so the official
 * "channels first" norm is an ordinary norm over the channels of a position, and the two Linears of
 * a block are matrix products on the map. gamma is folded into the second. A block is four nodes.
 *
 * DINOv3 puts the mean of the map before its positions and normalises all of them. The result is
 * "tokens"; its first row is DINOv3's CLS. The classifier of the first ConvNeXt reads the same row,
 * so "pooled" means the same in both. Other networks normalise before they pool (final_norm). */
#include <stdio.h>
#include <stdlib.h>

#include "core/names/config.h"
#include "core/names/facts.h"
#include "core/nn/build.h"

#define INPUT_PX 224
#define NORM_EPS 1e-6
#define STEM_K   4

struct builder {
    struct sm_graph *graph;
    struct sm_encoder_info *info;
    struct sm_names *names;
    const struct sm_encoder_config *config;
    struct sm_err *err;
    int32_t stem_stride;
    enum sm_activation activation;
    enum sm_final_norm final_norm;
};

static void choose(struct builder *b)
{
    const struct sm_encoder_config *config = b->config;
    enum sm_source usual = sm_usual(config, SM_CONFIG_NORM_EPS);
    enum sm_activation_kind activation = SM_ACTIVATION_GELU;
    b->graph->input_h_px = config->input_h_px ? config->input_h_px : INPUT_PX;
    b->graph->input_w_px = config->input_w_px ? config->input_w_px : INPUT_PX;
    if (config->input_h_px)
        sm_choose(b->info, "input_px", (enum sm_source)config->source[SM_CONFIG_INPUT_PX],
                  sm_said_by(config, SM_CONFIG_INPUT_PX), "%dx%d", (int)config->input_h_px,
                  (int)b->graph->input_w_px);
    else
        sm_choose(b->info, "input_px", SM_SOURCE_GUESS, "takes any size", "%d", INPUT_PX);
    b->info->norm_eps = NORM_EPS;
    b->stem_stride = STEM_K;
    b->final_norm = SM_FINAL_NORM_AFTER_POOL;
    sm_settle(b->info, config, SM_CONFIG_NORM_EPS, &b->info->norm_eps, usual,
              "as the official code; PyTorch's default is 1e-5");
    sm_settle(b->info, config, SM_CONFIG_ACTIVATION, &activation, usual,
              "as the official code; some approximate it by tanh");
    sm_settle(b->info, config, SM_CONFIG_STEM_STRIDE, &b->stem_stride, usual,
              "its size; smaller where patches overlap");
    sm_settle(b->info, config, SM_CONFIG_FINAL_NORM, &b->final_norm, usual,
              "norm of the mean; some take the mean of the norm");
    b->activation = sm_activation_of(activation);
}

static enum sm_code add_norm(int32_t *at, struct builder *b, const char *name)
{
    return sm_add_norm(at, b->graph, b->names, name, *at, b->info->norm_eps, b->err);
}

static enum sm_code add_conv(int32_t *at, struct builder *b, const char *name, int32_t k,
                             int32_t stride, int32_t groups, int32_t pad)
{
    const struct sm_conv_spec spec = {.conv = name,
                                      .in = *at,
                                      .residual = SM_NODE_NONE,
                                      .k = k,
                                      .stride = stride,
                                      .pad = pad,
                                      .groups = groups};
    return sm_add_conv(at, b->graph, b->names, &spec, b->err);
}

/* The stem (stage 0) has its norm after the convolution, the other stages before. */
static enum sm_code add_downsample(int32_t *at, struct builder *b, int32_t stage)
{
    char first[SM_NODE_NAME], second[SM_NODE_NAME];
    snprintf(first, sizeof first, "downsample_layers.%d.0", (int)stage);
    snprintf(second, sizeof second, "downsample_layers.%d.1", (int)stage);
    enum sm_code code =
        stage ? add_norm(at, b, first) : add_conv(at, b, first, STEM_K, b->stem_stride, 1, 0);
    if (code != SM_OK)
        return code;
    return stage ? add_conv(at, b, second, 2, 2, 1, 0) : add_norm(at, b, second);
}

/* Adds a block. *at is the residual stream before the block, then after it. */
static enum sm_code add_block(int32_t *at, struct builder *b, const char *block)
{
    char dwconv[SM_NODE_NAME], norm[SM_NODE_NAME], pwconv1[SM_NODE_NAME], pwconv2[SM_NODE_NAME];
    char gamma[SM_NODE_NAME];
    int32_t stream = *at, c = b->graph->nodes[stream].g.c;
    snprintf(dwconv, sizeof dwconv, "%sdwconv", block);
    snprintf(norm, sizeof norm, "%snorm", block);
    snprintf(pwconv1, sizeof pwconv1, "%spwconv1", block);
    snprintf(pwconv2, sizeof pwconv2, "%spwconv2", block);
    snprintf(gamma, sizeof gamma, "%sgamma", block);
    enum sm_code code = add_conv(at, b, dwconv, 7, 1, c, 3);
    if (code == SM_OK)
        code = add_norm(at, b, norm);
    const struct sm_linear_spec up = {
        .name = pwconv1, .c = -1, .in = *at, .residual = SM_NODE_NONE, .activation = b->activation};
    if (code == SM_OK)
        code = sm_add_linear(at, b->graph, b->names, &up, b->err);
    const struct sm_linear_spec down = {.name = pwconv2,
                                        .scale = sm_names_has(b->names, gamma) ? gamma : NULL,
                                        .c = c,
                                        .in = *at,
                                        .residual = stream};
    return code == SM_OK ? sm_add_linear(at, b->graph, b->names, &down, b->err) : code;
}

static enum sm_code add_tap(struct builder *b, const char *kind, int32_t number, int32_t node)
{
    char tap[SM_TAP_NAME];
    snprintf(tap, sizeof tap, "%s.%d", kind, (int)number);
    return sm_graph_tap(b->graph, tap, node, b->err);
}

static enum sm_code add_stage(int32_t *at, struct builder *b, int32_t stage)
{
    char list[SM_NODE_NAME];
    snprintf(list, sizeof list, "stages.%d", (int)stage);
    int32_t blocks = sm_names_count(b->names, list);
    enum sm_code code = add_downsample(at, b, stage);
    for (int32_t i = 0; i < blocks && code == SM_OK; i++) {
        char block[32];
        snprintf(block, sizeof block, "stages.%d.%d.", (int)stage, (int)i);
        code = add_block(at, b, block);
        if (code == SM_OK)
            code = add_tap(b, "block", b->info->blocks++, *at);
    }
    if (code == SM_OK && stage < (int32_t)(sizeof b->info->stage_dims / sizeof(int32_t))) {
        b->info->stage_blocks[stage] = blocks;
        b->info->stage_dims[stage] = b->graph->nodes[*at].g.c;
    }
    return code == SM_OK ? add_tap(b, "stage", b->info->stages++, *at) : code;
}

/* Adds "tokens", not normalised yet: the mean of the map, then its positions. */
static enum sm_code add_tokens(int32_t *at, struct builder *b)
{
    const struct sm_node mean = {
        .kernel = SM_KERNEL_MEAN, .in = *at, .residual = SM_NODE_NONE, .name = "pool"};
    struct sm_node tokens = {
        .kernel = SM_KERNEL_PREPEND, .in = *at, .g = {.rows = 1}, .name = "tokens"};
    enum sm_code code = sm_graph_add(b->graph, &mean, &tokens.residual, b->err);
    if (code != SM_OK)
        return code;
    tokens.bias = calloc((size_t)b->graph->nodes[*at].g.c, sizeof *tokens.bias);
    if (!tokens.bias)
        return sm_err_set(b->err, SM_NOMEM, "no memory for the tokens of a ConvNeXt");
    return sm_graph_add(b->graph, &tokens, at, b->err);
}

static enum sm_code add_outputs(struct builder *b, int32_t map)
{
    int32_t tokens = map, cls, mean;
    enum sm_code code = add_tokens(&tokens, b);
    if (code == SM_OK)
        code = add_norm(&tokens, b, "norm");
    if (code != SM_OK)
        return code;
    const struct sm_node pick = {
        .kernel = SM_KERNEL_PICK, .in = tokens, .residual = SM_NODE_NONE, .name = "cls"};
    const struct sm_node average = {.kernel = SM_KERNEL_MEAN,
                                    .in = tokens,
                                    .residual = SM_NODE_NONE,
                                    .g = {.skip = 1},
                                    .name = "mean"};
    code = sm_graph_add(b->graph, &pick, &cls, b->err);
    if (code == SM_OK)
        code = sm_graph_add(b->graph, &average, &mean, b->err);
    if (code != SM_OK)
        return code;
    int32_t pooled = b->final_norm == SM_FINAL_NORM_AFTER_POOL ? cls : mean;
    const struct sm_graph_tap taps[] = {
        {"tokens", tokens}, {"cls", cls}, {"mean", mean}, {"pooled", pooled}};
    for (size_t i = 0; i < sizeof taps / sizeof *taps && code == SM_OK; i++)
        code = sm_graph_tap(b->graph, taps[i].name, taps[i].node, b->err);
    b->info->tokens = b->graph->nodes[tokens].g.h;
    return code;
}

enum sm_code sm_convnext_build(struct sm_graph *graph, struct sm_encoder_info *info,
                               struct sm_names *names, const struct sm_encoder_config *config,
                               struct sm_err *err)
{
    struct builder b = {.graph = graph, .info = info, .names = names, .config = config, .err = err};
    const struct sm_node layout = {
        .kernel = SM_KERNEL_LAYOUT, .in = SM_NODE_IMAGE, .residual = SM_NODE_NONE, .name = "input"};
    int32_t at, stages = sm_names_count(names, "stages");
    enum sm_code code = sm_check_said(config, SM_OF_CONVNEXT, "ConvNeXt", names->prefix, err);
    if (code != SM_OK)
        return code;
    choose(&b);
    snprintf(info->family, sizeof info->family, "convnext");
    info->has_cls = true;
    code = sm_graph_add(graph, &layout, &at, err);
    for (int32_t stage = 0; stage < stages && code == SM_OK; stage++)
        code = add_stage(&at, &b, stage);
    if (code == SM_OK) {
        info->dim = graph->nodes[at].g.c;
        code = sm_claims_check(config, info, err);
    }
    return code == SM_OK ? add_outputs(&b, at) : code;
}
