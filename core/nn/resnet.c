/* ResNet: everything is read off the tensors. Block counts are the highest index of each stage,
 * bottlenecks have a conv3, widths are shapes, and the stem follows from the size of conv1.
 *
 * Batch normalisation of inference is an affine map per channel, so it is folded into the
 * convolution before it, in double: weight * s and beta - mean * s with s = gamma / sqrt(var +
 * 1e-5). Residual and ReLU then ride in the epilogue of a block's last convolution, and one block
 * is two to four nodes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/nn/build.h"

#define BN_EPS 1e-5

struct builder {
    struct sm_graph *graph;
    struct sm_names *names;
    struct sm_err *err;
    bool bottleneck;
    int32_t blocks;
};

struct conv_spec {
    const char *conv, *bn; /* canonical names without ".weight" */
    int32_t in, residual;
    int32_t k, stride, pad;
    int64_t c_in;
    enum sm_activation activation;
};

/* [c, c_in, k, k] -> [k, k, c_in, c], each output channel scaled. */
static void fold(float *out, const float *weight, const double *scale, size_t c, size_t c_in,
                 size_t window)
{
    for (size_t o = 0; o < c; o++)
        for (size_t i = 0; i < c_in; i++)
            for (size_t t = 0; t < window; t++)
                out[(t * c_in + i) * c + o] =
                    (float)((double)weight[(o * c_in + i) * window + t] * scale[o]);
}

/* scale = gamma / sqrt(var + eps) and bias = beta - mean * scale of a BatchNorm over c channels. */
static enum sm_code read_bn(const struct builder *b, double *scale, float *bias, const char *bn,
                            int64_t c)
{
    static const char *const parts[] = {"weight", "bias", "running_mean", "running_var"};
    float *part[4] = {0};
    enum sm_code code = SM_OK;
    for (size_t i = 0; i < 4 && code == SM_OK; i++) {
        char name[SM_NODE_NAME + 16];
        snprintf(name, sizeof name, "%s.%s", bn, parts[i]);
        code = sm_names_read(b->names, &part[i], name, 1, &c, b->err);
    }
    for (int64_t i = 0; i < c && code == SM_OK; i++) {
        scale[i] = (double)part[0][i] / sqrt((double)part[3][i] + BN_EPS);
        bias[i] = (float)((double)part[1][i] - (double)part[2][i] * scale[i]);
    }
    for (size_t i = 0; i < 4; i++)
        free(part[i]);
    return code;
}

/* The shape of a convolution's weight, told apart from a grouped one. */
static enum sm_code check_conv(int64_t *c, const struct builder *b, const char *name,
                               const struct conv_spec *spec)
{
    const struct sm_tensor *t = sm_names_find(b->names, name);
    if (t && t->rank == 4 && t->shape[1] > 0 && t->shape[1] < spec->c_in &&
        spec->c_in % t->shape[1] == 0 && t->shape[2] == spec->k && t->shape[3] == spec->k)
        return sm_err_set(b->err, SM_UNSUPPORTED,
                          "tensor %s%s is a convolution in %lld groups, only 1 is supported",
                          b->names->prefix, name, (long long)(spec->c_in / t->shape[1]));
    enum sm_code code = sm_names_expect(&t, b->names, name, 4,
                                        (int64_t[]){-1, spec->c_in, spec->k, spec->k}, b->err);
    *c = code == SM_OK ? t->shape[0] : 0;
    return code;
}

static enum sm_code add_conv(int32_t *index, struct builder *b, const struct conv_spec *spec)
{
    struct sm_node node = {.kernel = SM_KERNEL_CONV2D, .in = spec->in, .residual = spec->residual};
    float *weight = NULL;
    double *scale = NULL;
    int64_t c = 0;
    char name[SM_NODE_NAME + 16];
    size_t window = (size_t)spec->k * (size_t)spec->k;
    snprintf(name, sizeof name, "%s.weight", spec->conv);
    enum sm_code code = check_conv(&c, b, name, spec);
    if (code != SM_OK)
        return code;
    code = sm_names_read(b->names, &weight, name, 4, (int64_t[]){c, spec->c_in, spec->k, spec->k},
                         b->err);
    if (code != SM_OK)
        return code;
    size_t count = (size_t)c * (size_t)spec->c_in * window;
    scale = malloc((size_t)c * sizeof *scale);
    node.weight = malloc(count * sizeof *node.weight);
    node.bias = malloc((size_t)c * sizeof *node.bias);
    if (!scale || !node.weight || !node.bias) {
        code = sm_err_set(b->err, SM_NOMEM, "no memory for the %zu weights of %s", count, name);
        goto out;
    }
    code = read_bn(b, scale, node.bias, spec->bn, c);
    if (code != SM_OK)
        goto out;
    fold(node.weight, weight, scale, (size_t)c, (size_t)spec->c_in, window);
    node.g.c = (int32_t)c;
    node.g.k = spec->k;
    node.g.stride = spec->stride;
    node.g.pad = spec->pad;
    node.g.activation = spec->activation;
    node.parameters = (int64_t)count + 2 * c;
    snprintf(node.name, sizeof node.name, "%s", spec->conv);
    code = sm_graph_add(b->graph, &node, index, b->err);
    node.weight = node.bias = NULL;
out:
    free(node.weight);
    free(node.bias);
    free(weight);
    free(scale);
    return code;
}

