/* Philox4x32-10 (Salmon et al., SC 2011): random numbers as a pure function of key and counter.
 *
 *     uint32_t r[4];
 *     sm_philox(r, (uint32_t[2]){k0, k1}, (uint32_t[4]){c0, c1, c2, c3});
 *
 * There is no state: draws can be made in any order. Threads: no state. */
#ifndef CORE_BASE_RNG_H
#define CORE_BASE_RNG_H

#include <stdint.h>

/* Writes the four random words of this key and counter. */
void sm_philox(uint32_t out[4], const uint32_t key[2], const uint32_t counter[4]);

/* Returns a uniform double in [0, 1) made of 53 bits of two random words. */
double sm_unit(uint32_t high, uint32_t low);

/* Returns (stratum + unit) / strata for a stratum below `strata` and a unit in [0, 1): a uniform
 * number of that stratum of [0, 1), never 1 though the sum may round up. */
double sm_stratum(uint32_t stratum, double unit, uint32_t strata);

#endif
