/* safetensors: a file has a u64 header size, a JSON header, then the tensors' bytes without gaps.
 * Format: https://github.com/huggingface/safetensors#format
 *
 *     {"__metadata__": {...}, "fc.weight": {"dtype": "F32", "shape": [10, 4], "data_offsets": [0,
 * 160]}, ...}
 *
 * The header is trusted only after two checks. Each entry must be consistent: type, rank, sides,
 * and a size equal to the product of the sides times the element size. All entries together, sorted
 * by offset, must start at byte 0 of the data, touch each other and end with the file. Therefore
 * every byte of the data belongs to exactly one tensor, and the size of the file bounds the work.
 * Tensors are listed in the order of their bytes. Unknown fields of an entry are ignored, as in the
 * reference implementation. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/kind.h"
#include "core/ckpt/dtype.h"
#include "core/ckpt/format.h"
#include "core/ckpt/refuse.h"

#define HEADER_AT        8 /* byte where the header begins, after its size field */
#define HEADER_DEPTH_MAX 4 /* 3 levels are needed: tensors, one tensor, its lists */
#define HEADER_ALIGN     8 /* the header is padded to a multiple, so that the data is aligned */
#define METADATA         "__metadata__"

struct span {
    struct sm_tensor tensor; /* its name is borrowed from the header */
    const char *type;        /* name of a dtype that cannot be read; NULL: readable */
    uint64_t begin, end;     /* first byte and end of its elements, counted from the data's begin */
    size_t order;            /* position in the header; decides the order of empty tensors */
};

static uint64_t load_u64(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static bool sniff(const uint8_t *bytes, size_t bytes_count)
{
    return bytes_count > HEADER_AT && bytes[HEADER_AT] == '{';
}

static enum sm_code parse_shape(struct sm_tensor *tensor, const json_t *shape, struct sm_err *err)
{
    if (!json_is_array(shape))
        return sm_err_set(err, SM_CORRUPT, "tensor %.96s: shape is not a list", tensor->name);
    if (json_array_size(shape) > SM_TENSOR_RANK_MAX)
        return sm_err_set(err, SM_LIMIT, "tensor %.96s: rank is %zu, limit is %d", tensor->name,
                          json_array_size(shape), SM_TENSOR_RANK_MAX);
    tensor->rank = (int)json_array_size(shape);
    for (int i = 0; i < tensor->rank; i++) {
        const json_t *side = json_array_get(shape, (size_t)i);
        if (!json_is_integer(side))
            return sm_err_set(err, SM_CORRUPT, "tensor %.96s: side %d of its shape is no integer",
                              tensor->name, i);
        tensor->shape[i] = json_integer_value(side);
    }
    return sm_tensor_measure(tensor, err);
}

static enum sm_code parse_offsets(struct span *span, const json_t *offsets, uint64_t data_at,
                                  uint64_t file_count, struct sm_err *err)
{
    const struct sm_tensor *tensor = &span->tensor;
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    int64_t wanted;
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0)
        return sm_err_set(err, SM_CORRUPT, "tensor %.96s: data_offsets are not two offsets",
                          tensor->name);
    if (json_integer_value(end) < json_integer_value(begin))
        return sm_err_set(err, SM_CORRUPT, "tensor %.96s: begins at %lld of the data, ends at %lld",
                          tensor->name, (long long)json_integer_value(begin),
                          (long long)json_integer_value(end));
    span->begin = (uint64_t)json_integer_value(begin);
    span->end = (uint64_t)json_integer_value(end);
    if (span->end > file_count - data_at)
        return sm_err_set(err, SM_CORRUPT,
                          "tensor %.96s ends at byte %llu, file has %llu" SM_CKPT_CUT, tensor->name,
                          (unsigned long long)(data_at + span->end),
                          (unsigned long long)file_count);
    if (tensor->dtype == SM_UNREAD)
        return SM_OK; /* no size to compare: the element size is unknown */
    if (__builtin_mul_overflow(tensor->count, (int64_t)sm_dtype_bytes(tensor->dtype), &wanted))
        return sm_err_set(err, SM_CORRUPT, "tensor %.96s: the product of its shape overflows",
                          tensor->name);
    if ((uint64_t)wanted != span->end - span->begin)
        return sm_err_set(err, SM_CORRUPT, "tensor %.96s has %llu bytes, its shape needs %lld",
                          tensor->name, (unsigned long long)(span->end - span->begin),
                          (long long)wanted);
    return SM_OK;
}

static enum sm_code parse_entry(struct span *span, const char *name, const json_t *entry,
                                uint64_t data_at, uint64_t file_count, struct sm_err *err)
{
    const json_t *dtype = json_object_get(entry, "dtype");
    enum sm_code code;
    span->tensor.name = name;
    if (!json_is_string(dtype))
        return sm_err_set(err, SM_CORRUPT, "tensor %.96s has no dtype", name);
    if (!sm_dtype_of_safetensors(&span->tensor.dtype, json_string_value(dtype))) {
        span->tensor.dtype = SM_UNREAD;
        span->type = json_string_value(dtype);
    }
    code = parse_shape(&span->tensor, json_object_get(entry, "shape"), err);
    if (code == SM_OK)
        code =
            parse_offsets(span, json_object_get(entry, "data_offsets"), data_at, file_count, err);
    return code;
}

