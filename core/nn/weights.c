/* A chain of SHA-256: each tensor's digest is hashed together with the digest of all tensors before
 * it and with its name.
 *
 * Values are hashed after rounding to 16 bits, once as float16 and once as bfloat16. Rounding twice
 * changes nothing, so a checkpoint and its copy in half precision agree in one of the two digests.
 * Two trainings do not: they would have to agree to three digits in every weight.
 *
 * Heads are left out. A classifier or projection serves only the taps "logits" and "pooler", and
 * one file of a training often has it where another has not. */
#include "core/nn/weights.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGNITUDE      0x7fffffffu
#define INFINITE       0x7f800000u
#define NAME_BYTES_MAX 127

static const char *const heads[] = {"head.", "pooler."};

/* Bits of a float to the nearest bfloat16, ties to even; every NaN is the same one. */
static uint16_t to_bf16(uint32_t bits)
{
    if ((bits & MAGNITUDE) > INFINITE)
        return 0x7fc0;
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Bits of a float to the nearest float16, ties to even; every NaN is the same one. */
static uint16_t to_f16(uint32_t bits)
{
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & MAGNITUDE;
    float value;
    if (magnitude > INFINITE)
        return 0x7e00;
    if (magnitude >= 0x477ff000) /* 65520, halfway from the largest to the next */
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000) { /* below 2^-14: a multiple of 2^-24, the last place of 0.5 */
        memcpy(&value, &magnitude, sizeof value);
        value += 0.5f;
        memcpy(&magnitude, &value, sizeof magnitude);
        return (uint16_t)(sign | (magnitude - 0x3f000000));
    }
    magnitude += 0xfff + (magnitude >> 13 & 1);
    return (uint16_t)(sign | (magnitude - 0x38000000) >> 13);
}

/* The digest so far, and of one tensor its digest and name. */
static void chain(uint8_t digest[SM_SHA256_BYTES], const uint16_t *values, size_t count,
                  const char *canonical)
{
    uint8_t link[2 * SM_SHA256_BYTES + NAME_BYTES_MAX + 1] = {0};
    memcpy(link, digest, SM_SHA256_BYTES);
    sm_sha256(link + SM_SHA256_BYTES, values, count * sizeof *values);
    snprintf((char *)link + 2 * SM_SHA256_BYTES, NAME_BYTES_MAX + 1, "%s", canonical);
    sm_sha256(digest, link, sizeof link);
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
    const struct {
        uint8_t *digest;
        uint16_t (*round)(uint32_t bits);
    } forms[] = {{weights->as_f16, to_f16}, {weights->as_bf16, to_bf16}};
    for (size_t k = 0; k < sizeof forms / sizeof *forms; k++) {
        for (size_t i = 0; i < count; i++) {
            uint32_t bits;
            memcpy(&bits, data + i, sizeof bits);
            rounded[i] = forms[k].round(bits);
        }
        chain(forms[k].digest, rounded, count, canonical);
    }
    free(rounded);
    return SM_OK;
}

bool sm_weights_equal(const struct sm_weights *a, const struct sm_weights *b)
{
    return memcmp(a->as_f16, b->as_f16, SM_SHA256_BYTES) == 0 ||
           memcmp(a->as_bf16, b->as_bf16, SM_SHA256_BYTES) == 0;
}
