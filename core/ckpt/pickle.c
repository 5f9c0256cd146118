/* A pickle machine that records calls instead of making them. It runs the opcodes of protocol 2,
 * which PyTorch writes, and the few opcodes of later protocols for the same values (Python's
 * Lib/pickletools.py). It refuses text opcodes of protocols 0 and 1, copyreg extensions and
 * out-of-band buffers.
 *
 * A stream of n bytes runs at most n opcodes. Each opcode makes at most one value, and all of them
 * together make at most n links. Time and memory are therefore linear in n, and n is bounded.
 * Containers are chains in one array of links, so that an append costs O(1), containers can be
 * shared, and two frees release everything. REDUCE and NEWOBJ make an OBJECT that stores the
 * callable and its arguments; BUILD adds the state. */
#include "core/ckpt/pickle.h"

#include <stdlib.h>
#include <string.h>

#include "core/ckpt/machine.h"
#include "sslmem/ckpt.h"

#define PROTOCOL_MAX 5

enum { NONE_VALUE, TRUE_VALUE, FALSE_VALUE, EMPTY_TUPLE_VALUE };

/* A row of the table of opcodes. The comment of each `run` explains `arg` and `kind`. */

struct op {
    const char *name;
    enum sm_code (*run)(struct sm_machine *m, const struct op *op);
    int arg;
    enum sm_value_kind kind;
};

static enum sm_code op_protocol(struct sm_machine *m, const struct op *op)
{
    uint64_t version;
    enum sm_code code = sm_machine_take_number(m, op->arg, &version);
    if (code == SM_OK && version > PROTOCOL_MAX)
        return sm_machine_fail(m, SM_UNSUPPORTED, "names a protocol above 5");
    return code;
}

static enum sm_code op_skip(struct sm_machine *m, const struct op *op)
{
    const uint8_t *bytes;
    return sm_machine_take(m, (uint64_t)op->arg, &bytes);
}

static enum sm_code op_stop(struct sm_machine *m, const struct op *op)
{
    (void)op;
    if (m->stack.count == 0 || m->marks.count != 0)
        return sm_machine_fail(m, SM_CORRUPT, "finds no single value");
    m->stopped = true;
    return SM_OK;
}

static enum sm_code op_mark(struct sm_machine *m, const struct op *op)
{
    enum sm_code code = sm_machine_reserve(m, &m->marks, m->marks.count + 1, MARKS_MAX,
                                           sizeof(uint32_t), "open marks");
    (void)op;
    if (code == SM_OK)
        words(&m->marks)[m->marks.count++] = m->stack.count;
    return code;
}

static enum sm_code op_pop(struct sm_machine *m, const struct op *op)
{
    const uint32_t *values;
    (void)op;
    if (m->marks.count != 0 && m->stack.count == stack_floor(m)) {
        m->marks.count--;
        return SM_OK;
    }
    return sm_machine_pop(m, 1, &values);
}

static enum sm_code op_pop_mark(struct sm_machine *m, const struct op *op)
{
    const uint32_t *values;
    uint32_t count;
    (void)op;
    return sm_machine_pop_to_mark(m, &values, &count);
}

static enum sm_code op_dup(struct sm_machine *m, const struct op *op)
{
    const uint32_t *top;
    enum sm_code code = sm_machine_pop(m, 1, &top);
    uint32_t value;
    (void)op;
    if (code != SM_OK)
        return code;
    value = *top;
    code = sm_machine_push(m, value);
    return code == SM_OK ? sm_machine_push(m, value) : code;
}

static enum sm_code op_constant(struct sm_machine *m, const struct op *op)
{
    return sm_machine_push(m, (uint32_t)op->arg);
}

/* `arg`: width of the number in bytes, negative for a signed number. */
static enum sm_code op_int(struct sm_machine *m, const struct op *op)
{
    uint64_t number;
    uint32_t value;
    enum sm_code code = sm_machine_take_number(m, abs(op->arg), &number);
    if (code == SM_OK)
        code = sm_machine_make_pushed(m, SM_VALUE_INT, &value);
    if (code == SM_OK)
        value_at(m, value)->as.number = op->arg < 0 ? (int32_t)(uint32_t)number : (int64_t)number;
    return code;
}

