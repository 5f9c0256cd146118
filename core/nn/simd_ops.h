/* The ops of a row of one instruction set. For kern_*.c of one instruction set only. */
#ifndef CORE_NN_SIMD_OPS_H
#define CORE_NN_SIMD_OPS_H

#include "core/nn/simd_attention.h"
#include "core/nn/simd_linear.h"

#ifdef SIMD_LANES

/* Which way a convolution goes, a function of its geometry. */
enum simd_way { SIMD_GROUPS, SIMD_POINTS, SIMD_WINDOWS };

static enum simd_way simd_way_of(const struct sm_geometry *g)
{
    if (g->groups > 1)
        return SIMD_GROUPS;
    return g->k == 1 && g->stride == 1 && g->pad == 0 ? SIMD_POINTS : SIMD_WINDOWS;
}

static void simd_conv(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    switch (simd_way_of(g)) {
    case SIMD_GROUPS:
        sm_kern_blas.op[SM_KERNEL_CONV2D].run(g, a);
        return;
    case SIMD_POINTS:
        simd_linear(g, a);
        return;
    case SIMD_WINDOWS:
        simd_conv2d(g, a);
    }
}

static size_t simd_conv_scratch(const struct sm_geometry *g)
{
    switch (simd_way_of(g)) {
    case SIMD_GROUPS:
        return sm_kern_blas.op[SM_KERNEL_CONV2D].scratch_bytes(g);
    case SIMD_POINTS:
        return simd_linear_scratch(g);
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
    size_t columns = (size_t)g->c;
    return simd_conv_depth(g) * (simd_way_of(g) == SIMD_GROUPS ? columns : simd_round_up(columns));
}

static void simd_conv_pack(float *out, const float *weight, const struct sm_geometry *g)
{
    if (simd_way_of(g) == SIMD_GROUPS)
        memcpy(out, weight, simd_conv_packed(g) * sizeof *out);
    else
        simd_pack(out, weight, simd_conv_depth(g), g->c, (size_t)g->c);
}

#define SIMD_OPS                                                                                   \
    {                                                                                              \
        [SM_KERNEL_LAYOUT] = {sm_ref_layout, NULL},                                                \
        [SM_KERNEL_CONV2D] = {simd_conv, simd_conv_scratch, simd_conv_packed, simd_conv_pack},     \
        [SM_KERNEL_MAXPOOL] = {sm_ref_maxpool, NULL},                                              \
        [SM_KERNEL_AVGPOOL] = {sm_blas_avgpool, NULL},                                             \
        [SM_KERNEL_LINEAR] = {simd_linear, simd_linear_scratch, simd_linear_packed,                \
                              simd_linear_pack},                                                   \
        [SM_KERNEL_LAYERNORM] = {sm_blas_layernorm, NULL},                                         \
        [SM_KERNEL_ATTENTION] = {simd_attention, simd_attention_scratch},                          \
        [SM_KERNEL_ROPE] = {sm_blas_rope, NULL}, [SM_KERNEL_GATE] = {sm_blas_gate, NULL},          \
        [SM_KERNEL_PREPEND] = {sm_ref_prepend, NULL}, [SM_KERNEL_MEAN] = {sm_ref_mean, NULL},      \
        [SM_KERNEL_PICK] = {sm_ref_pick, NULL},                                                    \
    }

#endif

#endif
