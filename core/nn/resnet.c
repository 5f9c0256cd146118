/* ResNets: all that tensors can tell is read off them. Block counts are how many there are of each
 * stage, bottlenecks have a conv3, widths and groups are shapes, and the stem follows from the size
 * of conv1. What they cannot tell is the configuration's or a guess, and is recorded: the input
 * size, the padding of a 3x3 stem and which convolution of a bottleneck has the stride.
 *
 *   stem        imagenet   conv1 7x7 / 2, max pooling 3x3 / 2          torchvision models/resnet.py
 *               cifar      conv1 3x3                                   nothing to pool at 32 pixels
 *               clip       conv1 3x3 / 2, conv2, conv3, mean of 2x2    openai/CLIP clip/model.py
 *   block       basic      3x3 / s, 3x3
 *               v1.5       1x1, 3x3 / s, 1x1                           torchvision, most others
 *               v1         1x1 / s, 3x3, 1x1                           He et al. 2016, Caffe
 *               clip       1x1, 3x3, mean of s x s, 1x1
 *   shortcut    identity   where the shape stays
 *               option B   1x1 / s with batch normalisation, "downsample" or, in CIFAR code,
 *                          "shortcut"; clip: mean of s x s, then 1x1
 *               option A   every s-th row and column, zero channels on both sides
 *                          (akamaster/pytorch_resnet_cifar10): a file without any projection
 *   pooling     mean       of the map
 *               attention  clip: resnet_clip.c
 *
 * Batch normalisation of inference is an affine map per channel and is folded into the convolution
 * before it (layers.c). Residual and ReLU then ride in the epilogue of a block's last convolution,
 * and one block is two to four nodes. The shortcut of option A is a 1x1 convolution with ones on a
 * shifted diagonal: it costs some multiplications, is exact, and needs no kernel of its own.
 *
 * Both ways through a block agree in rows and columns whatever the input: 3x3 / s with padding 1
 * rounds as 1x1 / s does, and CLIP takes the same mean on both. That they agree in channels is
 * checked here, on the shape of the projection. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/nn/resnet.h"

#define CIFAR_PX    32
#define IMAGENET_PX 224
#define PLACE_BYTES 32   /* "layer4.35." */
#define PADDED_MAX  4096 /* channels of a shortcut of option A; the published have 64 */

struct pool {
    const char *name;
    enum sm_kernel kernel;
    int32_t k, stride, pad;
};

struct stem {
    int convs;
    int32_t k, stride, pad; /* of the first convolution; more are 3x3 */
    struct pool pool;       /* k 0: none */
};

static const struct stem stems[] = {
    [STEM_IMAGENET] = {1, 7, 2, 3, {"maxpool", SM_KERNEL_MAXPOOL, 3, 2, 1}},
    [STEM_CIFAR] = {1, 3, 1, 1, {NULL, 0, 0, 0, 0}},
    [STEM_CLIP] = {3, 3, 2, 1, {"avgpool", SM_KERNEL_AVGPOOL, 2, 2, 0}},
};

enum block_kind { BLOCK_BASIC, BLOCK_V1, BLOCK_V15, BLOCK_CLIP };

static const struct sm_resnet_block blocks[] = {
    [BLOCK_BASIC] = {2, {3, 3, 0}, 1, false},
    [BLOCK_V1] = {3, {1, 3, 1}, 1, false},
    [BLOCK_V15] = {3, {1, 3, 1}, 2, false},
    [BLOCK_CLIP] = {3, {1, 3, 1}, 2, true},
};

/* Adds a node that only says how to pool. */
static enum sm_code add_pool(int32_t *index, struct sm_resnet *b, const struct pool *pool,
                             int32_t in)
{
    struct sm_node node = {.kernel = pool->kernel, .in = in, .residual = SM_NODE_NONE};
    node.g.k = pool->k;
    node.g.stride = pool->stride;
    node.g.pad = pool->pad;
    snprintf(node.name, sizeof node.name, "%s", pool->name);
    return sm_graph_add(b->graph, &node, index, b->err);
}

/* The mean of windows of stride x stride. */
static enum sm_code add_mean_pool(int32_t *index, struct sm_resnet *b, const char *name, int32_t in,
                                  int32_t stride)
{
    const struct pool mean = {name, SM_KERNEL_AVGPOOL, stride, stride, 0};
    return add_pool(index, b, &mean, in);
}

