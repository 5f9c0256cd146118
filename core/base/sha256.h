/* SHA-256: digests that identify images, checkpoints, recipes and pairs. Threads: no state. */
#ifndef CORE_BASE_SHA256_H
#define CORE_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SM_SHA256_BYTES 32
#define SM_SHA256_HEX   65 /* bytes of 64 hex digits and a NUL */

void sm_sha256(uint8_t out[SM_SHA256_BYTES], const void *bytes, size_t bytes_count);
void sm_sha256_hex(char out[SM_SHA256_HEX], const void *bytes, size_t bytes_count);
/* Writes the HMAC-SHA-256 of the bytes; `key` has SM_SHA256_BYTES bytes. */
void sm_hmac_sha256_hex(char out[SM_SHA256_HEX], const uint8_t *key, const void *bytes,
                        size_t bytes_count);
/* Writes 2 * bytes_count hex digits and a NUL. */
void sm_hex(char *out, const uint8_t *bytes, size_t bytes_count);

#endif
