/* Walks the values depth first, with a stack of frames: one frame for each container on the current
 * path. A frame has up to three sources, which are walked one after the other under the same name
 * prefix. A dict or list is its own single source; a module has three. All frames share one name
 * buffer, and each frame stores the length of its prefix.
 *
 * Three rules bound the walk of hostile graphs. A value on the current path is not entered again,
 * which ends cycles. The number of frames is limited. Every followed link counts as a step, and the
 * limit of steps grows with the size of the pickle. Shared values inside shared values can make 2^n
 * paths from n bytes; they end in SM_LIMIT after a fraction of a second. */
#include "core/ckpt/flatten.h"

#include <stdio.h>
#include <string.h>

#include "core/base/escape.h"
#include "core/ckpt/format.h"

#define FRAMES_MAX  64
#define STEPS_BASE  (1u << 20) /* limit of steps, plus STEPS_ITEM for each item of the pickle */
#define STEPS_ITEM  4u
#define SOURCES_MAX 3
#define BRIEF       48 /* bytes of a module's or function's name that an error text shows */
#define BUFFERS     1  /* index of _buffers among a module's sources */

struct frame {
    uint32_t owner; /* the value on the path: a container or an object */
    uint32_t sources[SOURCES_MAX];
    int source;          /* index of the current source */
    uint32_t link;       /* next link of the current source */
    uint32_t index;      /* index of the next item of a list or tuple */
    uint32_t transient;  /* list of names of non-persistent _buffers; 0: no list */
    size_t prefix_count; /* bytes of the frame's prefix in walk->name */
};

struct walk {
    struct sm_pickle *pickle;
    sm_flatten_found *found;
    void *context;
    struct sm_err *err;
    struct frame frames[FRAMES_MAX];
    int frames_count;
    uint32_t steps, steps_max;
    char why[160]; /* the reason for ROLE_UNREAD */
    size_t name_count;
    char name[SM_CKPT_NAME_MAX + 1];
};

/* What Python would get by calling a global. */
enum role {
    ROLE_OBJECT, /* any other object */
    ROLE_UNREAD, /* a tensor that cannot be read */
    ROLE_TENSOR, /* a tensor made from the arguments (storage, offset, size, stride, ...) */
    ROLE_FIRST,  /* the first argument itself */
    ROLE_CALL    /* the result of another call: arguments are (callable, type, arguments, state) */
};

static const struct {
    const char *module, *name;
    enum role role;
} roles[] = {
    {"torch._utils", "_rebuild_tensor_v2", ROLE_TENSOR},
    {"torch._utils", "_rebuild_tensor", ROLE_TENSOR},
    {"torch._utils", "_rebuild_parameter", ROLE_FIRST},
    {"torch._utils", "_rebuild_parameter_with_state", ROLE_FIRST},
    {"torch._tensor", "_rebuild_from_type_v2", ROLE_CALL},
    {"torch._tensor", "_rebuild_from_type", ROLE_CALL},
    {"torch.tensor", "_rebuild_from_type", ROLE_CALL},
};

/* Classes of tensors whose elements are elsewhere, or in another form, and what to save instead. */
static const struct {
    const char *name, *why;
} classes[] = {
    {"DTensor", "a DTensor, of which this file has one process's part: save its full_tensor()"},
    {"ShardedTensor",
     "a ShardedTensor, of which this file has one process's part: gather it first"},
};

static enum sm_code spend(struct walk *walk, uint32_t steps)
{
    if (steps > walk->steps_max - walk->steps)
        return sm_err_set(walk->err, SM_LIMIT,
                          "pickle: more than %u steps to walk %u items: shared values nest",
                          walk->steps_max, walk->pickle->links_count);
    walk->steps += steps;
    return SM_OK;
}

/* Sets walk->name to the frame's prefix, a dot and `part`. */
static enum sm_code extend_name(struct walk *walk, const struct frame *frame, const char *part,
                                size_t part_count)
{
    size_t dot = frame->prefix_count != 0;
    if (part_count > SM_CKPT_NAME_MAX - dot - frame->prefix_count)
        return sm_err_set(walk->err, SM_LIMIT, "pickle: a name has %zu bytes, limit is %d: %.*s",
                          frame->prefix_count + dot + part_count, SM_CKPT_NAME_MAX,
                          (int)(frame->prefix_count != 0 ? frame->prefix_count : part_count),
                          frame->prefix_count != 0 ? walk->name : part);
    walk->name_count = frame->prefix_count;
    if (dot != 0)
        walk->name[walk->name_count++] = '.';
    memcpy(walk->name + walk->name_count, part, part_count);
    walk->name_count += part_count;
    walk->name[walk->name_count] = '\0';
    return SM_OK;
}

