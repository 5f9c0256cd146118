/* Digests of a body, taken while it comes, and Content-Digest (RFC 9530), which says what they are
 * to be.
 *
 *     enum sm_code code = sm_digest_declare(&digest, header, &err);   // once per header line
 *     sm_digest_add(&digest, bytes, n);                               // per fragment
 *     code = sm_digest_check(&digest, &err);                          // SM_CORRUPT: other bytes
 *
 * sha-256 and sha-512 are checked, other algorithms passed over; only what was declared or wanted
 * is computed. Of an algorithm named twice the last counts (RFC 8941).
 *
 * Owner: the caller; nothing to release, a zeroed object is one that computes nothing.
 * Errors: SM_INVALID: not the syntax of RFC 9530; SM_CORRUPT. */
#ifndef SERVER_HTTP_DIGEST_H
#define SERVER_HTTP_DIGEST_H

#include <nettle/sha2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

struct sm_digest {
    bool begun;
    bool wants_sha256; /* also when it is not declared */
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
/* Ends it: to be called once. `sha256` receives what was wanted. */
enum sm_code sm_digest_check(struct sm_digest *digest, uint8_t sha256[SHA256_DIGEST_SIZE],
                             struct sm_err *err);

#endif
