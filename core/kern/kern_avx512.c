/* Row "avx512": the shared kernels of simd_*.h, compiled for AVX-512. The Makefile gives this
 * file its instruction set; kern.c asks the processor before it offers the row. */
#include "core/kern/kern_rows.h"

#ifdef __x86_64__
#include "core/kern/simd_ops.h"

const struct sm_kern sm_kern_avx512 = {
    .name = "avx512",
    .supported = sm_has_avx512,
    .op = SIMD_OPS,
};
#endif
