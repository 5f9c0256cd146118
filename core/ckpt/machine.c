/* Every array doubles its room when it is full, up to its own limit. Therefore the memory of a
 * stream is bounded and no count can overflow. */
#include "core/ckpt/machine.h"

#include <stdlib.h>
#include <string.h>

enum sm_code sm_machine_fail(const struct sm_machine *m, enum sm_code code, const char *what)
{
    return sm_err_set(m->err, code, "pickle: %s at byte %zu %s", m->op_name, m->op_at, what);
}

enum sm_code sm_machine_fail_end(const struct sm_machine *m, const char *missing)
{
    if (m->is_cut)
        return sm_err_set(m->err, SM_LIMIT, "pickle has more than %zu bytes", m->bytes_count);
    if (missing)
        return sm_err_set(m->err, SM_CORRUPT, "pickle: %s in %zu bytes", missing, m->bytes_count);
    return sm_machine_fail(m, SM_CORRUPT, "runs past the end");
}

enum sm_code sm_machine_reserve(struct sm_machine *m, struct sm_array *array, uint32_t count,
                                uint32_t max, size_t item_bytes, const char *what)
{
    uint32_t room = array->room == 0 ? 64 : array->room;
    void *items;
    if (count > max)
        return sm_err_set(m->err, SM_LIMIT, "pickle: more than %u %s at byte %zu", max, what,
                          m->op_at);
    if (count <= array->room)
        return SM_OK;
    while (room < count)
        room *= 2;
    items = realloc(array->items, room * item_bytes);
    if (!items)
        return sm_err_set(m->err, SM_NOMEM, "no memory for %u %s of a pickle", room, what);
    array->items = items;
    array->room = room;
    return SM_OK;
}

enum sm_code sm_machine_push(struct sm_machine *m, uint32_t value)
{
    enum sm_code code = sm_machine_reserve(m, &m->stack, m->stack.count + 1, STACK_MAX,
                                           sizeof(uint32_t), "stacked values");
    if (code == SM_OK)
        words(&m->stack)[m->stack.count++] = value;
    return code;
}

enum sm_code sm_machine_make(struct sm_machine *m, enum sm_value_kind kind, uint32_t *out)
{
    enum sm_code code = sm_machine_reserve(m, &m->values, m->values.count + 1, VALUES_MAX,
                                           sizeof(struct sm_value), "values");
    if (code == SM_OK) {
        *out = m->values.count++;
        *value_at(m, *out) = (struct sm_value){.kind = (uint8_t)kind};
    }
    return code;
}

enum sm_code sm_machine_make_pushed(struct sm_machine *m, enum sm_value_kind kind, uint32_t *out)
{
    enum sm_code code = sm_machine_make(m, kind, out);
    return code == SM_OK ? sm_machine_push(m, *out) : code;
}

enum sm_code sm_machine_pop(struct sm_machine *m, uint32_t count, const uint32_t **first)
{
    if (m->stack.count - stack_floor(m) < count)
        return sm_machine_fail(m, SM_CORRUPT, "finds too few values");
    m->stack.count -= count;
    *first = words(&m->stack) + m->stack.count;
    return SM_OK;
}

enum sm_code sm_machine_pop_to_mark(struct sm_machine *m, const uint32_t **first, uint32_t *count)
{
    if (m->marks.count == 0)
        return sm_machine_fail(m, SM_CORRUPT, "finds no mark");
    *count = m->stack.count - stack_floor(m);
    m->stack.count = words(&m->marks)[--m->marks.count];
    *first = words(&m->stack) + m->stack.count;
    return SM_OK;
}

enum sm_code sm_machine_take(struct sm_machine *m, uint64_t count, const uint8_t **out)
{
    if (count > m->bytes_count - m->at)
        return sm_machine_fail_end(m, NULL);
    *out = m->bytes + m->at;
    m->at += (size_t)count;
    return SM_OK;
}

enum sm_code sm_machine_take_number(struct sm_machine *m, int width, uint64_t *out)
{
    const uint8_t *bytes = NULL;
    enum sm_code code = sm_machine_take(m, (uint64_t)width, &bytes);
    *out = 0;
    for (int i = 0; code == SM_OK && i < width; i++)
        *out |= (uint64_t)bytes[i] << (8 * i);
    return code;
}

enum sm_code sm_machine_chain(struct sm_machine *m, uint32_t container, const uint32_t *values,
                              uint32_t count)
{
    struct sm_value *target = value_at(m, container);
    struct sm_link *links;
    enum sm_code code = sm_machine_reserve(m, &m->links, m->links.count + count, LINKS_MAX,
                                           sizeof(struct sm_link), "items");
    if (code != SM_OK)
        return code;
    links = m->links.items;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t link = m->links.count++;
        links[link] = (struct sm_link){.value = values[i]};
        if (target->as.items.last == 0)
            target->as.items.first = link;
        else
            links[target->as.items.last].next = link;
        target->as.items.last = link;
    }
    target->as.items.count += count;
    return SM_OK;
}
