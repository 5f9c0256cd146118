/* Which encoders of an ensemble train with which candidates.
 *
 * Owner: the caller. Threads: no state. Errors: none. */
#ifndef CORE_AUDIT_ENSEMBLE_H
#define CORE_AUDIT_ENSEMBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sm_ensemble {
    int encoders_count; /* even, 2 .. 64 */
    uint64_t seed;
    bool has_half; /* internal, false at first: `half` is not balanced yet by its complement */
    uint64_t half;
};

/* Fills the masks of `count` candidates of one class: bit e is set if encoder e trains with the
 * image. Every mask has half of the bits. Every encoder has half of the class, rounded down or up,
 * and half of all classes together. `digests` has the image digest of each. */
void sm_ensemble_class(uint64_t *masks, struct sm_ensemble *ensemble, const uint8_t *const *digests,
                       size_t count);

#endif
