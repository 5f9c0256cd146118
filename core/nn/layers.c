/* Layers that builders share. Weights are read by name and converted to the layout of the kernels.
 * Everything that is affine per output channel is folded in once, in double: batch normalisation
 * (weight * s and beta - mean * s with s = gamma / sqrt(var + eps)), LayerScale (gamma * (W x + b))
 * and masks of a bias. A fold changes an output by about an ulp; without it, each would cost
 * another pass over the activations. */
#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/names/config.h"
#include "core/names/facts.h"
#include "core/nn/build.h"

#define NAME_BYTES (SM_NODE_NAME + 24)
#define TILE       32

void sm_choose(struct sm_encoder_info *info, const char *name, enum sm_source source,
               const char *why, const char *value, ...)
{
    va_list args;
    assert(sm_fact_allows(name, source) && info->choices_count < SM_CHOICES_MAX);
    struct sm_choice *choice = &info->choices[info->choices_count++];
    choice->source = source;
    snprintf(choice->name, sizeof choice->name, "%s", name);
    snprintf(choice->why, sizeof choice->why, "%s", why);
    va_start(args, value);
    vsnprintf(choice->value, sizeof choice->value, value, args);
    va_end(args);
}

void sm_settle(struct sm_encoder_info *info, const struct sm_encoder_config *config,
               enum sm_config_field field, void *value, enum sm_source usual, const char *why)
{
    char text[sizeof info->choices->value];
    if (sm_config_is_set(config, field)) {
        sm_config_get(value, config, field);
        usual = (enum sm_source)config->source[field];
        why = usual == SM_SOURCE_GUESS ? why : sm_said_by(config, field);
    } else if (usual == SM_SOURCE_PRESET) {
        why = config->preset;
    } else if (usual == SM_SOURCE_SIDECAR) {
        why = "as the code that wrote it";
    }
    sm_config_text(text, sizeof text, field, value);
    sm_choose(info, sm_config_name(field), usual, why, "%s", text);
}

enum sm_source sm_usual(const struct sm_encoder_config *config, enum sm_config_field mark)
{
    bool said = sm_config_is_set(config, mark) && config->source[mark] == SM_SOURCE_SIDECAR;
    return config->preset[0] ? SM_SOURCE_PRESET : said ? SM_SOURCE_SIDECAR : SM_SOURCE_GUESS;
}

enum sm_code sm_check_said(const struct sm_encoder_config *config, unsigned family,
                           const char *what, const char *prefix, struct sm_err *err)
{
    for (enum sm_config_field i = 0; i < SM_CONFIG_FIELDS; i++) {
        const char *name = sm_config_name(i);
        if (sm_config_is_set(config, i) && config->source[i] <= SM_SOURCE_FILE &&
            sm_fact_find(name, SM_OF_ALL) && !sm_fact_find(name, family))
            return sm_err_set(err, SM_INVALID,
                              "\"%s\" is set, but the encoder under \"%s\" is a %s", name, prefix,
                              what);
    }
    return SM_OK;
}

const char *sm_said_by(const struct sm_encoder_config *config, enum sm_config_field field)
{
    return config->source[field] == SM_SOURCE_PRESET ? config->preset : "as said there";
}

enum sm_activation sm_activation_of(enum sm_activation_kind kind)
{
    static const enum sm_activation forms[] = {[SM_ACTIVATION_GELU] = SM_ACT_GELU,
                                               [SM_ACTIVATION_GELU_TANH] = SM_ACT_GELU_TANH,
                                               [SM_ACTIVATION_QUICK_GELU] = SM_ACT_GELU_QUICK,
                                               [SM_ACTIVATION_RELU] = SM_ACT_RELU};
    return forms[kind];
}

/* Transposes [c, c_in, window] to [window, c_in, c] and scales each output channel. It works in
 * tiles, because rows of weight and of out are far apart and would not stay in cache. */