/* Reads a little-endian integer in two's complement. `arg`: width of its length in bytes. */
static enum sm_code op_long(struct sm_machine *m, const struct op *op)
{
    uint64_t count, number = 0;
    const uint8_t *bytes = NULL;
    uint32_t value;
    enum sm_code code = sm_machine_take_number(m, op->arg, &count);
    if (code == SM_OK)
        code = sm_machine_take(m, count, &bytes);
    if (code == SM_OK)
        code =
            sm_machine_make_pushed(m, count > sizeof number ? SM_VALUE_BIG : SM_VALUE_INT, &value);
    if (code != SM_OK || count > sizeof number)
        return code;
    if (count > 0 && bytes[count - 1] >= 0x80)
        number = UINT64_MAX;
    for (size_t i = (size_t)count; i-- > 0;)
        number = number << 8 | bytes[i];
    value_at(m, value)->as.number = (int64_t)number;
    return SM_OK;
}

static enum sm_code op_float(struct sm_machine *m, const struct op *op)
{
    uint32_t value;
    enum sm_code code = op_skip(m, op);
    return code == SM_OK ? sm_machine_make_pushed(m, SM_VALUE_FLOAT, &value) : code;
}

/* `arg`: width of the text's length in bytes. */
static enum sm_code op_text(struct sm_machine *m, const struct op *op)
{
    uint64_t count;
    const uint8_t *bytes = NULL;
    uint32_t value;
    enum sm_code code = sm_machine_take_number(m, op->arg, &count);
    if (code == SM_OK)
        code = sm_machine_take(m, count, &bytes);
    if (code == SM_OK)
        code = sm_machine_make_pushed(m, op->kind, &value);
    if (code == SM_OK)
        value_at(m, value)->as.text =
            (struct sm_slice){(uint32_t)(bytes - m->bytes), (uint32_t)count};
    return code;
}

static enum sm_code op_empty(struct sm_machine *m, const struct op *op)
{
    uint32_t value;
    return sm_machine_make_pushed(m, op->kind, &value);
}

/* Pushes a new container with `count` values that were just popped. */
static enum sm_code collect(struct sm_machine *m, enum sm_value_kind kind, const uint32_t *first,
                            uint32_t count)
{
    uint32_t value;
    enum sm_code code;
    if (kind == SM_VALUE_DICT && count % 2 != 0)
        return sm_machine_fail(m, SM_CORRUPT, "finds a key without a value");
    code = sm_machine_make(m, kind, &value);
    if (code == SM_OK)
        code = sm_machine_chain(m, value, first, count);
    return code == SM_OK ? sm_machine_push(m, value) : code;
}

/* `arg`: number of values to pop; 0: all above the mark. */
static enum sm_code op_collect(struct sm_machine *m, const struct op *op)
{
    uint32_t count = (uint32_t)op->arg;
    const uint32_t *first = NULL;
    enum sm_code code =
        count == 0 ? sm_machine_pop_to_mark(m, &first, &count) : sm_machine_pop(m, count, &first);
    return code == SM_OK ? collect(m, op->kind, first, count) : code;
}

/* Finds the container of `kind` for new items: `value` itself or, if it is an object, the object's
 * items, which are made if absent. */
static enum sm_code container_of(struct sm_machine *m, uint32_t value, enum sm_value_kind kind,
                                 uint32_t *out)
{
    uint32_t items;
    enum sm_code code;
    *out = value;
    if (value_at(m, value)->kind == SM_VALUE_OBJECT && kind != SM_VALUE_SET) {
        *out = value_at(m, value)->as.object.items;
        if (*out == 0) {
            code = sm_machine_make(m, kind, &items);
            if (code != SM_OK)
                return code;
            value_at(m, value)->as.object.items = *out = items;
        }
    }
    if (value_at(m, *out)->kind != kind)
        return sm_machine_fail(m, SM_CORRUPT, "finds a value of another type");
    return SM_OK;
}

