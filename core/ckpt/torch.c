/* PyTorch zip files (torch.save since 1.6) and TorchScript archives: <prefix>/data.pkl is a pickle
 * whose persistent ids name storages, ('storage', torch.FloatStorage, key, location, elements), and
 * <prefix>/data/<key> holds the elements, uncompressed. A tensor is a strided view of a storage.
 * See torch/serialization.py and torch/_utils.py of PyTorch 1.13.
 *
 * Opening reads the zip directory and the pickle only. Every view is checked against its storage
 * and every storage against its entry before it is listed: all elements are inside, and a view has
 * no more elements than its storage (no expansion by stride 0), so whatever a caller allocates for
 * it is bounded by the file. Reading takes one storage at a time out of the zip, whose CRC is
 * checked then; the last one is kept, because views of one storage follow each other.
 *
 * The format before 1.6 (bare pickles) is recognised and refused. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "core/ckpt/dtype.h"
#include "core/ckpt/flatten.h"
#include "core/ckpt/format.h"
#include "core/ckpt/pickle.h"

#define PATH_BYTES 512 /* of an entry, with its NUL */
#define KEY_MAX    64

struct view {
    zip_uint64_t entry;
    uint64_t entry_bytes;
    int64_t offset;                     /* elements */
    int64_t stride[SM_TENSOR_RANK_MAX]; /* elements; 0 for sides below two */
};

struct state {
    zip_t *zip;
    char prefix[PATH_BYTES / 2];
    struct view *views; /* parallel to the tensors */
    size_t views_room;
    uint8_t *storage; /* of entry `loaded`; NULL before the first read */
    zip_uint64_t loaded;
};

/* What a persistent id says. */
struct storage {
    enum sm_dtype dtype;
    struct sm_slice key;
    int64_t count;
};

struct opening {
    struct sm_ckpt *ckpt;
    const struct sm_pickle *pickle;
};

static bool sniff_zip(const uint8_t *bytes, size_t bytes_count)
{
    return bytes_count >= 4 && memcmp(bytes, "PK\3\4", 4) == 0;
}

/* Opens the directory over the mapped bytes, without copying them. */
static enum sm_code open_zip(struct sm_ckpt *ckpt, struct sm_err *err)
{
    struct state *state = ckpt->state;
    zip_error_t error;
    zip_source_t *source;
    enum sm_code code = SM_OK;

    zip_error_init(&error);
    source = zip_source_buffer_create(ckpt->bytes, ckpt->bytes_count, 0, &error);
    if (source != NULL)
        state->zip = zip_open_from_source(source, ZIP_RDONLY, &error);
    if (state->zip == NULL) {
        bool memory = zip_error_code_zip(&error) == ZIP_ER_MEMORY;

        code = sm_err_set(err, memory ? SM_NOMEM : SM_CORRUPT, "zip directory: %s",
                          zip_error_strerror(&error));
        zip_source_free(source);
    }
    zip_error_fini(&error);
    return code;
}

/* Finds the folder of data.pkl. Entries together may not claim more bytes than the file has:
 * overlapping ones are how small zips become large. */
static enum sm_code find_prefix(struct sm_ckpt *ckpt, struct sm_err *err)
{
    static const char tail[] = "/data.pkl";
    struct state *state = ckpt->state;
    zip_int64_t entries = zip_get_num_entries(state->zip, 0);
    uint64_t claimed = 0;
    bool found = false;

