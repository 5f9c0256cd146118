/* Builds a ResNet. All that tensors show is read from them: the block count of each stage,
 * bottlenecks (they have a conv3), widths and groups (shapes), and the kind of stem (size of
 * conv1). What tensors do not show (facts.h) comes from the configuration or is a guess, and is
 * recorded. The usual values below are torchvision's and those of CIFAR code; each of them has
 * exceptions among published files.
 *
 *   stem        imagenet   conv1 7x7 / 2, max pooling 3x3 / 2          torchvision models/resnet.py
 *               cifar      conv1 3x3, no pooling at 32 pixels
 *               clip       conv1 3x3 / 2, conv2, conv3, mean of 2x2    openai/CLIP clip/model.py
 *   block       basic      3x3 / s, 3x3
 *               v1.5       1x1, 3x3 / s, 1x1                           torchvision, most others
 *               v1         1x1 / s, 3x3, 1x1                           He et al. 2016, Caffe
 *               clip       1x1, 3x3, mean of s x s, 1x1
 *   shortcut    identity   if the shape does not change
 *               option B   1x1 / s with batch normalisation, named "downsample" or, in CIFAR code,
 *                          "shortcut"; clip: mean of s x s, then 1x1
 *               option A   for a file without projections: every s-th row and column, zero channels
 *                          on both sides (akamaster/pytorch_resnet_cifar10) or after
 *   dilation    none       or from a stage on: strides of 1, 3x3 with gaps (torchvision's
 *                          replace_stride_with_dilation; basic blocks as timm's)
 *   pooling     mean       of the map; or its maximum
 *               attention  clip: resnet_clip.c
 *
 * Batch normalisation at inference is an affine map per channel and is folded into the convolution
 * before it (layers.c). A block's last convolution also adds the residual and applies ReLU, so a
 * block is two to four nodes (CLIP: up to six). The shortcut of option A is a 1x1 convolution with
 * ones on a shifted diagonal: it costs some multiplications, but is exact and needs no kernel of
 * its own. A dilated 3x3 is a larger convolution with zeros, for the same reason.
 *
 * Both paths through a block have the same rows and columns for any input: 3x3 / s with padding 1
 * rounds as 1x1 / s does, and CLIP takes the same mean on both. That they have the same channels is
 * checked here, on the shape of the projection. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/names/config.h"
#include "core/names/facts.h"
#include "core/nn/resnet.h"

#define BN_EPS      1e-5
#define CIFAR_PX    32
#define IMAGENET_PX 224
#define PLACE_BYTES 32   /* room for a prefix such as "layer4.35." */
#define PADDED_MAX  4096 /* most channels of an option A shortcut; published: 64 */

struct pool {
    const char *name;
    enum sm_kernel kernel;
    int32_t k, stride, pad;
    bool ceil;
};

struct stem {
    int convs;
    int32_t k, stride, pad; /* geometry of the first convolution; the others are 3x3 */
    enum sm_stem_pool pool;
};

static const struct stem stems[] = {
    [STEM_IMAGENET] = {1, 7, 2, 3, SM_STEM_POOL_MAX},
    [STEM_CIFAR] = {1, 3, 1, 1, SM_STEM_POOL_NONE},
    [STEM_CLIP] = {3, 3, 2, 1, SM_STEM_POOL_NONE},
};

static const struct pool stem_pools[] = {
    [SM_STEM_POOL_MAX] = {"maxpool", SM_KERNEL_MAXPOOL, 3, 2, 1, false},
    [SM_STEM_POOL_MAX_CEIL] = {"maxpool", SM_KERNEL_MAXPOOL, 3, 2, 0, true},
};

enum block_kind { BLOCK_BASIC, BLOCK_V1, BLOCK_V15, BLOCK_CLIP };

static const struct sm_resnet_block blocks[] = {
    [BLOCK_BASIC] = {2, {3, 3, 0}, 1, false},
    [BLOCK_V1] = {3, {1, 3, 1}, 1, false},
    [BLOCK_V15] = {3, {1, 3, 1}, 2, false},
    [BLOCK_CLIP] = {3, {1, 3, 1}, 2, true},
};

