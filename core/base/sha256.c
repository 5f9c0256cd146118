/* libsodium's SHA-256 needs no sodium_init: it keeps no state outside its argument. */
#include "core/base/sha256.h"

#include <sodium/crypto_hash_sha256.h>

void sm_sha256(uint8_t out[SM_SHA256_BYTES], const void *bytes, size_t bytes_count)
{
    crypto_hash_sha256(out, bytes, bytes_count);
}

void sm_sha256_hex(char out[SM_SHA256_HEX], const void *bytes, size_t bytes_count)
{
    uint8_t digest[SM_SHA256_BYTES];
    sm_sha256(digest, bytes, bytes_count);
    sm_hex(out, digest, sizeof digest);
}

void sm_hex(char *out, const uint8_t *bytes, size_t bytes_count)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes_count; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}
