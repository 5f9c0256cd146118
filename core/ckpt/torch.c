/* PyTorch zip files (torch.save since 1.6) and TorchScript archives. The pickle <prefix>/data.pkl
 * describes tensors as strided views of storages. A persistent id names a storage, and the entry
 * <prefix>/data/<key> holds its elements, uncompressed. See torch/serialization.py of PyTorch 1.13.
 *
 * A TorchScript archive also holds code or the code's constants. Its parameters and buffers are
 * attributes of the pickled modules, as in other files; tensors among the constants belong to the
 * code and are not listed.
 *
 * Opening reads only the zip directory and the pickle. Before a tensor is listed, its view is
 * checked against its storage and the storage against its entry. Reading a tensor converts it from
 * the mapped entry; the first read also checks the entry's CRC. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/ckpt/flatten.h"
#include "core/ckpt/format.h"
#include "core/ckpt/pickle.h"
#include "core/ckpt/rebuild.h"
#include "core/ckpt/zip.h"

#define PATH_BYTES 512 /* room for an entry's path and a NUL */

struct opening {
    struct sm_ckpt *ckpt;
    struct sm_zip *zip;
    const struct sm_pickle *pickle;
    char prefix[PATH_BYTES / 2]; /* path of the folder with data.pkl */
};

static const struct sm_ckpt_format torchscript;

static bool sniff_torch(const uint8_t *bytes, size_t bytes_count)
{
    const char *name;
    size_t name_count;
    return sm_zip_sniff(bytes, bytes_count, &name, &name_count);
}

/* Finds the folder of data.pkl. */
static enum sm_code find_prefix(struct opening *opening, struct sm_err *err)
{
    static const char tail[] = "/data.pkl";
    for (uint64_t i = 0; i < sm_zip_count(opening->zip); i++) {
        const char *name = sm_zip_name(opening->zip, i);
        size_t count = strlen(name);
        if (count < sizeof tail - 1 || strcmp(name + count - (sizeof tail - 1), tail) != 0)
            continue;
        count -= sizeof tail - 1;
        if (count >= sizeof opening->prefix)
            return sm_err_set(err, SM_LIMIT, "zip entry %.96s: name of %zu bytes, limit is %zu",
                              name, count, sizeof opening->prefix - 1);
        memcpy(opening->prefix, name, count);
        return SM_OK;
    }
    if (sm_zip_find(opening->zip, "model.weights.h5") >= 0)
        return sm_err_set(err, SM_UNSUPPORTED,
                          "a Keras file: load it in its framework and save the weights with "
                          "safetensors or numpy.savez");
    return sm_err_set(err, SM_UNSUPPORTED, "zip file without data.pkl: not a PyTorch file");
}

/* Returns true if the archive has <prefix>/code/ or <prefix>/constants.pkl. */
static bool has_code(const struct opening *opening)
{
    char code[PATH_BYTES], constants[PATH_BYTES];
    /* Both paths fit: the prefix takes at most half of the room. */
    size_t code_count = (size_t)snprintf(code, sizeof code, "%s/code/", opening->prefix);
    snprintf(constants, sizeof constants, "%s/constants.pkl", opening->prefix);
    for (uint64_t i = 0; i < sm_zip_count(opening->zip); i++) {
        const char *name = sm_zip_name(opening->zip, i);
        if (strncmp(name, code, code_count) == 0 || strcmp(name, constants) == 0)
            return true;
    }
    return false;
}

/* Locates the entry <prefix>/<name>. If missing, sets *entry to -1 and fails unless `optional`. */
static enum sm_code find_entry(const struct opening *opening, const char *name, bool optional,
                               int64_t *entry, uint64_t *at, uint64_t *bytes_count,
                               struct sm_err *err)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", opening->prefix, name);
    *entry = sm_zip_find(opening->zip, path);
    if (*entry < 0 && optional)
        return SM_OK;
    if (*entry < 0)
        return sm_err_set(err, SM_CORRUPT, "zip entry %.96s is missing", path);
    return sm_zip_locate(at, bytes_count, opening->zip, (uint64_t)*entry, err);
}

/* Locates the entry of a storage and checks that it has exactly the storage's size. */
static enum sm_code find_storage(struct sm_place *place, const struct opening *opening,
                                 const struct sm_storage *storage, const char *tensor_name,
                                 struct sm_err *err)
{
    char name[sizeof "data/" + SM_STORAGE_KEY_MAX];
    struct sm_err inner;
    uint64_t bytes_count;
    int64_t entry, wanted;
    enum sm_code code;
    snprintf(name, sizeof name, "data/%.*s", (int)storage->key.count,
             sm_slice_text(opening->pickle, storage->key));
    code = find_entry(opening, name, false, &entry, &place->at, &bytes_count, &inner);
    if (code == SM_UNSUPPORTED)
        return sm_err_set(err, code, "%.160s", inner.text);
    if (code != SM_OK)
        return sm_err_set(err, code, "tensor %.64s: %.160s", tensor_name, inner.text);
    if (__builtin_mul_overflow(storage->count, (int64_t)sm_dtype_bytes(storage->dtype), &wanted) ||
        (uint64_t)wanted != bytes_count)
        return sm_err_set(
            err, SM_CORRUPT,
            "tensor %.96s: storage %s has %" PRIu64 " bytes, needs %" PRId64 " elements of %zu",
            tensor_name, name, bytes_count, storage->count, sm_dtype_bytes(storage->dtype));
    place->part = (uint64_t)entry;
    return SM_OK;
}