    for (zip_int64_t i = 0; i < entries; i++) {
        zip_stat_t stat;
        size_t count;

        if (zip_stat_index(state->zip, (zip_uint64_t)i, ZIP_FL_ENC_RAW, &stat) != 0 ||
            (stat.valid & ZIP_STAT_NAME) == 0 || (stat.valid & ZIP_STAT_COMP_SIZE) == 0)
            return sm_err_set(err, SM_CORRUPT, "zip entry %lld has no name or size", (long long)i);
        if (__builtin_add_overflow(claimed, stat.comp_size, &claimed) ||
            claimed > ckpt->bytes_count)
            return sm_err_set(err, SM_CORRUPT,
                              "zip entries up to %.96s claim %" PRIu64 " bytes, file has %zu",
                              stat.name, claimed, ckpt->bytes_count);
        count = strlen(stat.name);
        if (found || count < sizeof tail - 1 ||
            strcmp(stat.name + count - (sizeof tail - 1), tail) != 0)
            continue;
        count -= sizeof tail - 1;
        if (count >= sizeof state->prefix)
            return sm_err_set(err, SM_LIMIT, "zip entry %.96s: name of %zu bytes, limit is %zu",
                              stat.name, count, sizeof state->prefix - 1);
        memcpy(state->prefix, stat.name, count);
        found = true;
    }
    if (!found)
        return sm_err_set(err, SM_UNSUPPORTED, "zip file without data.pkl: not a PyTorch file");
    return SM_OK;
}

/* Finds <prefix>/<name>; *index is -1 when there is none and it may be absent. */
static enum sm_code find_entry(const struct sm_ckpt *ckpt, const char *name, bool optional,
                               zip_int64_t *index, uint64_t *bytes, struct sm_err *err)
{
    const struct state *state = ckpt->state;
    const zip_uint64_t needed =
        ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    char path[PATH_BYTES];
    zip_stat_t stat;

    snprintf(path, sizeof path, "%s/%s", state->prefix, name);
    *index = zip_name_locate(state->zip, path, 0);
    *bytes = 0;
    if (*index < 0 && optional)
        return SM_OK;
    if (*index < 0)
        return sm_err_set(err, SM_CORRUPT, "zip entry %.96s is missing", path);
    if (zip_stat_index(state->zip, (zip_uint64_t)*index, ZIP_FL_ENC_RAW, &stat) != 0 ||
        (stat.valid & needed) != needed)
        return sm_err_set(err, SM_CORRUPT, "zip entry %.96s has no size or method", path);
    if (stat.encryption_method != ZIP_EM_NONE)
        return sm_err_set(err, SM_UNSUPPORTED, "zip entry %.96s is encrypted", path);
    if (stat.comp_method != ZIP_CM_STORE)
        return sm_err_set(err, SM_UNSUPPORTED,
                          "zip entry %.96s is compressed by method %u, must be stored", path,
                          (unsigned)stat.comp_method);
    if (stat.size != stat.comp_size)
        return sm_err_set(err, SM_CORRUPT,
                          "zip entry %.96s claims %" PRIu64 " bytes, %" PRIu64 " are stored", path,
                          stat.size, stat.comp_size);
    *bytes = stat.size; /* no more than the file has: find_prefix */
    return SM_OK;
}

/* The bytes of an entry, for the caller to free. */
static enum sm_code read_entry(const struct state *state, zip_uint64_t index, uint64_t bytes_count,
                               uint8_t **out, struct sm_err *err)
{
    zip_file_t *file = NULL;
    uint8_t *bytes = malloc((size_t)bytes_count + 1);
    uint64_t filled = 0;
    zip_int64_t got = 0;
    enum sm_code code = SM_OK;

    *out = NULL;
    if (bytes == NULL)
        return sm_err_set(err, SM_NOMEM, "no memory for a zip entry of %" PRIu64 " bytes",
                          bytes_count);
    file = zip_fopen_index(state->zip, index, 0);
    if (file == NULL) {
        code =
            sm_err_set(err, SM_CORRUPT, "zip entry %.96s: %s",
                       zip_get_name(state->zip, index, ZIP_FL_ENC_RAW), zip_strerror(state->zip));
        goto out;
    }
    do { /* one byte more than there may be: reaching the end checks the CRC */
        got = zip_fread(file, bytes + filled, bytes_count + 1 - filled);
        filled += got > 0 ? (uint64_t)got : 0;
    } while (got > 0 && filled <= bytes_count);
    if (got < 0)
        code = sm_err_set(err, SM_CORRUPT, "zip entry %.96s: %s",
                          zip_get_name(state->zip, index, ZIP_FL_ENC_RAW), zip_file_strerror(file));
    else if (filled != bytes_count)
        code = sm_err_set(err, SM_CORRUPT, "zip entry %.96s has %" PRIu64 " bytes, not %" PRIu64,
                          zip_get_name(state->zip, index, ZIP_FL_ENC_RAW), filled, bytes_count);
out:
    if (file != NULL)
        zip_fclose(file);
    if (code == SM_OK)
        *out = bytes;
    else
        free(bytes);
    return code;
}

