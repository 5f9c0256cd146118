/* Seeded draws without replacement, for halves of cohorts and random controls.
 * Owner: the caller frees the order. Threads: no state. Errors: SM_NOMEM. */
#ifndef CORE_AUDIT_DRAW_H
#define CORE_AUDIT_DRAW_H

#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

/* Purposes; draws of one seed for two purposes are independent. */
enum sm_draw {
    SM_DRAW_HALF_MEMBERS,
    SM_DRAW_HALF_OTHERS,
    SM_DRAW_CONTROL,
    SM_DRAW_SHARE_MEMBERS,
    SM_DRAW_SHARE_OTHERS
};

/* Draws the first `wanted` entries of a random order of 0 .. count - 1. A shorter draw is the
 * beginning of a longer one. */
enum sm_code sm_draw_order(size_t **out, size_t wanted, size_t count, uint64_t seed,
                           enum sm_draw purpose, struct sm_err *err);

#endif
