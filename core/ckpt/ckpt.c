/* Checkpoints: the part that all formats share.
 *
 * Opening maps the file and picks the first row of `formats` that recognises its first bytes. That
 * row lists the tensors. Then opening sorts an index of names and computes the file's SHA-256 in
 * one pass over the mapping, without a copy. Names are looked up by bisection, which takes O(log n)
 * steps for any names; a hostile file could drive a hash table into quadratic time. In the sorted
 * index, duplicate names are neighbours. */
#include "core/ckpt/format.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/ckpt/refuse.h"

/* Tried in this order; the first format that recognises the beginning of the file opens it. */
static const struct sm_ckpt_format *const formats[] = {
    &sm_ckpt_format_npz, /* before torch: both are zip files, and npz recognises less */
    &sm_ckpt_format_torch,  &sm_ckpt_format_torch_legacy, &sm_ckpt_format_torch_tar,
    &sm_ckpt_format_shards, &sm_ckpt_format_safetensors, /* last: it recognises a single byte */
};

enum sm_code sm_tensor_measure(struct sm_tensor *tensor, struct sm_err *err)
{
    int64_t product = 1;
    bool empty = false;
    assert(tensor->rank >= 0 && tensor->rank <= SM_TENSOR_RANK_MAX);
    for (int i = 0; i < tensor->rank; i++) {
        int64_t side = tensor->shape[i];
        if (side < 0)
            return sm_err_set(err, SM_CORRUPT, "tensor %.96s: side %d of its shape is %lld",
                              tensor->name, i, (long long)side);
        if (side == 0)
            empty = true;
        else if (__builtin_mul_overflow(product, side, &product))
            return sm_err_set(err, SM_CORRUPT, "tensor %.96s: the product of its shape overflows",
                              tensor->name);
    }
    tensor->count = empty ? 0 : product;
    return SM_OK;
}

static enum sm_code grow(struct sm_ckpt *ckpt, struct sm_err *err)
{
    size_t room = ckpt->tensors_room == 0 ? 64 : 2 * ckpt->tensors_room;
    struct sm_tensor *tensors;
    struct sm_place *places;
    if (ckpt->tensors_count < ckpt->tensors_room)
        return SM_OK;
    tensors = realloc(ckpt->tensors, room * sizeof *tensors);
    if (tensors)
        ckpt->tensors = tensors;
    places = realloc(ckpt->places, room * sizeof *places);
    if (places)
        ckpt->places = places;
    if (!tensors || !places)
        return sm_err_set(err, SM_NOMEM, "no memory for %zu tensors", room);
    ckpt->tensors_room = room;
    return SM_OK;
}

enum sm_code sm_ckpt_add(struct sm_ckpt *ckpt, const struct sm_tensor *tensor,
                         const struct sm_place *place, struct sm_err *err)
{
    const size_t count = ckpt->tensors_count, name_count = strlen(tensor->name);
    enum sm_code code;
    char *name, *why;
    if (count == SM_CKPT_TENSORS_MAX)
        return sm_err_set(err, SM_LIMIT, "more than %d tensors", SM_CKPT_TENSORS_MAX);
    if (name_count > SM_CKPT_NAME_MAX)
        return sm_err_set(err, SM_LIMIT, "tensor %.96s...: name of %zu bytes, limit %d",
                          tensor->name, name_count, SM_CKPT_NAME_MAX);
    code = grow(ckpt, err);
    if (code != SM_OK)
        return code;
    name = malloc(name_count + 1);
    why = !tensor->unread ? NULL : strdup(tensor->unread);
    if (!name || (tensor->unread && !why)) {
        free(name);
        free(why);
        return sm_err_set(err, SM_NOMEM, "no memory for the name of tensor %.96s", tensor->name);
    }
    memcpy(name, tensor->name, name_count + 1);
    ckpt->tensors[count] = *tensor;
    ckpt->tensors[count].name = name;
    ckpt->tensors[count].unread = why;
    ckpt->places[count] = *place;
    ckpt->tensors_count++;
    return SM_OK;
}