static void pack_weight(float *out, const float *weight, const double *scale, size_t c, size_t c_in,
                        size_t window)
{
    for (size_t o = 0; o < c; o += TILE) {
        size_t o_end = o + TILE < c ? o + TILE : c;
        for (size_t i = 0; i < c_in * window; i += TILE) {
            size_t i_end = i + TILE < c_in * window ? i + TILE : c_in * window;
            for (size_t j = i; j < i_end; j++) {
                float *row = out + (j % window * c_in + j / window) * c;
                for (size_t q = o; q < o_end; q++) {
                    float w = weight[q * c_in * window + j];
                    row[q] = scale ? (float)((double)w * scale[q]) : w;
                }
            }
        }
    }
}

/* Reads the vector "<layer>.<part>" [count]. */
static enum sm_code read_part(float **out, struct sm_names *names, const char *layer,
                              const char *part, int64_t count, struct sm_err *err)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s.%s", layer, part);
    return sm_names_read(names, out, name, 1, &count, err);
}

/* Reads "<layer>.weight", of `rank` dimensions, into node->weight, transposed and scaled. */
static enum sm_code read_weight(struct sm_node *node, struct sm_names *names, const char *layer,
                                int rank, const int64_t *shape, const double *scale,
                                struct sm_err *err)
{
    char name[NAME_BYTES];
    float *weight;
    size_t window = rank == 4 ? (size_t)(shape[2] * shape[3]) : 1;
    size_t count = (size_t)shape[0] * (size_t)shape[1] * window;
    snprintf(name, sizeof name, "%s.weight", layer);
    enum sm_code code = sm_names_read(names, &weight, name, rank, shape, err);
    if (code != SM_OK)
        return code;
    node->parameters += (int64_t)count;
    node->weight = malloc(count * sizeof *node->weight);
    if (node->weight)
        pack_weight(node->weight, weight, scale, (size_t)shape[0], (size_t)shape[1], window);
    else
        code = sm_err_set(err, SM_NOMEM, "no memory for the %zu weights of %s", count, name);
    free(weight);
    return code;
}

/* Reads "<layer>.bias" [c] into node->bias. A bias that is optional and missing is zeros. */
static enum sm_code read_bias(struct sm_node *node, struct sm_names *names, const char *layer,
                              int64_t c, bool optional, struct sm_err *err)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s.bias", layer);
    if (!optional || sm_names_has(names, name)) {
        node->parameters += c;
        return sm_names_read(names, &node->bias, name, 1, &c, err);
    }
    node->bias = calloc((size_t)c, sizeof *node->bias);
    return node->bias ? SM_OK : sm_err_set(err, SM_NOMEM, "no memory for %s", name);
}

/* Refuses a GroupNorm. If no norm of the file has running statistics, a norm with weight and bias
 * is not a BatchNorm with missing tensors but another kind of norm. */
static enum sm_code check_statistics(const struct sm_names *names, const char *bn,
                                     struct sm_err *err)
{
    char weight[NAME_BYTES], mean[NAME_BYTES];
    snprintf(weight, sizeof weight, "%s.weight", bn);
    snprintf(mean, sizeof mean, "%s.running_mean", bn);
    if (sm_names_has(names, mean) || !sm_names_has(names, weight) ||
        sm_names_any_ends(names, "running_mean"))
        return SM_OK;
    return sm_err_set(err, SM_UNSUPPORTED,
                      "%s%s is a GroupNorm, or another norm without running statistics: these are "
                      "not supported yet, BatchNorm is",
                      names->prefix, bn);
}