static enum sm_code report(struct walk *walk, uint32_t args, const char *why)
{
    if (walk->frames_count == 0)
        return walk->found(walk->context, "tensor", args, why, walk->err);
    if (!sm_utf8_is_text(walk->name, walk->name_count))
        return sm_err_set(walk->err, SM_CORRUPT, "the name of tensor %.96s is not UTF-8 text",
                          walk->name);
    return walk->found(walk->context, walk->name, args, why, walk->err);
}

static bool is_container(const struct sm_pickle *pickle, uint32_t value)
{
    uint8_t kind = pickle->values[value].kind;
    return kind == SM_VALUE_DICT || kind == SM_VALUE_LIST || kind == SM_VALUE_TUPLE;
}

/* Returns the list of OrderedDict([[key, value], ...]), Python 2's form; 0 for any other value. */
static uint32_t pairs_of(const struct sm_pickle *pickle, uint32_t value)
{
    const struct sm_value *object = &pickle->values[value];
    uint32_t list;
    if (object->kind != SM_VALUE_OBJECT || object->as.object.items != 0 ||
        !sm_pickle_is_global(pickle, object->as.object.callable, "collections", "OrderedDict"))
        return 0;
    list = sm_pickle_item(pickle, object->as.object.args, 0);
    return pickle->values[list].kind == SM_VALUE_LIST ? list : 0;
}

/* Returns the first link of a container or of the list of pairs_of, 0 for any other value. */
static uint32_t first_link(const struct sm_pickle *pickle, uint32_t value)
{
    if (!is_container(pickle, value))
        value = pairs_of(pickle, value);
    return value != 0 ? pickle->values[value].as.items.first : 0;
}

static enum sm_code enter(struct walk *walk, struct frame frame)
{
    struct sm_value *owner = &walk->pickle->values[frame.owner];
    if (walk->frames_count == FRAMES_MAX)
        return sm_err_set(walk->err, SM_LIMIT, "pickle: %.96s nests deeper than %d levels",
                          walk->name, FRAMES_MAX);
    owner->on_path = true;
    frame.prefix_count = walk->name_count;
    frame.link = first_link(walk->pickle, frame.sources[0]);
    walk->frames[walk->frames_count++] = frame;
    return SM_OK;
}

/* Returns the dict that a value is (dict) or holds (OrderedDict). Returns the value itself if it is
 * an OrderedDict in the form of pairs_of, and 0 for any other value. */
static uint32_t dict_of(const struct sm_pickle *pickle, uint32_t value)
{
    if (pairs_of(pickle, value) != 0)
        return value;
    if (pickle->values[value].kind == SM_VALUE_OBJECT)
        value = pickle->values[value].as.object.items;
    return pickle->values[value].kind == SM_VALUE_DICT ? value : 0;
}

/* Returns the value with a set's items: the set or, in protocol 2, the list argument of set(). */
static uint32_t items_of_set(const struct sm_pickle *pickle, uint32_t value)
{
    const struct sm_value *set = &pickle->values[value];
    if (set->kind == SM_VALUE_OBJECT)
        return sm_pickle_item(pickle, set->as.object.args, 0);
    return set->kind == SM_VALUE_SET ? value : 0;
}

static enum sm_code enter_object(struct walk *walk, uint32_t object)
{
    const struct sm_pickle *pickle = walk->pickle;
    uint32_t state = pickle->values[object].as.object.state;
    uint32_t parameters, modules;
    struct frame frame = {.owner = object};
    enum sm_code code;
    if (pickle->values[state].kind == SM_VALUE_TUPLE) /* a pair (attributes, slots) */
        state = sm_pickle_item(pickle, state, 0);
    state = dict_of(pickle, state);
    if (pickle->values[state].kind == SM_VALUE_DICT) { /* 4 look-ups over all keys */
        code = spend(walk, pickle->values[state].as.items.count * 2);
        if (code != SM_OK)
            return code;
    }
    parameters = dict_of(pickle, sm_pickle_entry(pickle, state, "_parameters"));
    modules = dict_of(pickle, sm_pickle_entry(pickle, state, "_modules"));
    if (parameters == 0 && modules == 0) {
        frame.sources[0] =
            pairs_of(pickle, object) != 0 ? object : pickle->values[object].as.object.items;
        frame.sources[1] = state;
    } else {
        frame.sources[0] = parameters;
        frame.sources[BUFFERS] = dict_of(pickle, sm_pickle_entry(pickle, state, "_buffers"));
        frame.sources[2] = modules;
        frame.transient =
            items_of_set(pickle, sm_pickle_entry(pickle, state, "_non_persistent_buffers_set"));
    }
    return enter(walk, frame);
}

