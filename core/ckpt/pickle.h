/* Reads pickle streams as inert values: numbers, texts, containers, names of globals, and records
 * of the calls that Python would make. Nothing is imported, called or resolved.
 *
 *     struct sm_pickle pickle;
 *     if (sm_pickle_parse(&pickle, bytes, n, &err) == SM_OK) {
 *         const struct sm_value *root = &pickle.values[pickle.root];
 *         ...
 *         sm_pickle_release(&pickle);
 *     }
 *
 * Values refer to each other by index. As in Python, they may be shared and may form cycles, so
 * code that walks them must bound its steps and must not recurse. Value 0 is None.
 *
 * Owner:   sm_pickle_release frees the values and accepts a zeroed object. `bytes` must outlive the
 *          pickle, because texts point into it.
 * Errors:  SM_CORRUPT, SM_UNSUPPORTED (an unsupported opcode), SM_LIMIT, SM_NOMEM.
 * Limits:  SM_CKPT_HEADER_MAX bytes up to the opcode STOP, and the constants of machine.h. */
#ifndef CORE_CKPT_PICKLE_H
#define CORE_CKPT_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

enum sm_value_kind {
    SM_VALUE_NONE,
    SM_VALUE_BOOL,
    SM_VALUE_INT,   /* an integer within int64_t */
    SM_VALUE_BIG,   /* an integer outside of int64_t; its value is not kept */
    SM_VALUE_FLOAT, /* the value is not kept, because nothing reads it */
    SM_VALUE_TEXT,
    SM_VALUE_BYTES,
    SM_VALUE_LIST,
    SM_VALUE_TUPLE,
    SM_VALUE_SET,
    SM_VALUE_DICT,
    SM_VALUE_GLOBAL,
    SM_VALUE_OBJECT,
    SM_VALUE_PERSISTENT
};

/* A part of the stream: `count` bytes from byte `at`. */
struct sm_slice {
    uint32_t at, count;
};

struct sm_value {
    uint8_t kind;
    bool on_path; /* set by a walk to detect cycles; false after parsing */
    union {
        int64_t number;           /* value of a BOOL (0 or 1) or INT */
        struct sm_slice text;     /* content of a TEXT or BYTES */
        struct {                  /* links of a LIST, TUPLE, SET, or DICT (key, value, key …) */
            uint32_t first, last; /* indices of links; 0: empty */
            uint32_t count;       /* number of links */
        } items;
        struct {
            struct sm_slice module, name;
        } global;
        struct { /* OBJECT, made by REDUCE or NEWOBJ: indices of values; 0: absent */
            uint32_t callable, args;
            uint32_t state; /* set by BUILD */
            uint32_t items; /* a LIST or DICT of the items that the stream added to the object */
        } object;
        uint32_t id; /* PERSISTENT: index of the value that is the persistent id */
    } as;
};

/* An item of a container and the index of the next link; 0: the last one. */
struct sm_link {
    uint32_t value, next;
};

struct sm_pickle {
    const uint8_t *bytes;
    size_t bytes_count;      /* length of the stream, including the opcode STOP */
    struct sm_value *values; /* [values_count]; value 0 is None */
    struct sm_link *links;   /* [links_count]; link 0 is not used */
    uint32_t values_count, links_count;
    uint32_t root; /* index of the value that the stream describes */
};

/* Parses the pickle at the beginning of `bytes`; other data may follow it. */
enum sm_code sm_pickle_parse(struct sm_pickle *out, const uint8_t *bytes, size_t bytes_count,
                             struct sm_err *err);
/* The same with another limit than SM_CKPT_HEADER_MAX, for pickles that hold arrays. */
enum sm_code sm_pickle_parse_within(struct sm_pickle *out, const uint8_t *bytes, size_t bytes_count,
                                    uint32_t bytes_max, struct sm_err *err);
void sm_pickle_release(struct sm_pickle *pickle);

/* Returns item `index` of a list or tuple, else value 0 (None). Cost: O(index). */
uint32_t sm_pickle_item(const struct sm_pickle *pickle, uint32_t list, uint32_t index);
/* Returns the value of the text key `key` in a dict; 0 if the key is missing or the value is no
 * dict. Cost: O(size of the dict). */
uint32_t sm_pickle_entry(const struct sm_pickle *pickle, uint32_t dict, const char *key);

/* Return true if a slice, a text value, or a global's module and name equal the given text. */
bool sm_slice_is(const struct sm_pickle *pickle, struct sm_slice slice, const char *text);
bool sm_pickle_is_text(const struct sm_pickle *pickle, uint32_t value, const char *text);
bool sm_pickle_is_global(const struct sm_pickle *pickle, uint32_t value, const char *module,
                         const char *name);
/* Returns the first byte of a slice; the text has slice.count bytes and no NUL. */
const char *sm_slice_text(const struct sm_pickle *pickle, struct sm_slice slice);

#endif
