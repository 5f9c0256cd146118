/* Score documents, stored in two parts: a shape that many scores share, and a score's own values.
 *
 *     {"method":"sslmem/2", ... "m":\1, ... "digest":"\2", ... "recipe":{...}, ... "key":"\3"}
 *     0.0426\n0.0187\n…
 *
 * A shape is the document with holes. A hole is a byte that JSON text cannot contain: \1 is the
 * next own value, \2 the digest of the image, \3 the score key. Joining gives the same text as
 * before the split, byte for byte, without parsing it. A table in document.c lists the own fields;
 * a field that is not in the table becomes part of the shape, which only costs room.
 *
 * Owner:   the caller frees the returned texts.
 * Threads: no state.
 * Errors:  SM_CORRUPT, SM_NOMEM. */
#ifndef SERVER_DB_DOCUMENT_H
#define SERVER_DB_DOCUMENT_H

#include <jansson.h>
#include <stdint.h>

#include "sslmem/err.h"

struct sm_document {
    char *shape, *own;
};
/* Splits a score; `image` and `score_key` are 64 hex digits. */
enum sm_code sm_document_split(struct sm_document *out, const json_t *score, const char *image,
                               const char *score_key, struct sm_err *err);
/* Splits a document of earlier versions, which wrote doubles with 17 digits: keeps its bytes. */
enum sm_code sm_document_split_old(struct sm_document *out, const json_t *score, const char *image,
                                   const char *score_key, struct sm_err *err);
void sm_document_release(struct sm_document *document);

/* Returns one line: {"id":ID,"created":TIME, … the document} and a newline. `image` and
 * `score_key` are 64 hex digits. */
struct sm_document_parts {
    const char *id, *created, *shape, *own, *image, *score_key;
};
enum sm_code sm_document_join(char **out, const struct sm_document_parts *parts,
                              struct sm_err *err);

/* Numbers that can be read from the own values without joining the document. */
enum sm_document_number {
    SM_NUMBER_M,
    SM_NUMBER_M_SE,
    SM_NUMBER_RATIO,
    SM_NUMBER_F,
    SM_NUMBER_F_SE,
    SM_NUMBER_G,
    SM_NUMBER_G_SE,
    SM_NUMBER_DECODER_WARNINGS,
    SM_NUMBER_NORM_1,
    SM_NUMBER_NORM_2,
    SM_NUMBER_NORM_MAX,
    SM_NUMBERS
};
struct sm_document_numbers {
    int at[SM_NUMBERS]; /* index among the own values; -1: the document does not have the number */
};
/* Finds the numbers of a shape. `common` (may be NULL) receives the shape as a document whose holes
 * are filled with meaningless values; the caller releases it. */
enum sm_code sm_document_locate(struct sm_document_numbers *out, json_t **common, const char *shape,
                                struct sm_err *err);
/* Reads the numbers from the own values; NAN for a missing number and for null. */
void sm_document_read(double out[SM_NUMBERS], const struct sm_document_numbers *numbers,
                      const char *own);

#endif