static int compare_spans(const void *a, const void *b)
{
    const struct span *left = a, *right = b;
    if (left->begin != right->begin)
        return left->begin < right->begin ? -1 : 1;
    if (left->end != right->end)
        return left->end < right->end ? -1 : 1;
    return left->order < right->order ? -1 : left->order > right->order;
}

/* Checks that the sorted spans cover the data without gaps or overlaps. */
static enum sm_code check_cover(const struct span *spans, size_t count, uint64_t data_at,
                                uint64_t file_count, struct sm_err *err)
{
    uint64_t covered = 0;
    for (size_t i = 0; i < count; i++) {
        if (spans[i].begin < covered)
            return sm_err_set(err, SM_CORRUPT,
                              "tensor %.72s begins at byte %llu, inside tensor %.72s",
                              spans[i].tensor.name, (unsigned long long)(data_at + spans[i].begin),
                              spans[i - 1].tensor.name);
        if (spans[i].begin > covered)
            return sm_err_set(err, SM_CORRUPT,
                              "tensor %.96s begins at byte %llu, the data before it ends at %llu",
                              spans[i].tensor.name, (unsigned long long)(data_at + spans[i].begin),
                              (unsigned long long)(data_at + covered));
        covered = spans[i].end;
    }
    if (data_at + covered != file_count)
        return sm_err_set(err, SM_CORRUPT, "the last tensor ends at byte %llu, file has %llu",
                          (unsigned long long)(data_at + covered), (unsigned long long)file_count);
    return SM_OK;
}

static enum sm_code list_tensors(struct sm_ckpt *ckpt, const json_t *header, uint64_t data_at,
                                 struct sm_err *err)
{
    size_t count = json_object_size(header) - (json_object_get(header, METADATA) != NULL);
    struct span *spans = NULL;
    enum sm_code code = SM_OK;
    size_t filled = 0;
    const char *name;
    json_t *entry;
    if (count > SM_CKPT_TENSORS_MAX)
        return sm_err_set(err, SM_LIMIT, "%zu tensors, limit is %d", count, SM_CKPT_TENSORS_MAX);
    spans = calloc(count + 1, sizeof *spans);
    if (!spans)
        return sm_err_set(err, SM_NOMEM, "no memory for %zu tensors", count);
    json_object_foreach((json_t *)(uintptr_t)header, name, entry)
    {
        if (strcmp(name, METADATA) == 0)
            continue;
        spans[filled].order = filled;
        code = parse_entry(&spans[filled++], name, entry, data_at, ckpt->bytes_count, err);
        if (code != SM_OK)
            goto out;
    }
    qsort(spans, count, sizeof *spans, compare_spans);
    code = check_cover(spans, count, data_at, ckpt->bytes_count, err);
    for (size_t i = 0; code == SM_OK && i < count; i++) {
        struct sm_place place = {.at = data_at + spans[i].begin};
        char why[64];
        if (spans[i].type) {
            snprintf(why, sizeof why, "dtype %.16s is not supported", spans[i].type);
            code = sm_ckpt_add_unread(ckpt, &spans[i].tensor, why, err);
            continue;
        }
        sm_view_dense(&place.view, &spans[i].tensor, false);
        code = sm_ckpt_add(ckpt, &spans[i].tensor, &place, err);
    }
out:
    free(spans);
    return code;
}

static enum sm_code open_safetensors(struct sm_ckpt *ckpt, struct sm_err *err)
{
    uint64_t header_count = load_u64(ckpt->bytes);
    struct sm_err json_err;
    json_t *header = NULL;
    struct sm_kind kind;
    enum sm_code code;
    /* A single byte was recognised. With a header that cannot be, it may be a file of any kind. */
    if (header_count > ckpt->bytes_count - HEADER_AT &&
        sm_kind_find(&kind, ckpt->bytes, ckpt->bytes_count, ckpt->path, SM_WANTED_CHECKPOINT))
        return sm_refuse_bytes(ckpt, err);
    if (header_count > ckpt->bytes_count - HEADER_AT)
        return sm_err_set(err, SM_CORRUPT, "safetensors header has %llu bytes, file has %zu%s",
                          (unsigned long long)header_count, ckpt->bytes_count,
                          header_count > SM_CKPT_HEADER_MAX ? "" : SM_CKPT_CUT);
    if (header_count > SM_CKPT_HEADER_MAX)
        return sm_err_set(err, SM_LIMIT, "safetensors header has %llu bytes, limit is %u",
                          (unsigned long long)header_count, SM_CKPT_HEADER_MAX);
    code = sm_json_parse(&header, ckpt->bytes + HEADER_AT, header_count, SM_CKPT_HEADER_MAX,
                         HEADER_DEPTH_MAX, &json_err);
    if (code != SM_OK)
        return sm_err_set(err, code, "safetensors header: %.200s", json_err.text);
    /* The text begins with a brace, so the header is an object. */
    code = list_tensors(ckpt, header, HEADER_AT + header_count, err);
    json_decref(header);
    return code;
}

