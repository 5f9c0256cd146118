/* Cost: estimates the work of a score, in one unit, before anything is computed.
 *
 *     int64_t ms = sm_cost_ms(pair, &recipe, width_px, height_px);
 *     if (ms > ms_max) …                               // refuse it
 *
 * The unit is the nominal processor millisecond: the work that one core of the processor named in
 * tests/bench/RESULTS.md does in a millisecond with the fastest kernels. Another core needs a
 * constant multiple of it for every kind of work. Limits are set in this unit; code that needs real
 * times measures the speed of its machine.
 *
 * The estimate counts steps of a few kinds of work and multiplies them by a table of coefficients.
 * The count is an upper bound: it takes an op of any probability above 0 as applied, a random crop
 * as the whole image, and a recipe with target_se as using all views. `make bench` prints the
 * measured time of each kind next to its coefficient.
 *
 * Threads: no state. */
#ifndef SSLMEM_COST_H
#define SSLMEM_COST_H

#include "sslmem/score.h"

/* Kinds of work, each with the meaning of one step; without a comment: one pixel of an image. */
enum sm_work {
    SM_WORK_DECODE, /* one pixel of the file */
    SM_WORK_COPY,   /* one pixel copied into another image: each op makes a new one */
    SM_WORK_RESIZE, /* one input pixel times its filter weight, for one output pixel of a pass */
    SM_WORK_BLUR,   /* one pixel in one of six box passes: three along rows, three along columns */
    SM_WORK_FLIP,
    SM_WORK_BRIGHTNESS,
    SM_WORK_CONTRAST,
    SM_WORK_SATURATION,
    SM_WORK_HUE,
    SM_WORK_GRAYSCALE,
    SM_WORK_SOLARIZE,
    SM_WORK_TENSOR,       /* one pixel of a view, normalised to floats for the encoders */
    SM_WORK_MULTIPLY_ADD, /* one multiply-add of an encoder's forward */
    SM_WORK_DISTANCE,     /* one number of a representation, in one distance */
    SM_WORKS
};

/* Return a row of the table: the name of a kind ("blur") and the nanoseconds of one step. */
const char *sm_work_name(enum sm_work work);
double sm_work_ns(enum sm_work work);

/* Adds to `steps` the steps of rendering one view of an image of this size. Counting ends after an
 * op whose result would exceed the limits of sslmem/image.h, because rendering fails there. */
void sm_augment_count(double steps[SM_WORKS], const struct sm_augment *augment, int32_t width_px,
                      int32_t height_px);
/* Writes the steps of a score to `steps`. The recipe must have passed sm_pair_check_recipe. For a
 * size of 0 x 0 the steps are those that every image needs at least. */
void sm_cost_count(double steps[SM_WORKS], const struct sm_pair *pair,
                   const struct sm_recipe *recipe, int32_t width_px, int32_t height_px);
/* Returns the cost of a score: its steps times their coefficients, rounded up, at least 1. */
int64_t sm_cost_ms(const struct sm_pair *pair, const struct sm_recipe *recipe, int32_t width_px,
                   int32_t height_px);
/* Returns the cost of counted steps, rounded up, at least 1. */
int64_t sm_steps_ms(const double steps[SM_WORKS]);

#endif
