/* Reads the digest key, the secret under which reports name images, from a file of the operator.
 *
 * Errors: those of sm_secret_read, which accepts only a file that nobody but its owner may access;
 *         SM_INVALID unless the file holds 64 hexadecimal digits and at most a line end. Error
 *         texts never quote the key.
 * Owner, threads: no state. */
#ifndef SERVER_BASE_DIGEST_KEY_H
#define SERVER_BASE_DIGEST_KEY_H

#include <stdint.h>

#include "sslmem/err.h"

enum sm_code sm_digest_key_read(uint8_t key[32], const char *path, struct sm_err *err);

#endif