static enum sm_code add_pool(int32_t *index, struct sm_resnet *b, const struct pool *pool,
                             int32_t in)
{
    struct sm_node node = {.kernel = pool->kernel, .in = in, .residual = SM_NODE_NONE};
    node.g.k = pool->k;
    node.g.stride = pool->stride;
    node.g.pad = pool->pad;
    node.g.ceil = pool->ceil;
    snprintf(node.name, sizeof node.name, "%s", pool->name);
    return sm_graph_add(b->graph, &node, index, b->err);
}

static enum sm_code add_mean_pool(int32_t *index, struct sm_resnet *b, const char *name, int32_t in,
                                  int32_t stride)
{
    const struct pool mean = {name, SM_KERNEL_AVGPOOL, stride, stride, 0, false};
    return add_pool(index, b, &mean, in);
}

/* Adds the convolution "<place>conv<nth>" with "<place>bn<nth>" after it. */
static enum sm_code add_nth_conv(int32_t *index, struct sm_resnet *b, const char *place, int nth,
                                 struct sm_conv_spec *spec)
{
    char conv[SM_NODE_NAME], bn[SM_NODE_NAME];
    snprintf(conv, sizeof conv, "%sconv%d", place, nth);
    snprintf(bn, sizeof bn, "%sbn%d", place, nth);
    spec->conv = conv;
    spec->bn = bn;
    spec->bn_eps = b->info->norm_eps;
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
    bool clip =
        sm_names_has(b->names, "conv3.weight") || sm_names_has(b->names, "attnpool.k_proj.weight");
    b->stem = clip ? STEM_CLIP : shape[3] == 7 ? STEM_IMAGENET : STEM_CIFAR;
    if (shape[2] == shape[3] && shape[3] == stems[b->stem].k)
        return SM_OK;
    return sm_err_set(b->err, SM_UNSUPPORTED,
                      "tensor %sconv1.weight is a stem of %lldx%lld; known are 7x7 and 3x3",
                      b->names->prefix, (long long)shape[2], (long long)shape[3]);
}

/* Returns the source of a usual value. A preset decides for its whole network if it has the kind of
 * stem found here. args.json of solo-learn decides for a CIFAR stem if it set the padding. */
static enum sm_source usual_source(const struct sm_resnet *b)
{
    struct sm_encoder_config preset;
    bool cifar = b->stem == STEM_CIFAR;
    if (b->stem == STEM_CLIP)
        return sm_usual(b->config, SM_CONFIG_HEADS);
    if (b->config->preset[0] && sm_preset_config(&preset, b->config->preset, NULL) == SM_OK &&
        (preset.stem_pad > 0) == cifar)
        return SM_SOURCE_PRESET;
    return cifar && !b->config->preset[0] ? sm_usual(b->config, SM_CONFIG_STEM_PAD)
                                          : SM_SOURCE_GUESS;
}

/* Settles one setting of the network; `why` is the reason if it is a guess. */
static void settle(struct sm_resnet *b, enum sm_config_field field, void *value, const char *why)
{
    sm_settle(b->info, b->config, field, value, usual_source(b), why);
}

/* Settles stride and padding of the first convolution and the pooling after it. */
static void choose_stem_facts(struct stem *stem, struct sm_resnet *b)
{
    bool cifar = b->stem == STEM_CIFAR;
    *stem = stems[b->stem];
    if (b->stem == STEM_CLIP)
        return;
    settle(b, SM_CONFIG_STEM_STRIDE, &stem->stride,
           cifar ? "of a 3x3 at 32 pixels; some have 2" : "of a 7x7; some have 1");
    settle(b, SM_CONFIG_STEM_PAD, &stem->pad,
           cifar ? "solo-learn pads by 2 with the same tensors" : "half of a 7x7");
    if (b->names->dialect->stem_pool == 0) {
        stem->pool = SM_STEM_POOL_NONE;
        settle(b, SM_CONFIG_STEM_POOL, &stem->pool,
               "layer1 is the fourth child: no maxpool before");
    } else {
        settle(b, SM_CONFIG_STEM_POOL, &stem->pool,
               cifar ? "none behind a 3x3; some pool there" : "behind a 7x7; some leave it out");
    }
}