/* ('storage', <class>, key, location, elements) */
static bool is_storage_id(const struct sm_pickle *pickle, uint32_t id)
{
    const struct sm_value *tuple = &pickle->values[id];
    const struct sm_value *class = &pickle->values[sm_pickle_item(pickle, id, 1)];
    const struct sm_value *key = &pickle->values[sm_pickle_item(pickle, id, 2)];
    const struct sm_value *count = &pickle->values[sm_pickle_item(pickle, id, 4)];

    return tuple->kind == SM_VALUE_TUPLE && tuple->as.items.count == 5 &&
           sm_pickle_is_text(pickle, sm_pickle_item(pickle, id, 0), "storage") &&
           class->kind == SM_VALUE_GLOBAL && key->kind == SM_VALUE_TEXT &&
           key->as.text.count <= KEY_MAX && count->kind == SM_VALUE_INT && count->as.number >= 0;
}

static enum sm_code parse_storage(struct storage *out, const struct sm_pickle *pickle, uint32_t id,
                                  const char *tensor_name, struct sm_err *err)
{
    const struct sm_value *class = &pickle->values[sm_pickle_item(pickle, id, 1)];
    struct sm_slice name;

    if (!is_storage_id(pickle, id))
        return sm_err_set(err, SM_UNSUPPORTED, "tensor %.96s: persistent id is not a storage",
                          tensor_name);
    name = class->as.global.name;
    if ((!sm_slice_is(pickle, class->as.global.module, "torch") &&
         !sm_slice_is(pickle, class->as.global.module, "torch.cuda")) ||
        !sm_dtype_of_storage(&out->dtype, sm_slice_text(pickle, name), name.count))
        return sm_err_set(err, SM_UNSUPPORTED, "tensor %.96s: storage type %.*s is not supported",
                          tensor_name, (int)(name.count < KEY_MAX ? name.count : KEY_MAX),
                          sm_slice_text(pickle, name));
    out->key = pickle->values[sm_pickle_item(pickle, id, 2)].as.text;
    out->count = pickle->values[sm_pickle_item(pickle, id, 4)].as.number;
    return SM_OK;
}

/* Copies a tuple of non-negative integers: the sides or strides of a tensor. */
static enum sm_code copy_numbers(int64_t out[SM_TENSOR_RANK_MAX], int *count,
                                 const struct sm_pickle *pickle, uint32_t tuple, const char *what,
                                 struct sm_err *err)
{
    const struct sm_value *v = &pickle->values[tuple];

    if (v->kind != SM_VALUE_TUPLE)
        return sm_err_set(err, SM_CORRUPT, "%s is not a tuple", what);
    if (v->as.items.count > SM_TENSOR_RANK_MAX)
        return sm_err_set(err, SM_LIMIT, "%s has %u numbers, limit is %d", what, v->as.items.count,
                          SM_TENSOR_RANK_MAX);
    *count = (int)v->as.items.count;
    for (int i = 0; i < *count; i++) {
        const struct sm_value *number = &pickle->values[sm_pickle_item(pickle, tuple, (uint32_t)i)];

        if (number->kind != SM_VALUE_INT)
            return sm_err_set(err, SM_CORRUPT, "%s: number %d is no integer", what, i);
        if (number->as.number < 0)
            return sm_err_set(err, SM_CORRUPT, "%s: number %d is %" PRId64, what, i,
                              number->as.number);
        out[i] = number->as.number;
    }
    return SM_OK;
}

