/* Graphs. Shapes follow from the input size and each op's parameters, so a node is complete and
 * checked when it is added, and the loop that runs the nodes has nothing left to decide. Every size
 * that a kernel computes as int32 is bounded here. */
#include "core/nn/graph.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PACK_ALIGN 64

static bool product(int64_t *out, const int64_t *factors, size_t count)
{
    *out = 1;
    for (size_t i = 0; i < count; i++)
        if (__builtin_mul_overflow(*out, factors[i], out))
            return false;
    return true;
}

size_t sm_node_elements(const struct sm_node *node)
{
    return (size_t)node->g.h * (size_t)node->g.w * (size_t)node->g.c;
}

/* Returns the output side of a window op; 0 if the window does not fit. */
static int32_t window_side(int32_t side, const struct sm_geometry *g)
{
    int64_t room = (int64_t)side + 2 * (int64_t)g->pad - g->k;
    return room < 0 ? 0 : (int32_t)((room + (g->ceil ? g->stride - 1 : 0)) / g->stride + 1);
}

/* Counts the multiply-adds of one image; returns false on overflow. Other kernels do hardly any. */
static bool count_multiply_adds(struct sm_node *node)
{
    const struct sm_geometry *g = &node->g;
    switch (node->kernel) {
    case SM_KERNEL_CONV2D:
    case SM_KERNEL_LINEAR: {
        int64_t k = node->kernel == SM_KERNEL_CONV2D ? g->k : 1;
        int64_t c_in = node->kernel == SM_KERNEL_CONV2D ? g->c_in / g->groups : g->c_in;
        return product(&node->multiply_adds, (int64_t[]){g->h, g->w, g->c, k, k, c_in}, 6);
    }
    case SM_KERNEL_ATTENTION:
        return product(&node->multiply_adds, (int64_t[]){2, g->h, g->h, g->c}, 4);
    default:
        return true;
    }
}

/* Asserts what kernels assume about a node; builders must ensure it. */
static void assert_geometry(const struct sm_node *node)
{
    const struct sm_geometry *g = &node->g;
    int64_t rows = (int64_t)g->h_in * g->w_in;
    (void)rows;
    switch (node->kernel) {
    case SM_KERNEL_CONV2D:
        assert(g->stride > 0 && g->c_in % g->groups == 0 && g->c % g->groups == 0);
        break;
    case SM_KERNEL_ATTENTION:
    case SM_KERNEL_ROPE:
        assert(g->heads > 0 && g->c_in % (3 * g->heads) == 0 && g->skip <= rows);
        break;
    case SM_KERNEL_GATE:
        assert(g->c_in % 2 == 0);
        break;
    case SM_KERNEL_MEAN:
        assert(g->skip < rows);
        break;
    case SM_KERNEL_PICK:
        assert(g->skip + (int64_t)g->rows <= rows);
        break;
    case SM_KERNEL_PREPEND:
        assert(g->skip <= rows);
        break;
    default:
        break;
    }
}

static void infer_shape(struct sm_node *node)
{
    struct sm_geometry *g = &node->g;
    int32_t c = g->c;
    g->h = g->h_in;
    g->w = g->w_in;
    g->c = g->c_in;
    switch (node->kernel) {
    case SM_KERNEL_CONV2D:
        g->groups = g->groups ? g->groups : 1;
        g->c = c;
        g->h = window_side(g->h_in, g);
        g->w = window_side(g->w_in, g);
        break;
    case SM_KERNEL_LINEAR:
        g->c = c;
        break;
    case SM_KERNEL_MAXPOOL:
    case SM_KERNEL_AVGPOOL:
        g->h = window_side(g->h_in, g);
        g->w = window_side(g->w_in, g);
        break;
    case SM_KERNEL_ATTENTION:
        g->c = g->c_in / 3;
        break;
    case SM_KERNEL_GATE:
        g->c = g->c_in / 2;
        break;
    case SM_KERNEL_ROPE:
        break;
    case SM_KERNEL_PREPEND:
        g->h = g->h_in * g->w_in - g->skip + g->rows;
        g->w = 1;
        node->map = false;
        break;
    case SM_KERNEL_MEAN:
        g->h = g->w = 1;
        node->map = false;
        break;
    case SM_KERNEL_PICK:
        g->rows = g->rows ? g->rows : 1;
        g->h = g->rows;
        g->w = 1;
        node->map = false;
        break;
    default:
        break;
    }
}

