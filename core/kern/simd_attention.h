/* Attention: both products by the micro-kernel, the scores between them in the first-level cache.
 * For kern_*.c of one instruction set only.
 *
 * For each image and head k is packed transposed, [dim, tokens] in panels, and v as it is, [tokens,
 * dim] in panels. Then, for a few tiles of queries at a time: scores, softmax in place, product
 * with v, where 1 / sum is applied in the store. Scores are scaled inside the argument of exp. */
#ifndef CORE_KERN_SIMD_ATTENTION_H
#define CORE_KERN_SIMD_ATTENTION_H

#include "core/kern/simd_product.h"

#ifdef SIMD_LANES

/* One head of one image, and its parts in scratch. */
struct simd_head {
    const struct sm_geometry *g;
    const float *x; /* [h, 3 * c], at the head's first column */
    float *y;       /* [h, c] */
    float *keys, *values, *scores;
    int32_t dim;
    size_t stride; /* from one row of scores to the next */
};

SIMD_INLINE int32_t simd_queries(const struct sm_geometry *g)
{
    int32_t tiles = (int32_t)(SIMD_SCORES / simd_round_up((size_t)g->h) / SIMD_ROWS);
    return SIMD_ROWS * (tiles < 1 ? 1 : simd_min(tiles, SIMD_QUERY_TILES));
}

static size_t simd_attention_scratch(const struct sm_geometry *g)
{
    size_t dim = (size_t)(g->c / g->heads), tokens = (size_t)g->h, wide = simd_round_up(tokens);
    return (dim * wide + tokens * simd_round_up(dim) + simd_queries(g) * wide) * sizeof(float);
}

/* Packs k [tokens, dim], rows 3 * c apart, into panels of [dim, columns], with zeros behind the
 * last token. */
static void simd_pack_keys(const struct simd_head *head)
{
    size_t apart = 3 * (size_t)head->g->c;
    float *out = head->keys;
    for (int32_t panel = 0; panel < simd_panels(head->g->h); panel++) {
        const float *k = head->x + head->g->c + (size_t)panel * SIMD_WIDTH * apart;
        int32_t tokens = simd_columns(head->g->h, panel), whole = tokens / 8 * 8, d = 0;
        size_t width = simd_round_up((size_t)tokens);
        for (; d + 8 <= head->dim; d += 8)
            for (int32_t t = 0; t < whole; t += 8)
                simd_transpose8(out + d * width + t, width, k + t * apart + d, apart);
        for (int32_t t = whole; t < tokens; t++)
            for (int32_t i = 0; i < d; i++)
                out[i * width + t] = k[t * apart + i];
        for (; d < head->dim; d++)
            for (int32_t t = 0; t < tokens; t++)
                out[d * width + t] = k[t * apart + d];
        for (d = 0; d < head->dim; d++)
            memset(out + d * width + tokens, 0, (width - tokens) * sizeof *out);
        out += width * head->dim;
    }
}

/* Computes the scores of one tile: queries first .. first + rows. */
static void simd_scores(const struct simd_head *head, float *scores, int32_t first, int32_t rows)
{
    const float *table[SIMD_ROWS];
    struct simd_tile t = {.rows = table,
                          .segments = 1,
                          .depth = head->dim,
                          .weight = head->keys,
                          .y = scores,
                          .stride = head->stride,
                          .floor = -INFINITY};
    for (int32_t r = 0; r < rows; r++)
        table[r] = head->x + (size_t)(first + r) * 3 * head->g->c;
    for (int32_t panel = 0; panel < simd_panels(head->g->h); panel++) {
        int32_t columns = (int32_t)simd_round_up((size_t)simd_columns(head->g->h, panel));
        simd_tile_run(&t, rows, columns);
        t.weight += (size_t)columns * head->dim;
        t.y += columns;
    }
}

/* Replaces scores by exp(scale * (scores - top)); returns 1 / their sum. Scores behind `count` are
 * minus infinity, so exp makes them 1.6e-38, which adds nothing. */