/* Sets *out to whether a storage is among a call's arguments; the result would be made from it. */
static enum sm_code takes_storage(struct walk *walk, uint32_t args, bool *out)
{
    const struct sm_pickle *pickle = walk->pickle;
    const struct sm_value *tuple = &pickle->values[args];
    enum sm_code code = SM_OK;
    *out = false;
    if (tuple->kind == SM_VALUE_TUPLE)
        code = spend(walk, tuple->as.items.count);
    for (uint32_t link = first_link(pickle, args); code == SM_OK && link != 0 && !*out;
         link = pickle->links[link].next) {
        const struct sm_value *item = &pickle->values[pickle->links[link].value];
        *out = item->kind == SM_VALUE_PERSISTENT &&
               sm_pickle_is_text(pickle, sm_pickle_item(pickle, item->as.id, 0), "storage");
    }
    return code;
}

static int brief(struct sm_slice slice)
{
    return (int)(slice.count < BRIEF ? slice.count : BRIEF);
}

/* Returns the reason for a class of `classes`, NULL for any other value. */
static const char *why_class(const struct sm_pickle *pickle, uint32_t value)
{
    const struct sm_value *class = &pickle->values[value];
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (class->kind == SM_VALUE_GLOBAL &&
            sm_slice_is(pickle, class->as.global.name, classes[i].name))
            return classes[i].why;
    return NULL;
}

/* Finds what Python would get by calling `callable` with `args`. */
static enum sm_code role_of(struct walk *walk, uint32_t callable, uint32_t args, enum role *out)
{
    const struct sm_pickle *pickle = walk->pickle;
    const struct sm_value *v = &pickle->values[callable];
    const char prefix[] = "_rebuild_";
    const char *why = why_class(pickle, callable);
    enum sm_code code;
    bool taken;
    *out = ROLE_OBJECT;
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (sm_pickle_is_global(pickle, callable, roles[i].module, roles[i].name)) {
            *out = roles[i].role;
            return SM_OK;
        }
    }
    if (v->kind == SM_VALUE_GLOBAL && sm_slice_is(pickle, v->as.global.module, "torch._utils") &&
        v->as.global.name.count >= sizeof prefix - 1 &&
        memcmp(sm_slice_text(pickle, v->as.global.name), prefix, sizeof prefix - 1) == 0) {
        *out = ROLE_UNREAD;
        why = why_class(pickle, sm_pickle_item(pickle, args, 0)); /* _rebuild_wrapper_subclass */
        if (why)
            snprintf(walk->why, sizeof walk->why, "%s", why);
        else
            snprintf(walk->why, sizeof walk->why, "kind %.*s is not supported",
                     brief(v->as.global.name), sm_slice_text(pickle, v->as.global.name));
        return SM_OK;
    }
    if (why) {
        *out = ROLE_UNREAD;
        snprintf(walk->why, sizeof walk->why, "%s", why);
        return SM_OK;
    }
    code = takes_storage(walk, args, &taken);
    if (code != SM_OK || !taken)
        return code;
    *out = ROLE_UNREAD;
    if (v->kind != SM_VALUE_GLOBAL)
        snprintf(walk->why, sizeof walk->why, "made by something that is no known function");
    else
        snprintf(walk->why, sizeof walk->why, "made by %.*s.%.*s, which is no known function",
                 brief(v->as.global.module), sm_slice_text(pickle, v->as.global.module),
                 brief(v->as.global.name), sm_slice_text(pickle, v->as.global.name));
    return SM_OK;
}

/* Handles the value named walk->name: reports a tensor, enters a container, ignores the rest. */
static enum sm_code visit(struct walk *walk, uint32_t value)
{
    const struct sm_pickle *pickle = walk->pickle;
    uint32_t callable, args;
    enum role role = ROLE_FIRST;
    enum sm_code code = SM_OK;
    while (code == SM_OK && role == ROLE_FIRST) {
        if (pickle->values[value].on_path)
            return SM_OK;
        if (is_container(pickle, value))
            return enter(walk, (struct frame){.owner = value, .sources = {value}});
        if (pickle->values[value].kind != SM_VALUE_OBJECT)
            return SM_OK;
        callable = pickle->values[value].as.object.callable;
        args = pickle->values[value].as.object.args;
        code = role_of(walk, callable, args, &role);
        if (code == SM_OK && role == ROLE_CALL) {
            callable = sm_pickle_item(pickle, args, 0);
            args = sm_pickle_item(pickle, args, 2);
            code = role_of(walk, callable, args, &role);
        }
        if (code == SM_OK && role == ROLE_TENSOR)
            return report(walk, args, NULL);
        if (code == SM_OK && role == ROLE_UNREAD)
            return report(walk, 0, walk->why);
        if (role == ROLE_FIRST)
            value = sm_pickle_item(pickle, args, 0);
        if (code == SM_OK)
            code = spend(walk, 1);
    }
    return code == SM_OK ? enter_object(walk, value) : code;
}