enum sm_code sm_ckpt_add_unread(struct sm_ckpt *ckpt, const struct sm_tensor *tensor,
                                const char *why, struct sm_err *err)
{
    const struct sm_place nowhere = {0};
    struct sm_tensor listed = *tensor;
    listed.dtype = SM_UNREAD;
    listed.count = 0;
    listed.unread = why;
    return sm_ckpt_add(ckpt, &listed, &nowhere, err);
}

void sm_ckpt_read_place(const struct sm_ckpt *ckpt, size_t index, int64_t row, float *out)
{
    const struct sm_place *place = &ckpt->places[index];
    struct sm_tensor tensor = ckpt->tensors[index];
    struct sm_view view = place->view;
    if (row != SM_ALL_ROWS) {
        view.offset += row * view.stride[0];
        tensor.count /= tensor.shape[0];
        tensor.rank--;
        memmove(tensor.shape, tensor.shape + 1, (size_t)tensor.rank * sizeof *tensor.shape);
        memmove(view.stride, view.stride + 1, (size_t)tensor.rank * sizeof *view.stride);
    }
    sm_view_read(out, ckpt->bytes + place->at, &tensor, &view);
}

static int compare_names(const void *a, const void *b)
{
    const struct sm_tensor *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static enum sm_code index_names(struct sm_ckpt *ckpt, struct sm_err *err)
{
    size_t count = ckpt->tensors_count;
    ckpt->by_name = malloc((count + 1) * sizeof *ckpt->by_name);
    if (!ckpt->by_name)
        return sm_err_set(err, SM_NOMEM, "no memory for %zu names", count);
    for (size_t i = 0; i < count; i++)
        ckpt->by_name[i] = &ckpt->tensors[i];
    qsort(ckpt->by_name, count, sizeof *ckpt->by_name, compare_names);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(ckpt->by_name[i - 1]->name, ckpt->by_name[i]->name) == 0)
            return sm_err_set(err, SM_CORRUPT, "two tensors are called %.96s",
                              ckpt->by_name[i]->name);
    }
    return SM_OK;
}

static const struct sm_ckpt_format *recognise(const uint8_t *bytes, size_t bytes_count)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (formats[i]->sniff(bytes, bytes_count))
            return formats[i];
    }
    return NULL;
}

/* Opens ckpt->bytes. The caller closes the checkpoint, even after a failure. */
static enum sm_code open_mapped(struct sm_ckpt *ckpt, struct sm_err *err)
{
    enum sm_code code;
    ckpt->format = recognise(ckpt->bytes, ckpt->bytes_count);
    if (!ckpt->format)
        return sm_refuse_bytes(ckpt, err);
    code = ckpt->format->open(ckpt, err);
    if (code == SM_OK)
        code = index_names(ckpt, err);
    if (code == SM_OK && ckpt->digest[0] == '\0')
        sm_sha256_hex(ckpt->digest, ckpt->bytes, ckpt->bytes_count);
    return code;
}

/* `others`: whether the file may name other files in its folder (an index of shards). */
static enum sm_code open_path(struct sm_ckpt **out, const char *path, bool others,
                              struct sm_err *err)
{
    struct sm_ckpt *ckpt;
    enum sm_code code;
    *out = NULL;
    ckpt = calloc(1, sizeof *ckpt);
    if (!ckpt)
        return sm_err_set(err, SM_NOMEM, "no memory for a checkpoint");
    code = others ? sm_refuse_part(path, err) : SM_OK;
    if (code == SM_OK)
        code = sm_file_map(&ckpt->file, path, SM_CKPT_BYTES_MAX, err);
    if (code == SM_IO)
        code = sm_refuse_folder(path, code, err);
    if (code != SM_OK)
        goto out;
    ckpt->bytes = ckpt->file.bytes;
    ckpt->bytes_count = ckpt->file.bytes_count;
    ckpt->path = others ? path : NULL;
    code = open_mapped(ckpt, err);
    ckpt->path = NULL;
out:
    if (code == SM_OK)
        *out = ckpt;
    else
        sm_ckpt_close(ckpt);
    return code;
}

