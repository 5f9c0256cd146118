/* Element types: one table of sizes, names in each format, and conversion to float.
 * All formats store elements little-endian. */
#ifndef CORE_CKPT_DTYPE_H
#define CORE_CKPT_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sslmem/ckpt.h"

/* out [count]; element i is read at in + i * step_bytes, which need not be aligned. */
void sm_dtype_convert(float *out, const uint8_t *in, enum sm_dtype dtype, size_t count,
                      size_t step_bytes);

/* The type called `name` in a safetensors header ("BF16"); false when there is none. */
bool sm_dtype_of_safetensors(enum sm_dtype *out, const char *name);
/* The type held by PyTorch's storage class `name` ("BFloat16Storage"), which is not terminated. */
bool sm_dtype_of_storage(enum sm_dtype *out, const char *name, size_t name_count);
/* Bytes of an element of a storage class that is not read; 0: unknown. */
size_t sm_dtype_storage_bytes(const char *name, size_t name_count);
/* The type of NumPy's `name` ("<f4", "|b1"; "|V2" is bf16), which is not terminated. */
bool sm_dtype_of_npy(enum sm_dtype *out, const char *name, size_t name_count);

#endif
