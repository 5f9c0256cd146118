/* The shapes that every kernel is tested on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kern/kern.h"

static bool check_convs(void)
{
    static const int32_t windows[][3] = {{1, 1, 0}, {1, 2, 0}, {3, 1, 1}, {3, 2, 1}, {3, 1, 0},
                                         {5, 1, 2}, {7, 2, 3}, {4, 4, 0}, {3, 1, 2}};
    static const int32_t channels[] = {1, 3, 7, 17, 64, 65};
    bool ok = true;
    for (size_t i = 0; i < sizeof windows / sizeof windows[0] * 36; i++) {
        const int32_t *w = windows[i / 36];
        int32_t c_in = channels[i / 6 % 6], c = channels[i % 6];
        int32_t n = 1 + (int32_t)(i % (c_in * c > 500 ? 2 : 16));
        int32_t h = w[0] + (int32_t)(i * 7 % 9), width = w[0] + (int32_t)(i * 5 % 11);
        struct shape s =
            conv(n, h, width, c_in, c, w[0], w[1], w[2], (enum sm_activation)(i % 6), i % 2);
        s.special = i % 7 == 0;
        ok &= check(&s);
    }
    const struct shape hostile[] = {
        conv(1, 1, 1, 3, 5, 7, 2, 3, SM_ACT_RELU, false), /* the window is wider than the image */
        conv(3, 1, 1, 4, 4, 3, 1, 1, SM_ACT_RELU, true),  /* one pixel, the rest is padding */
        conv(2, 2, 1, 3, 2, 7, 1, 3, SM_ACT_NONE, false),
        conv(16, 31, 29, 3, 8, 3, 1, 1, SM_ACT_RELU, false), /* many blocks of rows */
        conv(2, 20, 20, 1, 1, 1, 1, 0, SM_ACT_NONE, true),
        conv(1, 9, 9, 256, 512, 3, 1, 1, SM_ACT_RELU, true), /* a deep sum */
        conv(2, 6, 5, 300, 24, 3, 1, 1, SM_ACT_GELU, true),  /* a sum deeper than a block */
        conv(2, 3, 4, 520, 70, 3, 1, 1, SM_ACT_RELU, false),
        conv(1, 5, 6, 300, 33, 3, 2, 1, SM_ACT_NONE, true),
        conv(9, 13, 11, 70, 40, 3, 1, 1, SM_ACT_NONE, true), /* many blocks of tiles */
        conv(1, 7, 9, 24, 24, 3, 1, 0, SM_ACT_TANH, false),
    };
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++)
        ok &= check(&hostile[i]);
    return ok;
}

static bool check_groups(void)
{
    bool ok = true;
    for (int32_t i = 0; i < 600; i++) {
        int32_t k = pick(1, 7), pad = pick(0, 3), side = k > 2 * pad ? k - 2 * pad : 1;
        int32_t groups = pick(1, i % 8 ? 8 : 40), depth = i % 3 ? pick(1, 9) : 1;
        int32_t width = i % 2 ? depth : pick(1, i % 16 ? 9 : 70);
        struct shape s = grouped(pick(1, 4), side + pick(0, 8), side + pick(0, 8), groups, depth,
                                 width, k, pick(1, 4), pad);
        s.g.activation = (enum sm_activation)pick(SM_ACT_NONE, SM_ACT_TANH);
        s.residual = pick(0, 1);
        s.special = i % 5 == 0;
        ok &= check(&s);
    }
    const struct shape hostile[] = {
        grouped(1, 1, 1, 2, 1, 1, 7, 4, 3),
        grouped(5, 1, 33, 96, 1, 1, 7, 1, 3),
        grouped(2, 23, 1, 65, 1, 1, 3, 2, 1),
        grouped(3, 21, 19, 8, 4, 4, 3, 1, 1), /* many blocks */
        grouped(2, 5, 6, 33, 1, 3, 5, 1, 2),
        grouped(1, 6, 5, 2, 1, 40, 3, 1, 1),
        grouped(2, 9, 7, 3, 5, 2, 1, 1, 0), /* pointwise, in groups */
    };
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++)
        ok &= check(&hostile[i]);
    return ok;
}

/* Checks that an image gives the same bits alone as among others, whatever their number and
 * whichever rows share its tile. The packed rows promise this, and batches rely on it. */
