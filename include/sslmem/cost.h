/* Cost: the work of a score in one unit, known before anything is computed.
 *
 *     int64_t ms = sm_cost_ms(pair, &recipe, width_px, height_px);
 *     if (ms > ms_max) …                               // refuse it
 *
 * The unit is the nominal processor millisecond: what the work takes one core of the processor that
 * tests/bench/RESULTS.md names, with the fastest kernels. Another core takes so many times longer,
 * whatever the work: limits are set in this unit, and what a machine does of it in a second is
 * measured where it matters.
 *
 * Work is counted in steps of a few kinds and multiplied by one table of coefficients. The count is
 * an upper bound: an op with any probability is applied, a random crop takes the whole image, and a
 * target_se uses all views. `make bench` prints what each kind takes beside the table.
 *
 * Threads: no state. */
#ifndef SSLMEM_COST_H
#define SSLMEM_COST_H

#include "sslmem/score.h"

enum sm_work {
    SM_WORK_DECODE, /* a pixel of the file */
    SM_WORK_COPY,   /* a pixel into another image: each op makes a new one */
    SM_WORK_RESIZE, /* an output pixel of one pass, for each input pixel under its filter */
    SM_WORK_BLUR,   /* a pixel of one of three passes, along rows and along columns */
    SM_WORK_FLIP,
    SM_WORK_BRIGHTNESS,
    SM_WORK_CONTRAST,
    SM_WORK_SATURATION,
    SM_WORK_HUE,
    SM_WORK_GRAYSCALE,
    SM_WORK_SOLARIZE,
    SM_WORK_TENSOR,       /* a pixel of a view as encoders take it */
    SM_WORK_MULTIPLY_ADD, /* of an encoder's forward */
    SM_WORK_DISTANCE,     /* a number of a representation, in one distance */
    SM_WORKS
};

/* The table: "blur", 12.5 nanoseconds a step. */
const char *sm_work_name(enum sm_work work);
double sm_work_ns(enum sm_work work);

/* Adds the steps of one view of an image of this size. Ops behind one that fails on the image's
 * size are not counted. */
void sm_augment_count(double steps[SM_WORKS], const struct sm_augment *augment, int32_t width_px,
                      int32_t height_px);
/* The steps of a score. The recipe must have passed sm_pair_check_recipe. Without an image (0 x 0)
 * those that every image takes at least. */
void sm_cost_count(double steps[SM_WORKS], const struct sm_pair *pair,
                   const struct sm_recipe *recipe, int32_t width_px, int32_t height_px);
/* Steps times coefficients, rounded up: at least 1. */
int64_t sm_cost_ms(const struct sm_pair *pair, const struct sm_recipe *recipe, int32_t width_px,
                   int32_t height_px);
int64_t sm_steps_ms(const double steps[SM_WORKS]);

#endif
