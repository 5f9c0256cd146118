/* Score documents in two parts: a shape, which many scores share, and what is a score's own.
 *
 *     {"method":"sslmem/2", ... "m":\1, ... "digest":"\2", ... "recipe":{...}, ... "key":"\3"}
 *     0.0426\n0.0187\n…
 *
 * A shape is the document with holes, bytes that JSON text cannot contain: the next of the own
 * values, the digest of the image, the key. Joined again they are the text that was split, byte for
 * byte, and joining parses nothing. Which fields are own is a table in document.c; a field that it
 * does not know becomes part of the shape, which costs room and nothing else.
 *
 * Owner:  texts are the caller's to free. Threads: no state. Errors: SM_CORRUPT, SM_NOMEM. */
#ifndef SERVER_DB_DOCUMENT_H
#define SERVER_DB_DOCUMENT_H

#include <jansson.h>
#include <stdint.h>

#include "sslmem/err.h"

struct sm_document {
    char *shape, *own;
};
/* `image` and `score_key` in hex. */
enum sm_code sm_document_split(struct sm_document *out, const json_t *score, const char *image,
                               const char *score_key, struct sm_err *err);
void sm_document_release(struct sm_document *document);

/* {"id":ID,"created":TIME, … the document} and a line's end. Digests are of 64 digits. */
struct sm_document_parts {
    const char *id, *created, *shape, *own, *image, *score_key;
};
enum sm_code sm_document_join(char **out, const struct sm_document_parts *parts,
                              struct sm_err *err);

/* The numbers of a score without its document: where they stand among the own values of a shape. */
enum sm_document_number {
    SM_NUMBER_M,
    SM_NUMBER_M_SE,
    SM_NUMBER_RATIO,
    SM_NUMBER_F,
    SM_NUMBER_F_SE,
    SM_NUMBER_G,
    SM_NUMBER_G_SE,
    SM_NUMBER_DECODER_WARNINGS,
    SM_NUMBERS
};
struct sm_document_numbers {
    int at[SM_NUMBERS]; /* index of the own value; -1: the document has none */
};
/* `common` (may be NULL) receives the shape as a document, its holes filled with whatever. */
enum sm_code sm_document_locate(struct sm_document_numbers *out, json_t **common, const char *shape,
                                struct sm_err *err);
/* NAN where there is none, or null. */
void sm_document_read(double out[SM_NUMBERS], const struct sm_document_numbers *numbers,
                      const char *own);

#endif