/* Reads a BatchNorm: scale = gamma / sqrt(var + eps), bias = beta - mean * scale, of c channels. */
static enum sm_code read_bn(double *scale, float *bias, struct sm_names *names, const char *bn,
                            int64_t c, double eps, struct sm_err *err)
{
    static const char *const parts[] = {"running_mean", "running_var", "weight", "bias"};
    float *part[4] = {0};
    enum sm_code code = check_statistics(names, bn, err);
    for (size_t i = 0; i < 4 && code == SM_OK; i++)
        code = read_part(&part[i], names, bn, parts[i], c, err);
    for (int64_t i = 0; i < c && code == SM_OK; i++) {
        scale[i] = (double)part[2][i] / sqrt((double)part[1][i] + eps);
        bias[i] = (float)((double)part[3][i] - (double)part[0][i] * scale[i]);
    }
    for (size_t i = 0; i < 4; i++)
        free(part[i]);
    return code;
}

/* Computes *scale, which the caller frees, and node->bias from the batch normalisation after a
 * convolution of c channels. */
static enum sm_code fold_bn(double **scale, struct sm_node *node, struct sm_names *names,
                            const char *bn, int64_t c, double eps, struct sm_err *err)
{
    *scale = malloc((size_t)c * sizeof **scale);
    node->bias = malloc((size_t)c * sizeof *node->bias);
    node->parameters += 2 * c;
    if (!*scale || !node->bias)
        return sm_err_set(err, SM_NOMEM, "no memory for %lld channels of %s", (long long)c, bn);
    return read_bn(*scale, node->bias, names, bn, c, eps, err);
}

/* Spreads the k x k taps (`tap` floats each) of a packed weight over `wide` x `wide` zeros. */
static enum sm_code spread_weight(struct sm_node *node, int32_t k, int32_t wide, size_t tap,
                                  const char *name, struct sm_err *err)
{
    if (wide == k)
        return SM_OK;
    size_t step = (size_t)(wide - 1) / (size_t)(k - 1), side = (size_t)wide;
    float *spread = calloc(side * side * tap, sizeof *spread);
    if (!spread)
        return sm_err_set(err, SM_NOMEM, "no memory for the dilated window of %s", name);
    for (size_t y = 0; y < (size_t)k; y++)
        for (size_t x = 0; x < (size_t)k; x++)
            memcpy(spread + (y * side + x) * step * tap, node->weight + (y * (size_t)k + x) * tap,
                   tap * sizeof *spread);
    free(node->weight);
    node->weight = spread;
    return SM_OK;
}

static void free_weights(struct sm_node *node)
{
    free(node->weight);
    free(node->bias);
}

enum sm_code sm_add_conv(int32_t *index, struct sm_graph *graph, struct sm_names *names,
                         const struct sm_conv_spec *spec, struct sm_err *err)
{
    struct sm_node node = {.kernel = SM_KERNEL_CONV2D, .in = spec->in, .residual = spec->residual};
    int32_t groups = spec->groups ? spec->groups : 1;
    int32_t wide = (spec->k - 1) * (spec->dilation ? spec->dilation : 1) + 1;
    int64_t c_in = graph->nodes[spec->in].g.c / groups, shape[4];
    double *scale = NULL;
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s.weight", spec->conv);
    enum sm_code code =
        sm_names_shape(shape, names, name, 4, (int64_t[]){-1, c_in, spec->k, spec->k}, err);
    if (code != SM_OK)
        return code;
    if (shape[0] % groups)
        return sm_err_set(err, SM_INVALID, "tensor %s has %lld channels, in %d groups", name,
                          (long long)shape[0], (int)groups);
    code = spec->bn ? fold_bn(&scale, &node, names, spec->bn, shape[0], spec->bn_eps, err)
                    : read_bias(&node, names, spec->conv, shape[0], spec->bias_optional, err);
    if (code == SM_OK)
        code = read_weight(&node, names, spec->conv, 4, shape, scale, err);
    if (code == SM_OK)
        code = spread_weight(&node, spec->k, wide, (size_t)(shape[0] * shape[1]), name, err);
    free(scale);
    if (code != SM_OK) {
        free_weights(&node);
        return code;
    }
    node.g = (struct sm_geometry){.c = (int32_t)shape[0],
                                  .k = wide,
                                  .stride = spec->stride,
                                  .pad = spec->pad,
                                  .groups = groups,
                                  .activation = spec->activation};
    snprintf(node.name, sizeof node.name, "%s", spec->conv);
    return sm_graph_add(graph, &node, index, err);
}