static float simd_softmax(float *scores, int32_t count, size_t stride, float scale)
{
    vec top = v_set1(-INFINITY), sum = v_zero();
    for (size_t i = (size_t)count; i < stride; i++)
        scores[i] = -INFINITY;
    for (size_t i = 0; i < stride; i += SIMD_LANES)
        top = v_max(top, v_load(scores + i));
    top = v_set1(v_top(top));
    for (size_t i = 0; i < stride; i += SIMD_LANES) {
        vec e = v_exp_negative(v_mul(v_sub(v_load(scores + i), top), v_set1(scale)));
        v_store(scores + i, e);
        sum = v_add(sum, e);
    }
    return 1.0f / v_sum(sum);
}

/* Computes y of one tile: queries first .. first + rows. Depth blocks are those of other products.
 */
static void simd_values(const struct simd_head *head, const float *scores, const float *factors,
                        int32_t first, int32_t rows)
{
    const struct simd_depth d = simd_depth_of(1, head->g->h);
    const float *table[SIMD_ROWS];
    for (int32_t r = 0; r < rows; r++)
        table[r] = scores + r * head->stride;
    for (int32_t panel = 0; panel < simd_panels(head->dim); panel++) {
        int32_t columns = simd_columns(head->dim, panel);
        const float *values = head->values + (size_t)panel * SIMD_WIDTH * head->g->h;
        for (int32_t block = 0; block < d.parts; block++) {
            int32_t from = simd_cut(d.depth, block, d.parts);
            const struct simd_tile t = {
                .rows = table,
                .segments = 1,
                .first = from,
                .depth = simd_cut(d.depth, block + 1, d.parts) - from,
                .weight = values + (size_t)from * simd_round_up((size_t)columns),
                .factors = factors,
                .y = head->y + (size_t)first * head->g->c + (size_t)panel * SIMD_WIDTH,
                .stride = (size_t)head->g->c,
                .add = block > 0,
                .floor = -INFINITY};
            simd_tile_run(&t, rows, columns);
        }
    }
}

static void simd_attend(const struct simd_head *head)
{
    int32_t tokens = head->g->h, most = simd_queries(head->g);
    float scale = (float)(1 / sqrt(head->dim)), factors[SIMD_QUERY_TILES * SIMD_ROWS];
    const struct simd_split split = simd_split_of(tokens);
    int32_t tiles = split.tiles, group = most / SIMD_ROWS;
    for (int32_t tile = 0; tile < tiles; tile += group) {
        int32_t end = simd_min(tile + group, tiles), first = simd_row(&split, tile);
        for (int32_t t = tile; t < end; t++) {
            int32_t row = simd_row(&split, t);
            simd_scores(head, head->scores + (row - first) * head->stride, row,
                        simd_row(&split, t + 1) - row);
        }
        for (int32_t r = 0; r < simd_row(&split, end) - first; r++)
            factors[r] = simd_softmax(head->scores + r * head->stride, tokens, head->stride, scale);
        for (int32_t t = tile; t < end; t++) {
            int32_t row = simd_row(&split, t);
            simd_values(head, head->scores + (row - first) * head->stride, factors + (row - first),
                        row, simd_row(&split, t + 1) - row);
        }
    }
}

static void simd_attention(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    int32_t dim = g->c / g->heads;
    size_t wide = simd_round_up((size_t)g->h);
    struct simd_head head = {.g = g, .keys = a->scratch, .dim = dim, .stride = wide};
    head.values = head.keys + dim * wide;
    head.scores = head.values + g->h * simd_round_up((size_t)dim);
    for (int32_t n = 0; n < a->images; n++) {
        for (int32_t i = 0; i < g->heads; i++) {
            head.x = a->x + (size_t)n * g->h * 3 * g->c + (size_t)i * dim;
            head.y = a->y + (size_t)n * g->h * g->c + (size_t)i * dim;
            simd_pack_keys(&head);
            simd_pack(head.values, head.x + 2 * (size_t)g->c, (size_t)g->h, dim, 3 * (size_t)g->c);
            simd_attend(&head);
        }
    }
}

#endif

#endif
