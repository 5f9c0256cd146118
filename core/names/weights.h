/* Identity of an encoder's weights: two encoders whose weights are equal compute the same, whatever
 * file, container, naming or precision the weights came in.
 *
 *     struct sm_weights weights = {0};
 *     sm_weights_add(&weights, "blocks.0.norm1.weight", data, 192, &err); // as it is read
 *     if (sm_weights_equal(&weights, &other)) …
 *
 * Owner, threads: a plain value. Errors: SM_NOMEM. */
#ifndef CORE_NAMES_WEIGHTS_H
#define CORE_NAMES_WEIGHTS_H

#include <stdbool.h>

#include "core/base/sha256.h"
#include "sslmem/err.h"

#define SM_WEIGHTS_SAMPLE_MAX 8192

struct sm_weights {
    uint8_t as_f16[SM_SHA256_BYTES], as_bf16[SM_SHA256_BYTES];
    uint32_t bits; /* that any weight has */
    uint32_t sample_count;
    float sample[SM_WEIGHTS_SAMPLE_MAX]; /* some of each tensor */
};

/* Adds one tensor under its canonical name, data [count] in our layout. The same tensors must come
 * in the same order, as a builder reads them. */
enum sm_code sm_weights_add(struct sm_weights *weights, const char *canonical, const float *data,
                            size_t count, struct sm_err *err);

/* Whether all tensors are equal after rounding to float16, or after rounding to bfloat16; or one
 * encoder is in float16, the other in bfloat16, and no sampled weight differs by more than these
 * two roundings. */
bool sm_weights_equal(const struct sm_weights *a, const struct sm_weights *b);

#endif