/* One convolution of a block, "<block>.conv<nth>" with "<block>.bn<nth>". */
static enum sm_code add_block_conv(int32_t *index, struct builder *b, const char *block, int nth,
                                   struct conv_spec *spec)
{
    char conv[SM_NODE_NAME], bn[SM_NODE_NAME];
    snprintf(conv, sizeof conv, "%s.conv%d", block, nth);
    snprintf(bn, sizeof bn, "%s.bn%d", block, nth);
    spec->conv = conv;
    spec->bn = bn;
    spec->pad = spec->k / 2;
    spec->c_in = b->graph->nodes[spec->in].g.c;
    return add_conv(index, b, spec);
}

/* The other way around a block: a 1x1 projection, or nothing when the shape stays. */
static enum sm_code add_shortcut(int32_t *index, struct builder *b, const char *block, int32_t in,
                                 int32_t stride, int64_t c)
{
    char conv[SM_NODE_NAME + 16], bn[SM_NODE_NAME], name[SM_NODE_NAME + 32];
    int64_t c_in = b->graph->nodes[in].g.c;
    snprintf(conv, sizeof conv, "%s.downsample.0", block);
    snprintf(bn, sizeof bn, "%s.downsample.1", block);
    snprintf(name, sizeof name, "%s.weight", conv);
    if (stride == 1 && c == c_in && !sm_names_find(b->names, name)) {
        *index = in;
        return SM_OK;
    }
    const struct sm_tensor *weight;
    enum sm_code code =
        sm_names_expect(&weight, b->names, name, 4, (int64_t[]){c, c_in, 1, 1}, b->err);
    if (code != SM_OK)
        return code;
    const struct conv_spec spec = {conv, bn, in, SM_NODE_NONE, 1, stride, 0, c_in, SM_ACT_NONE};
    return add_conv(index, b, &spec);
}

/* Basic: 3x3, 3x3. Bottleneck v1.5: 1x1, 3x3, 1x1. The stride is in the first 3x3. `at`: input,
 * then output node. */
static enum sm_code add_block(int32_t *at, struct builder *b, const char *block, int32_t stride)
{
    int convs = b->bottleneck ? 3 : 2, last = *at;
    int32_t shortcut;
    char name[SM_NODE_NAME + 16];
    const struct sm_tensor *weight;
    enum sm_code code;
    snprintf(name, sizeof name, "%s.conv%d.weight", block, convs);
    code = sm_names_expect(&weight, b->names, name, 4, (int64_t[]){-1, -1, -1, -1}, b->err);
    if (code == SM_OK)
        code = add_shortcut(&shortcut, b, block, *at, stride, weight->shape[0]);
    for (int nth = 1; nth <= convs && code == SM_OK; nth++) {
        bool strided = nth == (b->bottleneck ? 2 : 1);
        struct conv_spec spec = {.in = last,
                                 .residual = nth == convs ? shortcut : SM_NODE_NONE,
                                 .k = b->bottleneck && nth != 2 ? 1 : 3,
                                 .stride = strided ? stride : 1,
                                 .activation = SM_ACT_RELU};
        code = add_block_conv(&last, b, block, nth, &spec);
    }
    *at = last;
    return code;
}

