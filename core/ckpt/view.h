/* Strided views of a storage: checked against it, and gathered in row-major order to float.
 * Private to core/ckpt. */
#ifndef CORE_CKPT_VIEW_H
#define CORE_CKPT_VIEW_H

#include "core/ckpt/dtype.h"

/* All in elements of the tensor's type. */
struct sm_view {
    int64_t offset;
    int64_t stride[SM_TENSOR_RANK_MAX]; /* [rank], not negative */
};

/* Row-major (C order), or column-major (Fortran order), without gaps. The tensor is measured. */
void sm_view_dense(struct sm_view *out, const struct sm_tensor *tensor, bool column_major);

/* Every element of the view of a measured tensor is one of the storage's `count`, and it has no
 * more of them than that: no expansion by stride 0, so memory for it is bounded by the file. Sets
 * the stride of sides below two, which nothing uses, to 0. SM_CORRUPT; SM_UNSUPPORTED with
 * the reason only, for a view of more elements than its storage has. */
enum sm_code sm_view_check(struct sm_view *view, const struct sm_tensor *tensor, int64_t count,
                           struct sm_err *err);

/* Converts a checked view: out [tensor->count]. */
void sm_view_read(float *out, const uint8_t *storage, const struct sm_tensor *tensor,
                  const struct sm_view *view);

#endif
