/* The identity of a JSON document: SHA-256 of its canonical text. */
#ifndef CORE_SCORE_DIGEST_H
#define CORE_SCORE_DIGEST_H

#include <jansson.h>

#include "core/base/sha256.h"
#include "sslmem/err.h"

/* Writes the digest of `doc` and releases `doc`. NULL means that memory ran out while the document
 * was built: SM_NOMEM. */
enum sm_code sm_json_digest(char hex[SM_SHA256_HEX], json_t *doc, struct sm_err *err);

#endif
