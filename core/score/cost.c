/* The cost of a score: counts its work (views, forwards and distances, each once for every view and
 * encoder) and converts it to milliseconds with one table.
 *
 * The coefficients are those of one core of an AMD EPYC (Zen 4, AVX-512), as `make bench
 * BENCH="--parts cost"` prints them. Each is that of the most expensive size that the bench
 * times. */
#include "sslmem/cost.h"

#include <math.h>

#include "core/score/pair.h"

static const struct {
    const char *name;
    double ns; /* nanoseconds per step */
} table[SM_WORKS] = {
    [SM_WORK_DECODE] = {"decode", 32},
    [SM_WORK_COPY] = {"copy", 2},
    [SM_WORK_RESIZE] = {"resize", 1.2},
    [SM_WORK_BLUR] = {"blur", 8.5},
    [SM_WORK_FLIP] = {"flip", 1},
    [SM_WORK_BRIGHTNESS] = {"brightness", 1},
    [SM_WORK_CONTRAST] = {"contrast", 2},
    [SM_WORK_SATURATION] = {"saturation", 6},
    [SM_WORK_HUE] = {"hue", 19},
    [SM_WORK_GRAYSCALE] = {"grayscale", 1},
    [SM_WORK_SOLARIZE] = {"solarize", 12.5},
    [SM_WORK_TENSOR] = {"tensor", 4},
    [SM_WORK_MULTIPLY_ADD] = {"forward", 0.02},
    [SM_WORK_DISTANCE] = {"distance", 0.9},
};

const char *sm_work_name(enum sm_work work)
{
    return table[work].name;
}

double sm_work_ns(enum sm_work work)
{
    return table[work].ns;
}

int64_t sm_steps_ms(const double steps[SM_WORKS])
{
    double ns = 0;
    for (int i = 0; i < SM_WORKS; i++)
        ns += steps[i] * table[i].ns;
    double ms = ceil(ns / 1e6);
    return ms < 1 ? 1 : ms < 1e15 ? (int64_t)ms : INT64_C(1000000000000000);
}

/* Adds the work of the anchor mode's additional image, the unaugmented one: the preset "eval". */
static void count_anchor(double steps[SM_WORKS], int32_t side, int32_t width_px, int32_t height_px)
{
    const struct sm_augment eval = {.ops = {{.kind = SM_OP_RESIZE, .size_px = side},
                                            {.kind = SM_OP_CENTER_CROP, .size_px = side}},
                                    .count = 2};
    sm_augment_count(steps, &eval, width_px, height_px);
}

static double multiply_adds_of(const struct sm_pair *pair, int *encoders_count)
{
    double sum = 0;
    *encoders_count = 0;
    for (int s = 0; s < SM_SIDES; s++)
        for (int k = 0; k < pair->sides[s].count; k++, ++*encoders_count)
            sum += (double)sm_encoder_info(pair->sides[s].members[k].encoder)->multiply_adds;
    return sum;
}

void sm_cost_count(double steps[SM_WORKS], const struct sm_pair *pair,
                   const struct sm_recipe *recipe, int32_t width_px, int32_t height_px)
{
    bool anchor = recipe->compare == SM_COMPARE_ANCHOR;
    double views = recipe->views, images = views + anchor;
    int32_t side = sm_pair_input_px(pair);
    double distances = anchor ? views : views * (views - 1) / 2;
    struct sm_tap tap = {0};
    double view[SM_WORKS] = {0};
    int encoders_count;
    sm_augment_count(view, &recipe->augment, width_px, height_px);
    for (int i = 0; i < SM_WORKS; i++)
        steps[i] = views * view[i];
    if (anchor)
        count_anchor(steps, side, width_px, height_px);
    steps[SM_WORK_DECODE] += (double)width_px * height_px;
    steps[SM_WORK_TENSOR] += images * side * side;
    steps[SM_WORK_MULTIPLY_ADD] += images * multiply_adds_of(pair, &encoders_count);
    sm_encoder_tap_shape(&tap, pair->sides[SM_SIDE_F].members[0].encoder, recipe->representation,
                         NULL);
    steps[SM_WORK_DISTANCE] += encoders_count * distances * tap.rows * tap.dim;
}

int64_t sm_cost_ms(const struct sm_pair *pair, const struct sm_recipe *recipe, int32_t width_px,
                   int32_t height_px)
{
    double upright[SM_WORKS], turned[SM_WORKS];
    sm_cost_count(upright, pair, recipe, width_px, height_px);
    int64_t ms = sm_steps_ms(upright);
    if (!recipe->apply_orientation)
        return ms;
    sm_cost_count(turned, pair, recipe, height_px, width_px);
    int64_t turned_ms = sm_steps_ms(turned);
    return turned_ms > ms ? turned_ms : ms;
}
