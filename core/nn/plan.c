/* Plans a workspace, once, in three passes.
 *
 * 1. Backwards: a node is live if a tap or a live node reads it. Other nodes are not computed.
 * 2. Backwards too: finds the last use of each slot. A tapped slot is used until the end.
 * 3. Forwards: places each slot in the lowest gap between the slots still in use (first fit). Few
 * slots are in use at once (a chain with one residual keeps three), so the search is linear in
 * nodes for real networks. With every block tapped it is quadratic in blocks, which are few.
 *
 * Scratch memory for the kernel that needs most lies behind the slots. All offsets are multiples of
 * SM_PLAN_ALIGN bytes. */
#include "core/nn/plan.h"

#include <stdlib.h>

#define ALIGN_FLOATS (SM_PLAN_ALIGN / sizeof(float))

struct slot {
    size_t begin, end; /* offsets in the buffer, in floats */
    int32_t last;      /* last node that reads the slot */
};

static size_t round_up(size_t floats)
{
    return (floats + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
}

static void mark(struct sm_plan *plan, int32_t *last, const struct sm_graph *graph,
                 const int32_t *taps, size_t taps_count)
{
    for (size_t i = 0; i < taps_count; i++) {
        plan->live[taps[i]] = true;
        last[taps[i]] = graph->nodes_count;
    }
    for (int32_t i = graph->nodes_count - 1; i >= 0; i--) {
        const int32_t reads[] = {graph->nodes[i].in, graph->nodes[i].residual};
        for (size_t r = 0; plan->live[i] && r < 2; r++) {
            if (reads[r] < 0)
                continue;
            plan->live[reads[r]] = true;
            if (last[reads[r]] < i)
                last[reads[r]] = i;
        }
    }
}

/* Inserts a slot at the lowest free offset, which it returns. `used` is sorted by offset. */
static size_t place(struct slot *used, size_t *used_count, size_t floats, int32_t last)
{
    size_t at = 0, begin = 0;
    while (at < *used_count && used[at].begin < begin + floats)
        begin = used[at++].end;
    for (size_t i = *used_count; i > at; i--)
        used[i] = used[i - 1];
    used[at] = (struct slot){begin, begin + floats, last};
    ++*used_count;
    return begin;
}

/* Drops the slots that neither `node` nor a later node reads. */
static void retire(struct slot *used, size_t *used_count, int32_t node)
{
    size_t kept = 0;
    for (size_t i = 0; i < *used_count; i++)
        if (used[i].last >= node)
            used[kept++] = used[i];
    *used_count = kept;
}

/* Assigns an offset to each slot. Each slot is bounded already (2^31 numbers times images), so only
 * their sum needs the limit. */
static enum sm_code lay_out(struct sm_plan *plan, struct slot *used, const int32_t *last,
                            const struct sm_graph *graph, const struct sm_kern *kern,
                            int32_t images, struct sm_err *err)
{
    size_t used_count = 0, end = 0, scratch = 0;
    const size_t limit = (size_t)SM_WORKSPACE_BYTES_MAX;
    for (int32_t i = 0; i < graph->nodes_count; i++) {
        const struct sm_node *node = &graph->nodes[i];
        if (!plan->live[i])
            continue;
        retire(used, &used_count, i);
        size_t floats = round_up(sm_node_elements(node) * (size_t)images);
        plan->offsets[i] = place(used, &used_count, floats, last[i]);
        if (plan->offsets[i] + floats > end)
            end = plan->offsets[i] + floats;
        size_t (*bytes)(const struct sm_geometry *) = kern->op[node->kernel].scratch_bytes;
        size_t need = bytes ? round_up(bytes(&node->g) / sizeof(float) + 1) : 0;
        scratch = need > scratch ? need : scratch;
        if (end + scratch > limit / sizeof(float))
            return sm_err_set(err, SM_LIMIT, "workspace of %d images needs over %zu bytes, at %s",
                              (int)images, limit, node->name);
    }
    plan->scratch_offset = end;
    plan->bytes = (end + scratch) * sizeof(float);
    return SM_OK;
}

enum sm_code sm_plan_init(struct sm_plan *out, const struct sm_graph *graph,
                          const struct sm_kern *kern, int32_t images, const int32_t *taps,
                          size_t taps_count, struct sm_err *err)
{
    size_t count = (size_t)graph->nodes_count;
    enum sm_code code;
    int32_t *last = malloc(count * sizeof *last);
    struct slot *used = calloc(count + 1, sizeof *used);
    *out = (struct sm_plan){calloc(count, sizeof *out->live), calloc(count, sizeof *out->offsets),
                            0, 0};
    if (!last || !used || !out->live || !out->offsets) {
        code = sm_err_set(err, SM_NOMEM, "no memory to plan %zu layers", count);
        goto out;
    }
    for (size_t i = 0; i < count; i++)
        last[i] = -1;
    mark(out, last, graph, taps, taps_count);
    code = lay_out(out, used, last, graph, kern, images, err);
out:
    if (code != SM_OK)
        sm_plan_release(out);
    free(last);
    free(used);
    return code;
}

void sm_plan_release(struct sm_plan *plan)
{
    free(plan->live);
    free(plan->offsets);
    *plan = (struct sm_plan){0};
}
