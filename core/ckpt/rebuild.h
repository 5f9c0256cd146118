/* What PyTorch's pickles say about a tensor: a strided view of a storage that is named by a
 * persistent id. One place for both of its file formats. Private to core/ckpt. */
#ifndef CORE_CKPT_REBUILD_H
#define CORE_CKPT_REBUILD_H

#include "core/ckpt/pickle.h"
#include "core/ckpt/view.h"

#define SM_STORAGE_KEY_MAX 64

/* ('storage', <class>, key, location, elements[, view]), where view is None or (key, offset,
 * elements) of a part of the storage (only in the format before 1.6). */
struct sm_storage {
    enum sm_dtype dtype;
    size_t element_bytes;
    struct sm_slice key;
    int64_t count;               /* elements of the whole storage */
    int64_t part_at, part_count; /* elements that tensors may use */
};

/* Whether persistent id `id` has the form above. */
bool sm_storage_is_id(const struct sm_pickle *pickle, uint32_t id);

/* SM_UNSUPPORTED for another form and for a storage class that we do not read (with everything but
 * the dtype, and element_bytes 0 where its size is unknown, too), SM_CORRUPT for a part outside the
 * storage. */
enum sm_code sm_storage_parse(struct sm_storage *out, const struct sm_pickle *pickle, uint32_t id,
                              struct sm_err *err);

/* Reads (storage, offset, size, stride, ...), the arguments of torch._utils._rebuild_tensor and
 * _rebuild_tensor_v2, into a measured tensor called `name` and a view of the whole storage that was
 * checked against it. SM_CORRUPT; SM_UNSUPPORTED with the reason only, for
 * sm_ckpt_add_unread. */
enum sm_code sm_rebuild(struct sm_tensor *tensor, struct sm_view *view, struct sm_storage *storage,
                        const struct sm_pickle *pickle, uint32_t args, const char *name,
                        struct sm_err *err);

#endif
