/* Row "avx2": the shared kernels of simd_*.h, compiled for AVX2 and FMA. The Makefile gives this
 * file its instruction set; kern.c asks the processor before it offers the row. */
#include "core/kern/kern_rows.h"

#ifdef __x86_64__
#include "core/kern/simd_ops.h"

const struct sm_kern sm_kern_avx2 = {
    .name = "avx2",
    .supported = sm_has_avx2,
    .op = SIMD_OPS,
};
#endif
