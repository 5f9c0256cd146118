/* Computes the digests of a body while it arrives, and compares them with the Content-Digest header
 * (RFC 9530).
 *
 *     enum sm_code code = sm_digest_declare(&digest, header, &err);   // once per header line
 *     sm_digest_add(&digest, bytes, n);                               // per fragment
 *     code = sm_digest_check(&digest, sha256, &err);                  // once, at the end
 *
 * sha-256 and sha-512 are checked, other algorithms ignored. Only declared or wanted digests are
 * computed. If an algorithm is named twice, the last value counts (RFC 8941).
 *
 * Owner:  the caller; nothing to release. A zeroed object computes nothing.
 * Errors: SM_INVALID (not the syntax of RFC 9530), SM_CORRUPT (the body has another digest). */
#ifndef SERVER_HTTP_DIGEST_H
#define SERVER_HTTP_DIGEST_H

#include <nettle/sha2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

struct sm_digest {
    bool begun;
    bool wants_sha256; /* compute SHA-256 even if the header does not declare it */
    struct {
        bool there;
        uint8_t bytes[SHA512_DIGEST_SIZE];
    } declared[2]; /* sha-256, sha-512 */
    struct sha256_ctx sha256;
    struct sha512_ctx sha512;
    size_t bytes_count;
};

enum sm_code sm_digest_declare(struct sm_digest *digest, const char *value, struct sm_err *err);
void sm_digest_add(struct sm_digest *digest, const void *bytes, size_t bytes_count);
/* Ends the computation and compares; call it once. Sets `sha256` if digest->wants_sha256. */
enum sm_code sm_digest_check(struct sm_digest *digest, uint8_t sha256[SHA256_DIGEST_SIZE],
                             struct sm_err *err);

#endif
