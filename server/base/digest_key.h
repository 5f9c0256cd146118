/* The key under which exports name images, from a file of the operator's.
 *
 * Errors: those of sm_secret_read, so others than its owner must not be able to read it; SM_INVALID
 * when it is not 64 hexadecimal digits and at most a line end; the text never quotes it.
 * Owner, threads: no state. */
#ifndef SERVER_BASE_DIGEST_KEY_H
#define SERVER_BASE_DIGEST_KEY_H

#include <stdint.h>

#include "sslmem/err.h"

enum sm_code sm_digest_key_read(uint8_t key[32], const char *path, struct sm_err *err);

#endif
