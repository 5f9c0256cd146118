/* Encoders and workspaces. At open, the dialect chooses a builder, which makes the graph. A
 * workspace is a plan and one buffer. A forward is one loop over the graph. Forward must not
 * allocate, so plan.c lays out everything that a call could need (slots, im2col windows, attention
 * scores) for the most images of the workspace. Fewer images use the front of the same slots. */
#include "sslmem/encoder.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/names/config.h"
#include "core/nn/build.h"
#include "core/nn/plan.h"

struct sm_encoder {
    struct sm_encoder_info info;
    struct sm_graph graph;
    const struct sm_kern *kern;
    struct sm_weights weights;
    bool *uses; /* [tensors of the checkpoint] true if the encoder read it */
};

struct sm_workspace {
    const struct sm_encoder *encoder;
    struct sm_plan plan;
    float *buffer;
    const struct sm_watch *watch;
    int32_t *taps; /* [taps_count] node of each requested tap */
    size_t taps_count;
    int n_max;
};

/* Fills the members of `info` that builders leave open: sums over the graph, facts from the
 * names. */
static enum sm_code fill_info(struct sm_encoder *encoder, const struct sm_names *names,
                              struct sm_err *err)
{
    struct sm_encoder_info *info = &encoder->info;
    encoder->uses = calloc(names->entries_count + 1, sizeof *encoder->uses);
    if (!encoder->uses)
        return sm_err_set(err, SM_NOMEM, "no memory for %zu tensors", names->entries_count);
    for (size_t i = 0; i < names->entries_count; i++)
        encoder->uses[names->entries[i].tensor - sm_ckpt_at(names->ckpt, 0)] =
            names->entries[i].used;
    for (int32_t i = 0; i < encoder->graph.nodes_count; i++) {
        const struct sm_node *node = &encoder->graph.nodes[i];
        if (node->tap_only)
            continue;
        info->parameters += node->parameters;
        if (__builtin_add_overflow(info->multiply_adds, node->multiply_adds, &info->multiply_adds))
            return sm_err_set(err, SM_LIMIT, "over %lld multiply-adds an image, at layer %s",
                              (long long)INT64_MAX, node->name);
    }
    info->input_h_px = encoder->graph.input_h_px;
    info->input_w_px = encoder->graph.input_w_px;
    info->nonfinite = names->nonfinite;
    encoder->weights = names->weights;
    info->kernels = encoder->kern->name;
    snprintf(info->dialect, sizeof info->dialect, "%s", names->dialect->name);
    snprintf(info->prefix, sizeof info->prefix, "%s", names->prefix);
    return SM_OK;
}

/* Reverses the input channels of the first convolution, for an encoder that was trained on blue,
 * green, red. Images stay red, green, blue. */
static void reverse_channels(struct sm_graph *graph)
{
    for (int32_t i = 0; i < graph->nodes_count; i++) {
        const struct sm_node *node = &graph->nodes[i];
        if (node->kernel != SM_KERNEL_CONV2D || graph->nodes[node->in].kernel != SM_KERNEL_LAYOUT)
            continue;
        size_t c = (size_t)node->g.c, taps = (size_t)node->g.k * (size_t)node->g.k;
        for (size_t t = 0; t < taps; t++) {
            for (size_t j = 0; j < c; j++) {
                float *red = node->weight + 3 * t * c + j, *blue = red + 2 * c, kept = *red;
                *red = *blue;
                *blue = kept;
            }
        }
    }
}

/* Settles the input of every family: the order of channels, and the normalisation, which the code
 * that renders views applies. */
static void settle_pixels(struct sm_encoder *encoder, const struct sm_encoder_config *config)
{
    static const char unsaid[] = "said nowhere; the training's own is needed";
    enum sm_channel_order order = SM_CHANNELS_RGB;
    double mean[3] = {.5, .5, .5}, std[3] = {.5, .5, .5};
    sm_settle(&encoder->info, config, SM_CONFIG_CHANNEL_ORDER, &order,
              config->preset[0] ? SM_SOURCE_PRESET : SM_SOURCE_GUESS,
              "as all but what Caffe trained");
    sm_settle(&encoder->info, config, SM_CONFIG_MEAN, mean, SM_SOURCE_GUESS, unsaid);
    sm_settle(&encoder->info, config, SM_CONFIG_STD, std, SM_SOURCE_GUESS, unsaid);
    if (order == SM_CHANNELS_BGR)
        reverse_channels(&encoder->graph);
}

const char *sm_kernels_find(const char *kernels)
{
    const struct sm_kern *kern = sm_kern_find(kernels);
    return kern ? kern->name : NULL;
}

