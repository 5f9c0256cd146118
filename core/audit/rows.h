/* Tables that say how a struct is written as JSON: one row per member, in document order.
 *
 *     #define S struct sm_audit_images
 *     static const struct sm_row rows[] = {SM_ROW("total", total), {0}};
 *     #undef S
 *     json_t *node = sm_rows_json(rows, &images);
 *
 * SM_ROW derives the type of a row from the type of the member. A double that is not finite is an
 * undefined number and is written as null.
 *
 * Owner: the caller owns the JSON. Threads: no state. Errors: NULL when out of memory or when a
 * text is not UTF-8. */
#ifndef CORE_AUDIT_ROWS_H
#define CORE_AUDIT_ROWS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/audit/summary.h"

enum sm_row_type {
    SM_ROW_NUMBER,   /* double */
    SM_ROW_WHOLE,    /* double that holds a count, written as an integer */
    SM_ROW_COUNT,    /* int64_t */
    SM_ROW_BOOL,     /* bool */
    SM_ROW_TEXT,     /* const char *, NULL: null */
    SM_ROW_CHARS,    /* char[], "": null */
    SM_ROW_COHORT,   /* enum sm_cohort, written as its name */
    SM_ROW_VERDICT,  /* enum sm_verdict: null, false, true */
    SM_ROW_INTERVAL, /* struct sm_interval: [low, high] */
    SM_ROW_COUNTS,   /* int64_t[count] */
    SM_ROW_METHOD,   /* double, the lower end of an interval: `method`, null without an interval */
    SM_ROW_OBJECT,   /* a struct, by `rows` */
    SM_ROW_LIST,     /* an array of structs: [{…} …] */
    SM_ROW_TUPLES,   /* an array of structs without their names: [[…] …] */
    SM_ROW_KEYED, /* an array of structs that begin with their key, a const char *: {key: {…}} */
    SM_ROW_CUSTOM /* what `write` returns */
};

struct sm_row {
    const char *name; /* NULL ends the table */
    enum sm_row_type type;
    size_t offset;             /* of the member, bytes */
    const struct sm_row *rows; /* of the struct, or of each entry */
    size_t count, stride;      /* entries of the array, bytes of an entry */
    size_t counted;            /* offset of the size_t that counts the entries in use; 0: all */
    size_t known;              /* offset of a bool: false writes null; 0: always known */
    bool optional;             /* left out where it is not known */
    const char *method;
    json_t *(*write)(const void *member);
};

json_t *sm_rows_json(const struct sm_row *rows, const void *from);
/* Replaces every number of a struct by what `settle` makes of it, entries out of use included. */
void sm_rows_settle(const struct sm_row *rows, void *in, double (*settle)(double value));

/* Rows of members of S, a macro that names the struct. What follows a type or a table are further
 * members of the row. */
#define SM_ROW(key, member) SM_ROW_AS(key, member, SM_ROW_TYPE(member))
#define SM_ROW_AS(key, member, ...)                                                                \
    {                                                                                              \
        .name = key, .offset = offsetof(S, member), .type = __VA_ARGS__                            \
    }
#define SM_ROW_STRUCT(key, member, ...) SM_ROW_AS(key, member, SM_ROW_OBJECT, .rows = __VA_ARGS__)
/* An object made of members of S itself. */
#define SM_ROW_SAME(key, ...)                                                                      \
    {                                                                                              \
        .name = key, .type = SM_ROW_OBJECT, .rows = __VA_ARGS__                                    \
    }
#define SM_ROW_ARRAY(array_type, key, member, ...)                                                 \
    SM_ROW_AS(key, member, array_type, .stride = sizeof *((S *)0)->member,                         \
              .count = sizeof((S *)0)->member / sizeof *((S *)0)->member, .rows = __VA_ARGS__)
/* For `counted` and `known`, where 0 means none: does not compile for the first member of S. */
#define SM_ROW_AT(member) (offsetof(S, member) * sizeof(char[offsetof(S, member) > 0 ? 1 : -1]))
#define SM_ROW_TYPE(member)                                                                        \
    _Generic(((S *)0)->member,                                                                     \
        double: SM_ROW_NUMBER,                                                                     \
        int64_t: SM_ROW_COUNT,                                                                     \
        bool: SM_ROW_BOOL,                                                                         \
        const char *: SM_ROW_TEXT,                                                                 \
        char *: SM_ROW_CHARS,                                                                      \
        enum sm_cohort: SM_ROW_COHORT,                                                             \
        enum sm_verdict: SM_ROW_VERDICT,                                                           \
        struct sm_interval: SM_ROW_INTERVAL)

#endif