/* A convolution "<place>conv<nth>" with "<place>bn<nth>" after it. */
static enum sm_code add_nth_conv(int32_t *index, struct sm_resnet *b, const char *place, int nth,
                                 struct sm_conv_spec *spec)
{
    char conv[SM_NODE_NAME], bn[SM_NODE_NAME];
    snprintf(conv, sizeof conv, "%sconv%d", place, nth);
    snprintf(bn, sizeof bn, "%sbn%d", place, nth);
    spec->conv = conv;
    spec->bn = bn;
    return sm_add_conv(index, b->graph, b->names, spec, b->err);
}

/* ---- stem ---- */

static enum sm_code choose_stem(struct sm_resnet *b)
{
    int64_t shape[4];
    enum sm_code code =
        sm_names_shape(shape, b->names, "conv1.weight", 4, (int64_t[]){-1, 3, -1, -1}, b->err);
    if (code != SM_OK)
        return code;
    bool unpooled = b->names->dialect->stem_pool == 0;
    bool clip =
        sm_names_has(b->names, "conv3.weight") || sm_names_has(b->names, "attnpool.k_proj.weight");
    b->stem = clip ? STEM_CLIP : shape[3] == 7 ? STEM_IMAGENET : STEM_CIFAR;
    if (shape[2] == shape[3] && shape[3] == stems[b->stem].k &&
        !(unpooled && b->stem == STEM_IMAGENET))
        return SM_OK;
    return sm_err_set(b->err, SM_UNSUPPORTED,
                      "tensor %sconv1.weight is a stem of %lldx%lld %s; known are 7x7 with pooling "
                      "(ImageNet) and 3x3 (CIFAR)",
                      b->names->prefix, (long long)shape[2], (long long)shape[3],
                      unpooled ? "without pooling" : "with pooling");
}

static int32_t choose_padding(struct sm_resnet *b)
{
    int32_t pad = b->config->stem_pad;
    if (b->stem != STEM_CIFAR)
        return stems[b->stem].pad;
    if (pad)
        sm_choose(b->info, "stem_pad", sm_resnet_said(b, SM_CONFIG_STEM_PAD),
                  sm_said_by(b->config, SM_CONFIG_STEM_PAD), "%d", (int)pad);
    else
        sm_choose(b->info, "stem_pad", SM_SOURCE_GUESS,
                  "solo-learn pads by 2 with the same tensors", "%d", (int)stems[b->stem].pad);
    return pad ? pad : stems[b->stem].pad;
}

static enum sm_code add_stem(int32_t *at, struct sm_resnet *b)
{
    const struct sm_node layout = {
        .kernel = SM_KERNEL_LAYOUT, .in = SM_NODE_IMAGE, .residual = SM_NODE_NONE, .name = "input"};
    const struct stem *stem = &stems[b->stem];
    int32_t pad = choose_padding(b);
    enum sm_code code = sm_graph_add(b->graph, &layout, at, b->err);
    for (int nth = 1; nth <= stem->convs && code == SM_OK; nth++) {
        struct sm_conv_spec spec = {.in = *at,
                                    .residual = SM_NODE_NONE,
                                    .k = nth == 1 ? stem->k : 3,
                                    .stride = nth == 1 ? stem->stride : 1,
                                    .pad = nth == 1 ? pad : 1,
                                    .activation = SM_ACT_RELU};
        code = add_nth_conv(at, b, "", nth, &spec);
    }
    return code == SM_OK && stem->pool.k ? add_pool(at, b, &stem->pool, *at) : code;
}

/* ---- input size ---- */

static enum sm_code choose_input(struct sm_resnet *b)
{
    int32_t px = b->stem == STEM_CIFAR ? CIFAR_PX : IMAGENET_PX;
    if (b->stem == STEM_CLIP)
        return sm_resnet_clip_input(b);
    b->graph->input_h_px = b->config->input_h_px ? b->config->input_h_px : px;
    b->graph->input_w_px = b->config->input_w_px ? b->config->input_w_px : px;
    if (b->config->input_h_px)
        sm_choose(b->info, "input_px", sm_resnet_said(b, SM_CONFIG_INPUT_PX),
                  sm_said_by(b->config, SM_CONFIG_INPUT_PX), "%dx%d", (int)b->graph->input_h_px,
                  (int)b->graph->input_w_px);
    else
        sm_choose(b->info, "input_px", SM_SOURCE_GUESS,
                  b->stem == STEM_CIFAR ? "usual for a 3x3 stem" : "usual for a 7x7 stem", "%d",
                  (int)px);
    return SM_OK;
}

/* ---- blocks ---- */

static const char *const projections[] = {"downsample", "shortcut"};