/* Returns the number of elements of a residual. PREPEND adds it to its own first rows only. */
static size_t residual_elements(const struct sm_node *node)
{
    return node->kernel == SM_KERNEL_PREPEND ? (size_t)node->g.rows * (size_t)node->g.c
                                             : sm_node_elements(node);
}

static enum sm_code check_shape(struct sm_node *node, struct sm_err *err)
{
    const struct sm_geometry *g = &node->g;
    int64_t elements, window;
    if (g->h < 1 || g->w < 1)
        return sm_err_set(err, SM_INVALID, "layer %s has a window of %dx%d, its input %dx%d",
                          node->name, (int)g->k, (int)g->k, (int)g->h_in, (int)g->w_in);
    if (!product(&elements, (int64_t[]){g->h, g->w, g->c}, 3) || elements > INT32_MAX)
        return sm_err_set(err, SM_LIMIT, "layer %s gives %dx%dx%d numbers, most is %d", node->name,
                          (int)g->h, (int)g->w, (int)g->c, (int)INT32_MAX);
    if (!product(&window, (int64_t[]){g->k, g->k, g->c_in}, 3) || window > INT32_MAX ||
        !count_multiply_adds(node))
        return sm_err_set(err, SM_LIMIT, "layer %s has a window of %dx%dx%d numbers, most is %d",
                          node->name, (int)g->k, (int)g->k, (int)g->c_in, (int)INT32_MAX);
    return SM_OK;
}

/* Makes room for one more element in an array that doubles; returns false when out of memory. */
static bool grow(void **array, int32_t count, int32_t *room, size_t element_bytes)
{
    if (count < *room)
        return true;
    int32_t more = *room ? *room * 2 : 32;
    void *grown = realloc(*array, (size_t)more * element_bytes);
    if (!grown)
        return false;
    *array = grown;
    *room = more;
    return true;
}

static void release_weights(struct sm_node *node)
{
    if (node->shares_weights)
        return;
    free(node->weight);
    free(node->bias);
}

enum sm_code sm_graph_add(struct sm_graph *graph, const struct sm_node *node, int32_t *index,
                          struct sm_err *err)
{
    struct sm_node made = *node;
    enum sm_code code;
    assert(made.in < graph->nodes_count && made.residual < graph->nodes_count);
    if (made.in == SM_NODE_IMAGE) {
        made.g.h_in = graph->input_h_px;
        made.g.w_in = graph->input_w_px;
        made.g.c_in = 3;
        made.map = true;
    } else {
        const struct sm_node *in = &graph->nodes[made.in];
        made.g.h_in = in->g.h;
        made.g.w_in = in->g.w;
        made.g.c_in = in->g.c;
        made.map = in->map;
    }
    infer_shape(&made);
    assert_geometry(&made);
    code = check_shape(&made, err);
    if (code == SM_OK &&
        !grow((void **)&graph->nodes, graph->nodes_count, &graph->nodes_room, sizeof *graph->nodes))
        code = sm_err_set(err, SM_NOMEM, "no memory for layer %s", made.name);
    if (code != SM_OK) {
        release_weights(&made);
        return code;
    }
    assert(made.residual < 0 ||
           sm_node_elements(&graph->nodes[made.residual]) == residual_elements(&made));
    if (index)
        *index = graph->nodes_count;
    graph->nodes[graph->nodes_count++] = made;
    return SM_OK;
}

enum sm_code sm_graph_add_unfused(struct sm_graph *graph, int32_t fused, int32_t *index,
                                  struct sm_err *err)
{
    struct sm_node node = graph->nodes[fused];
    node.residual = SM_NODE_NONE;
    node.shares_weights = node.tap_only = true;
    node.weights_of = fused;
    return sm_graph_add(graph, &node, index, err);
}

static enum sm_code pack(struct sm_node *node, const struct sm_kern *kern, struct sm_err *err)
{
    size_t floats = kern->op[node->kernel].packed_floats(&node->g);
    size_t bytes = (floats * sizeof(float) + PACK_ALIGN - 1) / PACK_ALIGN * PACK_ALIGN;
    float *packed = aligned_alloc(PACK_ALIGN, bytes);
    if (!packed)
        return sm_err_set(err, SM_NOMEM, "no memory for the %zu packed weights of %s", floats,
                          node->name);
    kern->op[node->kernel].pack(packed, node->weight, &node->g);
    free(node->weight);
    node->weight = packed;
    return SM_OK;
}