static enum sm_code is_transient(struct walk *walk, const struct frame *frame, uint32_t key,
                                 bool *out)
{
    const struct sm_pickle *pickle = walk->pickle;
    const struct sm_value *name = &pickle->values[key], *list = &pickle->values[frame->transient];
    enum sm_code code;
    *out = false;
    if (frame->source != BUFFERS || frame->transient == 0 || name->kind != SM_VALUE_TEXT ||
        (list->kind != SM_VALUE_LIST && list->kind != SM_VALUE_SET))
        return SM_OK;
    code = spend(walk, list->as.items.count);
    for (uint32_t link = list->as.items.first; code == SM_OK && link != 0 && !*out;
         link = pickle->links[link].next) {
        const struct sm_value *item = &pickle->values[pickle->links[link].value];
        *out = item->kind == SM_VALUE_TEXT && item->as.text.count == name->as.text.count &&
               memcmp(sm_slice_text(pickle, item->as.text), sm_slice_text(pickle, name->as.text),
                      name->as.text.count) == 0;
    }
    return code;
}

/* Visits a value of a dict under its key; skips keys that are neither text nor integer. */
static enum sm_code visit_entry(struct walk *walk, const struct frame *frame, uint32_t key,
                                uint32_t value)
{
    const struct sm_value *k = &walk->pickle->values[key];
    char digits[24];
    bool transient;
    enum sm_code code;
    if (!is_container(walk->pickle, value) && walk->pickle->values[value].kind != SM_VALUE_OBJECT)
        return SM_OK;
    code = is_transient(walk, frame, key, &transient);
    if (code != SM_OK || transient)
        return code;
    if (k->kind == SM_VALUE_TEXT) {
        code = extend_name(walk, frame, sm_slice_text(walk->pickle, k->as.text), k->as.text.count);
    } else if (k->kind == SM_VALUE_INT) {
        int count = snprintf(digits, sizeof digits, "%lld", (long long)k->as.number);
        code = extend_name(walk, frame, digits, (size_t)count);
    } else {
        return SM_OK;
    }
    return code == SM_OK ? visit(walk, value) : code;
}

/* Visits an item of a list or tuple under its index. */
static enum sm_code visit_item(struct walk *walk, struct frame *frame, uint32_t value)
{
    char digits[12];
    uint32_t index = frame->index++;
    enum sm_code code;
    int count;
    if (!is_container(walk->pickle, value) && walk->pickle->values[value].kind != SM_VALUE_OBJECT)
        return SM_OK;
    count = snprintf(digits, sizeof digits, "%u", index);
    code = extend_name(walk, frame, digits, (size_t)count);
    return code == SM_OK ? visit(walk, value) : code;
}

/* Follows the next link of the innermost frame, or removes the frame after its last link. */
static enum sm_code step(struct walk *walk)
{
    struct frame *frame = &walk->frames[walk->frames_count - 1];
    const struct sm_pickle *pickle = walk->pickle;
    const struct sm_link *links = pickle->links;
    uint32_t link = frame->link, value;
    enum sm_code code = spend(walk, 1);
    if (code != SM_OK)
        return code;
    if (link == 0) {
        if (++frame->source < SOURCES_MAX) {
            frame->link = first_link(walk->pickle, frame->sources[frame->source]);
            frame->index = 0;
        } else {
            walk->pickle->values[frame->owner].on_path = false;
            walk->frames_count--;
        }
        return SM_OK;
    }
    value = links[link].value;
    frame->link = links[link].next;
    switch (pickle->values[frame->sources[frame->source]].kind) {
    case SM_VALUE_DICT:
        link = frame->link;
        frame->link = links[link].next;
        return visit_entry(walk, frame, value, links[link].value);
    case SM_VALUE_OBJECT:
        return visit_entry(walk, frame, sm_pickle_item(pickle, value, 0),
                           sm_pickle_item(pickle, value, 1));
    default:
        return visit_item(walk, frame, value);
    }
}

enum sm_code sm_flatten(struct sm_pickle *pickle, sm_flatten_found *found, void *context,
                        struct sm_err *err)
{
    struct walk walk = {
        .pickle = pickle,
        .found = found,
        .context = context,
        .err = err,
        .steps_max = STEPS_BASE + STEPS_ITEM * pickle->links_count,
    };
    enum sm_code code = visit(&walk, pickle->root);
    while (code == SM_OK && walk.frames_count > 0)
        code = step(&walk);
    while (walk.frames_count > 0)
        pickle->values[walk.frames[--walk.frames_count].owner].on_path = false;
    return code;
}
