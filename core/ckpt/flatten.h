/* Finds tensors among pickled values and names them as a state_dict does. Private to core/ckpt. */
#ifndef CORE_CKPT_FLATTEN_H
#define CORE_CKPT_FLATTEN_H

#include "core/ckpt/pickle.h"

/* Callback for each tensor. `name` is its dotted name and valid only during the call. `args` is the
 * tuple of arguments of torch._utils._rebuild_tensor_v2. For a tensor that cannot be read, `why` is
 * the reason and `args` is 0; otherwise `why` is NULL. */
typedef enum sm_code sm_flatten_found(void *context, const char *name, uint32_t args,
                                      const char *why, struct sm_err *err);

/* Walks all values from the root in the order of the stream and calls `found` for each tensor.
 * Stops at the first error of `found`.
 *
 * Keys of dicts (texts and integers) and indices of lists and tuples become parts of the name. For
 * a pickled module the walk visits its _parameters, persistent _buffers and _modules, as
 * state_dict() does. For any other object it visits the items and the attributes. It ignores other
 * values, and does not enter a value that contains itself again. A tensor at the root is named
 * "tensor".
 *
 * Tensors that cannot be read are reported with the reason: quantised and sparse ones, and results
 * of unknown functions that take a storage. SM_LIMIT for a name over SM_CKPT_NAME_MAX, for too deep
 * nesting, and for too many visits of shared values. */
enum sm_code sm_flatten(struct sm_pickle *pickle, sm_flatten_found *found, void *context,
                        struct sm_err *err);

#endif
