/* Reads tensors in PyTorch's pickles: a tensor is a strided view of a storage, and a persistent id
 * names the storage. Serves both of PyTorch's file formats. Private to core/ckpt. */
#ifndef CORE_CKPT_REBUILD_H
#define CORE_CKPT_REBUILD_H

#include "core/ckpt/pickle.h"
#include "core/ckpt/view.h"

#define SM_STORAGE_KEY_MAX 64

/* A storage as its persistent id describes it: ('storage', <class>, key, location, elements[,
 * view]). In the format before 1.6, view is None or (key, offset, elements) of a part of the
 * storage. */
struct sm_storage {
    enum sm_dtype dtype;
    size_t element_bytes;
    struct sm_slice key;
    int64_t count;               /* number of elements of the whole storage */
    int64_t part_at, part_count; /* first element and number of elements that tensors may use */
};

/* Returns true if the persistent id, value `id`, has this form. */
bool sm_storage_is_id(const struct sm_pickle *pickle, uint32_t id);

/* Reads a persistent id. SM_CORRUPT for a part outside the storage. SM_UNSUPPORTED for another
 * form, and for a storage class that cannot be read; then all fields but `dtype` are set, and
 * element_bytes is 0 if the class is unknown. */
enum sm_code sm_storage_parse(struct sm_storage *out, const struct sm_pickle *pickle, uint32_t id,
                              struct sm_err *err);

/* Reads (storage, offset, size, stride, ...), the arguments of torch._utils._rebuild_tensor and
 * _rebuild_tensor_v2, into a measured tensor called `name` and a view of the whole storage. Checks
 * that the view is inside the storage. SM_CORRUPT; SM_UNSUPPORTED with a text that is only the
 * reason, for sm_ckpt_add_unread. */
enum sm_code sm_rebuild(struct sm_tensor *tensor, struct sm_view *view, struct sm_storage *storage,
                        const struct sm_pickle *pickle, uint32_t args, const char *name,
                        struct sm_err *err);

#endif
