/* Makes shapes as graph.c completes them and random inputs for them, and runs a row with guards
 * behind everything that it may write. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/rng.h"
#include "tests/kern/kern.h"

static uint32_t counter;

float draw(void)
{
    uint32_t r[4];
    sm_philox(r, (uint32_t[2]){1, 2}, (uint32_t[4]){counter++, 0, 0, 0});
    return (float)(2 * sm_unit(r[0], r[1]) - 1);
}

int32_t pick(int32_t first, int32_t last)
{
    return first + (int32_t)(0.5f * (draw() + 1) * (float)(last - first + 1)) % (last - first + 1);
}

float *buffer(size_t count, bool random)
{
    float *out = aligned_alloc(64, (count + GUARD + 15) / 16 * 64);
    if (!out)
        abort();
    for (size_t i = 0; i < count; i++)
        out[i] = random ? draw() : CANARY;
    for (size_t i = count; i < count + GUARD; i++)
        out[i] = CANARY;
    return out;
}

float *input(size_t count)
{
    float *out = malloc(count ? count * sizeof *out : 1);
    if (!out)
        abort();
    for (size_t i = 0; i < count; i++)
        out[i] = draw();
    return out;
}

struct sizes measure(const struct shape *s)
{
    const struct sm_geometry *g = &s->g;
    size_t in = (size_t)g->h_in * g->w_in * g->c_in, out = (size_t)g->h * g->w * g->c;
    struct sizes n = {in * s->images, 0, (size_t)g->c, out * s->images, out * s->images, 0};
    switch (s->kernel) {
    case SM_KERNEL_CONV2D:
        n.terms = (double)g->k * g->k * g->c_in / g->groups;
        n.weight = (size_t)n.terms * g->c;
        break;
    case SM_KERNEL_LINEAR:
        n.terms = g->c_in;
        n.weight = (size_t)g->c_in * g->c;
        break;
    case SM_KERNEL_AVGPOOL:
        n.terms = (double)g->k * g->k;
        break;
    case SM_KERNEL_LAYERNORM:
        n.terms = g->c;
        n.weight = (size_t)g->c;
        break;
    case SM_KERNEL_ATTENTION:
        n.terms = g->h + g->c;
        break;
    case SM_KERNEL_ROPE:
        n.weight = n.bias = (size_t)(g->h - g->skip) * (g->c_in / 3 / g->heads);
        break;
    case SM_KERNEL_PREPEND:
        n.weight = s->no_weight ? 0 : (size_t)(g->h - g->rows) * g->c;
        n.bias = (size_t)g->rows * g->c;
        n.residual = n.bias * s->images;
        break;
    default:
        break;
    }
    return n;
}

float *packed_weight(const struct sm_kern *row, const struct shape *s, const float *weight)
{
    if (!row->op[s->kernel].packed_floats)
        return NULL;
    size_t count = row->op[s->kernel].packed_floats(&s->g);
    float *packed = buffer(count, true);
    row->op[s->kernel].pack(packed, weight, &s->g);
    for (size_t i = 0; i < GUARD; i++) {
        if (packed[count + i] != CANARY) {
            printf("%s %s packs too much\n", row->name, sm_kernel_name(s->kernel));
            exit(1);
        }
    }
    return packed;
}

void run(const struct sm_kern *row, const struct shape *s, struct sm_kernel_args a)
{
    size_t (*bytes)(const struct sm_geometry *) = row->op[s->kernel].scratch_bytes;
    size_t count = bytes ? bytes(&s->g) / sizeof(float) : 0;
    float *scratch = buffer(count, true);
    float *packed = packed_weight(row, s, a.weight);
    a.scratch = scratch;
    a.images = s->images;
    a.weight = packed ? packed : a.weight;
    row->op[s->kernel].run(&s->g, &a);
    free(packed);
    for (size_t i = 0; i < GUARD; i++) {
        if (scratch[count + i] != CANARY) {
            printf("%s %s wrote behind its scratch\n", row->name, sm_kernel_name(s->kernel));
            exit(1);
        }
    }
    free(scratch);
}

void print_shape(const struct shape *s)
{
    const struct sm_geometry *g = &s->g;
    printf("  at images %d, %dx%dx%d -> %dx%dx%d, k %d, stride %d, pad %d, groups %d, heads %d, "
           "skip %d, rows %d, activation %d%s%s%s\n",
           s->images, g->h_in, g->w_in, g->c_in, g->h, g->w, g->c, g->k, g->stride, g->pad,
           g->groups, g->heads, g->skip, g->rows, g->activation, s->residual ? ", residual" : "",
           s->no_weight ? ", no weight" : "", s->special ? ", special" : "");
}

/* Replaces one input in 16 by a special value. One is a NaN with a payload, whose low bits must not
 * leak into a number. */
static void make_special(float *x, size_t count)
{
    const float values[] = {NAN,   nanf("0x1ff"), INFINITY, -INFINITY, 0.0f,
                            -0.0f, 1e-40f,        -1e-40f,  3e4f,      -3e4f};
    for (size_t i = 0; i < count; i++)
        if (pick(0, 15) == 0)
            x[i] = values[pick(0, sizeof values / sizeof values[0] - 1)];
}

float *make_x(const struct shape *s, size_t count)
{
    float *x = input(count);
    for (size_t i = 0; i < count && s->magnitude > 0; i++)
        x[i] *= s->magnitude;
    for (size_t i = 0; i < count && s->kernel == SM_KERNEL_LAYERNORM; i++)
        x[i] += (float)s->g.skip; /* an offset causes cancellation in the variance */
    if (s->special)
        make_special(x, count);
    return x;
}

struct shape conv(int32_t images, int32_t h, int32_t w, int32_t c_in, int32_t c, int32_t k,
                  int32_t stride, int32_t pad, enum sm_activation act, bool residual)
{
    return (struct shape){.kernel = SM_KERNEL_CONV2D,
                          .images = images,
                          .g = {.h_in = h,
                                .w_in = w,
                                .c_in = c_in,
                                .h = (h + 2 * pad - k) / stride + 1,
                                .w = (w + 2 * pad - k) / stride + 1,
                                .c = c,
                                .k = k,
                                .stride = stride,
                                .pad = pad,
                                .groups = 1,
                                .activation = act},
                          .residual = residual};
}

struct shape rows(enum sm_kernel kernel, int32_t images, int32_t h, int32_t c_in, int32_t c)
{
    return (struct shape){
        .kernel = kernel,
        .images = images,
        .g = {.h_in = h, .w_in = 1, .c_in = c_in, .h = h, .w = 1, .c = c, .eps = 1e-6}};
}

struct shape attention(int32_t images, int32_t tokens, int32_t dim, int32_t heads)
{
    struct shape s = rows(SM_KERNEL_ATTENTION, images, tokens, 3 * dim, dim);
    s.g.heads = heads;
    return s;
}

struct shape grouped(int32_t images, int32_t h, int32_t w, int32_t groups, int32_t depth,
                     int32_t width, int32_t k, int32_t stride, int32_t pad)
{
    struct shape s =
        conv(images, h, w, groups * depth, groups * width, k, stride, pad, SM_ACT_NONE, false);
    s.g.groups = groups;
    return s;
}

struct shape rope(int32_t images, int32_t tokens, int32_t dim, int32_t heads, int32_t skip)
{
    struct shape s = rows(SM_KERNEL_ROPE, images, tokens, 3 * dim, 3 * dim);
    s.g.heads = heads;
    s.g.skip = skip;
    return s;
}