enum sm_code sm_ckpt_open(struct sm_ckpt **out, const char *path, struct sm_err *err)
{
    return open_path(out, path, true, err);
}

enum sm_code sm_ckpt_open_alone(struct sm_ckpt **out, const char *path, struct sm_err *err)
{
    return open_path(out, path, false, err);
}

enum sm_code sm_ckpt_open_bytes(struct sm_ckpt **out, const void *bytes, size_t bytes_count,
                                struct sm_err *err)
{
    struct sm_ckpt *ckpt;
    enum sm_code code;
    *out = NULL;
    if (bytes_count > (uint64_t)SM_CKPT_BYTES_MAX)
        return sm_err_set(err, SM_LIMIT, "checkpoint of %zu bytes, limit %lld", bytes_count,
                          (long long)SM_CKPT_BYTES_MAX);
    ckpt = calloc(1, sizeof *ckpt);
    if (!ckpt)
        return sm_err_set(err, SM_NOMEM, "no memory for a checkpoint");
    ckpt->bytes = bytes;
    ckpt->bytes_count = bytes_count;
    code = open_mapped(ckpt, err);
    if (code == SM_OK)
        *out = ckpt;
    else
        sm_ckpt_close(ckpt);
    return code;
}

void sm_ckpt_close(struct sm_ckpt *ckpt)
{
    if (!ckpt)
        return;
    if (ckpt->format && ckpt->format->close)
        ckpt->format->close(ckpt->state);
    for (size_t i = 0; i < ckpt->tensors_count; i++) {
        free((char *)ckpt->tensors[i].name);
        free((char *)ckpt->tensors[i].unread);
    }
    free(ckpt->tensors);
    free(ckpt->places);
    free(ckpt->by_name);
    sm_file_release(&ckpt->file);
    free(ckpt);
}

const char *sm_ckpt_format(const struct sm_ckpt *ckpt)
{
    return ckpt->format->name;
}

const char *sm_ckpt_digest(const struct sm_ckpt *ckpt)
{
    return ckpt->digest;
}

size_t sm_ckpt_count(const struct sm_ckpt *ckpt)
{
    return ckpt->tensors_count;
}

const struct sm_tensor *sm_ckpt_at(const struct sm_ckpt *ckpt, size_t index)
{
    assert(index < ckpt->tensors_count);
    return &ckpt->tensors[index];
}

const struct sm_tensor *sm_ckpt_find(const struct sm_ckpt *ckpt, const char *name)
{
    size_t low = 0, high = ckpt->tensors_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, ckpt->by_name[middle]->name);
        if (order == 0)
            return ckpt->by_name[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static enum sm_code read_rows(struct sm_ckpt *ckpt, const struct sm_tensor *tensor, int64_t row,
                              float *out, struct sm_err *err)
{
    size_t index = (size_t)(tensor - ckpt->tensors);
    assert(tensor >= ckpt->tensors && index < ckpt->tensors_count);
    if (tensor->unread)
        return sm_err_set(err, SM_UNSUPPORTED, "tensor %.72s: %.150s", tensor->name,
                          tensor->unread);
    if (tensor->count == 0)
        return SM_OK;
    if (ckpt->format->read)
        return ckpt->format->read(ckpt, index, row, out, err);
    sm_ckpt_read_place(ckpt, index, row, out);
    return SM_OK;
}

enum sm_code sm_ckpt_read(struct sm_ckpt *ckpt, const struct sm_tensor *tensor, float *out,
                          struct sm_err *err)
{
    return read_rows(ckpt, tensor, SM_ALL_ROWS, out, err);
}

enum sm_code sm_ckpt_read_row(struct sm_ckpt *ckpt, const struct sm_tensor *tensor, int64_t row,
                              float *out, struct sm_err *err)
{
    assert(tensor->rank > 0 && row >= 0 && row < tensor->shape[0]);
    return read_rows(ckpt, tensor, row, out, err);
}