/* Sides, strides and offset of a tensor from (storage, offset, size, stride, ...). */
static enum sm_code parse_view(struct view *view, struct sm_tensor *tensor,
                               const struct sm_pickle *pickle, uint32_t args, struct sm_err *err)
{
    const struct sm_value *offset = &pickle->values[sm_pickle_item(pickle, args, 1)];
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
    if (offset->kind != SM_VALUE_INT || offset->as.number < 0)
        return sm_err_set(err, SM_CORRUPT, "offset is not a non-negative integer");
    view->offset = offset->as.number;
    return SM_OK;
}

/* Every element of the view is one of the storage's `count`, and it has no more of them. */
static enum sm_code check_view(struct view *view, const struct sm_tensor *tensor, int64_t count,
                               struct sm_err *err)
{
    int64_t last = view->offset, reach;

    if (tensor->count == 0)
        return SM_OK;
    for (int i = 0; i < tensor->rank; i++) {
        if (tensor->shape[i] < 2)
            view->stride[i] = 0;
        if (__builtin_mul_overflow(tensor->shape[i] - 1, view->stride[i], &reach) ||
            __builtin_add_overflow(last, reach, &last))
            return sm_err_set(err, SM_CORRUPT, "tensor %.96s: its strides overflow", tensor->name);
    }
    if (last >= count)
        return sm_err_set(err, SM_CORRUPT,
                          "tensor %.96s ends at element %" PRIu64 ", its storage has %" PRId64,
                          tensor->name, (uint64_t)last + 1, count);
    if (tensor->count > count)
        return sm_err_set(err, SM_LIMIT,
                          "tensor %.96s expands to %" PRId64 " elements, its storage has %" PRId64,
                          tensor->name, tensor->count, count);
    return SM_OK;
}

/* The entry of a storage, which holds exactly its elements. */
static enum sm_code find_storage(struct view *view, const struct opening *opening,
                                 const struct storage *storage, const char *tensor_name,
                                 struct sm_err *err)
{
    char name[sizeof "data/" + KEY_MAX];
    struct sm_err inner;
    zip_int64_t index;
    int64_t bytes;
    enum sm_code code;

    snprintf(name, sizeof name, "data/%.*s", (int)storage->key.count,
             sm_slice_text(opening->pickle, storage->key));
    code = find_entry(opening->ckpt, name, false, &index, &view->entry_bytes, &inner);
    if (code != SM_OK)
        return sm_err_set(err, code, "tensor %.64s: %.160s", tensor_name, inner.text);
    if (__builtin_mul_overflow(storage->count, (int64_t)sm_dtype_bytes(storage->dtype), &bytes) ||
        (uint64_t)bytes != view->entry_bytes)
        return sm_err_set(
            err, SM_CORRUPT,
            "tensor %.96s: storage %s has %" PRIu64 " bytes, needs %" PRId64 " elements of %zu",
            tensor_name, name, view->entry_bytes, storage->count, sm_dtype_bytes(storage->dtype));
    view->entry = (zip_uint64_t)index;
    return SM_OK;
}

static enum sm_code add_view(struct sm_ckpt *ckpt, const struct view *view,
                             const struct sm_tensor *tensor, struct sm_err *err)
{
    struct state *state = ckpt->state;

    if (ckpt->tensors_count == state->views_room) {
        size_t room = state->views_room == 0 ? 64 : 2 * state->views_room;
        struct view *views = realloc(state->views, room * sizeof *views);

        if (views == NULL)
            return sm_err_set(err, SM_NOMEM, "no memory for %zu tensors", room);
        state->views = views;
        state->views_room = room;
    }
    state->views[ckpt->tensors_count] = *view;
    return sm_ckpt_add(ckpt, tensor, err);
}

