/* The stacks of the pickle machine: values, links, marks, memo, and a bounded cursor.
 * core/ckpt/pickle.c holds the opcodes that work on them. Private to core/ckpt. */
#ifndef CORE_CKPT_MACHINE_H
#define CORE_CKPT_MACHINE_H

#include "core/ckpt/pickle.h"

#define VALUES_MAX (1u << 22)
#define LINKS_MAX  (1u << 23)
#define STACK_MAX  (1u << 20)
#define MARKS_MAX  1024u
#define UNSET      UINT32_MAX /* a memo that was not written */

struct sm_array {
    void *items;
    uint32_t count, room;
};

struct sm_machine {
    const uint8_t *bytes;
    size_t bytes_count, at;
    bool is_cut;  /* the bytes go on, beyond the limit */
    size_t op_at; /* where the running opcode stands, and its name: for errors */
    const char *op_name;
    struct sm_array values; /* struct sm_value */
    struct sm_array links;  /* struct sm_link */
    struct sm_array stack;  /* uint32_t, values */
    struct sm_array marks;  /* uint32_t, heights of the stack */
    struct sm_array memo;   /* uint32_t, values; UNSET */
    uint32_t memo_used;
    bool stopped;
    struct sm_err *err;
};

static inline struct sm_value *value_at(const struct sm_machine *m, uint32_t value)
{
    return (struct sm_value *)m->values.items + value;
}

static inline uint32_t *words(const struct sm_array *array)
{
    return array->items;
}

/* Height below which the running opcode may not pop. */
static inline uint32_t stack_floor(const struct sm_machine *m)
{
    return m->marks.count == 0 ? 0 : words(&m->marks)[m->marks.count - 1];
}

enum sm_code sm_machine_fail(const struct sm_machine *m, enum sm_code code, const char *what);
/* For what would need bytes behind the last one: what is missing, or NULL for the opcode's own. */
enum sm_code sm_machine_fail_end(const struct sm_machine *m, const char *missing);
enum sm_code sm_machine_reserve(struct sm_machine *m, struct sm_array *array, uint32_t count,
                                uint32_t max, size_t item_bytes, const char *what);
enum sm_code sm_machine_push(struct sm_machine *m, uint32_t value);
/* Adds a value of `kind`, zero otherwise, and returns it in *out. */
enum sm_code sm_machine_make(struct sm_machine *m, enum sm_value_kind kind, uint32_t *out);
enum sm_code sm_machine_make_pushed(struct sm_machine *m, enum sm_value_kind kind, uint32_t *out);
/* Pops `count` values; *first is where they still stand until the next push. */
enum sm_code sm_machine_pop(struct sm_machine *m, uint32_t count, const uint32_t **first);
/* Pops everything above the last mark, and the mark. */
enum sm_code sm_machine_pop_to_mark(struct sm_machine *m, const uint32_t **first, uint32_t *count);
enum sm_code sm_machine_take(struct sm_machine *m, uint64_t count, const uint8_t **out);
/* Little-endian unsigned number of `width` bytes, 1..8. */
enum sm_code sm_machine_take_number(struct sm_machine *m, int width, uint64_t *out);
/* Appends values to a list, tuple, set or dict. */
enum sm_code sm_machine_chain(struct sm_machine *m, uint32_t container, const uint32_t *values,
                              uint32_t count);

#endif
