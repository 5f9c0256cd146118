/* Philox4x32-10 (Salmon et al., SC 2011): random numbers as a pure function of key and counter.
 *
 *     uint32_t r[4];
 *     sm_philox(r, (uint32_t[2]){k0, k1}, (uint32_t[4]){c0, c1, c2, c3});
 *
 * No state, no order: any draw can be made alone. */
#ifndef CORE_BASE_RNG_H
#define CORE_BASE_RNG_H

#include <stdint.h>

void sm_philox(uint32_t out[4], const uint32_t key[2], const uint32_t counter[4]);

/* Uniform double in [0, 1) with 53 bits, from two words. */
double sm_unit(uint32_t high, uint32_t low);

#endif