/* sm_flatten_found: a tensor from (storage, offset, size, stride, ...). */
static enum sm_code found_tensor(void *context, const char *name, uint32_t args, struct sm_err *err)
{
    const struct opening *opening = context;
    const struct sm_pickle *pickle = opening->pickle;
    const struct sm_value *source = &pickle->values[sm_pickle_item(pickle, args, 0)];
    struct sm_tensor tensor = {.name = name};
    struct view view = {0};
    struct storage storage;
    struct sm_err inner;
    enum sm_code code = parse_view(&view, &tensor, pickle, args, &inner);

    if (code != SM_OK)
        return sm_err_set(err, code, "tensor %.96s: %.120s", name, inner.text);
    if (source->kind != SM_VALUE_PERSISTENT)
        return sm_err_set(err, SM_CORRUPT, "tensor %.96s has no storage", name);
    code = parse_storage(&storage, pickle, source->as.id, name, err);
    if (code != SM_OK)
        return code;
    tensor.dtype = storage.dtype;
    code = sm_tensor_measure(&tensor, err);
    if (code == SM_OK)
        code = check_view(&view, &tensor, storage.count, err);
    if (code == SM_OK && tensor.count != 0)
        code = find_storage(&view, opening, &storage, name, err);
    return code == SM_OK ? add_view(opening->ckpt, &view, &tensor, err) : code;
}

/* Files of big-endian machines say so; older files say nothing and are little-endian in practice.
 */
static enum sm_code check_byte_order(const struct sm_ckpt *ckpt, struct sm_err *err)
{
    static const char little[] = "little";
    zip_int64_t index;
    uint64_t bytes_count;
    uint8_t *order = NULL;
    enum sm_code code = find_entry(ckpt, "byteorder", true, &index, &bytes_count, err);

    if (code == SM_OK && index >= 0)
        code = read_entry(ckpt->state, (zip_uint64_t)index, bytes_count, &order, err);
    if (order != NULL &&
        (bytes_count != sizeof little - 1 || memcmp(order, little, sizeof little - 1) != 0))
        code = sm_err_set(err, SM_UNSUPPORTED, "byte order is %.*s, must be little",
                          (int)(bytes_count < 16 ? bytes_count : 16), (const char *)order);
    free(order);
    return code;
}

static enum sm_code list_tensors(struct sm_ckpt *ckpt, const uint8_t *bytes, size_t bytes_count,
                                 struct sm_err *err)
{
    struct sm_pickle pickle;
    struct opening opening = {.ckpt = ckpt, .pickle = &pickle};
    enum sm_code code = sm_pickle_parse(&pickle, bytes, bytes_count, err);

    if (code == SM_OK)
        code = sm_flatten(&pickle, found_tensor, &opening, err);
    for (uint32_t i = 0; code == SM_OK && i < pickle.values_count; i++) {
        if (pickle.values[i].kind == SM_VALUE_PERSISTENT &&
            !is_storage_id(&pickle, pickle.values[i].as.id))
            code = sm_err_set(err, SM_UNSUPPORTED, "pickle: a persistent id is not a storage");
    }
    sm_pickle_release(&pickle);
    return code;
}

static enum sm_code open_torch(struct sm_ckpt *ckpt, struct sm_err *err)
{
    zip_int64_t index = -1;
    uint64_t bytes_count = 0;
    uint8_t *bytes = NULL;
    enum sm_code code;

    ckpt->state = calloc(1, sizeof(struct state));
    if (ckpt->state == NULL)
        return sm_err_set(err, SM_NOMEM, "no memory for a PyTorch file");
    code = open_zip(ckpt, err);
    if (code == SM_OK)
        code = find_prefix(ckpt, err);
    if (code == SM_OK)
        code = check_byte_order(ckpt, err);
    if (code == SM_OK)
        code = find_entry(ckpt, "data.pkl", false, &index, &bytes_count, err);
    if (code == SM_OK && bytes_count > SM_CKPT_HEADER_MAX)
        code = sm_err_set(err, SM_LIMIT, "data.pkl has %" PRIu64 " bytes, limit is %u", bytes_count,
                          SM_CKPT_HEADER_MAX);
    if (code == SM_OK)
        code = read_entry(ckpt->state, (zip_uint64_t)index, bytes_count, &bytes, err);
    if (code == SM_OK)
        code = list_tensors(ckpt, bytes, (size_t)bytes_count, err);
    free(bytes);
    return code;
}

