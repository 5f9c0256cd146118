/* Element types. One row per type carries everything that depends on it; a conversion is one load
 * function called per element, which costs about 2 ns and is far below the cost of reading the
 * file. float32 in order, the usual case, is a plain copy. f16 and bf16 convert exactly; f64 and
 * 64-bit integers are rounded to nearest, ties to even, as torch's .float() does. */
#include "core/ckpt/dtype.h"

#include <assert.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "elements are loaded as they are stored");

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Defines load_<name>: one element of C type `type`, by value conversion. */
#define LOAD(name, type)                                                                           \
    static float load_##name(const uint8_t *in)                                                    \
    {                                                                                              \
        type value;                                                                                \
        memcpy(&value, in, sizeof value);                                                          \
        return (float)value;                                                                       \
    }

LOAD(f64, double)
LOAD(f32, float)
LOAD(i64, int64_t)
LOAD(i32, int32_t)
LOAD(i16, int16_t)
LOAD(i8, int8_t)
LOAD(u8, uint8_t)

static float load_bool(const uint8_t *in)
{
    return *in != 0 ? 1.0f : 0.0f;
}

static float load_bf16(const uint8_t *in)
{
    return float_of_bits((uint32_t)in[0] << 16 | (uint32_t)in[1] << 24);
}

/* IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
static float load_f16(const uint8_t *in)
{
    uint32_t half = (uint32_t)in[0] | (uint32_t)in[1] << 8;
    uint32_t sign = (half & 0x8000u) << 16;
    uint32_t exponent = half >> 10 & 31u;
    uint32_t fraction = half & 0x3ffu;

    if (exponent == 31)
        return float_of_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent == 0) { /* zero or subnormal: fraction * 2^-24 */
        float magnitude = (float)fraction * 0x1p-24f;
        return sign != 0 ? -magnitude : magnitude;
    }
    return float_of_bits(sign | (exponent + 127 - 15) << 23 | fraction << 13);
}

static const struct dtype {
    const char *name, *safetensors, *storage;
    size_t bytes;
    float (*load)(const uint8_t *in);
} dtypes[] = {
    [SM_F64] = {"f64", "F64", "DoubleStorage", 8, load_f64},
    [SM_F32] = {"f32", "F32", "FloatStorage", 4, load_f32},
    [SM_F16] = {"f16", "F16", "HalfStorage", 2, load_f16},
    [SM_BF16] = {"bf16", "BF16", "BFloat16Storage", 2, load_bf16},
    [SM_I64] = {"i64", "I64", "LongStorage", 8, load_i64},
    [SM_I32] = {"i32", "I32", "IntStorage", 4, load_i32},
    [SM_I16] = {"i16", "I16", "ShortStorage", 2, load_i16},
    [SM_I8] = {"i8", "I8", "CharStorage", 1, load_i8},
    [SM_U8] = {"u8", "U8", "ByteStorage", 1, load_u8},
    [SM_BOOL] = {"bool", "BOOL", "BoolStorage", 1, load_bool},
};

#define DTYPES_COUNT (sizeof dtypes / sizeof dtypes[0])

const char *sm_dtype_name(enum sm_dtype dtype)
{
    assert((size_t)dtype < DTYPES_COUNT);
    return dtypes[dtype].name;
}

size_t sm_dtype_bytes(enum sm_dtype dtype)
{
    assert((size_t)dtype < DTYPES_COUNT);
    return dtypes[dtype].bytes;
}

void sm_dtype_convert(float *out, const uint8_t *in, enum sm_dtype dtype, size_t count,
                      size_t step_bytes)
{
    const struct dtype *row = &dtypes[dtype];

    if (count == 0)
        return;
    if (dtype == SM_F32 && step_bytes == sizeof(float)) {
        memcpy(out, in, count * sizeof(float));
        return;
    }
    for (size_t i = 0; i < count; i++)
        out[i] = row->load(in + i * step_bytes);
}

bool sm_dtype_of_safetensors(enum sm_dtype *out, const char *name)
{
    for (size_t i = 0; i < DTYPES_COUNT; i++) {
        if (strcmp(dtypes[i].safetensors, name) == 0) {
            *out = (enum sm_dtype)i;
            return true;
        }
    }
    return false;
}

bool sm_dtype_of_storage(enum sm_dtype *out, const char *name, size_t name_count)
{
    for (size_t i = 0; i < DTYPES_COUNT; i++) {
        if (strlen(dtypes[i].storage) == name_count &&
            memcmp(dtypes[i].storage, name, name_count) == 0) {
            *out = (enum sm_dtype)i;
            return true;
        }
    }
    return false;
}