static bool check_alone(void)
{
    const struct shape shapes[] = {
        conv(7, 9, 9, 20, 70, 3, 1, 1, SM_ACT_RELU, true),
        conv(7, 4, 4, 300, 40, 3, 1, 1, SM_ACT_NONE, true),
        conv(5, 11, 9, 40, 66, 3, 2, 1, SM_ACT_GELU, false),
        conv(5, 13, 13, 3, 33, 7, 2, 3, SM_ACT_RELU, false),
        conv(7, 5, 5, 600, 70, 1, 1, 0, SM_ACT_RELU, true),
        attention(5, 33, 96, 2),
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct shape all = shapes[i], one = shapes[i];
        struct sizes n = measure(&all);
        size_t x_size = n.x / all.images, y_size = n.y / all.images;
        float *x = buffer(n.x, true), *weight = buffer(n.weight, true),
              *bias = buffer(n.bias, true);
        float *residual = all.residual ? buffer(n.residual, true) : NULL;
        float *y = buffer(n.y, false), *alone = buffer(y_size, false);
        one.images = 1;
        for (size_t r = 2; sm_kern_at(r); r++) {
            struct sm_kernel_args a = {
                .x = x, .weight = weight, .bias = bias, .residual = residual, .y = y};
            run(sm_kern_at(r), &all, a);
            a.y = alone;
            for (int32_t p = 0; p < all.images; p++, a.x += x_size) {
                run(sm_kern_at(r), &one, a);
                a.residual = a.residual ? a.residual + y_size : NULL;
                if (!memcmp(alone, y + p * y_size, y_size * sizeof *y))
                    continue;
                printf("%s: image %d has other bits alone\n", sm_kern_at(r)->name, (int)p);
                print_shape(&all);
                ok = false;
            }
        }
        free(x);
        free(weight);
        free(bias);
        free(residual);
        free(y);
        free(alone);
    }
    return ok;
}

/* Checks the rule that chooses a convolution's algorithm, on which the bits depend. */
static bool check_algorithms(void)
{
    const struct {
        struct shape s;
        const char *expected;
    } cases[] = {
        {conv(1, 32, 32, 64, 64, 3, 1, 1, SM_ACT_RELU, false), "winograd-4x4"},
        {conv(1, 5, 5, 8, 8, 3, 1, 1, SM_ACT_RELU, false), "winograd-4x4"},
        {conv(1, 4, 5, 8, 8, 3, 1, 1, SM_ACT_RELU, false), "winograd-2x2"},
        {conv(1, 2, 2, 512, 512, 3, 1, 1, SM_ACT_RELU, false), "winograd-2x2"},
        {conv(1, 1, 9, 64, 64, 3, 1, 1, SM_ACT_RELU, false), "direct"},
        {conv(1, 32, 32, 7, 64, 3, 1, 1, SM_ACT_RELU, false), "direct"},
        {conv(1, 32, 32, 64, 7, 3, 1, 1, SM_ACT_RELU, false), "direct"},
        {conv(1, 32, 32, 64, 64, 3, 2, 1, SM_ACT_RELU, false), "direct"},
        {conv(1, 32, 32, 64, 64, 5, 1, 2, SM_ACT_RELU, false), "direct"},
        {grouped(1, 32, 32, 2, 32, 32, 3, 1, 1), "direct"},
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t r = 2; sm_kern_at(r); r++) {
            const char *name = sm_kern_at(r)->op[SM_KERNEL_CONV2D].algorithm(&cases[i].s.g);
            if (!strcmp(name, cases[i].expected))
                continue;
            printf("%s goes by %s, must be %s\n", sm_kern_at(r)->name, name, cases[i].expected);
            print_shape(&cases[i].s);
            ok = false;
        }
    }
    return ok;
}

static bool check_avgpools(void)
{
    bool ok = true;
    for (int32_t i = 0; i < 100; i++) {
        int32_t k = pick(1, 7), c = pick(1, 70);
        struct shape s = conv(pick(1, 5), k + pick(0, 9), k + pick(0, 9), c, c, k, pick(1, 4), 0,
                              SM_ACT_NONE, false);
        s.kernel = SM_KERNEL_AVGPOOL;
        s.special = i % 4 == 0;
        ok &= check(&s);
    }
    return ok;
}

static bool check_pools(void)
{
    bool ok = true;
    for (int32_t side = 1; side < 12; side++) {
        struct shape s =
            conv(1 + side % 4, side, side + 2, side, side, 3, 2, 1, SM_ACT_NONE, false);
        s.kernel = SM_KERNEL_MAXPOOL;
        ok &= check(&s);
        s.special = true;
        s.g.c = s.g.c_in = side + 15;
        ok &= check(&s);
    }
    return ok;
}

static bool check_rows(void)
{
    static const int32_t sizes[] = {1, 3, 7, 16, 17, 64, 100, 385};
    bool ok = true;
    for (size_t i = 0; i < 8 * 8 * 2; i++) {
        int32_t a = sizes[i % 8], b = sizes[i / 8 % 8],
                n = 1 + (int32_t)(i % (a * b > 5000 ? 2 : 16));
        struct shape s = rows(SM_KERNEL_LINEAR, n, 1 + (int32_t)(i * 3 % 50), a, b);
        s.g.activation = (enum sm_activation)(i % 6);
        s.residual = i / 64;
        s.special = i % 5 == 0;
        s.magnitude = i % 4 ? 0 : 20;
        ok &= check(&s);
        s = rows(SM_KERNEL_LAYERNORM, n, b, a, a);
        s.g.skip = i / 64 ? 60 : 0;
        s.g.eps = i % 2 ? 1e-6 : 1e-5;
        ok &= check(&s);
    }
    /* big weights are multiplied in one product */
    struct shape big = rows(SM_KERNEL_LINEAR, 3, 200, 768, 700);
    ok &= check(&big);
    return ok;
}

