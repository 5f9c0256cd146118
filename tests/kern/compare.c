/* Compares, on one shape, every row with row "ref" and each row with its own second run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kern/kern.h"

bool close_to(double y, double exact, double allowed, bool special)
{
    if (special && (!isfinite(exact) || !isfinite(allowed)))
        return isnan(exact) ? isnan(y) : y == exact;
    return fabs(y - exact) <= allowed;
}

static bool agrees(const struct sm_kern *row, const struct shape *s, const struct sizes *n,
                   const float *exact, const float *y, const double *scale)
{
    for (size_t i = 0; i < n->y; i++) {
        double allowed = 4 * (8 + sqrt(n->terms)) * ULP * scale[i];
        if (allowed > 0)
            allowed += (2 + n->terms) * DENORMAL;
        if (close_to((double)y[i], (double)exact[i], allowed, s->special))
            continue;
        if (s->special && !isfinite(scale[i]) && by_winograd(row, s) && !isfinite(y[i]))
            continue; /* Winograd spreads it over the tile */
        printf("%s %s: output %zu is %.9g, ref %.9g, difference %.3g, allowed %.3g\n", row->name,
               sm_kernel_name(s->kernel), i, (double)y[i], (double)exact[i],
               fabs((double)y[i] - (double)exact[i]), allowed);
        return false;
    }
    for (size_t i = n->y; i < n->y + GUARD; i++) {
        if (y[i] != CANARY) {
            printf("%s %s wrote behind its output\n", row->name, sm_kernel_name(s->kernel));
            return false;
        }
    }
    return true;
}

/* Checks the root mean square error of Winograd's outputs. The bound of single outputs is for the
 * worst case, about 100 times what random inputs give. The errors of random inputs partly cancel,
 * so their root mean square is smaller than the scale by the root of the number of terms; half of
 * the error allowed here was measured. A transform with one constant wrong by 1e-5 exceeds it. */
static bool agrees_in_mean(const struct sm_kern *row, const struct shape *s, const struct sizes *n,
                           const float *exact, const float *y, const double *scale)
{
    double errors = 0, scales = 0;
    for (size_t i = 0; i < n->y; i++) {
        errors += pow((double)y[i] - (double)exact[i], 2);
        scales += pow(scale[i], 2);
    }
    double allowed = (8 + sqrt(n->terms)) / sqrt(n->terms) * ULP * sqrt(scales);
    if (s->special || errors <= allowed * allowed)
        return true;
    printf("%s %s is off by %.3g in the mean, allowed %.3g\n", row->name, sm_kernel_name(s->kernel),
           sqrt(errors / (double)n->y), allowed / sqrt((double)n->y));
    return false;
}

/* Checks a row: it agrees with "ref"; a second run into a buffer with other contents gives the same
 * bits; the inputs do not change. */
static bool check_row(const struct sm_kern *row, const struct shape *s, const struct sizes *n,
                      struct sm_kernel_args a, const float *exact, const double *scale,
                      const double *direct)
{
    float *x = input(n->x), *y = buffer(n->y, false), *again = buffer(n->y, true);
    memcpy(x, a.x, n->x * sizeof *x);
    a.y = y;
    run(row, s, a);
    bool ok = agrees(row, s, n, exact, y, scale) &&
              (scale == direct || agrees_in_mean(row, s, n, exact, y, direct));
    a.y = again;
    run(row, s, a);
    if (ok && memcmp(y, again, (n->y + GUARD) * sizeof *y) != 0) {
        printf("%s %s gives other bits the second time\n", row->name, sm_kernel_name(s->kernel));
        ok = false;
    }
    if (ok && memcmp(x, a.x, n->x * sizeof *x) != 0) {
        printf("%s %s changes its input\n", row->name, sm_kernel_name(s->kernel));
        ok = false;
    }
    free(x);
    free(y);
    free(again);
    return ok;
}

bool check(const struct shape *s)
{
    struct sizes n = measure(s);
    float *x = make_x(s, n.x), *weight = input(n.weight), *bias = input(n.bias);
    float *residual = s->residual ? input(n.residual) : NULL, *exact = buffer(n.y, false);
    double *scale = malloc(n.y * sizeof *scale);
    const struct sm_kernel_args a = {.x = x,
                                     .weight = s->no_weight ? NULL : weight,
                                     .bias = bias,
                                     .residual = residual,
                                     .y = exact};
    bool ok = scale != NULL;
    run(sm_kern_at(0), s, a);
    scales(scale, s, &n, &a, exact);
    ok = ok && agrees(sm_kern_at(0), s, &n, exact, exact, scale); /* checks guard and NaN */
    double *tiles = malloc(n.y * sizeof *tiles);
    for (size_t r = 1, known = 0; ok && sm_kern_at(r); r++) {
        size_t side = (size_t)by_winograd(sm_kern_at(r), s);
        if (side && side != known)
            winograd_scales(tiles, s, &n, &a, (int)(known = side));
        ok = check_row(sm_kern_at(r), s, &n, a, exact, side ? tiles : scale, scale);
    }
    free(tiles);
    if (!ok)
        print_shape(s);
    free(x);
    free(weight);
    free(bias);
    free(residual);
    free(exact);
    free(scale);
    return ok;
}