/* What a network calls its projections: one file has one kind, or none at all. */
static const char *find_projection(const struct sm_names *names)
{
    for (size_t i = 0; i < sizeof projections / sizeof *projections; i++) {
        for (int stage = 1; stage <= SM_RESNET_STAGES_MAX; stage++) {
            char name[SM_NODE_NAME];
            snprintf(name, sizeof name, "layer%d.0.%s.0.weight", stage, projections[i]);
            if (sm_names_has(names, name))
                return projections[i];
        }
    }
    return NULL;
}

static void choose_blocks(struct sm_resnet *b)
{
    bool v1 = b->config->stride_at == SM_STRIDE_CONV1;
    bool bottleneck = sm_names_has(b->names, "layer1.0.conv3.weight");
    enum block_kind kind = bottleneck ? v1 ? BLOCK_V1 : BLOCK_V15 : BLOCK_BASIC;
    if (b->stem == STEM_CLIP)
        kind = BLOCK_CLIP;
    else if (bottleneck && b->config->stride_at)
        sm_choose(b->info, "stride_at", sm_resnet_said(b, SM_CONFIG_STRIDE_AT),
                  sm_said_by(b->config, SM_CONFIG_STRIDE_AT), v1 ? "conv1" : "conv2");
    else if (bottleneck)
        sm_choose(b->info, "stride_at", SM_SOURCE_GUESS,
                  "torchvision's v1.5; Caffe-style v1 has the same tensors", "conv2");
    b->block = &blocks[kind];
    b->projection = find_projection(b->names);
    if (!b->projection && kind != BLOCK_BASIC)
        b->projection = projections[0]; /* missed by this name */
    if (!b->projection)
        sm_choose(b->info, "shortcut", SM_SOURCE_TENSORS,
                  "no projections: every second pixel, zeros for the new channels", "option A");
}

/* Option A: input channel i is output channel i + (c - c_in) / 2, at every s-th pixel. */
static enum sm_code add_padded(int32_t *index, struct sm_resnet *b, const char *place, int32_t in,
                               int32_t stride, int64_t c)
{
    int64_t c_in = b->graph->nodes[in].g.c, before = (c - c_in) / 2;
    if (c < c_in || (c - c_in) % 2)
        return sm_err_set(
            b->err, SM_INVALID,
            "%sshortcut leads from %lld to %lld channels, and there are no projections", place,
            (long long)c_in, (long long)c);
    if (c > PADDED_MAX)
        return sm_err_set(b->err, SM_LIMIT, "%sshortcut pads to %lld channels, most is %d", place,
                          (long long)c, PADDED_MAX);
    struct sm_node node = {.kernel = SM_KERNEL_CONV2D, .in = in, .residual = SM_NODE_NONE};
    node.g = (struct sm_geometry){.c = (int32_t)c, .k = 1, .stride = stride};
    node.weight = calloc((size_t)(c_in * c), sizeof *node.weight);
    node.bias = calloc((size_t)c, sizeof *node.bias);
    if (!node.weight || !node.bias) {
        free(node.weight);
        free(node.bias);
        return sm_err_set(b->err, SM_NOMEM, "no memory for %sshortcut", place);
    }
    for (int64_t i = 0; i < c_in; i++)
        node.weight[i * c + i + before] = 1;
    snprintf(node.name, sizeof node.name, "%sshortcut", place);
    return sm_graph_add(b->graph, &node, index, b->err);
}

/* The other way around a block that leads to `c` channels. */
static enum sm_code add_shortcut(int32_t *index, struct sm_resnet *b, const char *place, int32_t in,
                                 int32_t stride, int64_t c)
{
    char conv[SM_NODE_NAME], bn[SM_NODE_NAME], name[SM_NODE_NAME];
    int64_t c_in = b->graph->nodes[in].g.c, shape[4];
    const char *projection = b->projection ? b->projection : projections[0];
    snprintf(conv, sizeof conv, "%s%s.0", place, projection);
    snprintf(bn, sizeof bn, "%s%s.1", place, projection);
    snprintf(name, sizeof name, "%s%s.0.weight", place, projection);
    if (stride == 1 && c == c_in && !sm_names_has(b->names, name)) {
        *index = in;
        return SM_OK;
    }
    if (!b->projection)
        return add_padded(index, b, place, in, stride, c);
    enum sm_code code =
        sm_names_shape(shape, b->names, name, 4, (int64_t[]){c, c_in, 1, 1}, b->err);
    struct sm_conv_spec spec = {
        .conv = conv, .bn = bn, .in = in, .residual = SM_NODE_NONE, .k = 1, .stride = stride};
    if (code == SM_OK && b->block->pools && stride > 1) {
        snprintf(name, sizeof name, "%s%s.-1", place, projection);
        code = add_mean_pool(&spec.in, b, name, in, stride);
        spec.stride = 1;
    }
    return code == SM_OK ? sm_add_conv(index, b->graph, b->names, &spec, b->err) : code;
}