enum sm_code sm_graph_pack(struct sm_graph *graph, const struct sm_kern *kern, struct sm_err *err)
{
    enum sm_code code = SM_OK;
    for (int32_t i = 0; i < graph->nodes_count && code == SM_OK; i++) {
        struct sm_node *node = &graph->nodes[i];
        if (node->shares_weights)
            node->weight = graph->nodes[node->weights_of].weight;
        else if (node->weight && kern->op[node->kernel].packed_floats)
            code = pack(node, kern, err);
    }
    return code;
}

enum sm_code sm_graph_tap(struct sm_graph *graph, const char *name, int32_t node,
                          struct sm_err *err)
{
    if (!grow((void **)&graph->taps, graph->taps_count, &graph->taps_room, sizeof *graph->taps))
        return sm_err_set(err, SM_NOMEM, "no memory for tap %s", name);
    struct sm_graph_tap *tap = &graph->taps[graph->taps_count++];
    snprintf(tap->name, sizeof tap->name, "%s", name);
    tap->node = node;
    return SM_OK;
}

enum sm_code sm_graph_find_tap(int32_t *node, const struct sm_graph *graph, const char *name,
                               struct sm_err *err)
{
    char names[200] = "";
    size_t at = 0;
    int32_t blocks = 0, stages = 0;
    for (int32_t i = 0; i < graph->taps_count; i++) {
        const char *tap = graph->taps[i].name;
        if (!strcmp(tap, name)) {
            *node = graph->taps[i].node;
            return SM_OK;
        }
        if (!strncmp(tap, "block.", 6))
            blocks += !strchr(tap + 6, '.');
        else if (!strncmp(tap, "stage.", 6))
            stages++;
        else if (at < sizeof names)
            at += (size_t)snprintf(names + at, sizeof names - at, "%s ", tap);
    }
    if (stages && at < sizeof names)
        at += (size_t)snprintf(names + at, sizeof names - at, "stage.0 to stage.%d ",
                               (int)stages - 1);
    return sm_err_set(err, SM_NOT_FOUND, "no output \"%.40s\"; there are: %sblock.0 to block.%d",
                      name, names, (int)blocks - 1);
}

void sm_graph_release(struct sm_graph *graph)
{
    for (int32_t i = 0; i < graph->nodes_count; i++)
        release_weights(&graph->nodes[i]);
    free(graph->nodes);
    free(graph->taps);
    *graph = (struct sm_graph){0};
}

bool sm_graph_run(const struct sm_graph *graph, const struct sm_kern *kern, const bool *live,
                  const struct sm_graph_memory *memory, const struct sm_watch *watch,
                  const float *x, int32_t n)
{
    const size_t *offsets = memory->offsets;
    float *buffer = memory->buffer;
    for (int32_t i = 0; i < graph->nodes_count; i++) {
        const struct sm_node *node = &graph->nodes[i];
        if (!live[i])
            continue;
        if (!sm_watch_goes_on(watch))
            return false;
        const struct sm_kernel_args args = {
            .x = node->in < 0 ? x : buffer + offsets[node->in],
            .residual = node->residual < 0 ? NULL : buffer + offsets[node->residual],
            .weight = node->weight,
            .bias = node->bias,
            .y = buffer + offsets[i],
            .scratch = memory->scratch,
            .images = n,
        };
        kern->op[node->kernel].run(&node->g, &args);
    }
    return true;
}

json_t *sm_graph_json(const struct sm_graph *graph, const struct sm_kern *kern)
{
    json_t *list = json_array();
    for (int32_t i = 0; list && i < graph->nodes_count; i++) {
        const struct sm_node *node = &graph->nodes[i];
        const struct sm_geometry *g = &node->g;
        if (node->tap_only)
            continue;
        json_t *shape = node->map ? json_pack("[iii]", (int)g->h, (int)g->w, (int)g->c)
                                  : json_pack("[ii]", (int)g->h, (int)g->c);
        json_t *object =
            json_pack("{s:s, s:s, s:o, s:I, s:I, s:I}", "op", sm_kernel_name(node->kernel), "name",
                      node->name, "shape", shape, "parameters", (json_int_t)node->parameters,
                      "bytes", (json_int_t)(sm_node_elements(node) * sizeof(float)),
                      "multiply_adds", (json_int_t)node->multiply_adds);
        if (kern->op[node->kernel].algorithm)
            json_object_set_new(object, "algorithm",
                                json_string(kern->op[node->kernel].algorithm(g)));
        if (json_array_append_new(list, object) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}
