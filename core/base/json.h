/* Reads a JSON object (of jansson) into a struct by a table of fields, and reports the bad field.
 *
 *     static const struct sm_field fields[] = {
 *         {"views", SM_FIELD_INT, offsetof(struct sm_recipe, views), .min = 2, .max = 64},
 *         {"seed", SM_FIELD_U64, offsetof(struct sm_recipe, seed)},
 *         {0}};
 *     sm_fields_read(&recipe, node, fields, "/recipe", &err);
 *
 * An absent field leaves its member of the struct unchanged, unless it is required. An unknown
 * field is an error. Errors: SM_INVALID with the pointer ("/recipe/views") and a text that gives
 * both the value and the allowed values. */
#ifndef CORE_BASE_JSON_H
#define CORE_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

enum sm_field_type {
    SM_FIELD_INT,    /* stored as int32_t, within [min, max] */
    SM_FIELD_U64,    /* stored as uint64_t: a non-negative integer; above 2^63 - 1 the document must
                     have a string of decimal digits */
    SM_FIELD_DOUBLE, /* stored as double, finite and within [min, max] */
    SM_FIELD_RANGE,  /* stored as double[2]: two ascending numbers within [min, max] */
    SM_FIELD_BOOL,   /* stored as bool */
    SM_FIELD_ENUM,   /* stored as int (an enum): the index of the string in `names` */
    SM_FIELD_TEXT,   /* stored as char[max + 1]: at most `max` bytes and a NUL */
    SM_FIELD_NODE    /* stored as const json_t *: a borrowed node, which the caller reads itself */
};

struct sm_field {
    const char *name; /* name of the field in the document; NULL ends the table */
    enum sm_field_type type;
    size_t offset; /* offset of the member in the struct, bytes */
    double min, max;
    const char *const *names; /* NULL-terminated strings of SM_FIELD_ENUM */
    bool required;
};

/* Reads the object `node` into the struct at `out`. `pointer` is the node's own JSON pointer. */
enum sm_code sm_fields_read(void *out, const json_t *node, const struct sm_field *fields,
                            const char *pointer, struct sm_err *err);

#define SM_JSON_MARK "\xef\xbb\xbf" /* UTF-8's byte order mark, which editors put before a text */

/* Parses untrusted JSON text into a new reference; passes over a byte order mark, as RFC 8259
 * section 8.1 allows. SM_LIMIT if the text has more than `bytes_max`
 * bytes or is nested deeper than `depth_max`; SM_CORRUPT for invalid JSON and duplicate keys. */
enum sm_code sm_json_parse(json_t **out, const void *bytes, size_t bytes_count, size_t bytes_max,
                           int depth_max, struct sm_err *err);

/* Makes a value that SM_FIELD_U64 reads: an integer up to 2^63 - 1, above a string of digits.
 * Returns a new reference, NULL when out of memory. */
json_t *sm_json_u64(uint64_t value);

/* Makes a JSON number, or null if `value` is not finite. New reference, NULL when out of memory. */
json_t *sm_json_number(double value);

/* Writes JSON text for readers: what jansson writes with `flags`, any value at the top, and doubles
 * as by sm_number_text. The caller frees the result; NULL when out of memory. */
char *sm_json_text(const json_t *node, size_t flags);

/* Writes canonical text: sorted keys, no spaces, doubles with 17 digits. Digests of recipes and
 * pairs are of this text, so its form never changes. The caller frees the result; NULL when out of
 * memory. */
char *sm_json_canonical(const json_t *node);

/* Writes a finite double with the fewest digits that read back as the same double: "0.4", "1e-05",
 * "3". Some powers of two take one digit more than they need. Returns `out`. */
#define SM_NUMBER_BYTES 40
char *sm_number_text(char out[SM_NUMBER_BYTES], double value);

#endif
