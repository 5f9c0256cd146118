/* Fuzzes the pickle machine, the walk over its result, and the reading of tensors' arguments,
 * without a file around the pickle. Properties: names are text within their limit, views are within
 * their storages. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/escape.h"
#include "core/ckpt/flatten.h"
#include "core/ckpt/format.h"
#include "core/ckpt/rebuild.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum sm_code found(void *context, const char *name, uint32_t args, const char *why,
                          struct sm_err *err)
{
    const struct sm_pickle *pickle = context;
    struct sm_tensor tensor;
    struct sm_view view;
    struct sm_storage storage;
    if (strlen(name) > SM_CKPT_NAME_MAX || !sm_utf8_is_text(name, strlen(name)))
        abort();
    if (why)
        return why[0] == '\0' ? SM_INTERNAL : SM_OK;
    if (sm_rebuild(&tensor, &view, &storage, pickle, args, name, err) == SM_OK &&
        (tensor.count > storage.count || view.offset < 0 ||
         (tensor.count > 0 && view.offset >= storage.count)))
        abort();
    return SM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sm_pickle pickle;
    struct sm_err err = {0};
    if (sm_pickle_parse(&pickle, data, size, &err) != SM_OK) {
        if (pickle.values || err.text[0] == '\0')
            abort();
        return 0;
    }
    if (pickle.bytes_count == 0 || pickle.bytes_count > size)
        abort();
    (void)sm_flatten(&pickle, found, &pickle, &err);
    for (uint32_t i = 0; i < pickle.values_count; i++) {
        if (pickle.values[i].on_path)
            abort();
    }
    sm_pickle_release(&pickle);
    return 0;
}