/* `arg`: number of values to pop; 0: all above the mark. The container below receives them. */
static enum sm_code op_extend(struct sm_machine *m, const struct op *op)
{
    uint32_t count = (uint32_t)op->arg;
    uint32_t container;
    const uint32_t *first = NULL;
    enum sm_code code =
        count == 0 ? sm_machine_pop_to_mark(m, &first, &count) : sm_machine_pop(m, count, &first);
    if (code != SM_OK)
        return code;
    if (m->stack.count == stack_floor(m))
        return sm_machine_fail(m, SM_CORRUPT, "finds too few values");
    if (op->kind == SM_VALUE_DICT && count % 2 != 0)
        return sm_machine_fail(m, SM_CORRUPT, "finds a key without a value");
    code = container_of(m, words(&m->stack)[m->stack.count - 1], op->kind, &container);
    return code == SM_OK ? sm_machine_chain(m, container, first, count) : code;
}

static enum sm_code take_line(struct sm_machine *m, struct sm_slice *out)
{
    const uint8_t *begin = m->bytes + m->at;
    const uint8_t *end = memchr(begin, '\n', m->bytes_count - m->at);
    if (!end)
        return sm_machine_fail_end(m, NULL);
    *out = (struct sm_slice){(uint32_t)m->at, (uint32_t)(end - begin)};
    m->at += (size_t)(end - begin) + 1;
    return SM_OK;
}

static enum sm_code op_global(struct sm_machine *m, const struct op *op)
{
    struct sm_slice module = {0}, name = {0};
    uint32_t value;
    enum sm_code code = take_line(m, &module);
    (void)op;
    if (code == SM_OK)
        code = take_line(m, &name);
    if (code == SM_OK)
        code = sm_machine_make_pushed(m, SM_VALUE_GLOBAL, &value);
    if (code == SM_OK) {
        value_at(m, value)->as.global.module = module;
        value_at(m, value)->as.global.name = name;
    }
    return code;
}

static enum sm_code op_stack_global(struct sm_machine *m, const struct op *op)
{
    const uint32_t *names = NULL;
    struct sm_slice module, name;
    uint32_t value;
    enum sm_code code = sm_machine_pop(m, 2, &names);
    (void)op;
    if (code != SM_OK)
        return code;
    if (value_at(m, names[0])->kind != SM_VALUE_TEXT ||
        value_at(m, names[1])->kind != SM_VALUE_TEXT)
        return sm_machine_fail(m, SM_CORRUPT, "finds a value of another type");
    module = value_at(m, names[0])->as.text;
    name = value_at(m, names[1])->as.text;
    code = sm_machine_make_pushed(m, SM_VALUE_GLOBAL, &value);
    if (code == SM_OK) {
        value_at(m, value)->as.global.module = module;
        value_at(m, value)->as.global.name = name;
    }
    return code;
}

/* `arg`: number of operands: callable, tuple of arguments and, if 3, keywords (dropped). */
static enum sm_code op_call(struct sm_machine *m, const struct op *op)
{
    const uint32_t *operands = NULL;
    uint32_t callable, args, value;
    enum sm_code code = sm_machine_pop(m, (uint32_t)op->arg, &operands);
    if (code != SM_OK)
        return code;
    callable = operands[0];
    args = operands[1];
    if (value_at(m, args)->kind != SM_VALUE_TUPLE)
        return sm_machine_fail(m, SM_CORRUPT, "finds arguments that are no tuple");
    code = sm_machine_make_pushed(m, SM_VALUE_OBJECT, &value);
    if (code == SM_OK) {
        value_at(m, value)->as.object.callable = callable;
        value_at(m, value)->as.object.args = args;
    }
    return code;
}

static enum sm_code op_build(struct sm_machine *m, const struct op *op)
{
    const uint32_t *state = NULL;
    struct sm_value *object;
    enum sm_code code = sm_machine_pop(m, 1, &state);
    (void)op;
    if (code != SM_OK)
        return code;
    if (m->stack.count == stack_floor(m))
        return sm_machine_fail(m, SM_CORRUPT, "finds too few values");
    object = value_at(m, words(&m->stack)[m->stack.count - 1]);
    if (object->kind != SM_VALUE_OBJECT)
        return sm_machine_fail(m, SM_CORRUPT, "finds a value of another type");
    object->as.object.state = *state;
    return SM_OK;
}