static enum sm_code mask_bias(struct sm_node *node, struct sm_names *names, const char *mask,
                              int64_t c, struct sm_err *err)
{
    float *factors;
    if (!mask)
        return SM_OK;
    enum sm_code code = sm_names_read(names, &factors, mask, 1, &c, err);
    for (int64_t i = 0; code == SM_OK && i < c; i++)
        node->bias[i] *= factors[i];
    free(factors);
    return code;
}

/* Reads LayerScale into *scale, factors of the weight's rows that the caller frees, and multiplies
 * the bias by it. */
static enum sm_code read_scale(double **scale, struct sm_node *node, struct sm_names *names,
                               const char *name, int64_t c, struct sm_err *err)
{
    float *gamma;
    if (!name)
        return SM_OK;
    enum sm_code code = sm_names_read(names, &gamma, name, 1, &c, err);
    if (code != SM_OK)
        return code;
    node->parameters += c;
    *scale = malloc((size_t)c * sizeof **scale);
    if (!*scale)
        code = sm_err_set(err, SM_NOMEM, "no memory for %lld channels of %s", (long long)c, name);
    for (int64_t i = 0; code == SM_OK && i < c; i++) {
        (*scale)[i] = (double)gamma[i];
        node->bias[i] = (float)((double)node->bias[i] * (double)gamma[i]);
    }
    free(gamma);
    return code;
}

enum sm_code sm_add_linear(int32_t *index, struct sm_graph *graph, struct sm_names *names,
                           const struct sm_linear_spec *spec, struct sm_err *err)
{
    struct sm_node node = {.kernel = SM_KERNEL_LINEAR, .in = spec->in, .residual = spec->residual};
    int64_t shape[2];
    double *scale = NULL;
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s.weight", spec->name);
    enum sm_code code = sm_names_shape(shape, names, name, 2,
                                       (int64_t[]){spec->c, graph->nodes[spec->in].g.c}, err);
    if (code == SM_OK && shape[0] > INT32_MAX) /* joined parts can be this large */
        code = sm_err_set(err, SM_LIMIT, "tensor %s has %lld channels, most is %d", name,
                          (long long)shape[0], (int)INT32_MAX);
    if (code != SM_OK)
        return code;
    code = read_bias(&node, names, spec->name, shape[0], spec->bias_optional, err);
    if (code == SM_OK)
        code = mask_bias(&node, names, spec->bias_mask, shape[0], err);
    if (code == SM_OK)
        code = read_scale(&scale, &node, names, spec->scale, shape[0], err);
    if (code == SM_OK)
        code = read_weight(&node, names, spec->name, 2, shape, scale, err);
    free(scale);
    if (code != SM_OK) {
        free_weights(&node);
        return code;
    }
    node.g = (struct sm_geometry){.c = (int32_t)shape[0], .activation = spec->activation};
    snprintf(node.name, sizeof node.name, "%s", spec->name);
    return sm_graph_add(graph, &node, index, err);
}

enum sm_code sm_add_norm(int32_t *index, struct sm_graph *graph, struct sm_names *names,
                         const char *name, int32_t in, double eps, struct sm_err *err)
{
    struct sm_node node = {
        .kernel = SM_KERNEL_LAYERNORM, .in = in, .residual = SM_NODE_NONE, .g = {.eps = eps}};
    int64_t c = graph->nodes[in].g.c;
    snprintf(node.name, sizeof node.name, "%s", name);
    enum sm_code code = read_part(&node.weight, names, name, "weight", c, err);
    if (code == SM_OK)
        code = read_bias(&node, names, name, c, false, err);
    if (code != SM_OK) {
        free_weights(&node);
        return code;
    }
    node.parameters += c;
    return sm_graph_add(graph, &node, index, err);
}
