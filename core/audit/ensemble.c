/* Every image gets a random half of the encoders. Then images change encoders until each encoder
 * has its number: an encoder with too many gives one, drawn at random, to an encoder with too few.
 * A random matrix of n images is off by about sqrt(n) images an encoder, so few rows change. Giving
 * every second image the encoders that the image before it has not would balance too, but bind the
 * two to each other.
 *
 * In a class of odd size, half of the encoders have an image more. Two such classes in turn use a
 * random half and its complement, so that the encoders stay balanced over all classes. */
#include "core/audit/ensemble.h"

#include <assert.h>
#include <string.h>

#include "core/base/rng.h"

/* Keeps draws of different purposes, and those of other files with an equal seed, apart. */
enum purpose { DRAW_MASK = 0x656e7330, DRAW_ODD, DRAW_ROW };

static size_t draw_below(const struct sm_ensemble *ensemble, const uint8_t *digest,
                         enum purpose purpose, uint32_t index, size_t count)
{
    uint32_t r[4], counter[4] = {0, 0, index, (uint32_t)purpose};
    const uint32_t key[2] = {(uint32_t)ensemble->seed, (uint32_t)(ensemble->seed >> 32)};
    for (int i = 0; i < 8; i++)
        counter[i / 4] |= (uint32_t)digest[i] << (8 * (i % 4));
    sm_philox(r, key, counter);
    return (size_t)(sm_unit(r[0], r[1]) * (double)count);
}

/* Fisher and Yates from the front. */
static uint64_t draw_half(const struct sm_ensemble *ensemble, const uint8_t *digest,
                          enum purpose purpose)
{
    size_t n = (size_t)ensemble->encoders_count;
    unsigned char order[64];
    uint64_t mask = 0;
    for (size_t i = 0; i < n; i++)
        order[i] = (unsigned char)i;
    for (size_t i = 0; i < n / 2; i++) {
        size_t j = i + draw_below(ensemble, digest, purpose, (uint32_t)i, n - i);
        unsigned char drawn = order[j];
        order[j] = order[i];
        order[i] = drawn;
        mask |= UINT64_C(1) << drawn;
    }
    return mask;
}

static uint64_t all_of(const struct sm_ensemble *ensemble)
{
    return ~UINT64_C(0) >> (64 - ensemble->encoders_count);
}

/* The encoders that get an image more than the others of this class. */
static uint64_t odd_half(struct sm_ensemble *ensemble, const uint8_t *digest)
{
    ensemble->half = ensemble->has_half ? all_of(ensemble) & ~ensemble->half
                                        : draw_half(ensemble, digest, DRAW_ODD);
    ensemble->has_half = !ensemble->has_half;
    return ensemble->half;
}

/* Moves an image from encoder `from` to encoder `to`. There is one, because `from` has more images
 * than `to`. */
static void move(uint64_t *masks, size_t count, size_t start, int from, int to)
{
    uint64_t both = UINT64_C(1) << from | UINT64_C(1) << to;
    for (size_t i = 0; i < count; i++) {
        uint64_t *mask = &masks[(start + i) % count];
        if ((*mask & both) != UINT64_C(1) << from)
            continue;
        *mask ^= both;
        return;
    }
    assert(!"an encoder with too many images has none to give");
}

void sm_ensemble_class(uint64_t *masks, struct sm_ensemble *ensemble, const uint8_t *const *digests,
                       size_t count)
{
    int n = ensemble->encoders_count;
    int64_t surplus[64];
    uint64_t more = count % 2 == 1 ? odd_half(ensemble, digests[0]) : 0;
    for (int e = 0; e < n; e++)
        surplus[e] = -(int64_t)(count / 2) - (int64_t)(more >> e & 1);
    for (size_t i = 0; i < count; i++) {
        masks[i] = draw_half(ensemble, digests[i], DRAW_MASK);
        for (int e = 0; e < n; e++)
            surplus[e] += (int64_t)(masks[i] >> e & 1);
    }
    for (uint32_t step = 0;; step++) {
        int most = 0, least = 0;
        for (int e = 1; e < n; e++) {
            most = surplus[e] > surplus[most] ? e : most;
            least = surplus[e] < surplus[least] ? e : least;
        }
        if (surplus[most] == 0)
            return;
        move(masks, count, draw_below(ensemble, digests[0], DRAW_ROW, step, count), most, least);
        surplus[most]--;
        surplus[least]++;
    }
}
