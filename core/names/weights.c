/* A chain of SHA-256 digests: each step hashes the digest of all tensors so far together with the
 * digest and the name of the next tensor.
 *
 * Values are hashed after rounding to 16 bits, once as float16 and once as bfloat16. Rounding twice
 * changes nothing, so a checkpoint and its copy in half precision agree in one of the two digests.
 * Two trainings do not: they would have to agree to three digits in every weight.
 *
 * A float16 copy and a bfloat16 copy agree in neither digest, because rounding to float16 can move
 * a value across a rounding boundary of bfloat16. They are compared by some weights of each tensor:
 * two trainings would have to agree to two digits in all of these.
 *
 * Heads are left out. A classifier or projection serves only the taps "logits" and "pooler", and of
 * two files from one training often only one has it. */
#include "core/names/weights.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGNITUDE      0x7fffffffu
#define INFINITE       0x7f800000u
#define NAME_BYTES_MAX 127
#define NOT_F16        0x1fffu /* low bits of a float, which float16 has no room for */
#define NOT_BF16       0xffffu /* low bits of a float, which bfloat16 has no room for */
#define OF_TENSOR      8       /* weights sampled per tensor */

static const char *const heads[] = {"head.", "pooler."};

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Rounds to the nearest bfloat16, ties to even; every NaN becomes the same one. Like to_f16 it has
 * no branches, so that the compiler can vectorise the loops over weights. */
static uint16_t to_bf16(float value)
{
    uint32_t bits = bits_of(value);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)((bits & MAGNITUDE) > INFINITE ? 0x7fc0 : rounded);
}

/* Rounds to the nearest float16, ties to even; every NaN becomes the same one. Below 2^-14 a
 * float16 is a multiple of 2^-24, the last place of the float 0.5: adding 0.5 rounds to it. */
static uint16_t to_f16(float value)
{
    uint32_t sign = bits_of(value) >> 16 & 0x8000, magnitude = bits_of(value) & MAGNITUDE;
    uint32_t normal = (magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000) >> 13;
    uint32_t tiny = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000;
    uint32_t finite = magnitude < 0x38800000 ? tiny : normal;
    uint32_t large = magnitude > INFINITE ? 0x7e00 : 0x7c00;
    /* 65520: halfway from the largest float16 to the next */
    bool is_finite = magnitude < 0x477ff000;
    sign = magnitude > INFINITE ? 0 : sign;
    return (uint16_t)(sign | (is_finite ? finite : large));
}

static void round_f16(uint16_t *restrict out, const float *restrict in, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = to_f16(in[i]);
}

static void round_bf16(uint16_t *restrict out, const float *restrict in, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = to_bf16(in[i]);
}

/* Extends the chain by the digest and name of one tensor. */
static void chain(uint8_t digest[SM_SHA256_BYTES], const uint16_t *values, size_t count,
                  const char *canonical)
{
    uint8_t link[2 * SM_SHA256_BYTES + NAME_BYTES_MAX + 1] = {0};
    memcpy(link, digest, SM_SHA256_BYTES);
    sm_sha256(link + SM_SHA256_BYTES, values, count * sizeof *values);
    snprintf((char *)link + 2 * SM_SHA256_BYTES, NAME_BYTES_MAX + 1, "%s", canonical);
    sm_sha256(digest, link, sizeof link);
}

static void sample(struct sm_weights *weights, const float *data, size_t count)
{
    size_t wanted = count < OF_TENSOR ? count : OF_TENSOR;
    for (size_t i = 0; i < count; i++)
        weights->bits |= bits_of(data[i]);
    for (size_t i = 0; i < wanted && weights->sample_count < SM_WEIGHTS_SAMPLE_MAX; i++)
        weights->sample[weights->sample_count++] = data[i * count / wanted];
}

enum sm_code sm_weights_add(struct sm_weights *weights, const char *canonical, const float *data,
                            size_t count, struct sm_err *err)
{
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (strncmp(canonical, heads[i], strlen(heads[i])) == 0)
            return SM_OK;
    uint16_t *rounded = calloc(count + 1, sizeof *rounded);
    if (!rounded)
        return sm_err_set(err, SM_NOMEM, "no memory for the digest of %zu numbers of %.60s", count,
                          canonical);
    round_f16(rounded, data, count);
    chain(weights->as_f16, rounded, count, canonical);
    round_bf16(rounded, data, count);
    chain(weights->as_bf16, rounded, count, canonical);
    free(rounded);
    sample(weights, data, count);
    return SM_OK;
}

/* Returns true if `a` and `b` can be the float16 and the bfloat16 of one number: they differ by at
 * most half a last place of each. Below 2^-14 the last place of float16 is always 2^-24. Numbers
 * that are not finite may have overflowed in float16 and are not compared. */
static bool both_rounded(float a, float b)
{
    float larger = fmaxf(fabsf(a), fabsf(b));
    return !isfinite(a) || !isfinite(b) || fabsf(a - b) <= larger * 0x1p-8f + 0x1p-24f;
}

static bool are_halves_of_one(const struct sm_weights *a, const struct sm_weights *b)
{
    bool halves = !((a->bits | b->bits) & NOT_F16);
    bool of_two_kinds = !(a->bits & NOT_BF16) != !(b->bits & NOT_BF16);
    if (!halves || !of_two_kinds || a->sample_count == 0 || a->sample_count != b->sample_count)
        return false;
    for (uint32_t i = 0; i < a->sample_count; i++)
        if (!both_rounded(a->sample[i], b->sample[i]))
            return false;
    return true;
}

bool sm_weights_equal(const struct sm_weights *a, const struct sm_weights *b)
{
    return memcmp(a->as_f16, b->as_f16, SM_SHA256_BYTES) == 0 ||
           memcmp(a->as_bf16, b->as_bf16, SM_SHA256_BYTES) == 0 || are_halves_of_one(a, b);
}
