/* From pickled values to named tensors: the names that a state_dict would have. */
#ifndef CORE_CKPT_FLATTEN_H
#define CORE_CKPT_FLATTEN_H

#include "core/ckpt/pickle.h"

/* Called for each tensor with its dotted name (valid during the call) and the tuple of arguments of
 * torch._utils._rebuild_tensor_v2; for one that is made in a way that we do not read, with `why` in
 * place of arguments. */
typedef enum sm_code sm_flatten_found(void *context, const char *name, uint32_t args,
                                      const char *why, struct sm_err *err);

/* Walks all values from the root in the order of the stream. Stops at the first error of `found`.
 *
 * Keys of dicts (texts and integers) and places in lists and tuples become parts of the name. A
 * pickled module contributes its _parameters, persistent _buffers and _modules, as state_dict()
 * does; any other object what was put into it and its attributes. Everything that is not a tensor
 * is ignored; a bare tensor is called "tensor". A value inside itself contributes nothing.
 *
 * Tensors that are rebuilt in a way we do not read (quantised, sparse), and what a function that we
 * do not know would make of a storage, are found with the reason. SM_LIMIT for a name over
 * SM_CKPT_NAME_MAX, too deep a nesting or too many visits of shared values. */
enum sm_code sm_flatten(struct sm_pickle *pickle, sm_flatten_found *found, void *context,
                        struct sm_err *err);

#endif
