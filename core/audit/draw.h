/* Seeded draws without replacement: halves and random controls.
 * Owner: the order is the caller's. Threads: no state. Errors: SM_NOMEM. */
#ifndef CORE_AUDIT_DRAW_H
#define CORE_AUDIT_DRAW_H

#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

/* Draws of one seed for two purposes have nothing to do with each other. */
enum sm_draw { SM_DRAW_HALF_MEMBERS, SM_DRAW_HALF_OTHERS, SM_DRAW_CONTROL };

/* The first `wanted` of a random order of 0 .. count - 1; a shorter draw is the beginning of a
 * longer one. */
enum sm_code sm_draw_order(size_t **out, size_t wanted, size_t count, uint64_t seed,
                           enum sm_draw purpose, struct sm_err *err);

#endif
