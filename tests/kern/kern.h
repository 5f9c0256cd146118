/* Declarations that the files of this program share: shapes, sizes, guarded runs, comparisons. */
#ifndef TESTS_KERN_KERN_H
#define TESTS_KERN_KERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/kern/kern.h"

#define GUARD    64 /* floats behind every output, which no kernel may write */
#define CANARY   12345.25f
#define ULP      5.9604645e-8
#define DENORMAL 1.5e-45 /* largest error of a product that underflows */

struct shape {
    enum sm_kernel kernel;
    int32_t images;
    struct sm_geometry g; /* complete, as graph.c makes it */
    bool residual;
    bool no_weight;  /* PREPEND without positions to add */
    bool special;    /* some inputs are NaN or infinite */
    float magnitude; /* factor of the inputs x; 0: 1 */
};

struct sizes {
    size_t x, weight, bias, residual, y;
    double terms; /* number of terms in the sum of one output */
};

/* run.c. The caller frees what these return; without memory the program aborts. */
float draw(void);                          /* uniform in [-1, 1) */
int32_t pick(int32_t first, int32_t last); /* uniform among first .. last */
float *buffer(size_t count, bool random);  /* has a guard behind it */
float *input(size_t count); /* random; no guard, so that AddressSanitizer sees reads behind it */
float *make_x(const struct shape *s, size_t count);
struct sizes measure(const struct shape *s);
/* Packs weights for a row and checks the guard behind them; NULL if the row does not pack. */
float *packed_weight(const struct sm_kern *row, const struct shape *s, const float *weight);
void run(const struct sm_kern *row, const struct shape *s, struct sm_kernel_args a);
void print_shape(const struct shape *s);

struct shape conv(int32_t images, int32_t h, int32_t w, int32_t c_in, int32_t c, int32_t k,
                  int32_t stride, int32_t pad, enum sm_activation act, bool residual);
/* A convolution in `groups`, each with `depth` channels in and `width` out. */
struct shape grouped(int32_t images, int32_t h, int32_t w, int32_t groups, int32_t depth,
                     int32_t width, int32_t k, int32_t stride, int32_t pad);
struct shape rows(enum sm_kernel kernel, int32_t images, int32_t h, int32_t c_in, int32_t c);
struct shape attention(int32_t images, int32_t tokens, int32_t dim, int32_t heads);
struct shape rope(int32_t images, int32_t tokens, int32_t dim, int32_t heads, int32_t skip);

/* scales.c. Writes the scale of each output's error: the sum of the magnitudes of its terms. */
void scales(double *out, const struct shape *s, const struct sizes *n,
            const struct sm_kernel_args *a, const float *exact);
/* The same for the terms that Winograd's transforms add up; tiles have `outputs` outputs a side. */
void winograd_scales(double *out, const struct shape *s, const struct sizes *n,
                     const struct sm_kernel_args *a, int outputs);
/* Returns the outputs a side of the row's Winograd tile; 0: the row convolves directly. */
int by_winograd(const struct sm_kern *row, const struct shape *s);

/* compare.c. Returns whether |y - exact| <= allowed. With `special`, if `exact` or `allowed` is not
 * finite, y must be NaN for a NaN, else equal `exact`. */
bool close_to(double y, double exact, double allowed, bool special);
bool check(const struct shape *s);

/* Each prints the difference and returns false if a result differs. */
bool check_shapes(void);                 /* shapes.c */
bool check_moved(const struct shape *s); /* spec.c: compares PREPEND or PICK by index, bit by bit */
bool check_spec(void);                   /* spec.c */
bool check_functions(bool print);        /* functions.c */

void bench_all(void); /* bench.c */

#endif
