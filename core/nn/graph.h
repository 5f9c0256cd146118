/* Graphs: a network as a flat array of nodes. Each node runs one op and writes one slot; one loop
 * runs all nodes.
 *
 *     struct sm_graph g = {0};
 *     struct sm_node conv = {.kernel = SM_KERNEL_CONV2D, .in = 0, .residual = SM_NODE_NONE, …};
 *     sm_graph_add(&g, &conv, &index, &err); // infers and checks the shape, owns the weights
 *     sm_graph_tap(&g, "tokens", index, &err);
 *     sm_graph_release(&g);
 *
 * A node and its slot have the same index: `in` and `residual` are indexes of earlier nodes.
 * Builders (resnet.c, vit.c, convnext.c) only describe a network; plan.c lays the slots out in one
 * buffer.
 *
 * Owner:   sm_graph_release frees nodes and weights; it accepts a zeroed graph.
 * Errors:  SM_INVALID (an impossible shape), SM_LIMIT, SM_NOMEM. */
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
    /* The caller of sm_graph_add sets k, stride, pad, ceil, groups (0: 1), heads, skip, rows (PICK:
     * 0 is 1), activation, eps and, if the weights decide it, c. sm_graph_add infers the rest. */
    struct sm_geometry g;
    char name[SM_NODE_NAME]; /* the layer's canonical name or, without weights, a description */
    bool map;                /* true: output is [h, w, c]; false: [h, c] */
    float *weight, *bias;
    bool shares_weights; /* weight and bias belong to node `weights_of` */
    int32_t weights_of;
    bool tap_only;      /* only its own tap needs it: neither counted nor listed */
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

/* Adds a node, after inferring and checking its shape. Takes over node->weight and node->bias, also
 * on failure. *index receives the node's index; `index` may be NULL. */
enum sm_code sm_graph_add(struct sm_graph *graph, const struct sm_node *node, int32_t *index,
                          struct sm_err *err);
/* Adds node `fused` again without its residual, sharing its weights. A tap on this node gives what
 * a block adds to the residual stream; it runs only if it is tapped. */
enum sm_code sm_graph_add_unfused(struct sm_graph *graph, int32_t fused, int32_t *index,
                                  struct sm_err *err);
/* Converts all weights to the layout of the kernels `kern`; the graph then runs with these only. */
enum sm_code sm_graph_pack(struct sm_graph *graph, const struct sm_kern *kern, struct sm_err *err);
enum sm_code sm_graph_tap(struct sm_graph *graph, const char *name, int32_t node,
                          struct sm_err *err);
/* Finds the node of a tap. SM_NOT_FOUND lists the taps of the graph. */
enum sm_code sm_graph_find_tap(int32_t *node, const struct sm_graph *graph, const char *name,
                               struct sm_err *err);
void sm_graph_release(struct sm_graph *graph);

/* Returns the number of elements of one image in a node's slot. */
size_t sm_node_elements(const struct sm_node *node);

/* Runs the nodes i with live[i] on x [n, 3, input_h_px, input_w_px]. Slot i is at buffer +
 * offsets[i], in floats. `watch` (may be NULL) decides before each node whether to go on; returns
 * false if it ended the run. */
struct sm_graph_memory {
    const size_t *offsets;
    float *buffer;
    void *scratch;
};
bool sm_graph_run(const struct sm_graph *graph, const struct sm_kern *kern, const bool *live,
                  const struct sm_graph_memory *memory, const struct sm_watch *watch,
                  const float *x, int32_t n);

/* Returns one object per op: {op, name, shape, parameters, bytes, multiply_adds} and "algorithm" if
 * `kern` has several for the op. shape is [h, w, c] or [tokens, dim], bytes are those of one
 * image's output. Nodes for taps only are left out. New reference, NULL when out of memory. */
json_t *sm_graph_json(const struct sm_graph *graph, const struct sm_kern *kern);

#endif