static enum sm_code op_persistent(struct sm_machine *m, const struct op *op)
{
    const uint32_t *top = NULL;
    uint32_t id, value;
    enum sm_code code = sm_machine_pop(m, 1, &top);
    (void)op;
    if (code != SM_OK)
        return code;
    id = *top;
    code = sm_machine_make_pushed(m, SM_VALUE_PERSISTENT, &value);
    if (code == SM_OK)
        value_at(m, value)->as.id = id;
    return code;
}

/* `arg`: width of the memo's index in bytes. */
static enum sm_code op_get(struct sm_machine *m, const struct op *op)
{
    uint64_t index;
    enum sm_code code = sm_machine_take_number(m, op->arg, &index);
    if (code != SM_OK)
        return code;
    if (index >= m->memo.count || words(&m->memo)[index] == UNSET)
        return sm_machine_fail(m, SM_CORRUPT, "reads a memo that was not written");
    return sm_machine_push(m, words(&m->memo)[index]);
}

/* Stores the top of the stack in the memo. Python writes dense indices, so an index is always below
 * the stream's size. A larger one is refused, because it would only make the table large. */
static enum sm_code memoize(struct sm_machine *m, uint64_t index)
{
    enum sm_code code;
    if (m->stack.count == stack_floor(m))
        return sm_machine_fail(m, SM_CORRUPT, "finds too few values");
    if (index >= m->bytes_count)
        return sm_machine_fail(m, SM_LIMIT, "writes a memo beyond the stream's size");
    code = sm_machine_reserve(m, &m->memo, (uint32_t)index + 1, VALUES_MAX, sizeof(uint32_t),
                              "memoized values");
    if (code != SM_OK)
        return code;
    while (m->memo.count <= index)
        words(&m->memo)[m->memo.count++] = UNSET;
    m->memo_used += words(&m->memo)[index] == UNSET;
    words(&m->memo)[index] = words(&m->stack)[m->stack.count - 1];
    return SM_OK;
}

static enum sm_code op_put(struct sm_machine *m, const struct op *op)
{
    uint64_t index;
    enum sm_code code = sm_machine_take_number(m, op->arg, &index);
    return code == SM_OK ? memoize(m, index) : code;
}

static enum sm_code op_memoize(struct sm_machine *m, const struct op *op)
{
    (void)op;
    return memoize(m, m->memo_used);
}