/* Groups of a bottleneck's 3x3: how often its inputs go into those it has. */
static enum sm_code read_groups(int32_t *groups, struct sm_resnet *b, const char *place, int32_t in)
{
    char name[SM_NODE_NAME];
    int64_t shape[4];
    int32_t c_in = b->graph->nodes[in].g.c;
    snprintf(name, sizeof name, "%sconv2.weight", place);
    enum sm_code code = sm_names_shape(shape, b->names, name, 4, (int64_t[]){-1, -1, 3, 3}, b->err);
    if (code != SM_OK)
        return code;
    bool whole = shape[1] > 0 && shape[1] <= c_in && c_in % shape[1] == 0;
    *groups = whole ? (int32_t)(c_in / shape[1]) : 1; /* 1: sm_add_conv names both */
    if (*groups > 1 && !b->groups) {
        sm_choose(b->info, "groups", SM_SOURCE_TENSORS, "inputs of conv2 over those of one output",
                  "%d", (int)*groups);
        b->groups = *groups;
    }
    return SM_OK;
}

/* Convolution `nth` of a block and what stands in for its stride. */
static enum sm_code add_block_conv(int32_t *at, struct sm_resnet *b, const char *place, int nth,
                                   int32_t stride, int32_t residual)
{
    const struct sm_resnet_block *block = b->block;
    bool strided = nth == block->strided, pooled = strided && block->pools && stride > 1;
    char name[SM_NODE_NAME];
    struct sm_conv_spec spec = {.in = *at,
                                .residual = residual,
                                .k = block->k[nth - 1],
                                .stride = strided && !block->pools ? stride : 1,
                                .pad = block->k[nth - 1] / 2,
                                .activation = SM_ACT_RELU};
    enum sm_code code = SM_OK;
    if (block->convs == 3 && nth == 2)
        code = read_groups(&spec.groups, b, place, *at);
    if (code == SM_OK)
        code = add_nth_conv(at, b, place, nth, &spec);
    if (code != SM_OK || !pooled)
        return code;
    snprintf(name, sizeof name, "%savgpool", place);
    return add_mean_pool(at, b, name, *at, stride);
}

/* `at`: input, then output node. */
static enum sm_code add_block(int32_t *at, struct sm_resnet *b, const char *place, int32_t stride)
{
    int convs = b->block->convs;
    int32_t shortcut = SM_NODE_NONE;
    char name[SM_NODE_NAME];
    int64_t shape[4];
    snprintf(name, sizeof name, "%sconv%d.weight", place, convs);
    enum sm_code code =
        sm_names_shape(shape, b->names, name, 4, (int64_t[]){-1, -1, -1, -1}, b->err);
    if (code == SM_OK)
        code = add_shortcut(&shortcut, b, place, *at, stride, shape[0]);
    for (int nth = 1; nth <= convs && code == SM_OK; nth++)
        code = add_block_conv(at, b, place, nth, stride, nth == convs ? shortcut : SM_NODE_NONE);
    return code;
}

static enum sm_code add_tap(struct sm_resnet *b, const char *kind, int32_t number, int32_t node)
{
    char tap[SM_TAP_NAME];
    snprintf(tap, sizeof tap, "%s.%d", kind, (int)number);
    return sm_graph_tap(b->graph, tap, node, b->err);
}

static enum sm_code add_stage(int32_t *at, struct sm_resnet *b, int stage, int32_t count)
{
    enum sm_code code = SM_OK;
    for (int32_t i = 0; i < count && code == SM_OK; i++) {
        char place[PLACE_BYTES];
        snprintf(place, sizeof place, "layer%d.%d.", stage + 1, (int)i);
        code = add_block(at, b, place, stage > 0 && i == 0 ? 2 : 1);
        if (code == SM_OK)
            code = add_tap(b, "block", b->info->blocks++, *at);
    }
    return code == SM_OK ? add_tap(b, "stage", stage, *at) : code;
}

/* CIFAR ResNets have three stages or four. One that ought to be there is missed by its first
 * tensor. */
