/* Every row of every kernel against row "ref", on random and hostile shapes; `--bench` times the
 * rows, `--errors` prints what the approximations of functions are off by.
 *
 *     kern            compare, exit 1 when a row differs, writes a byte outside its output or
 *                     changes its inputs
 *     kern --bench    milliseconds per call on shapes of real networks
 *
 * Tolerance. A float sum of m terms differs from the exact one by at most about m u S, u = 2^-24
 * and S the sum of the terms' magnitudes (Higham, Accuracy and Stability, 3.1); blocked and
 * vectorised sums behave like sqrt(m) or better. So every case computes S beside each output (the
 * same kernel by row "ref" on |x|, |weight|, |bias|, |residual|) and allows 4 (8 + sqrt(m)) u S:
 * tight enough that a dropped term, a wrong padding or a wrong order fails at once. Every
 * activation is Lipschitz (below 1.13) and approximated within a few u of its argument: all stay
 * within the same form. Softmax weights carry the relative error of exp (1.1 ulp) and of their
 * scores, LayerNorm that of the mean: their S stands in the functions below. Kernels that only move
 * or add once must agree bit for bit.
 *
 * Winograd's convolutions add up other magnitudes, those of their transforms: winograd_scales.
 *
 * Special values. Where ref gives NaN a row gives NaN, where it gives an infinity the same one;
 * Winograd may give a NaN for it, and spread it over the tile.
 *
 * The specification itself. Shared code cannot disagree with itself, so what ref does is checked
 * against other statements of the same thing: convolution in groups against one with a weight of
 * mostly zeros, pooling against a convolution, moves against indices, functions against values
 * known to 10 digits. */
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
