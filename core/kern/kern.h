/* Kernels: the arithmetic of one op over a batch of images, in interchangeable rows.
 *
 *     const struct sm_kern *kern = sm_kern_find("auto");
 *     kern->op[SM_KERNEL_LINEAR].run(&geometry, &args);
 *
 * Activations are NHWC: a map is [image, h, w, c], tokens are [image, h, c] with w = 1. Weights
 * come in the layout named below, bias always exists (zeros where a layer has none). Row "ref" is
 * the specification: plain loops with double accumulators, rounded once. Row "blas" gives the
 * products to OpenBLAS and runs everywhere; "avx2" and "avx512" have weights packed at load and run
 * where the processor can. tests/kern compares them.
 *
 * Threads: kernels touch their arguments only; no allocation, no locks.
 * Limits:  one image's elements and every matrix side fit an int32 (graph.c checks them). */
#ifndef CORE_KERN_KERN_H
#define CORE_KERN_KERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sm_kernel {
    SM_KERNEL_LAYOUT,    /* x [image, c, h, w] -> y [image, h, w, c] */
    SM_KERNEL_CONV2D,    /* weight [k * k * c_in / groups, c]; y = act(x * w + bias + residual);
                            output channel j sees the input channels of group j / (c / groups) */
    SM_KERNEL_MAXPOOL,   /* k, stride, pad; padding is never the maximum */
    SM_KERNEL_AVGPOOL,   /* k, stride; no padding; windows that do not fit are left out */
    SM_KERNEL_LINEAR,    /* weight [c_in, c]; y = act(x w + bias + residual) */
    SM_KERNEL_LAYERNORM, /* weight, bias [c]; over c, biased variance, eps */
    SM_KERNEL_ATTENTION, /* x [image, h, 3 * c] rows q, k, v -> softmax(q k^T / sqrt(c / heads)) v
                          */
    SM_KERNEL_ROPE,      /* x [image, h, c] rows q, k, v; from row `skip` on each head of q and
                            k is turned by weight = cosines, bias = sines [h - skip, dim], where
                            dim = c / 3 / heads: x cos + rot(x) sin, rot(x) = [-x[dim / 2:],
                            x[:dim / 2]]; all other numbers are copied */
    SM_KERNEL_GATE,      /* x [image, h, 2 * c] rows a, b -> a / (1 + exp(-a)) * b */
    SM_KERNEL_PREPEND,   /* bias [rows, c] + residual [image, rows, c]; then the input rows from
                            `skip` on + weight [h - rows, c]. NULL adds nothing */
    SM_KERNEL_MEAN,      /* mean of the input rows from `skip` on -> [image, 1, c] */
    SM_KERNEL_PICK,      /* `rows` input rows from `skip` on -> [image, rows, c] */
    SM_KERNELS
};

enum sm_activation {
    SM_ACT_NONE,
    SM_ACT_RELU,
    SM_ACT_GELU,       /* exact: x/2 (1 + erf(x / sqrt 2)) */
    SM_ACT_GELU_TANH,  /* torch's "tanh": x/2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) */
    SM_ACT_GELU_QUICK, /* x / (1 + exp(-1.702 x)), as OpenAI's CLIP */
    SM_ACT_TANH
};

/* Geometry of one op. A field that the kernel does not use is zero. */
struct sm_geometry {
    int32_t h_in, w_in, c_in;
    int32_t h, w, c;
    int32_t k, stride, pad;
    bool ceil;      /* MAXPOOL: keeps a window that begins inside the image and ends outside */
    int32_t groups; /* 1 to c_in; divides c_in and c */
    int32_t heads, skip, rows;
    enum sm_activation activation;
    double eps;
};

struct sm_kernel_args {
    const float *x, *weight, *bias;
    const float *residual; /* shaped as y (PREPEND: as its first rows), or NULL */
    float *y;              /* must not overlap an input */
    void *scratch;         /* scratch_bytes of the row, aligned to 64 bytes */
    int32_t images;
};

struct sm_kern {
    const char *name;
    bool (*supported)(void); /* whether this processor can run the row; NULL: every processor can */
    struct {
        void (*run)(const struct sm_geometry *g, const struct sm_kernel_args *a);
        size_t (*scratch_bytes)(const struct sm_geometry *g); /* NULL: none */
        /* Packs a weight for `run`, once at load: out [packed_floats], aligned to 64 bytes. NULL:
         * `run` takes the weight as it is. */
        size_t (*packed_floats)(const struct sm_geometry *g);
        void (*pack)(float *out, const float *weight, const struct sm_geometry *g);
        /* Names the algorithm, which decides bits: "direct", "winograd-2x2", "winograd-4x4". NULL:
         * always "direct". */
        const char *(*algorithm)(const struct sm_geometry *g);
    } op[SM_KERNELS];
};

/* Returns the i-th row that this processor supports: 0 is the reference, the last is the fastest.
 * NULL past the last. */
const struct sm_kern *sm_kern_at(size_t index);

/* Returns a row by name; "auto" is the fastest. NULL: unknown, or not supported here. */
const struct sm_kern *sm_kern_find(const char *name);

/* "conv2d", … */
const char *sm_kernel_name(enum sm_kernel kernel);

#endif
