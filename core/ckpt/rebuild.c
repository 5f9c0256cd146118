/* PyTorch rebuilds a tensor by calling a function of torch/_utils.py (PyTorch 1.13). This code only
 * reads and checks the arguments of that call, which are numbers. */
#include "core/ckpt/rebuild.h"

#include <inttypes.h>

#include "core/ckpt/format.h"

#define ID_COUNT      5
#define ID_VIEW_COUNT 6

static const struct sm_value *item(const struct sm_pickle *pickle, uint32_t tuple, uint32_t index)
{
    return &pickle->values[sm_pickle_item(pickle, tuple, index)];
}

static bool is_size(const struct sm_value *value)
{
    return value->kind == SM_VALUE_INT && value->as.number >= 0;
}

/* Returns true if the last item of an id is None or (key, offset, elements). */
static bool is_part(const struct sm_pickle *pickle, uint32_t id)
{
    const struct sm_value *part = item(pickle, id, ID_COUNT);
    return part->kind == SM_VALUE_NONE ||
           (part->kind == SM_VALUE_TUPLE && part->as.items.count == 3 &&
            is_size(item(pickle, sm_pickle_item(pickle, id, ID_COUNT), 1)) &&
            is_size(item(pickle, sm_pickle_item(pickle, id, ID_COUNT), 2)));
}

bool sm_storage_is_id(const struct sm_pickle *pickle, uint32_t id)
{
    const struct sm_value *tuple = &pickle->values[id];
    const struct sm_value *key = item(pickle, id, 2);
    return tuple->kind == SM_VALUE_TUPLE &&
           (tuple->as.items.count == ID_COUNT || tuple->as.items.count == ID_VIEW_COUNT) &&
           sm_pickle_is_text(pickle, sm_pickle_item(pickle, id, 0), "storage") &&
           item(pickle, id, 1)->kind == SM_VALUE_GLOBAL && key->kind == SM_VALUE_TEXT &&
           key->as.text.count <= SM_STORAGE_KEY_MAX && is_size(item(pickle, id, 4)) &&
           is_part(pickle, id);
}

static enum sm_code fail_type(const struct sm_pickle *pickle, struct sm_slice type,
                              struct sm_err *err)
{
    return sm_err_set(err, SM_UNSUPPORTED, "storage type %.*s is not supported",
                      (int)(type.count < 64 ? type.count : 64), sm_slice_text(pickle, type));
}

enum sm_code sm_storage_parse(struct sm_storage *out, const struct sm_pickle *pickle, uint32_t id,
                              struct sm_err *err)
{
    const struct sm_value *class = item(pickle, id, 1);
    const uint32_t part = sm_pickle_item(pickle, id, ID_COUNT);
    struct sm_slice type;
    *out = (struct sm_storage){.dtype = SM_UNREAD};
    if (!sm_storage_is_id(pickle, id))
        return sm_err_set(err, SM_UNSUPPORTED, "persistent id is not a storage");
    type = class->as.global.name;
    out->key = item(pickle, id, 2)->as.text;
    out->count = item(pickle, id, 4)->as.number;
    out->part_at = 0;
    out->part_count = out->count;
    if (part != 0) {
        out->part_at = item(pickle, part, 1)->as.number;
        out->part_count = item(pickle, part, 2)->as.number;
    }
    if (out->part_at > out->count || out->part_count > out->count - out->part_at)
        return sm_err_set(err, SM_CORRUPT,
                          "part of a storage has %" PRId64 " elements from %" PRId64
                          " on, the storage has %" PRId64,
                          out->part_count, out->part_at, out->count);
    if (!sm_slice_is(pickle, class->as.global.module, "torch") &&
        !sm_slice_is(pickle, class->as.global.module, "torch.cuda"))
        return fail_type(pickle, type, err);
    if (!sm_dtype_of_storage(&out->dtype, sm_slice_text(pickle, type), type.count)) {
        out->element_bytes = sm_dtype_storage_bytes(sm_slice_text(pickle, type), type.count);
        return fail_type(pickle, type, err);
    }
    out->element_bytes = sm_dtype_bytes(out->dtype);
    return SM_OK;
}