/* Callback of sm_flatten: lists one tensor. */
static enum sm_code found_tensor(void *context, const char *name, uint32_t args, const char *why,
                                 struct sm_err *err)
{
    const struct opening *opening = context;
    struct sm_tensor tensor = {.name = name};
    struct sm_place place = {0};
    struct sm_storage storage;
    struct sm_err inner = {0};
    enum sm_code code;
    if (why)
        return sm_ckpt_add_unread(opening->ckpt, &tensor, why, err);
    code = sm_rebuild(&tensor, &place.view, &storage, opening->pickle, args, name, &inner);
    if (code == SM_OK && tensor.count != 0)
        code = find_storage(&place, opening, &storage, name, &inner);
    if (code == SM_UNSUPPORTED)
        return sm_ckpt_add_unread(opening->ckpt, &tensor, inner.text, err);
    if (code != SM_OK)
        return sm_err_set(err, code, "%s", inner.text);
    return sm_ckpt_add(opening->ckpt, &tensor, &place, err);
}

/* Refuses files that declare big-endian elements. Older files declare nothing: little-endian. */
static enum sm_code check_byte_order(const struct opening *opening, struct sm_err *err)
{
    static const char little[] = "little";
    uint64_t at = 0, count = 0;
    int64_t entry;
    enum sm_code code = find_entry(opening, "byteorder", true, &entry, &at, &count, err);
    if (code == SM_OK && entry >= 0 &&
        (count != sizeof little - 1 ||
         memcmp(opening->ckpt->bytes + at, little, sizeof little - 1) != 0))
        code = sm_err_set(err, SM_UNSUPPORTED, "byte order is %.*s, must be little",
                          (int)(count < 16 ? count : 16), (const char *)opening->ckpt->bytes + at);
    return code;
}

static enum sm_code list_tensors(struct opening *opening, const uint8_t *bytes, size_t bytes_count,
                                 struct sm_err *err)
{
    struct sm_pickle pickle;
    enum sm_code code = sm_pickle_parse(&pickle, bytes, bytes_count, err);
    opening->pickle = &pickle;
    if (code == SM_OK)
        code = sm_flatten(&pickle, found_tensor, opening, err);
    for (uint32_t i = 0; code == SM_OK && i < pickle.values_count; i++) {
        if (pickle.values[i].kind == SM_VALUE_PERSISTENT &&
            !sm_storage_is_id(&pickle, pickle.values[i].as.id))
            code = sm_err_set(err, SM_UNSUPPORTED, "pickle: a persistent id is not a storage");
    }
    sm_pickle_release(&pickle);
    return code;
}

static enum sm_code open_torch(struct sm_ckpt *ckpt, struct sm_err *err)
{
    struct opening opening = {.ckpt = ckpt};
    uint64_t at = 0, count = 0;
    int64_t entry = -1;
    enum sm_code code = sm_zip_open(&opening.zip, ckpt->bytes, ckpt->bytes_count, err);
    ckpt->state = opening.zip;
    if (code == SM_OK)
        code = find_prefix(&opening, err);
    if (code == SM_OK)
        code = check_byte_order(&opening, err);
    if (code == SM_OK)
        code = find_entry(&opening, "data.pkl", false, &entry, &at, &count, err);
    if (code == SM_OK && count > SM_CKPT_HEADER_MAX)
        code = sm_err_set(err, SM_LIMIT, "data.pkl has %" PRIu64 " bytes, limit is %u", count,
                          SM_CKPT_HEADER_MAX);
    if (code == SM_OK)
        code = sm_zip_check(opening.zip, (uint64_t)entry, err);
    if (code == SM_OK)
        code = list_tensors(&opening, ckpt->bytes + at, (size_t)count, err);
    if (code == SM_OK)
        code = sm_zip_check_overlaps(opening.zip, err);
    if (code == SM_OK && has_code(&opening))
        ckpt->format = &torchscript;
    return code;
}

const struct sm_ckpt_format sm_ckpt_format_torch = {
    .name = "torch-zip",
    .sniff = sniff_torch,
    .open = open_torch,
    .read = sm_zip_read,
    .close = sm_zip_close_state,
};

/* open_torch replaces the format by this one for an archive with code, so it is in no table. */
static const struct sm_ckpt_format torchscript = {
    .name = "torchscript",
    .read = sm_zip_read,
    .close = sm_zip_close_state,
};