static enum sm_code find_kernels(const struct sm_kern **out, const char *kernels,
                                 struct sm_err *err)
{
    char names[100] = "auto";
    *out = sm_kern_find(kernels);
    if (*out)
        return SM_OK;
    for (size_t i = 0, at = strlen(names); sm_kern_at(i) && at < sizeof names; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, ", %s", sm_kern_at(i)->name);
    return sm_err_set(err, SM_NOT_FOUND, "no kernels \"%.40s\" on this processor; there are: %s",
                      kernels, names);
}

enum sm_code sm_encoder_open(struct sm_encoder **out, struct sm_ckpt *ckpt,
                             const struct sm_encoder_config *config, const char *kernels,
                             struct sm_err *err)
{
    static enum sm_code (*const build[])(struct sm_graph *, struct sm_encoder_info *,
                                         struct sm_names *, const struct sm_encoder_config *,
                                         struct sm_err *) = {[SM_FAMILY_RESNET] = sm_resnet_build,
                                                             [SM_FAMILY_VIT] = sm_vit_build,
                                                             [SM_FAMILY_CONVNEXT] =
                                                                 sm_convnext_build};
    const struct sm_encoder_config defaults = {0};
    struct sm_names names = {0};
    *out = NULL;
    config = config ? config : &defaults;
    struct sm_encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder)
        return sm_err_set(err, SM_NOMEM, "no memory for an encoder");
    enum sm_code code;
    code = find_kernels(&encoder->kern, kernels, err);
    if (code != SM_OK)
        goto out;
    code = sm_names_init(&names, ckpt, config->has_key ? config->key : NULL, err);
    if (code != SM_OK)
        goto out;
    code = build[names.dialect->family](&encoder->graph, &encoder->info, &names, config, err);
    if (code == SM_OK)
        settle_pixels(encoder, config);
    if (code == SM_OK)
        code = sm_names_check_unused(&names, err);
    if (code == SM_OK)
        code = fill_info(encoder, &names, err);
    if (code == SM_OK)
        code = sm_preset_check(config, &encoder->info, err);
    if (code == SM_OK)
        code = sm_graph_pack(&encoder->graph, encoder->kern, err);
out:
    sm_names_release(&names);
    if (code != SM_OK)
        sm_encoder_close(encoder);
    else
        *out = encoder;
    return code;
}

void sm_encoder_close(struct sm_encoder *encoder)
{
    if (!encoder)
        return;
    sm_graph_release(&encoder->graph);
    free(encoder->uses);
    free(encoder);
}

const struct sm_encoder_info *sm_encoder_info(const struct sm_encoder *encoder)
{
    return &encoder->info;
}

bool sm_encoder_uses(const struct sm_encoder *encoder, size_t index)
{
    return encoder->uses[index];
}

bool sm_encoder_same_weights(const struct sm_encoder *a, const struct sm_encoder *b)
{
    return sm_weights_equal(&a->weights, &b->weights);
}

static json_t *choices_json(const struct sm_encoder_info *info)
{
    static const char *const sources[] = {
        [SM_SOURCE_CONFIG] = "configuration", [SM_SOURCE_FILE] = "encoder.json",
        [SM_SOURCE_PRESET] = "preset",        [SM_SOURCE_SIDECAR] = "sidecar",
        [SM_SOURCE_TENSORS] = "tensors",      [SM_SOURCE_FAMILY] = "family",
        [SM_SOURCE_GUESS] = "guess"};
    json_t *list = json_array();
    for (int32_t i = 0; i < info->choices_count; i++) {
        const struct sm_choice *c = &info->choices[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:s}", "name", c->name, "value", c->value,
                                        "source", sources[c->source], "why", c->why));
    }
    if (json_array_size(list) == (size_t)info->choices_count)
        return list;
    json_decref(list);
    return NULL;
}

json_t *sm_encoder_json(const struct sm_encoder *encoder)
{
    const struct sm_encoder_info *i = &encoder->info;
    json_t *input = i->input_h_px == i->input_w_px
                        ? json_integer(i->input_h_px)
                        : json_pack("[ii]", (int)i->input_h_px, (int)i->input_w_px);
    return json_pack("{s:s, s:s, s:s, s:o, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:f, s:I, s:I, s:I, "
                     "s:s, s:o}",
                     "family", i->family, "dialect", i->dialect, "prefix", i->prefix, "input_px",
                     input, "tokens", (int)i->tokens, "dim", (int)i->dim, "heads", (int)i->heads,
                     "blocks", (int)i->blocks, "stages", (int)i->stages, "registers",
                     (int)i->registers, "has_cls", (int)i->has_cls, "norm_eps", i->norm_eps,
                     "parameters", (json_int_t)i->parameters, "multiply_adds",
                     (json_int_t)i->multiply_adds, "nonfinite", (json_int_t)i->nonfinite, "kernels",
                     i->kernels, "choices", choices_json(i));
}