const struct sm_ckpt_format sm_ckpt_format_safetensors = {
    .name = "safetensors",
    .sniff = sniff,
    .open = open_safetensors,
};

static enum sm_code measure_out(struct sm_tensor *measured, const struct sm_tensor_out *tensor,
                                struct sm_err *err)
{
    if (strcmp(tensor->name, METADATA) == 0 || strlen(tensor->name) > SM_CKPT_NAME_MAX)
        return sm_err_set(err, SM_INVALID, "tensor %.96s may not be called so", tensor->name);
    if (tensor->rank < 0 || tensor->rank > SM_TENSOR_RANK_MAX)
        return sm_err_set(err, SM_INVALID, "tensor %.96s: rank is %d, limit is %d", tensor->name,
                          tensor->rank, SM_TENSOR_RANK_MAX);
    *measured = (struct sm_tensor){.name = tensor->name, .dtype = SM_F32, .rank = tensor->rank};
    memcpy(measured->shape, tensor->shape, sizeof measured->shape);
    if (sm_tensor_measure(measured, err) != SM_OK)
        return sm_err_set(err, SM_INVALID, "tensor %.96s: its shape has no size", tensor->name);
    return SM_OK;
}

/* Adds the header entry of a tensor that begins at byte *end of the data; moves *end to its end. */
static enum sm_code describe(json_t *header, const struct sm_tensor *tensor, int64_t *end,
                             struct sm_err *err)
{
    int64_t begin = *end, bytes;
    json_t *shape, *entry;
    bool added = false;
    if (json_object_get(header, tensor->name))
        return sm_err_set(err, SM_INVALID, "two tensors are called %.96s", tensor->name);
    if (__builtin_mul_overflow(tensor->count, (int64_t)sizeof(float), &bytes) ||
        __builtin_add_overflow(begin, bytes, end) || *end > SM_CKPT_BYTES_MAX)
        return sm_err_set(err, SM_LIMIT, "tensor %.96s: file would have more than %lld bytes",
                          tensor->name, (long long)SM_CKPT_BYTES_MAX);
    shape = json_array();
    for (int i = 0; i < tensor->rank; i++)
        json_array_append_new(shape, json_integer(tensor->shape[i]));
    if (json_array_size(shape) != (size_t)tensor->rank)
        goto out;
    entry = json_pack("{s:s, s:O, s:[I, I]}", "dtype", "F32", "shape", shape, "data_offsets",
                      (json_int_t)begin, (json_int_t)*end);
    added = json_object_set_new(header, tensor->name, entry) == 0;
out:
    json_decref(shape);
    return added ? SM_OK
                 : sm_err_set(err, SM_INVALID, "tensor %.96s: name is not UTF-8, or no memory",
                              tensor->name);
}

/* Copies the tensors to their offsets in the header. */
static void copy_data(uint8_t *data, const json_t *header, const struct sm_tensor_out *tensors,
                      size_t tensors_count)
{
    for (size_t i = 0; i < tensors_count; i++) {
        const json_t *entry = json_object_get(header, tensors[i].name);
        const json_t *offsets = json_object_get(entry, "data_offsets");
        json_int_t begin = json_integer_value(json_array_get(offsets, 0));
        json_int_t end = json_integer_value(json_array_get(offsets, 1));
        if (end > begin)
            memcpy(data + begin, tensors[i].data, (size_t)(end - begin));
    }
}

enum sm_code sm_safetensors_write(const char *path, const struct sm_tensor_out *tensors,
                                  size_t tensors_count, struct sm_err *err)
{
    json_t *header = json_object();
    struct sm_tensor measured;
    char *text = NULL;
    uint8_t *file = NULL;
    int64_t data_count = 0;
    size_t text_count, header_count;
    uint64_t header_field;
    enum sm_code code = SM_OK;
    for (size_t i = 0; code == SM_OK && i < tensors_count; i++) {
        code = measure_out(&measured, &tensors[i], err);
        if (code == SM_OK)
            code = describe(header, &measured, &data_count, err);
    }
    if (code != SM_OK)
        goto out;
    text = sm_json_text(header, JSON_COMPACT);
    text_count = !text ? 0 : strlen(text);
    header_count = (text_count + HEADER_ALIGN - 1) / HEADER_ALIGN * HEADER_ALIGN;
    file = !text ? NULL : malloc(HEADER_AT + header_count + (size_t)data_count);
    if (!file) {
        code =
            sm_err_set(err, SM_NOMEM, "no memory for a file of %lld bytes", (long long)data_count);
        goto out;
    }
    header_field = header_count;
    memcpy(file, &header_field, HEADER_AT);
    memset(file + HEADER_AT, ' ', header_count);
    memcpy(file + HEADER_AT, text, text_count);
    copy_data(file + HEADER_AT + header_count, header, tensors, tensors_count);
    code = sm_file_write(path, file, HEADER_AT + header_count + (size_t)data_count, err);
out:
    free(file);
    free(text);
    json_decref(header);
    return code;
}
