/* Pickle streams as inert values. Opcodes build a tree of numbers, texts, containers, names of
 * globals and records of what would have been called; nothing is imported, called or resolved.
 *
 *     struct sm_pickle pickle;
 *     if (sm_pickle_parse(&pickle, bytes, n, &err) == SM_OK) {
 *         const struct sm_value *root = &pickle.values[pickle.root];
 *         ...
 *         sm_pickle_release(&pickle);
 *     }
 *
 * Values refer to each other by index, may be shared, and may form cycles (as in Python): whoever
 * walks them bounds the walk and uses no recursion.
 *
 * Owner:   sm_pickle_release; accepts a zeroed object. `bytes` must outlive the pickle: texts point
 * into it.
 * Errors:  SM_CORRUPT, SM_UNSUPPORTED (an opcode we do not read), SM_LIMIT, SM_NOMEM.
 * Limits:  SM_CKPT_HEADER_MAX bytes to its STOP, and the constants of machine.h. */
#ifndef CORE_CKPT_PICKLE_H
#define CORE_CKPT_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

enum sm_value_kind {
    SM_VALUE_NONE,
    SM_VALUE_BOOL,
    SM_VALUE_INT,   /* within int64_t */
    SM_VALUE_BIG,   /* an integer beyond it; its value is dropped */
    SM_VALUE_FLOAT, /* value dropped: nothing reads it */
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

/* Part of the stream. */
struct sm_slice {
    uint32_t at, count;
};

struct sm_value {
    uint8_t kind;
    bool on_path; /* for a walk that must not enter a cycle; false after parsing */
    union {
        int64_t number;           /* BOOL, INT */
        struct sm_slice text;     /* TEXT, BYTES */
        struct {                  /* LIST, TUPLE, SET: items; DICT: key, value, key, value … */
            uint32_t first, last; /* links; 0 is none */
            uint32_t count;       /* of links */
        } items;
        struct {
            struct sm_slice module, name;
        } global;
        struct { /* REDUCE, NEWOBJ and BUILD as data; 0 (the value None) where absent */
            uint32_t callable, args;
            uint32_t state;
            uint32_t items; /* a LIST or DICT that the stream put into it */
        } object;
        uint32_t id; /* PERSISTENT: value of the persistent id */
    } as;
};

struct sm_link {
    uint32_t value, next;
};

struct sm_pickle {
    const uint8_t *bytes;
    size_t bytes_count;      /* up to and with its STOP: what follows is not the pickle's */
    struct sm_value *values; /* 0 is None */
    struct sm_link *links;   /* 0 is not used */
    uint32_t values_count, links_count;
    uint32_t root;
};

/* Parses the pickle at the beginning of the bytes; more may follow. */
enum sm_code sm_pickle_parse(struct sm_pickle *out, const uint8_t *bytes, size_t bytes_count,
                             struct sm_err *err);
void sm_pickle_release(struct sm_pickle *pickle);

/* Item `index` of a list or tuple; value 0 (None) past the end or of anything else. O(index). */
uint32_t sm_pickle_item(const struct sm_pickle *pickle, uint32_t list, uint32_t index);
/* The value under the text `key` of a dict; 0 when there is none or it is no dict. O(size). */
uint32_t sm_pickle_entry(const struct sm_pickle *pickle, uint32_t dict, const char *key);

bool sm_slice_is(const struct sm_pickle *pickle, struct sm_slice slice, const char *text);
bool sm_pickle_is_text(const struct sm_pickle *pickle, uint32_t value, const char *text);
bool sm_pickle_is_global(const struct sm_pickle *pickle, uint32_t value, const char *module,
                         const char *name);
/* Text of a slice for "%.*s" and lengths. */
const char *sm_slice_text(const struct sm_pickle *pickle, struct sm_slice slice);

#endif
