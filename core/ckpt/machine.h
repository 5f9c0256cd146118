/* The state of the pickle machine: arrays of values, links, stack, marks and memo, and a position
 * in the stream. core/ckpt/pickle.c implements the opcodes. Functions return SM_CORRUPT, SM_LIMIT
 * or SM_NOMEM and fill m->err. Private to core/ckpt. */
#ifndef CORE_CKPT_MACHINE_H
#define CORE_CKPT_MACHINE_H

#include "core/ckpt/pickle.h"

#define VALUES_MAX (1u << 22)
#define LINKS_MAX  (1u << 23)
#define STACK_MAX  (1u << 20)
#define MARKS_MAX  1024u
#define UNSET      UINT32_MAX /* a memo entry that was not written */

/* A growing array: `count` of `room` items are used. */
struct sm_array {
    void *items;
    uint32_t count, room;
};

struct sm_machine {
    const uint8_t *bytes;
    size_t bytes_count, at;
    bool is_cut;  /* the stream is longer than bytes_count, which is at the limit */
    size_t op_at; /* position of the running opcode; with its name, for error texts */
    const char *op_name;
    struct sm_array values; /* items: struct sm_value */
    struct sm_array links;  /* items: struct sm_link */
    struct sm_array stack;  /* items: uint32_t, indices of values */
    struct sm_array marks;  /* items: uint32_t, heights of the stack at open marks */
    struct sm_array memo;   /* items: uint32_t, indices of values, or UNSET */
    uint32_t memo_used;     /* entries of the memo that are not UNSET */
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

/* Returns the height of the stack below which the running opcode may not pop. */
static inline uint32_t stack_floor(const struct sm_machine *m)
{
    return m->marks.count == 0 ? 0 : words(&m->marks)[m->marks.count - 1];
}

/* Sets the error "pickle: OPCODE at byte N `what`" and returns `code`. */
enum sm_code sm_machine_fail(const struct sm_machine *m, enum sm_code code, const char *what);
/* Sets the error for a stream that ends too early: `missing` names what it lacks; NULL: bytes of
 * the running opcode. */
enum sm_code sm_machine_fail_end(const struct sm_machine *m, const char *missing);
/* Makes room for `count` items, at most `max`; `what` names the items in error texts. */
enum sm_code sm_machine_reserve(struct sm_machine *m, struct sm_array *array, uint32_t count,
                                uint32_t max, size_t item_bytes, const char *what);
enum sm_code sm_machine_push(struct sm_machine *m, uint32_t value);
/* Adds a zeroed value of `kind` and writes its index to *out; make_pushed also pushes it. */
enum sm_code sm_machine_make(struct sm_machine *m, enum sm_value_kind kind, uint32_t *out);
enum sm_code sm_machine_make_pushed(struct sm_machine *m, enum sm_value_kind kind, uint32_t *out);
/* Pops `count` values. *first points to them and is valid until the next push. */
enum sm_code sm_machine_pop(struct sm_machine *m, uint32_t count, const uint32_t **first);
/* Pops the last mark and all values above it; *first is valid until the next push. */
enum sm_code sm_machine_pop_to_mark(struct sm_machine *m, const uint32_t **first, uint32_t *count);
/* Reads the next `count` bytes of the stream; *out points into it. */
enum sm_code sm_machine_take(struct sm_machine *m, uint64_t count, const uint8_t **out);
/* Reads a little-endian unsigned number of `width` bytes, 1..8. */
enum sm_code sm_machine_take_number(struct sm_machine *m, int width, uint64_t *out);
/* Appends values to a list, tuple, set or dict. */
enum sm_code sm_machine_chain(struct sm_machine *m, uint32_t container, const uint32_t *values,
                              uint32_t count);

#endif
