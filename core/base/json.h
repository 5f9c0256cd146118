/* Field rules over jansson: a JSON object to a struct, or the pointer of the bad field.
 *
 *     static const struct sm_field fields[] = {
 *         {"views", SM_FIELD_INT, offsetof(struct sm_recipe, views), .min = 2, .max = 64},
 *         {"seed", SM_FIELD_U64, offsetof(struct sm_recipe, seed)},
 *         {0}};
 *     sm_fields_read(&recipe, node, fields, "/recipe", &err);
 *
 * A field that is absent leaves the struct alone unless it is required; an unknown one is an error.
 * Errors: SM_INVALID with the pointer ("/recipe/views") and a text with both what is and what may
 * be. */
#ifndef CORE_BASE_JSON_H
#define CORE_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

enum sm_field_type {
    SM_FIELD_INT, /* int32_t within [min, max] */
    SM_FIELD_U64, /* uint64_t: a non-negative integer, or its decimal digits as a string above 2^63
                     - 1 */
    SM_FIELD_DOUBLE, /* double within [min, max], finite */
    SM_FIELD_RANGE,  /* double[2] within [min, max], ascending */
    SM_FIELD_BOOL,   /* bool */
    SM_FIELD_ENUM,   /* int (an enum), index of the string in `names` */
    SM_FIELD_TEXT,   /* char[max + 1] */
    SM_FIELD_NODE    /* const json_t *, borrowed: for the caller to read */
};

struct sm_field {
    const char *name; /* NULL ends the table */
    enum sm_field_type type;
    size_t offset;
    double min, max;
    const char *const *names; /* NULL-terminated */
    bool required;
};

enum sm_code sm_fields_read(void *out, const json_t *node, const struct sm_field *fields,
                            const char *pointer, struct sm_err *err);

/* Parses untrusted JSON text: duplicate keys, depth over `depth_max` and bytes over `bytes_max` are
 * refused before or while parsing. */
enum sm_code sm_json_parse(json_t **out, const void *bytes, size_t bytes_count, size_t bytes_max,
                           int depth_max, struct sm_err *err);

/* As SM_FIELD_U64 reads it: JSON integers end at 2^63 - 1, above are the digits as a string. */
json_t *sm_json_u64(uint64_t value);

/* Keys sorted, no spaces, doubles with 17 digits. Allocated with malloc; NULL when out of memory.
 */
char *sm_json_canonical(const json_t *node);

#endif
