/* The table of ops of a row, and the choice of algorithm for convolutions. For kern_*.c of one
 * instruction set only. */
#ifndef CORE_KERN_SIMD_OPS_H
#define CORE_KERN_SIMD_OPS_H

#include "core/kern/simd_attention.h"
#include "core/kern/simd_depthwise.h"
#include "core/kern/simd_linear.h"
#include "core/kern/simd_wino_conv.h"

#ifdef SIMD_LANES

enum simd_way { SIMD_DEPTHWISE, SIMD_GROUPS, SIMD_POINTS, SIMD_WINDOWS, SIMD_WINOGRAD };

static enum simd_way simd_way_of(const struct sm_geometry *g)
{
    if (g->groups > 1)
        return simd_depthwise_fits(g) ? SIMD_DEPTHWISE : SIMD_GROUPS;
    if (g->k == 1 && g->stride == 1 && g->pad == 0)
        return SIMD_POINTS;
    return wino_outputs(g) ? SIMD_WINOGRAD : SIMD_WINDOWS;
}

static const char *simd_conv_algorithm(const struct sm_geometry *g)
{
    static const char *const names[] = {[0] = "direct", [2] = "winograd-2x2", [4] = "winograd-4x4"};
    return names[wino_outputs(g)];
}

static void simd_conv(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    switch (simd_way_of(g)) {
    case SIMD_DEPTHWISE:
        simd_depthwise(g, a);
        break;
    case SIMD_GROUPS:
        sm_kern_blas.op[SM_KERNEL_CONV2D].run(g, a);
        break;
    case SIMD_POINTS:
        simd_linear(g, a);
        break;
    case SIMD_WINDOWS:
        simd_conv2d(g, a);
        break;
    case SIMD_WINOGRAD:
        simd_winograd(g, a, wino_outputs(g));
    }
}

static size_t simd_conv_scratch(const struct sm_geometry *g)
{
    switch (simd_way_of(g)) {
    case SIMD_DEPTHWISE:
        return 0;
    case SIMD_GROUPS:
        return sm_kern_blas.op[SM_KERNEL_CONV2D].scratch_bytes(g);
    case SIMD_POINTS:
        return simd_linear_scratch(g);
    case SIMD_WINOGRAD:
        return wino_scratch(g, wino_outputs(g));
    case SIMD_WINDOWS:
        break;
    }
    return simd_conv2d_scratch(g);
}

static size_t simd_conv_depth(const struct sm_geometry *g)
{
    return (size_t)g->k * g->k * (g->c_in / g->groups);
}

static size_t simd_conv_packed(const struct sm_geometry *g)
{
    switch (simd_way_of(g)) {
    case SIMD_DEPTHWISE:
    case SIMD_GROUPS:
        return simd_conv_depth(g) * (size_t)g->c;
    case SIMD_WINOGRAD:
        return wino_packed(g, wino_outputs(g));
    default:
        return simd_conv_depth(g) * simd_round_up((size_t)g->c);
    }
}

static void simd_conv_pack(float *out, const float *weight, const struct sm_geometry *g)
{
    switch (simd_way_of(g)) {
    case SIMD_DEPTHWISE:
    case SIMD_GROUPS:
        memcpy(out, weight, simd_conv_packed(g) * sizeof *out);
        break;
    case SIMD_WINOGRAD:
        wino_pack(out, weight, g, wino_outputs(g));
        break;
    default:
        simd_pack(out, weight, simd_conv_depth(g), g->c, (size_t)g->c);
    }
}

#define SIMD_OPS                                                                                   \
    {                                                                                              \
        [SM_KERNEL_LAYOUT] = {sm_ref_layout, NULL},                                                \
        [SM_KERNEL_CONV2D] = {simd_conv, simd_conv_scratch, simd_conv_packed, simd_conv_pack,      \
                              simd_conv_algorithm},                                                \
        [SM_KERNEL_MAXPOOL] = {simd_maxpool, NULL}, [SM_KERNEL_AVGPOOL] = {sm_blas_avgpool, NULL}, \
        [SM_KERNEL_LINEAR] = {simd_linear, simd_linear_scratch, simd_linear_packed,                \
                              simd_linear_pack},                                                   \
        [SM_KERNEL_LAYERNORM] = {simd_layernorm, NULL},                                            \
        [SM_KERNEL_ATTENTION] = {simd_attention, simd_attention_scratch},                          \
        [SM_KERNEL_ROPE] = {sm_blas_rope, NULL}, [SM_KERNEL_GATE] = {simd_gate, NULL},             \
        [SM_KERNEL_PREPEND] = {sm_ref_prepend, NULL}, [SM_KERNEL_MEAN] = {sm_ref_mean, NULL},      \
        [SM_KERNEL_PICK] = {sm_ref_pick, NULL},                                                    \
    }

#endif

#endif