static bool check_tokens(void)
{
    static const int32_t tokens[] = {1, 2, 5, 17, 65, 197, 257, 300, 513};
    static const int32_t dims[][2] = {{1, 1},   {3, 3},   {24, 3}, {64, 1}, {21, 7},
                                      {128, 2}, {96, 3},  {96, 2}, {72, 1}, {160, 2},
                                      {88, 1},  {128, 1}, {67, 1}};
    bool ok = true;
    for (size_t i = 0; i < 9 * sizeof dims / sizeof dims[0]; i++) {
        int32_t n = 1 + (int32_t)(i % 3), t = tokens[i % 9];
        struct shape s = attention(n, t, dims[i / 9][0], dims[i / 9][1]);
        ok &= check(&s);
        s = rows(SM_KERNEL_MEAN, n, t, s.g.c, s.g.c);
        s.g.skip = t > 1;
        s.g.h = 1;
        ok &= check(&s);
        s = conv(n, t, 3, 3, 3, 1, 1, 0, SM_ACT_NONE, false);
        s.kernel = SM_KERNEL_LAYOUT;
        ok &= check(&s);
    }
    const struct shape hostile[] = {attention(1, 1025, 64, 1), attention(2, 50, 140, 2),
                                    attention(1, 259, 300, 1)};
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++)
        ok &= check(&hostile[i]);
    return ok;
}

static bool check_ropes(void)
{
    bool ok = true;
    for (int32_t i = 0; i < 150; i++) {
        int32_t heads = pick(1, 7), dim = i % 5 ? 2 * pick(1, 20) : pick(1, 9), t = pick(1, 30);
        struct shape s = rope(pick(1, 5), t, heads * dim, heads, i % 4 ? pick(0, t) : 0);
        s.special = i % 6 == 0;
        ok &= check(&s);
    }
    return ok;
}

static bool check_gates(void)
{
    bool ok = true;
    for (int32_t i = 0; i < 100; i++) {
        int32_t c = pick(1, i % 9 ? 70 : 700);
        struct shape s = rows(SM_KERNEL_GATE, pick(1, 5), pick(1, 20), 2 * c, c);
        s.magnitude = i % 3 ? 8 : 150;
        s.special = i % 3 == 1; /* not at 150: silu(a) may be 0 there, and 0 * infinity NaN */
        ok &= check(&s);
    }
    return ok;
}

static bool check_prepends(void)
{
    bool ok = true;
    for (int32_t i = 0; i < 200; i++) {
        int32_t tokens = pick(1, 20), c = pick(1, 40);
        struct shape s = rows(SM_KERNEL_PREPEND, pick(1, 4), tokens, c, c);
        s.g.w_in = i % 3 ? 1 : pick(1, 5); /* above 1: a map instead of tokens */
        s.g.skip = i % 2 ? pick(0, tokens * s.g.w_in - 1) : 0;
        s.g.rows = pick(0, 5);
        s.g.h = tokens * s.g.w_in - s.g.skip + s.g.rows;
        s.residual = pick(0, 1) && s.g.rows;
        s.no_weight = pick(0, 1);
        s.special = i % 5 == 0;
        ok &= check(&s) && check_moved(&s);
    }
    return ok;
}

static bool check_picks(void)
{
    bool ok = true;
    for (int32_t i = 0; i < 100; i++) {
        int32_t tokens = pick(1, 20), c = pick(1, 40);
        struct shape s = rows(SM_KERNEL_PICK, pick(1, 4), tokens, c, c);
        s.g.w_in = i % 3 ? 1 : pick(1, 5);
        s.g.skip = pick(0, tokens * s.g.w_in - 1);
        s.g.rows = pick(1, tokens * s.g.w_in - s.g.skip);
        s.g.h = s.g.rows;
        s.special = i % 5 == 0;
        ok &= check(&s) && check_moved(&s);
    }
    return ok;
}

bool check_shapes(void)
{
    bool ok = check_convs();
    ok &= check_groups();
    ok &= check_alone();
    ok &= check_algorithms();
    ok &= check_pools();
    ok &= check_avgpools();
    ok &= check_rows();
    ok &= check_tokens();
    ok &= check_ropes();
    ok &= check_gates();
    ok &= check_prepends();
    ok &= check_picks();
    return ok;
}
