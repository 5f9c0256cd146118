/* Graphs: a network as a flat array of ops, each writing one slot, run by one loop.
 *
 *     struct sm_graph g = {0};
 *     struct sm_node conv = {.kernel = SM_KERNEL_CONV2D, .in = 0, .residual = SM_NODE_NONE, …};
 *     sm_graph_add(&g, &conv, &index, &err); // infers and checks the shape, owns the weights
 *     sm_graph_tap(&g, "tokens", index, &err);
 *     sm_graph_release(&g);
 *
 * A node is its own slot: `in` and `residual` are indexes of earlier nodes. Architectures
 * (resnet.c, vit.c) only describe; plan.c lays the slots out in one buffer.
 *
 * Owner:   sm_graph_release frees nodes and weights; accepts a zeroed graph.
 * Errors:  SM_INVALID (a shape that cannot be), SM_LIMIT, SM_NOMEM. */
#ifndef CORE_NN_GRAPH_H
#define CORE_NN_GRAPH_H

#include <jansson.h>
#include <stdbool.h>

#include "core/kern/kern.h"
#include "sslmem/err.h"
#include "sslmem/watch.h"

#define SM_NODE_NAME  64
#define SM_TAP_NAME   32
#define SM_NODE_IMAGE (-1) /* the input image, [3, input_h_px, input_w_px] */
#define SM_NODE_NONE  (-2)

struct sm_node {
    enum sm_kernel kernel;
    int32_t in, residual;
    struct sm_geometry
        g; /* to add: k, stride, pad, groups (0: 1), heads, skip, rows (PICK: 0 is 1),
                             activation, eps and, where weights decide it, c */
    char name[SM_NODE_NAME]; /* as torchvision / timm name the layer */
    bool map;                /* output is [h, w, c], else [h, c] */
    float *weight, *bias;
    bool shares_weights; /* weight and bias are those of node `weights_of`, which owns them */
    int32_t weights_of;
    bool tap_only;      /* no output of the encoder needs it: left out of sums and listings */
    int64_t parameters; /* learned numbers in the checkpoint, before folding */
    int64_t multiply_adds;
};

struct sm_graph_tap {
    char name[SM_TAP_NAME];
    int32_t node;
};

struct sm_graph {
    int32_t input_h_px, input_w_px;
    struct sm_node *nodes;
    struct sm_graph_tap *taps;
    int32_t nodes_count, nodes_room, taps_count, taps_room;
};

/* Takes over node->weight and node->bias, also on failure. `index` may be NULL. */
enum sm_code sm_graph_add(struct sm_graph *graph, const struct sm_node *node, int32_t *index,
                          struct sm_err *err);
/* Adds the product of node `fused` once more without its residual, sharing its weights: for a tap
 * of what a block adds to the stream. It runs only when it is tapped. */
enum sm_code sm_graph_add_unfused(struct sm_graph *graph, int32_t fused, int32_t *index,
                                  struct sm_err *err);
/* Puts all weights into the form that the kernels want; the graph then runs with these only. */
enum sm_code sm_graph_pack(struct sm_graph *graph, const struct sm_kern *kern, struct sm_err *err);
enum sm_code sm_graph_tap(struct sm_graph *graph, const char *name, int32_t node,
                          struct sm_err *err);
/* SM_NOT_FOUND lists what there is. */
enum sm_code sm_graph_find_tap(int32_t *node, const struct sm_graph *graph, const char *name,
                               struct sm_err *err);
void sm_graph_release(struct sm_graph *graph);

/* Elements of one image in a node's slot. */
size_t sm_node_elements(const struct sm_node *node);

/* Runs the nodes with live[i], reading x [n, 3, input_h_px, input_w_px]; slots are buffer +
 * offsets[i]. `watch` (may be NULL) is asked before each node; false when it ended the run. */
struct sm_graph_memory {
    const size_t *offsets;
    float *buffer;
    void *scratch;
};
bool sm_graph_run(const struct sm_graph *graph, const struct sm_kern *kern, const bool *live,
                  const struct sm_graph_memory *memory, const struct sm_watch *watch,
                  const float *x, int32_t n);

/* One object per op: {op, name, shape, parameters, bytes, multiply_adds} and, where `kern` has a
 * choice, "algorithm"; shape is [h, w, c] or [tokens, dim], bytes those of one image's output.
 * Nodes for taps only are left out. New reference, NULL when out of memory. */
json_t *sm_graph_json(const struct sm_graph *graph, const struct sm_kern *kern);

#endif