json_t *sm_encoder_graph(const struct sm_encoder *encoder)
{
    return sm_graph_json(&encoder->graph, encoder->kern);
}

enum sm_code sm_workspace_new(struct sm_workspace **out, const struct sm_encoder *encoder,
                              int n_max, const char *const *taps, size_t taps_count,
                              struct sm_err *err)
{
    enum sm_code code = SM_OK;
    *out = NULL;
    if (n_max < 1 || n_max > SM_VIEWS_CHUNK)
        return sm_err_set(err, SM_INVALID, "a workspace for %d images, most is %d", n_max,
                          SM_VIEWS_CHUNK);
    struct sm_workspace *ws = calloc(1, sizeof *ws);
    int32_t *nodes = calloc(taps_count + 1, sizeof *nodes);
    if (!ws || !nodes) {
        free(ws);
        free(nodes);
        return sm_err_set(err, SM_NOMEM, "no memory for a workspace");
    }
    *ws = (struct sm_workspace){
        .encoder = encoder, .taps = nodes, .taps_count = taps_count, .n_max = n_max};
    for (size_t i = 0; i < taps_count && code == SM_OK; i++)
        code = sm_graph_find_tap(&nodes[i], &encoder->graph, taps[i], err);
    if (code == SM_OK)
        code =
            sm_plan_init(&ws->plan, &encoder->graph, encoder->kern, n_max, nodes, taps_count, err);
    if (code == SM_OK && ws->plan.bytes) {
        ws->buffer = aligned_alloc(SM_PLAN_ALIGN, ws->plan.bytes);
        if (!ws->buffer)
            code =
                sm_err_set(err, SM_NOMEM, "no memory for a workspace of %zu bytes", ws->plan.bytes);
    }
    if (code != SM_OK) {
        sm_workspace_free(ws);
        return code;
    }
    if (ws->buffer)
        memset(ws->buffer, 0, ws->plan.bytes);
    *out = ws;
    return SM_OK;
}

void sm_workspace_free(struct sm_workspace *workspace)
{
    if (!workspace)
        return;
    sm_plan_release(&workspace->plan);
    free(workspace->buffer);
    free(workspace->taps);
    free(workspace);
}

void sm_workspace_watch(struct sm_workspace *workspace, const struct sm_watch *watch)
{
    workspace->watch = watch;
}

bool sm_encoder_forward(const struct sm_encoder *encoder, struct sm_workspace *workspace,
                        const float *x, int n)
{
    const struct sm_plan *plan = &workspace->plan;
    assert(workspace->encoder == encoder && n >= 1 && n <= workspace->n_max);
    const struct sm_graph_memory memory = {plan->offsets, workspace->buffer,
                                           workspace->buffer + plan->scratch_offset};
    return sm_graph_run(&encoder->graph, encoder->kern, plan->live, &memory, workspace->watch, x,
                        n);
}

static void describe(struct sm_tap *out, const struct sm_encoder *encoder, int32_t node)
{
    const struct sm_geometry *g = &encoder->graph.nodes[node].g;
    *out = (struct sm_tap){NULL, g->h * g->w, g->c};
}

enum sm_code sm_encoder_tap(struct sm_tap *out, const struct sm_workspace *workspace,
                            const char *tap, struct sm_err *err)
{
    int32_t node;
    *out = (struct sm_tap){0};
    enum sm_code code = sm_graph_find_tap(&node, &workspace->encoder->graph, tap, err);
    if (code != SM_OK)
        return code;
    for (size_t i = 0; i < workspace->taps_count; i++) {
        if (workspace->taps[i] != node)
            continue;
        describe(out, workspace->encoder, node);
        out->data = workspace->buffer + workspace->plan.offsets[node];
        return SM_OK;
    }
    return sm_err_set(err, SM_NOT_FOUND, "output \"%s\" was not asked for", tap);
}

enum sm_code sm_encoder_tap_shape(struct sm_tap *out, const struct sm_encoder *encoder,
                                  const char *tap, struct sm_err *err)
{
    int32_t node;
    *out = (struct sm_tap){0};
    enum sm_code code = sm_graph_find_tap(&node, &encoder->graph, tap, err);
    if (code == SM_OK)
        describe(out, encoder, node);
    return code;
}
