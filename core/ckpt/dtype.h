/* Element types: their sizes, their names in each format, and conversion to float. All formats
 * store elements little-endian. Threads: no state. Private to core/ckpt. */
#ifndef CORE_CKPT_DTYPE_H
#define CORE_CKPT_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sslmem/ckpt.h"

/* Converts elements to float: out [count]. Reads element i at in + i * step_bytes, unaligned. */
void sm_dtype_convert(float *out, const uint8_t *in, enum sm_dtype dtype, size_t count,
                      size_t step_bytes);

/* Finds the type of a name in a safetensors header ("BF16"). Returns false for an unknown name. */
bool sm_dtype_of_safetensors(enum sm_dtype *out, const char *name);
/* Finds the type of PyTorch's storage class `name` ("HalfStorage"), which needs no NUL. Returns
 * false if the class cannot be read. */
bool sm_dtype_of_storage(enum sm_dtype *out, const char *name, size_t name_count);
/* Returns the bytes of one element of a storage class of PyTorch that cannot be read
 * ("QInt8Storage"); 0 if the class is unknown. */
size_t sm_dtype_storage_bytes(const char *name, size_t name_count);
/* Finds the type of NumPy's `name` ("<f4"; "|V2" is bf16), which needs no NUL. False if unknown. */
bool sm_dtype_of_npy(enum sm_dtype *out, const char *name, size_t name_count);

#endif