/* Copies a tuple of non-negative integers: a tensor's sides or strides, named `what` in errors. */
static enum sm_code copy_numbers(int64_t out[SM_TENSOR_RANK_MAX], int *count,
                                 const struct sm_pickle *pickle, uint32_t tuple, const char *what,
                                 struct sm_err *err)
{
    const struct sm_value *v = &pickle->values[tuple];
    if (v->kind != SM_VALUE_TUPLE)
        return sm_err_set(err, SM_CORRUPT, "%s is not a tuple", what);
    if (v->as.items.count > SM_TENSOR_RANK_MAX)
        return sm_err_set(err, SM_UNSUPPORTED, "%s has %u numbers, limit is %d", what,
                          v->as.items.count, SM_TENSOR_RANK_MAX);
    *count = (int)v->as.items.count;
    for (int i = 0; i < *count; i++) {
        const struct sm_value *number = item(pickle, tuple, (uint32_t)i);
        if (number->kind != SM_VALUE_INT)
            return sm_err_set(err, SM_CORRUPT, "%s: number %d is no integer", what, i);
        if (number->as.number < 0)
            return sm_err_set(err, SM_CORRUPT, "%s: number %d is %" PRId64, what, i,
                              number->as.number);
        out[i] = number->as.number;
    }
    return SM_OK;
}

static enum sm_code parse_view(struct sm_view *view, struct sm_tensor *tensor,
                               const struct sm_pickle *pickle, uint32_t args, struct sm_err *err)
{
    const struct sm_value *offset = item(pickle, args, 1);
    int strides;
    enum sm_code code;
    code = copy_numbers(tensor->shape, &tensor->rank, pickle, sm_pickle_item(pickle, args, 2),
                        "shape", err);
    if (code == SM_OK)
        code = copy_numbers(view->stride, &strides, pickle, sm_pickle_item(pickle, args, 3),
                            "stride", err);
    if (code != SM_OK)
        return code;
    if (strides != tensor->rank)
        return sm_err_set(err, SM_CORRUPT, "%d sides, %d strides", tensor->rank, strides);
    if (!is_size(offset))
        return sm_err_set(err, SM_CORRUPT, "offset is not a non-negative integer");
    view->offset = offset->as.number;
    return SM_OK;
}

enum sm_code sm_rebuild(struct sm_tensor *tensor, struct sm_view *view, struct sm_storage *storage,
                        const struct sm_pickle *pickle, uint32_t args, const char *name,
                        struct sm_err *err)
{
    const struct sm_value *source = item(pickle, args, 0);
    struct sm_err inner;
    enum sm_code code;
    *tensor = (struct sm_tensor){.name = name};
    *view = (struct sm_view){0};
    code = parse_view(view, tensor, pickle, args, &inner);
    if (code == SM_UNSUPPORTED)
        return sm_err_set(err, code, "%.200s", inner.text);
    if (code != SM_OK)
        return sm_err_set(err, code, "tensor %.96s: %.120s", name, inner.text);
    if (source->kind != SM_VALUE_PERSISTENT)
        return sm_err_set(err, SM_CORRUPT, "tensor %.96s has no storage", name);
    code = sm_storage_parse(storage, pickle, source->as.id, &inner);
    if (code == SM_UNSUPPORTED)
        return sm_err_set(err, code, "%.200s", inner.text);
    if (code != SM_OK)
        return sm_err_set(err, code, "tensor %.96s: %.120s", name, inner.text);
    tensor->dtype = storage->dtype;
    code = sm_tensor_measure(tensor, err);
    if (code == SM_OK)
        code = sm_view_check(view, tensor, storage->part_count, err);
    if (code == SM_OK && tensor->count != 0)
        view->offset += storage->part_at; /* cannot overflow: both <= storage->count */
    return code;
}