static bool is_contiguous(const struct sm_tensor *tensor, const struct view *view)
{
    int64_t expected = 1;

    for (int i = tensor->rank - 1; i >= 0; i--) {
        if (tensor->shape[i] > 1 && view->stride[i] != expected)
            return false;
        expected *= tensor->shape[i];
    }
    return true;
}

/* Converts the view row by row of its last dimension; `index` counts through the others. */
static void gather(float *out, const uint8_t *storage, const struct sm_tensor *tensor,
                   const struct view *view)
{
    const size_t bytes = sm_dtype_bytes(tensor->dtype);
    const int inner = tensor->rank - 1;
    int64_t index[SM_TENSOR_RANK_MAX] = {0};
    int64_t at = view->offset;

    for (int64_t done = 0; done < tensor->count; done += tensor->shape[inner]) {
        sm_dtype_convert(out + done, storage + (size_t)at * bytes, tensor->dtype,
                         (size_t)tensor->shape[inner], (size_t)view->stride[inner] * bytes);
        for (int i = inner - 1; i >= 0; i--) {
            at += view->stride[i];
            if (++index[i] < tensor->shape[i])
                break;
            at -= view->stride[i] * tensor->shape[i];
            index[i] = 0;
        }
    }
}

static enum sm_code read_torch(struct sm_ckpt *ckpt, size_t index, float *out, struct sm_err *err)
{
    struct state *state = ckpt->state;
    const struct sm_tensor *tensor = &ckpt->tensors[index];
    const struct view *view = &state->views[index];
    const size_t bytes = sm_dtype_bytes(tensor->dtype);

    if (state->storage == NULL || state->loaded != view->entry) {
        struct sm_err inner;
        enum sm_code code;

        free(state->storage); /* before the next one is taken */
        code = read_entry(state, view->entry, view->entry_bytes, &state->storage, &inner);
        if (code != SM_OK)
            return sm_err_set(err, code, "tensor %.64s: %.160s", tensor->name, inner.text);
        state->loaded = view->entry;
    }
    if (is_contiguous(tensor, view))
        sm_dtype_convert(out, state->storage + (size_t)view->offset * bytes, tensor->dtype,
                         (size_t)tensor->count, bytes);
    else
        gather(out, state->storage, tensor, view);
    return SM_OK;
}

static void close_torch(void *opaque)
{
    struct state *state = opaque;

    if (state == NULL)
        return;
    if (state->zip != NULL)
        zip_discard(state->zip);
    free(state->views);
    free(state->storage);
    free(state);
}

const struct sm_ckpt_format sm_ckpt_format_torch = {
    .name = "torch-zip",
    .sniff = sniff_zip,
    .open = open_torch,
    .read = read_torch,
    .close = close_torch,
};

/* The first value of the old format is this number, as LONG1 of ten bytes, after the protocol. */
static bool sniff_legacy(const uint8_t *bytes, size_t bytes_count)
{
    static const uint8_t magic[] = {0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                    0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
    size_t head = bytes_count < 32 ? bytes_count : 32;

    return head > 0 && bytes[0] == 0x80 && memmem(bytes, head, magic, sizeof magic) != NULL;
}

static enum sm_code open_legacy(struct sm_ckpt *ckpt, struct sm_err *err)
{
    (void)ckpt;
    return sm_err_set(err, SM_UNSUPPORTED,
                      "PyTorch file in the format before 1.6 (not a zip file): load it and save it "
                      "again with torch.save of PyTorch 1.6 or later");
}

const struct sm_ckpt_format sm_ckpt_format_torch_legacy = {
    .name = "torch-legacy",
    .sniff = sniff_legacy,
    .open = open_legacy,
    .close = close_torch,
};