static enum sm_code add_stem(int32_t *at, struct builder *b)
{
    const struct sm_node layout = {
        .kernel = SM_KERNEL_LAYOUT, .in = SM_NODE_IMAGE, .residual = SM_NODE_NONE, .name = "input"};
    const struct sm_tensor *weight;
    int stem_pool = b->names->dialect->stem_pool;
    enum sm_code code =
        sm_names_expect(&weight, b->names, "conv1.weight", 4, (int64_t[]){-1, 3, -1, -1}, b->err);
    if (code != SM_OK)
        return code;
    int64_t k = weight->shape[3];
    bool imagenet = k == 7;
    if (weight->shape[2] != k || (k != 3 && k != 7) || (imagenet && stem_pool == 0))
        return sm_err_set(
            b->err, SM_UNSUPPORTED,
            "tensor %s is a stem of %lldx%lld %s; known are 7x7 with pooling (ImageNet) "
            "and 3x3 (CIFAR)",
            weight->name, (long long)weight->shape[2], (long long)k,
            stem_pool == 0 ? "without pooling" : "with pooling");
    code = sm_graph_add(b->graph, &layout, at, b->err);
    if (code != SM_OK)
        return code;
    const struct conv_spec spec = {
        "conv1",          "bn1", *at,        SM_NODE_NONE, imagenet ? 7 : 3, imagenet ? 2 : 1,
        imagenet ? 3 : 1, 3,     SM_ACT_RELU};
    code = add_conv(at, b, &spec);
    if (code != SM_OK || !imagenet)
        return code;
    const struct sm_node pool = {.kernel = SM_KERNEL_MAXPOOL,
                                 .in = *at,
                                 .residual = SM_NODE_NONE,
                                 .g = {.k = 3, .stride = 2, .pad = 1},
                                 .name = "maxpool"};
    return sm_graph_add(b->graph, &pool, at, b->err);
}

static enum sm_code add_stage(int32_t *at, struct builder *b, int stage, int32_t blocks)
{
    enum sm_code code = SM_OK;
    for (int32_t i = 0; i < blocks && code == SM_OK; i++) {
        char block[40], tap[SM_TAP_NAME];
        snprintf(block, sizeof block, "layer%d.%d", stage, (int)i);
        snprintf(tap, sizeof tap, "block.%d", (int)b->blocks);
        code = add_block(at, b, block, stage > 1 && i == 0 ? 2 : 1);
        if (code == SM_OK)
            code = sm_graph_tap(b->graph, tap, *at, b->err);
        b->blocks++;
    }
    return code;
}

/* "resnet50" for its block counts, else "resnet". */
static const char *family_name(bool bottleneck, const int32_t counts[4])
{
    static const struct {
        const char *name;
        bool bottleneck;
        int32_t counts[4];
    } known[] = {{"resnet18", false, {2, 2, 2, 2}},
                 {"resnet34", false, {3, 4, 6, 3}},
                 {"resnet50", true, {3, 4, 6, 3}},
                 {"resnet101", true, {3, 4, 23, 3}},
                 {"resnet152", true, {3, 8, 36, 3}}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].bottleneck == bottleneck &&
            !memcmp(known[i].counts, counts, sizeof known[i].counts))
            return known[i].name;
    return "resnet";
}

enum sm_code sm_resnet_build(struct sm_graph *graph, struct sm_encoder_info *info,
                             struct sm_names *names, const struct sm_encoder_config *config,
                             struct sm_err *err)
{
    struct builder b = {graph, names, err, sm_names_find(names, "layer1.0.conv3.weight") != NULL,
                        0};
    const struct sm_tensor *conv1 = sm_names_find(names, "conv1.weight");
    bool small = conv1 && conv1->rank == 4 && conv1->shape[3] == 3;
    int32_t at, mean, counts[4];
    enum sm_code code;
    if (config->heads || config->norm_eps > 0)
        return sm_err_set(err, SM_INVALID,
                          "\"%s\" is set, but the encoder under \"%s\" is a ResNet",
                          config->heads ? "heads" : "norm_eps", names->prefix);
    graph->input_px = config->input_px ? config->input_px : small ? 32 : 224;
    code = add_stem(&at, &b);
    for (int stage = 1; stage <= 4 && code == SM_OK; stage++) {
        char layer[24];
        snprintf(layer, sizeof layer, "layer%d", stage);
        counts[stage - 1] = sm_names_count(names, layer);
        code = add_stage(&at, &b, stage, counts[stage - 1] ? counts[stage - 1] : 1);
    }
    if (code != SM_OK)
        return code;
    const struct sm_node pool = {
        .kernel = SM_KERNEL_MEAN, .in = at, .residual = SM_NODE_NONE, .name = "avgpool"};
    code = sm_graph_add(graph, &pool, &mean, err);
    const struct sm_graph_tap taps[] = {{"tokens", at}, {"mean", mean}, {"pooled", mean}};
    for (size_t i = 0; i < 3 && code == SM_OK; i++)
        code = sm_graph_tap(graph, taps[i].name, taps[i].node, err);
    if (code != SM_OK)
        return code;
    const struct sm_geometry *map = &graph->nodes[at].g;
    snprintf(info->family, sizeof info->family, "%s", family_name(b.bottleneck, counts));
    info->tokens = map->h * map->w;
    info->dim = map->c;
    info->blocks = b.blocks;
    return SM_OK;
}
