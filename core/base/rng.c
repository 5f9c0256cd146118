/* Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section
 * 3.3): each of ten rounds computes two 32x32 -> 64 bit products and advances the key. Tests
 * compare it with the known answers of the authors' distribution. */
#include "core/base/rng.h"

#define BELOW_ONE  0x1.fffffffffffffp-1 /* the largest double below 1 */
#define MULTIPLY_0 UINT32_C(0xD2511F53)
#define MULTIPLY_1 UINT32_C(0xCD9E8D57)
#define WEYL_0     UINT32_C(0x9E3779B9)
#define WEYL_1     UINT32_C(0xBB67AE85)

void sm_philox(uint32_t out[4], const uint32_t key[2], const uint32_t counter[4])
{
    uint32_t k0 = key[0], k1 = key[1];
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)MULTIPLY_0 * c0;
        uint64_t p1 = (uint64_t)MULTIPLY_1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += WEYL_0;
        k1 += WEYL_1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

double sm_unit(uint32_t high, uint32_t low)
{
    uint64_t bits = (uint64_t)high << 21 | low >> 11; /* the upper 53 of 64 bits */
    return (double)bits * 0x1p-53;
}

double sm_stratum(uint32_t stratum, double unit, uint32_t strata)
{
    double u = (stratum + unit) / strata;
    return u < BELOW_ONE ? u : BELOW_ONE;
}