/* Indexed by opcode; an opcode without `run` is refused. */
static const struct op ops[256] = {
    ['('] = {"MARK", op_mark, 0, 0},
    ['.'] = {"STOP", op_stop, 0, 0},
    ['0'] = {"POP", op_pop, 0, 0},
    ['1'] = {"POP_MARK", op_pop_mark, 0, 0},
    ['2'] = {"DUP", op_dup, 0, 0},
    ['B'] = {"BINBYTES", op_text, 4, SM_VALUE_BYTES},
    ['C'] = {"SHORT_BINBYTES", op_text, 1, SM_VALUE_BYTES},
    ['G'] = {"BINFLOAT", op_float, 8, 0},
    ['J'] = {"BININT", op_int, -4, 0},
    ['K'] = {"BININT1", op_int, 1, 0},
    ['M'] = {"BININT2", op_int, 2, 0},
    ['N'] = {"NONE", op_constant, NONE_VALUE, 0},
    ['Q'] = {"BINPERSID", op_persistent, 0, 0},
    ['R'] = {"REDUCE", op_call, 2, 0},
    ['T'] = {"BINSTRING", op_text, 4, SM_VALUE_TEXT},
    ['U'] = {"SHORT_BINSTRING", op_text, 1, SM_VALUE_TEXT},
    ['X'] = {"BINUNICODE", op_text, 4, SM_VALUE_TEXT},
    ['a'] = {"APPEND", op_extend, 1, SM_VALUE_LIST},
    ['b'] = {"BUILD", op_build, 0, 0},
    ['c'] = {"GLOBAL", op_global, 0, 0},
    ['d'] = {"DICT", op_collect, 0, SM_VALUE_DICT},
    ['e'] = {"APPENDS", op_extend, 0, SM_VALUE_LIST},
    ['h'] = {"BINGET", op_get, 1, 0},
    ['j'] = {"LONG_BINGET", op_get, 4, 0},
    ['l'] = {"LIST", op_collect, 0, SM_VALUE_LIST},
    ['q'] = {"BINPUT", op_put, 1, 0},
    ['r'] = {"LONG_BINPUT", op_put, 4, 0},
    ['s'] = {"SETITEM", op_extend, 2, SM_VALUE_DICT},
    ['t'] = {"TUPLE", op_collect, 0, SM_VALUE_TUPLE},
    ['u'] = {"SETITEMS", op_extend, 0, SM_VALUE_DICT},
    [')'] = {"EMPTY_TUPLE", op_constant, EMPTY_TUPLE_VALUE, 0},
    [']'] = {"EMPTY_LIST", op_empty, 0, SM_VALUE_LIST},
    ['}'] = {"EMPTY_DICT", op_empty, 0, SM_VALUE_DICT},
    [0x80] = {"PROTO", op_protocol, 1, 0},
    [0x81] = {"NEWOBJ", op_call, 2, 0},
    [0x85] = {"TUPLE1", op_collect, 1, SM_VALUE_TUPLE},
    [0x86] = {"TUPLE2", op_collect, 2, SM_VALUE_TUPLE},
    [0x87] = {"TUPLE3", op_collect, 3, SM_VALUE_TUPLE},
    [0x88] = {"NEWTRUE", op_constant, TRUE_VALUE, 0},
    [0x89] = {"NEWFALSE", op_constant, FALSE_VALUE, 0},
    [0x8a] = {"LONG1", op_long, 1, 0},
    [0x8b] = {"LONG4", op_long, 4, 0},
    [0x8c] = {"SHORT_BINUNICODE", op_text, 1, SM_VALUE_TEXT},
    [0x8d] = {"BINUNICODE8", op_text, 8, SM_VALUE_TEXT},
    [0x8e] = {"BINBYTES8", op_text, 8, SM_VALUE_BYTES},
    [0x8f] = {"EMPTY_SET", op_empty, 0, SM_VALUE_SET},
    [0x90] = {"ADDITEMS", op_extend, 0, SM_VALUE_SET},
    [0x91] = {"FROZENSET", op_collect, 0, SM_VALUE_SET},
    [0x92] = {"NEWOBJ_EX", op_call, 3, 0},
    [0x93] = {"STACK_GLOBAL", op_stack_global, 0, 0},
    [0x94] = {"MEMOIZE", op_memoize, 0, 0},
    [0x95] = {"FRAME", op_skip, 8, 0},
    [0x96] = {"BYTEARRAY8", op_text, 8, SM_VALUE_BYTES},
};

/* Makes the values that opcodes share, in the order of the enum above, and the unused link 0. Also
 * allocates the stack, so that popping 0 values needs no special case. */
static enum sm_code prepare(struct sm_machine *m)
{
    static const struct sm_value shared[] = {
        [NONE_VALUE] = {.kind = SM_VALUE_NONE},
        [TRUE_VALUE] = {.kind = SM_VALUE_BOOL, .as.number = 1},
        [FALSE_VALUE] = {.kind = SM_VALUE_BOOL, .as.number = 0},
        [EMPTY_TUPLE_VALUE] = {.kind = SM_VALUE_TUPLE},
    };
    const uint32_t count = sizeof shared / sizeof shared[0];
    enum sm_code code =
        sm_machine_reserve(m, &m->values, count, VALUES_MAX, sizeof(struct sm_value), "values");
    if (code == SM_OK)
        code = sm_machine_reserve(m, &m->links, 1, LINKS_MAX, sizeof(struct sm_link), "items");
    if (code == SM_OK)
        code = sm_machine_reserve(m, &m->stack, 1, STACK_MAX, sizeof(uint32_t), "stacked values");
    if (code == SM_OK) {
        memcpy(m->values.items, shared, sizeof shared);
        m->values.count = count;
        *(struct sm_link *)m->links.items = (struct sm_link){0};
        m->links.count = 1;
    }
    return code;
}

