/* Element types. A table has one row per type with everything that depends on it. Each type has its
 * own conversion loop. For dense elements the loop's step is a constant, so that compilers
 * vectorise it; dense float32, the usual case, is a plain copy. f16 and bf16 convert exactly; f64
 * and large integers are rounded to nearest, ties to even, as torch's .float() does. */
#include "core/ckpt/dtype.h"

#include <assert.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "elements are loaded as they are stored");

static inline float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float of_bool(uint8_t byte)
{
    return byte != 0 ? 1.0f : 0.0f;
}

static inline float of_bf16(uint16_t bits)
{
    return float_of_bits((uint32_t)bits << 16);
}

/* Converts IEEE 754 binary16: 1 sign bit, 5 exponent bits (bias 15), 10 fraction bits. Shifted into
 * the fields of a float, a value is 2^(127 - 15) times too small, subnormals included. Infinity and
 * NaN get the exponent of a float's infinity. */
static inline float of_f16(uint16_t half)
{
    uint32_t sign = (half & 0x8000u) << 16;
    float magnitude = float_of_bits((half & 0x7fffu) << 13) * 0x1p112f;
    uint32_t special = (half & 0x7c00u) == 0x7c00u ? 0x7f800000u : 0;
    uint32_t bits;
    memcpy(&bits, &magnitude, sizeof bits);
    return float_of_bits(bits | special | sign);
}

/* Defines convert_<name>, which converts `count` elements of C type `type`, `step` bytes apart,
 * with the cast or function `of`. */
#define CONVERT(name, type, of)                                                                    \
    static inline float load_##name(const uint8_t *in)                                             \
    {                                                                                              \
        type value;                                                                                \
        memcpy(&value, in, sizeof value);                                                          \
        return of(value);                                                                          \
    }                                                                                              \
    static void convert_##name(float *restrict out, const uint8_t *restrict in, size_t count,      \
                               size_t step)                                                        \
    {                                                                                              \
        if (step == sizeof(type)) {                                                                \
            for (size_t i = 0; i < count; i++)                                                     \
                out[i] = load_##name(in + i * sizeof(type));                                       \
        } else {                                                                                   \
            for (size_t i = 0; i < count; i++)                                                     \
                out[i] = load_##name(in + i * step);                                               \
        }                                                                                          \
    }

CONVERT(f64, double, (float))
CONVERT(f32, float, (float))
CONVERT(f16, uint16_t, of_f16)
CONVERT(bf16, uint16_t, of_bf16)
CONVERT(i64, int64_t, (float))
CONVERT(i32, int32_t, (float))
CONVERT(i16, int16_t, (float))
CONVERT(i8, int8_t, (float))
CONVERT(u8, uint8_t, (float))
CONVERT(bool, uint8_t, of_bool)

static const struct dtype {
    const char *name, *safetensors, *storage, *npy;
    size_t bytes;
    void (*convert)(float *restrict out, const uint8_t *restrict in, size_t count, size_t step);
} dtypes[] = {
    [SM_F64] = {"f64", "F64", "DoubleStorage", "f8", 8, convert_f64},
    [SM_F32] = {"f32", "F32", "FloatStorage", "f4", 4, convert_f32},
    [SM_F16] = {"f16", "F16", "HalfStorage", "f2", 2, convert_f16},
    [SM_BF16] = {"bf16", "BF16", "BFloat16Storage", "V2", 2, convert_bf16},
    [SM_I64] = {"i64", "I64", "LongStorage", "i8", 8, convert_i64},
    [SM_I32] = {"i32", "I32", "IntStorage", "i4", 4, convert_i32},
    [SM_I16] = {"i16", "I16", "ShortStorage", "i2", 2, convert_i16},
    [SM_I8] = {"i8", "I8", "CharStorage", "i1", 1, convert_i8},
    [SM_U8] = {"u8", "U8", "ByteStorage", "u1", 1, convert_u8},
    [SM_BOOL] = {"bool", "BOOL", "BoolStorage", "b1", 1, convert_bool},
};

#define DTYPES_COUNT (sizeof dtypes / sizeof dtypes[0])
_Static_assert(DTYPES_COUNT == SM_UNREAD, "a row for every type that is read");

/* PyTorch's storage classes that are not read. The element size is needed to find the storage that
 * follows in a legacy file. */
static const struct {
    const char *storage;
    size_t bytes;
} others[] = {
    {"ComplexHalfStorage", 4}, {"ComplexFloatStorage", 8}, {"ComplexDoubleStorage", 16},
    {"QInt8Storage", 1},       {"QUInt8Storage", 1},       {"QInt32Storage", 4},
    {"QUInt4x2Storage", 1},    {"QUInt2x4Storage", 1},
};

const char *sm_dtype_name(enum sm_dtype dtype)
{
    assert((size_t)dtype <= DTYPES_COUNT);
    return dtype == SM_UNREAD ? "unread" : dtypes[dtype].name;
}

size_t sm_dtype_bytes(enum sm_dtype dtype)
{
    assert((size_t)dtype <= DTYPES_COUNT);
    return dtype == SM_UNREAD ? 0 : dtypes[dtype].bytes;
}

void sm_dtype_convert(float *out, const uint8_t *in, enum sm_dtype dtype, size_t count,
                      size_t step_bytes)
{
    if (count == 0)
        return;
    if (dtype == SM_F32 && step_bytes == sizeof(float))
        memcpy(out, in, count * sizeof(float));
    else
        dtypes[dtype].convert(out, in, count, step_bytes);
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

size_t sm_dtype_storage_bytes(const char *name, size_t name_count)
{
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strlen(others[i].storage) == name_count &&
            memcmp(others[i].storage, name, name_count) == 0)
            return others[i].bytes;
    return 0;
}

bool sm_dtype_of_npy(enum sm_dtype *out, const char *name, size_t name_count)
{
    if (name_count != 3 || (name[0] != '<' && name[0] != '|'))
        return false;
    for (size_t i = 0; i < DTYPES_COUNT; i++) {
        if (memcmp(dtypes[i].npy, name + 1, 2) == 0) {
            *out = (enum sm_dtype)i;
            return true;
        }
    }
    return false;
}
