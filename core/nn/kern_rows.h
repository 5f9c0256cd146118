/* The rows, and the reference kernels that other rows share: those that only move, compare or add
 * once, where another way of computing would give the same bits. For kern*.c only. */
#ifndef CORE_NN_KERN_ROWS_H
#define CORE_NN_KERN_ROWS_H

#include "core/nn/kern.h"

extern const struct sm_kern sm_kern_ref, sm_kern_blas;

void sm_ref_layout(const struct sm_geometry *g, const struct sm_kernel_args *a);
void sm_ref_maxpool(const struct sm_geometry *g, const struct sm_kernel_args *a);
void sm_ref_prepend(const struct sm_geometry *g, const struct sm_kernel_args *a);
void sm_ref_mean(const struct sm_geometry *g, const struct sm_kernel_args *a);
void sm_ref_pick(const struct sm_geometry *g, const struct sm_kernel_args *a);

#endif