static enum sm_code run(struct sm_machine *m)
{
    enum sm_code code = prepare(m);
    while (code == SM_OK && !m->stopped) {
        const struct op *op;
        if (m->at == m->bytes_count)
            return sm_machine_fail_end(m, "no STOP");
        op = &ops[m->bytes[m->at]];
        m->op_at = m->at;
        m->op_name = op->name;
        if (!op->run)
            return sm_err_set(m->err, SM_UNSUPPORTED,
                              "pickle: opcode 0x%02x at byte %zu is not supported",
                              (unsigned)m->bytes[m->at], m->at);
        m->at++;
        code = op->run(m, op);
    }
    return code;
}

enum sm_code sm_pickle_parse(struct sm_pickle *out, const uint8_t *bytes, size_t bytes_count,
                             struct sm_err *err)
{
    return sm_pickle_parse_within(out, bytes, bytes_count, SM_CKPT_HEADER_MAX, err);
}

enum sm_code sm_pickle_parse_within(struct sm_pickle *out, const uint8_t *bytes, size_t bytes_count,
                                    uint32_t bytes_max, struct sm_err *err)
{
    struct sm_machine m = {
        .bytes = bytes,
        .bytes_count = bytes_count < bytes_max ? bytes_count : bytes_max,
        .is_cut = bytes_count > bytes_max,
        .err = err,
    };
    enum sm_code code = run(&m);
    *out = (struct sm_pickle){0};
    if (code == SM_OK) {
        *out = (struct sm_pickle){
            .bytes = bytes,
            .bytes_count = m.at,
            .values = m.values.items,
            .links = m.links.items,
            .values_count = m.values.count,
            .links_count = m.links.count,
            .root = words(&m.stack)[m.stack.count - 1],
        };
    } else {
        free(m.values.items);
        free(m.links.items);
    }
    free(m.stack.items);
    free(m.marks.items);
    free(m.memo.items);
    return code;
}

void sm_pickle_release(struct sm_pickle *pickle)
{
    free(pickle->values);
    free(pickle->links);
    *pickle = (struct sm_pickle){0};
}

const char *sm_slice_text(const struct sm_pickle *pickle, struct sm_slice slice)
{
    return (const char *)pickle->bytes + slice.at;
}

bool sm_slice_is(const struct sm_pickle *pickle, struct sm_slice slice, const char *text)
{
    return slice.count == strlen(text) &&
           memcmp(sm_slice_text(pickle, slice), text, slice.count) == 0;
}

bool sm_pickle_is_text(const struct sm_pickle *pickle, uint32_t value, const char *text)
{
    const struct sm_value *v = &pickle->values[value];
    return v->kind == SM_VALUE_TEXT && sm_slice_is(pickle, v->as.text, text);
}

bool sm_pickle_is_global(const struct sm_pickle *pickle, uint32_t value, const char *module,
                         const char *name)
{
    const struct sm_value *v = &pickle->values[value];
    return v->kind == SM_VALUE_GLOBAL && sm_slice_is(pickle, v->as.global.module, module) &&
           sm_slice_is(pickle, v->as.global.name, name);
}

uint32_t sm_pickle_item(const struct sm_pickle *pickle, uint32_t list, uint32_t index)
{
    const struct sm_value *v = &pickle->values[list];
    uint32_t link;
    if ((v->kind != SM_VALUE_LIST && v->kind != SM_VALUE_TUPLE) || index >= v->as.items.count)
        return NONE_VALUE;
    for (link = v->as.items.first; index > 0; index--)
        link = pickle->links[link].next;
    return pickle->links[link].value;
}

uint32_t sm_pickle_entry(const struct sm_pickle *pickle, uint32_t dict, const char *key)
{
    const struct sm_value *v = &pickle->values[dict];
    const struct sm_link *links = pickle->links;
    if (v->kind != SM_VALUE_DICT)
        return NONE_VALUE;
    for (uint32_t link = v->as.items.first; link != 0; link = links[links[link].next].next) {
        if (sm_pickle_is_text(pickle, links[link].value, key))
            return links[links[link].next].value;
    }
    return NONE_VALUE;
}
