/* The identity of a JSON document: SHA-256 of its canonical text. */
#ifndef CORE_SCORE_DIGEST_H
#define CORE_SCORE_DIGEST_H

#include <jansson.h>

#include "core/base/sha256.h"
#include "sslmem/err.h"

/* Writes the digest of `doc` and releases it. NULL `doc`: memory ran out while it was built. */
enum sm_code sm_json_digest(char hex[SM_SHA256_HEX], json_t *doc, struct sm_err *err);

#endif
