/* What the files of this program share: shapes, their sizes, a guarded run, the comparison. */
#ifndef TESTS_KERN_KERN_H
#define TESTS_KERN_KERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/kern/kern.h"

#define GUARD    64 /* floats after every output that must stay as they are */
#define CANARY   12345.25f
#define ULP      5.9604645e-8
#define DENORMAL 1.5e-45 /* what a product loses at most when it underflows */

struct shape {
    enum sm_kernel kernel;
    int32_t images;
    struct sm_geometry g; /* as graph.c would complete it */
    bool residual;
    bool no_weight;  /* PREPEND: nothing to add */
    bool special;    /* some inputs are NaN or infinite */
    float magnitude; /* of x; 0 is 1 */
};

struct sizes {
    size_t x, weight, bias, residual, y;
    double terms; /* in one output's sum */
};

/* run.c. What is allocated is the caller's; without memory the program ends. */
float draw(void);                          /* uniform in [-1, 1) */
int32_t pick(int32_t first, int32_t last); /* uniform among first .. last */
float *buffer(size_t count, bool random);  /* with a guard behind it */
float *input(size_t count); /* random, without guard: AddressSanitizer sees a read behind it */
float *make_x(const struct shape *s, size_t count);
struct sizes measure(const struct shape *s);
/* NULL where the row takes weights as they are. What lies behind them must not be written. */
float *packed_weight(const struct sm_kern *row, const struct shape *s, const float *weight);
void run(const struct sm_kern *row, const struct shape *s, struct sm_kernel_args a);
void print_shape(const struct shape *s);

struct shape conv(int32_t images, int32_t h, int32_t w, int32_t c_in, int32_t c, int32_t k,
                  int32_t stride, int32_t pad, enum sm_activation act, bool residual);
/* Channels in `groups`: `depth` in and `width` out of each. */
struct shape grouped(int32_t images, int32_t h, int32_t w, int32_t groups, int32_t depth,
                     int32_t width, int32_t k, int32_t stride, int32_t pad);
struct shape rows(enum sm_kernel kernel, int32_t images, int32_t h, int32_t c_in, int32_t c);
struct shape attention(int32_t images, int32_t tokens, int32_t dim, int32_t heads);
struct shape rope(int32_t images, int32_t tokens, int32_t dim, int32_t heads, int32_t skip);

/* scales.c. What each output's error is measured by: its sum of magnitudes. */
void scales(double *out, const struct shape *s, const struct sizes *n,
            const struct sm_kernel_args *a, const float *exact);
/* What Winograd really adds up, in tiles of `outputs` a side. */
void winograd_scales(double *out, const struct shape *s, const struct sizes *n,
                     const struct sm_kernel_args *a, int outputs);
/* Outputs of a tile's side, 0: directly. */
int by_winograd(const struct sm_kern *row, const struct shape *s);

/* compare.c. NaN for NaN, the same infinity for an infinity, else within `allowed`, which is
 * nothing where an infinity went into the sum. */
bool close_to(double y, double exact, double allowed, bool special);
bool check(const struct shape *s);

/* False, and the reason printed, when anything differs. */
bool check_shapes(void);                 /* shapes.c */
bool check_moved(const struct shape *s); /* spec.c: PREPEND or PICK against indices, bit for bit */
bool check_spec(void);                   /* spec.c */
bool check_functions(bool print);        /* functions.c */

void bench_all(void); /* bench.c */

#endif