static enum sm_code add_stem(int32_t *at, struct sm_resnet *b)
{
    const struct sm_node layout = {
        .kernel = SM_KERNEL_LAYOUT, .in = SM_NODE_IMAGE, .residual = SM_NODE_NONE, .name = "input"};
    struct stem stem;
    choose_stem_facts(&stem, b);
    enum sm_code code = sm_graph_add(b->graph, &layout, at, b->err);
    for (int nth = 1; nth <= stem.convs && code == SM_OK; nth++) {
        struct sm_conv_spec spec = {.in = *at,
                                    .residual = SM_NODE_NONE,
                                    .k = nth == 1 ? stem.k : 3,
                                    .stride = nth == 1 ? stem.stride : 1,
                                    .pad = nth == 1 ? stem.pad : 1,
                                    .activation = b->activation};
        code = add_nth_conv(at, b, "", nth, &spec);
    }
    if (code == SM_OK && b->stem == STEM_CLIP)
        return add_mean_pool(at, b, "avgpool", *at, 2);
    return code == SM_OK && stem.pool != SM_STEM_POOL_NONE
               ? add_pool(at, b, &stem_pools[stem.pool], *at)
               : code;
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

/* Returns the name of the projections in this file, which has one kind; NULL if it has none. */
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
    enum sm_stride_at stride_at = SM_STRIDE_CONV2;
    bool v1 = b->config->stride_at == SM_STRIDE_CONV1;
    bool bottleneck = sm_names_has(b->names, "layer1.0.conv3.weight");
    enum block_kind kind = bottleneck ? v1 ? BLOCK_V1 : BLOCK_V15 : BLOCK_BASIC;
    if (b->stem == STEM_CLIP)
        kind = BLOCK_CLIP;
    else if (bottleneck)
        settle(b, SM_CONFIG_STRIDE_AT, &stride_at,
               "torchvision's v1.5; Caffe-style v1 has the same tensors");
    b->block = &blocks[kind];
    b->projection = find_projection(b->names);
    if (!b->projection && kind != BLOCK_BASIC)
        b->projection = projections[0]; /* this name appears in the error for the missing tensor */
    if (!b->projection) {
        b->shortcut_pad = SM_SHORTCUT_PAD_BOTH;
        sm_choose(b->info, "shortcut", SM_SOURCE_TENSORS,
                  "no projections: every second pixel, zeros for the new channels", "option A");
        settle(b, SM_CONFIG_SHORTCUT_PAD, &b->shortcut_pad,
               "zeros on both sides of the channels; some put them after");
    }
    b->dilate_from = SM_DILATE_NONE;
    if (kind != BLOCK_CLIP)
        settle(b, SM_CONFIG_DILATE_FROM, &b->dilate_from,
               "classifiers; dense tasks dilate with the same tensors");
}

/* Adds a shortcut of option A: every s-th row and column. Input channels keep their number, or are
 * shifted by (c - c_in) / 2 if there are zero channels on both sides. */
static enum sm_code add_padded(int32_t *index, struct sm_resnet *b, const char *place, int32_t in,
                               int32_t stride, int64_t c)
{
    bool both = b->shortcut_pad == SM_SHORTCUT_PAD_BOTH;
    int64_t c_in = b->graph->nodes[in].g.c, before = both ? (c - c_in) / 2 : 0;
    if (c < c_in || (both && (c - c_in) % 2))
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

/* Adds the shortcut around a block that ends in `c` channels. */
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
    struct sm_conv_spec spec = {.conv = conv,
                                .bn = bn,
                                .bn_eps = b->info->norm_eps,
                                .in = in,
                                .residual = SM_NODE_NONE,
                                .k = 1,
                                .stride = stride};
    if (code == SM_OK && b->block->pools && stride > 1) {
        snprintf(name, sizeof name, "%s%s.-1", place, projection);
        code = add_mean_pool(&spec.in, b, name, in, stride);
        spec.stride = 1;
    }
    return code == SM_OK ? sm_add_conv(index, b->graph, b->names, &spec, b->err) : code;
}

