/* Compares every row of every kernel with row "ref", on random and hostile shapes.
 *
 *     kern            exits with 1 if a row differs, writes outside its output or changes an input
 *     kern --errors   also prints the errors of approximated functions
 *     kern --bench    prints milliseconds per call on shapes of real networks
 *
 * Tolerance. A float sum of m terms differs from the exact sum by at most about m u S, where
 * u = 2^-24 and S is the sum of the terms' magnitudes (Higham, Accuracy and Stability, 3.1);
 * blocked and vectorised sums behave like sqrt(m) or better. So S is computed for each output (row
 * "ref" runs the same kernel on |x|, |weight|, |bias|, |residual|), and 4 (8 + sqrt(m)) u S is
 * allowed. That is tight enough for a dropped term, a wrong padding or a wrong order to fail at
 * once. Activations have Lipschitz constants below 1.13 and are approximated within a few u of
 * their argument, so the same form covers them. Softmax weights have the relative error of exp
 * (1.1 ulp) and of their scores, LayerNorm has that of the mean: scales.c computes their S. Kernels
 * that only move values or add once must agree bit for bit.
 *
 * Winograd convolutions add up other terms, those of their transforms: see winograd_scales.
 *
 * Special values. If ref gives NaN, a row must give NaN; if ref gives an infinity, the same one.
 * Winograd may give NaN instead of an infinity, and may spread either over its tile.
 *
 * The specification itself. Row "ref" is checked against other definitions of the same results:
 * convolution in groups against one whose weight is mostly zeros, pooling against a convolution,
 * moves against indices, functions against values known to 10 digits. */
#include <stdio.h>
#include <string.h>

#include "sslmem/encoder.h"
#include "tests/kern/kern.h"

int main(int argc, char **argv)
{
    sm_blas_single_thread();
    if (argc == 2 && !strcmp(argv[1], "--bench")) {
        printf("%s\n", sm_blas_version());
        bench_all();
        return 0;
    }
    bool ok = check_shapes();
    ok &= check_spec();
    ok &= check_functions(argc == 2 && !strcmp(argv[1], "--errors"));
    printf("kernels: %s\n", ok ? "all rows agree with ref" : "FAILED");
    return ok ? 0 : 1;
}
