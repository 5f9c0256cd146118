/* NumPy's .npz, as numpy.savez writes it and big_vision stores weights: a zip file with one .npy
 * entry per array, named after the array; npy.h describes an entry's header. The elements must fill
 * the rest of the entry exactly. A column-major array is a view with other strides.
 *
 * A 2-byte void is read as bfloat16: NumPy has no name for that type, and NumPy saves bfloat16
 * arrays of JAX as such. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/escape.h"
#include "core/ckpt/format.h"
#include "core/ckpt/npy.h"
#include "core/ckpt/zip.h"

#define SUFFIX       ".npy"
#define SUFFIX_COUNT 4

static bool sniff_npz(const uint8_t *bytes, size_t bytes_count)
{
    const char *name;
    size_t count;
    return sm_zip_sniff(bytes, bytes_count, &name, &count) && count > SUFFIX_COUNT &&
           memcmp(name + count - SUFFIX_COUNT, SUFFIX, SUFFIX_COUNT) == 0;
}

/* Fills tensor and place from a .npy of `count` bytes at `bytes`, which is byte place->at of the
 * file. Advances place->at to the elements. */
static enum sm_code parse_array(struct sm_tensor *tensor, struct sm_place *place,
                                const uint8_t *bytes, uint64_t count, struct sm_err *err)
{
    struct sm_npy_header header;
    size_t head_count = 0;
    int64_t wanted;
    enum sm_code code = sm_npy_read_header(&header, &head_count, bytes, count, err);
    if (code != SM_OK)
        return code;
    tensor->rank = header.rank;
    memcpy(tensor->shape, header.shape, sizeof header.shape);
    for (int i = 0; i < tensor->rank; i++) {
        if (tensor->shape[i] < 0)
            return sm_err_set(err, SM_CORRUPT, "side %d of its shape is %" PRId64, i,
                              tensor->shape[i]);
    }
    if (!sm_dtype_of_npy(&tensor->dtype, header.descr, header.descr_count))
        return sm_err_set(err, SM_UNSUPPORTED, "elements of type %.*s are not supported",
                          (int)header.descr_count, header.descr);
    code = sm_tensor_measure(tensor, NULL);
    if (code != SM_OK ||
        __builtin_mul_overflow(tensor->count, (int64_t)sm_dtype_bytes(tensor->dtype), &wanted))
        return sm_err_set(err, SM_CORRUPT, "the product of its shape overflows");
    if ((uint64_t)wanted != count - head_count)
        return sm_err_set(err, SM_CORRUPT, "has %" PRIu64 " bytes, its shape needs %" PRId64,
                          count - head_count, wanted);
    sm_view_dense(&place->view, tensor, header.column_major);
    place->at += head_count;
    return SM_OK;
}

static enum sm_code add_array(struct sm_ckpt *ckpt, struct sm_zip *zip, uint64_t entry,
                              struct sm_err *err)
{
    const char *path = sm_zip_name(zip, entry);
    const size_t path_count = strlen(path);
    struct sm_tensor tensor = {0};
    struct sm_place place = {.part = entry};
    char name[SM_CKPT_NAME_MAX + 1], why[200];
    struct sm_err inner;
    uint64_t count;
    enum sm_code code;
    if (path_count <= SUFFIX_COUNT || strcmp(path + path_count - SUFFIX_COUNT, SUFFIX) != 0)
        return sm_err_set(err, SM_UNSUPPORTED, "zip entry %.96s is no .npy", path);
    if (path_count - SUFFIX_COUNT > SM_CKPT_NAME_MAX)
        return sm_err_set(err, SM_LIMIT, "zip entry %.96s...: name of %zu bytes, limit is %d", path,
                          path_count, SM_CKPT_NAME_MAX + SUFFIX_COUNT);
    if (!sm_utf8_is_text(path, path_count))
        return sm_err_set(err, SM_CORRUPT, "zip entry %.96s: its name is not UTF-8 text", path);
    memcpy(name, path, path_count - SUFFIX_COUNT);
    name[path_count - SUFFIX_COUNT] = '\0';
    tensor.name = name;
    code = sm_zip_locate(&place.at, &count, zip, entry, &inner);
    if (code == SM_UNSUPPORTED) {
        snprintf(why, sizeof why, "%.130s: save it with numpy.savez, not savez_compressed",
                 inner.text);
        return sm_ckpt_add_unread(ckpt, &tensor, why, err);
    }
    if (code != SM_OK)
        return sm_err_set(err, code, "%.200s", inner.text);
    code = parse_array(&tensor, &place, ckpt->bytes + place.at, count, &inner);
    if (code == SM_UNSUPPORTED)
        return sm_ckpt_add_unread(ckpt, &tensor, inner.text, err);
    if (code != SM_OK)
        return sm_err_set(err, code, "tensor %.96s: %.120s", name, inner.text);
    return sm_ckpt_add(ckpt, &tensor, &place, err);
}

static enum sm_code open_npz(struct sm_ckpt *ckpt, struct sm_err *err)
{
    struct sm_zip *zip;
    enum sm_code code = sm_zip_open(&zip, ckpt->bytes, ckpt->bytes_count, err);
    ckpt->state = zip;
    for (uint64_t i = 0; code == SM_OK && i < sm_zip_count(zip); i++)
        code = add_array(ckpt, zip, i, err);
    return code == SM_OK ? sm_zip_check_overlaps(zip, err) : code;
}

const struct sm_ckpt_format sm_ckpt_format_npz = {
    .name = "npz",
    .sniff = sniff_npz,
    .open = open_npz,
    .read = sm_zip_read,
    .close = sm_zip_close_state,
};
