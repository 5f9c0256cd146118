/* Identity of an encoder's weights. Two encoders with equal weights compute the same function,
 * whatever file, container, naming or precision the weights came from.
 *
 *     struct sm_weights weights = {0};
 *     sm_weights_add(&weights, "blocks.0.norm1.weight", data, 192, &err); // for each tensor read
 *     if (sm_weights_equal(&weights, &other)) …
 *
 * Owner: a plain value, nothing to free. Threads: no shared state. Errors: SM_NOMEM. */
#ifndef CORE_NAMES_WEIGHTS_H
#define CORE_NAMES_WEIGHTS_H

#include <stdbool.h>

#include "core/base/sha256.h"
#include "sslmem/err.h"

#define SM_WEIGHTS_SAMPLE_MAX 8192

struct sm_weights {
    uint8_t as_f16[SM_SHA256_BYTES], as_bf16[SM_SHA256_BYTES];
    uint32_t bits; /* bitwise OR of the bits of all weights */
    uint32_t sample_count;
    float sample[SM_WEIGHTS_SAMPLE_MAX]; /* up to eight weights of each tensor */
};

/* Adds one tensor, data [count] in canonical layout, under its canonical name. Encoders compare
 * equal only if their tensors were added in the same order; each builder reads in a fixed order. */
enum sm_code sm_weights_add(struct sm_weights *weights, const char *canonical, const float *data,
                            size_t count, struct sm_err *err);

/* Returns true if all tensors are equal after rounding to float16, or after rounding to bfloat16.
 * Also returns true if one encoder is in float16, the other in bfloat16, and no sampled weight
 * differs by more than these two roundings. */
bool sm_weights_equal(const struct sm_weights *a, const struct sm_weights *b);

#endif