/* Reads the groups of a bottleneck's 3x3: its input channels over those of one filter. */
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
    *groups = whole ? (int32_t)(c_in / shape[1]) : 1; /* with 1, sm_add_conv reports both shapes */
    if (*groups > 1 && !b->groups) {
        sm_choose(b->info, "groups", SM_SOURCE_TENSORS, "inputs of conv2 over those of one output",
                  "%d", (int)*groups);
        b->groups = *groups;
    }
    return SM_OK;
}

/* Adds convolution `nth` of a block, and the mean after it that replaces its stride in CLIP. */
static enum sm_code add_block_conv(int32_t *at, struct sm_resnet *b, const char *place, int nth,
                                   int32_t stride, int32_t residual)
{
    const struct sm_resnet_block *block = b->block;
    bool strided = nth == block->strided, pooled = strided && block->pools && stride > 1;
    char name[SM_NODE_NAME];
    int32_t k = block->k[nth - 1];
    int32_t dilation = nth == 1 || block->convs == 3 ? b->first_dilation : b->dilation;
    struct sm_conv_spec spec = {.in = *at,
                                .residual = residual,
                                .k = k,
                                .stride = strided && !block->pools ? stride : 1,
                                .pad = k / 2 * dilation,
                                .dilation = dilation,
                                .activation = b->activation};
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

/* Adds a block. *at is its input node, then its output node. */
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

/* Returns true if the stage (from 0) has a dilation in place of its stride. */
static bool is_dilated(const struct sm_resnet *b, int stage)
{
    static const int first[] = {[SM_DILATE_NONE] = SM_RESNET_STAGES_MAX,
                                [SM_DILATE_LAYER2] = 1,
                                [SM_DILATE_LAYER3] = 2,
                                [SM_DILATE_LAYER4] = 3};
    return stage >= first[b->dilate_from];
}

static enum sm_code add_stage(int32_t *at, struct sm_resnet *b, int stage, int32_t count)
{
    enum sm_code code = SM_OK;
    int32_t stride = stage > 0 && !is_dilated(b, stage) ? 2 : 1;
    b->first_dilation = b->dilation;
    b->dilation *= is_dilated(b, stage) ? 2 : 1;
    for (int32_t i = 0; i < count && code == SM_OK; i++) {
        char place[PLACE_BYTES];
        snprintf(place, sizeof place, "layer%d.%d.", stage + 1, (int)i);
        code = add_block(at, b, place, i == 0 ? stride : 1);
        b->first_dilation = b->dilation;
        if (code == SM_OK)
            code = add_tap(b, "block", b->info->blocks++, *at);
    }
    return code == SM_OK ? add_tap(b, "stage", stage, *at) : code;
}

/* Adds all stages. CIFAR ResNets have three or four, others four. For a required stage without
 * tensors one block is tried, whose error names the first missing tensor. */
static enum sm_code add_stages(int32_t *at, struct sm_resnet *b)
{
    int required = b->stem == STEM_CIFAR ? 3 : SM_RESNET_STAGES_MAX;
    b->dilation = 1;
    enum sm_code code = SM_OK;
    for (int stage = 0; stage < SM_RESNET_STAGES_MAX && code == SM_OK; stage++) {
        char list[SM_NODE_NAME];
        snprintf(list, sizeof list, "layer%d", stage + 1);
        int32_t count = sm_names_count(b->names, list);
        if (!count && stage >= required)
            break;
        b->counts[stage] = count ? count : 1;
        code = add_stage(at, b, stage, b->counts[stage]);
        b->info->stage_blocks[stage] = count;
        b->info->stage_dims[stage] = code == SM_OK ? b->graph->nodes[*at].g.c : 0;
        b->info->stages++;
    }
    return code;
}

/* ---- pooling ---- */

/* Settles "pooled" of a network without attention pooling: the mean, which *pooled is already, or
 * the maximum of a square map. */
static enum sm_code add_pooled(int32_t *pooled, struct sm_resnet *b, int32_t map)
{
    const struct sm_geometry *g = &b->graph->nodes[map].g;
    const struct pool top = {"maxpool", SM_KERNEL_MAXPOOL, g->h, 1, 0, false};
    enum sm_pool pool = SM_POOL_MEAN;
    settle(b, SM_CONFIG_POOL, &pool, "torchvision's; some take the maximum");
    if (pool == SM_POOL_MEAN)
        return SM_OK;
    if (pool != SM_POOL_MAX || g->h != g->w)
        return sm_err_set(b->err, SM_INVALID,
                          "\"pool\" of a ResNet is \"mean\", or \"max\" of a square map, not of "
                          "%dx%d positions",
                          (int)g->h, (int)g->w);
    return add_pool(pooled, b, &top, map);
}

static enum sm_code add_outputs(struct sm_resnet *b, int32_t map)
{
    const struct pool average = {.kernel = SM_KERNEL_MEAN,
                                 .name = b->stem == STEM_CLIP ? "attnpool.mean" : "avgpool"};
    int32_t mean, pooled;
    enum sm_code code = add_pool(&mean, b, &average, map);
    pooled = mean;
    if (code == SM_OK && b->stem == STEM_CLIP)
        code = sm_resnet_clip_pool(&pooled, b, map, mean);
    else if (code == SM_OK)
        code = add_pooled(&pooled, b, map);
    if (code != SM_OK)
        return code;
    const struct sm_graph_tap taps[] = {{"tokens", map}, {"mean", mean}, {"pooled", pooled}};
    for (size_t i = 0; i < sizeof taps / sizeof *taps && code == SM_OK; i++)
        code = sm_graph_tap(b->graph, taps[i].name, taps[i].node, b->err);
    return code;
}

/* ---- whole network ---- */

/* Returns the family's name, such as "resnet50", by the block counts; "resnet" for unknown ones. */
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

/* Settles the eps of every BatchNorm and the activation after it. */
static void choose_layers(struct sm_resnet *b)
{
    enum sm_activation_kind activation = SM_ACTIVATION_RELU;
    b->info->norm_eps = BN_EPS;
    settle(b, SM_CONFIG_NORM_EPS, &b->info->norm_eps,
           "PyTorch's BatchNorm; other code has another");
    settle(b, SM_CONFIG_ACTIVATION, &activation, "as nearly all ResNets");
    b->activation = sm_activation_of(activation);
}

/* Returns the configuration without pool, activation and norm_eps from presets and files of other
 * programs: a file in a ResNet's folder may state those of a ViT. */
static struct sm_encoder_config without_hearsay(const struct sm_encoder_config *config)
{
    struct sm_encoder_config own = *config;
    if (own.source[SM_CONFIG_POOL] > SM_SOURCE_FILE)
        own.pool = SM_POOL_UNSET;
    if (own.source[SM_CONFIG_ACTIVATION] > SM_SOURCE_FILE)
        own.activation = SM_ACTIVATION_UNSET;
    if (own.source[SM_CONFIG_NORM_EPS] > SM_SOURCE_FILE)
        own.norm_eps = 0;
    return own;
}

enum sm_code sm_resnet_build(struct sm_graph *graph, struct sm_encoder_info *info,
                             struct sm_names *names, const struct sm_encoder_config *config,
                             struct sm_err *err)
{
    const struct sm_encoder_config own = without_hearsay(config);
    struct sm_resnet b = {.graph = graph, .info = info, .names = names, .config = &own, .err = err};
    int32_t map;
    enum sm_code code = choose_stem(&b);
    if (code == SM_OK)
        code = sm_check_said(config, b.stem == STEM_CLIP ? SM_OF_CLIP_RESNET : SM_OF_RESNET,
                             "ResNet", names->prefix, err);
    if (code == SM_OK)
        code = choose_input(&b);
    if (code != SM_OK)
        return code;
    choose_layers(&b);
    choose_blocks(&b);
    code = add_stem(&map, &b);
    if (code == SM_OK)
        code = add_stages(&map, &b);
    info->block_convs = b.block->convs;
    if (code == SM_OK) {
        info->dim = graph->nodes[map].g.c;
        code = sm_claims_check(config, info, err);
    }
    if (code == SM_OK)
        code = add_outputs(&b, map);
    if (code != SM_OK)
        return code;
    const struct sm_geometry *g = &graph->nodes[map].g;
    snprintf(info->family, sizeof info->family, "%s", family_name(&b));
    info->tokens = g->h * g->w;
    return SM_OK;
}