static enum sm_code add_stages(int32_t *at, struct sm_resnet *b)
{
    int required = b->stem == STEM_CIFAR ? 3 : SM_RESNET_STAGES_MAX;
    enum sm_code code = SM_OK;
    for (int stage = 0; stage < SM_RESNET_STAGES_MAX && code == SM_OK; stage++) {
        char list[SM_NODE_NAME];
        snprintf(list, sizeof list, "layer%d", stage + 1);
        int32_t count = sm_names_count(b->names, list);
        if (!count && stage >= required)
            break;
        b->counts[stage] = count ? count : 1;
        code = add_stage(at, b, stage, b->counts[stage]);
        b->info->stages++;
    }
    return code;
}

/* ---- pooling ---- */

static enum sm_code add_outputs(struct sm_resnet *b, int32_t map)
{
    const struct pool average = {.kernel = SM_KERNEL_MEAN,
                                 .name = b->stem == STEM_CLIP ? "attnpool.mean" : "avgpool"};
    int32_t mean, pooled;
    enum sm_code code = add_pool(&mean, b, &average, map);
    pooled = mean;
    if (code == SM_OK && b->stem == STEM_CLIP)
        code = sm_resnet_clip_pool(&pooled, b, map, mean);
    if (code != SM_OK)
        return code;
    const struct sm_graph_tap taps[] = {{"tokens", map}, {"mean", mean}, {"pooled", pooled}};
    for (size_t i = 0; i < sizeof taps / sizeof *taps && code == SM_OK; i++)
        code = sm_graph_tap(b->graph, taps[i].name, taps[i].node, b->err);
    return code;
}

/* ---- the whole ---- */

/* "resnet50" for its block counts, else "resnet". */
static const char *family_name(const struct sm_resnet *b)
{
    static const struct {
        const char *name;
        int convs;
        int32_t counts[SM_RESNET_STAGES_MAX];
    } known[] = {{"resnet18", 2, {2, 2, 2, 2}},   {"resnet34", 2, {3, 4, 6, 3}},
                 {"resnet50", 3, {3, 4, 6, 3}},   {"resnet101", 3, {3, 4, 23, 3}},
                 {"resnet152", 3, {3, 8, 36, 3}}, {"resnet20", 2, {3, 3, 3, 0}},
                 {"resnet32", 2, {5, 5, 5, 0}},   {"resnet44", 2, {7, 7, 7, 0}},
                 {"resnet56", 2, {9, 9, 9, 0}}};
    if (b->stem == STEM_CLIP)
        return "clip-resnet";
    if (b->groups > 1)
        return "resnext";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].convs == b->block->convs &&
            !memcmp(known[i].counts, b->counts, sizeof known[i].counts))
            return known[i].name;
    return "resnet";
}

/* What somebody wrote down for this very encoder and it has no use for is a mistake; presets and
 * files of other programs say more than one needs. */
static enum sm_code check_config(const struct sm_resnet *b)
{
    const struct sm_encoder_config *config = b->config;
    const struct {
        const char *name;
        enum sm_config_field field;
        bool set;
    } unused[] = {
        {"heads", SM_CONFIG_HEADS, config->heads && b->stem != STEM_CLIP},
        {"norm_eps", SM_CONFIG_NORM_EPS, config->norm_eps > 0},
    };
    for (size_t i = 0; i < sizeof unused / sizeof *unused; i++)
        if (unused[i].set && sm_resnet_said(b, unused[i].field) <= SM_SOURCE_FILE)
            return sm_err_set(b->err, SM_INVALID,
                              "\"%s\" is set, but the encoder under \"%s\" is a ResNet",
                              unused[i].name, b->names->prefix);
    return SM_OK;
}

enum sm_code sm_resnet_build(struct sm_graph *graph, struct sm_encoder_info *info,
                             struct sm_names *names, const struct sm_encoder_config *config,
                             struct sm_err *err)
{
    struct sm_resnet b = {
        .graph = graph, .info = info, .names = names, .config = config, .err = err};
    int32_t map;
    enum sm_code code = choose_stem(&b);
    if (code == SM_OK)
        code = check_config(&b);
    if (code == SM_OK)
        code = choose_input(&b);
    if (code != SM_OK)
        return code;
    choose_blocks(&b);
    code = add_stem(&map, &b);
    if (code == SM_OK)
        code = add_stages(&map, &b);
    if (code == SM_OK)
        code = add_outputs(&b, map);
    if (code != SM_OK)
        return code;
    const struct sm_geometry *g = &graph->nodes[map].g;
    snprintf(info->family, sizeof info->family, "%s", family_name(&b));
    info->tokens = g->h * g->w;
    info->dim = g->c;
    return SM_OK;
}
