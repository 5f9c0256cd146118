/* Plans: the place of each slot of a graph in one buffer, for a number of images and a set of taps.
 *
 *     struct sm_plan plan;
 *     sm_plan_init(&plan, &graph, kern, 10, tap_nodes, 1, &err);
 *     // allocate plan.bytes, aligned to SM_PLAN_ALIGN; scratch is at plan.scratch_offset
 *     sm_plan_release(&plan);
 *
 * Errors:  SM_LIMIT for a buffer over SM_WORKSPACE_BYTES_MAX, SM_NOMEM. A failure leaves nothing to
 * release. */
#ifndef CORE_NN_PLAN_H
#define CORE_NN_PLAN_H

#include "core/nn/graph.h"

#define SM_WORKSPACE_BYTES_MAX (INT64_C(8) << 30)
#define SM_PLAN_ALIGN          64

struct sm_plan {
    bool *live;            /* [nodes] true if a requested tap depends on the node */
    size_t *offsets;       /* [nodes] offset of each slot in the buffer, in floats */
    size_t scratch_offset; /* offset of the scratch memory, in floats */
    size_t bytes;          /* size of the buffer, a multiple of SM_PLAN_ALIGN */
};

enum sm_code sm_plan_init(struct sm_plan *out, const struct sm_graph *graph,
                          const struct sm_kern *kern, int32_t images, const int32_t *taps,
                          size_t taps_count, struct sm_err *err);
void sm_plan_release(struct sm_plan *plan);

#endif
