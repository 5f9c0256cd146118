/* The rows, and the kernels that rows share: from "ref" those that only move, compare or add once,
 * where every way of computing gives the same bits; from "blas" those that compilers vectorise well
 * enough. For kern*.c only. */
#ifndef CORE_KERN_KERN_ROWS_H
#define CORE_KERN_KERN_ROWS_H

#include "core/kern/kern.h"

extern const struct sm_kern sm_kern_ref, sm_kern_blas;
#ifdef __x86_64__
extern const struct sm_kern sm_kern_avx2, sm_kern_avx512;
/* Defined in kern.c, which is compiled for every processor. */
bool sm_has_avx2(void);
bool sm_has_avx512(void);
#endif

void sm_ref_layout(const struct sm_geometry *g, const struct sm_kernel_args *a);
void sm_ref_maxpool(const struct sm_geometry *g, const struct sm_kernel_args *a);
void sm_ref_prepend(const struct sm_geometry *g, const struct sm_kernel_args *a);
void sm_ref_mean(const struct sm_geometry *g, const struct sm_kernel_args *a);
void sm_ref_pick(const struct sm_geometry *g, const struct sm_kernel_args *a);

void sm_blas_avgpool(const struct sm_geometry *g, const struct sm_kernel_args *a);
void sm_blas_rope(const struct sm_geometry *g, const struct sm_kernel_args *a);

#endif
