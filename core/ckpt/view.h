/* Strided views of a storage: checks that a view is inside its storage, and converts its elements,
 * in row-major order, to float. Private to core/ckpt. */
#ifndef CORE_CKPT_VIEW_H
#define CORE_CKPT_VIEW_H

#include "core/ckpt/dtype.h"

/* All numbers count elements of the tensor's type. */
struct sm_view {
    int64_t offset;
    int64_t stride[SM_TENSOR_RANK_MAX]; /* [rank], never negative */
};

/* Makes the view of a measured tensor without gaps, row-major (C) or column-major (Fortran). */
void sm_view_dense(struct sm_view *out, const struct sm_tensor *tensor, bool column_major);

/* Checks that all elements of a measured tensor's view are inside a storage of `count` elements
 * (SM_CORRUPT), and that the tensor has at most `count` elements (SM_UNSUPPORTED, with a text that
 * is only the reason). A stride of 0 could otherwise expand a small file to a large tensor. Sets
 * the stride of sides below two, which is never used, to 0. */
enum sm_code sm_view_check(struct sm_view *view, const struct sm_tensor *tensor, int64_t count,
                           struct sm_err *err);

/* Converts a checked view: out [tensor->count]. */
void sm_view_read(float *out, const uint8_t *storage, const struct sm_tensor *tensor,
                  const struct sm_view *view);

#endif
