/* Uses Nettle because its SHA-256 needs no set-up, does not allocate and cannot fail. It also uses
 * the processor's SHA instructions if available, which are five times as fast as portable C; that
 * matters because every start hashes whole checkpoints. */
#include "core/base/sha256.h"

#include <nettle/hmac.h>
#include <nettle/sha2.h>

void sm_sha256(uint8_t out[SM_SHA256_BYTES], const void *bytes, size_t bytes_count)
{
    struct sha256_ctx context;
    sha256_init(&context);
    sha256_update(&context, bytes_count, bytes);
    sha256_digest(&context, SM_SHA256_BYTES, out);
}

void sm_sha256_hex(char out[SM_SHA256_HEX], const void *bytes, size_t bytes_count)
{
    uint8_t digest[SM_SHA256_BYTES];
    sm_sha256(digest, bytes, bytes_count);
    sm_hex(out, digest, sizeof digest);
}

void sm_hmac_sha256_hex(char out[SM_SHA256_HEX], const uint8_t *key, const void *bytes,
                        size_t bytes_count)
{
    uint8_t digest[SM_SHA256_BYTES];
    struct hmac_sha256_ctx context;
    hmac_sha256_set_key(&context, SM_SHA256_BYTES, key);
    hmac_sha256_update(&context, bytes_count, bytes);
    hmac_sha256_digest(&context, sizeof digest, digest);
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
