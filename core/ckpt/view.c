/* A dense row-major view is one run of elements and converted in one call. Any other view is
 * converted in runs along its last dimension. */
#include "core/ckpt/view.h"

#include <inttypes.h>

void sm_view_dense(struct sm_view *out, const struct sm_tensor *tensor, bool column_major)
{
    int64_t step = 1;
    *out = (struct sm_view){0};
    for (int i = 0; i < tensor->rank && tensor->count != 0; i++) {
        int side = column_major ? i : tensor->rank - 1 - i;
        out->stride[side] = step;
        step *= tensor->shape[side];
    }
}

enum sm_code sm_view_check(struct sm_view *view, const struct sm_tensor *tensor, int64_t count,
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
        return sm_err_set(err, SM_UNSUPPORTED,
                          "it expands to %" PRId64 " elements, its storage has %" PRId64,
                          tensor->count, count);
    return SM_OK;
}

static bool is_row_major(const struct sm_tensor *tensor, const struct sm_view *view)
{
    int64_t expected = 1;
    for (int i = tensor->rank - 1; i >= 0; i--) {
        if (tensor->shape[i] > 1 && view->stride[i] != expected)
            return false;
        expected *= tensor->shape[i];
    }
    return true;
}

/* Converts a view that is not dense. `index` counts through all dimensions but the last. */
static void gather(float *out, const uint8_t *storage, const struct sm_tensor *tensor,
                   const struct sm_view *view)
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

void sm_view_read(float *out, const uint8_t *storage, const struct sm_tensor *tensor,
                  const struct sm_view *view)
{
    const size_t bytes = sm_dtype_bytes(tensor->dtype);
    if (tensor->count == 0)
        return;
    if (is_row_major(tensor, view))
        sm_dtype_convert(out, storage + (size_t)view->offset * bytes, tensor->dtype,
                         (size_t)tensor->count, bytes);
    else
        gather(out, storage, tensor, view);
}
