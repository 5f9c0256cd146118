/* Fuzzes the table of kinds: any bytes have at most one kind, the same for every use, with a name
 * and an advice that fit an error text; no more than the head and the last 8 bytes decide. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "core/base/kind.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sm_kind first = {NULL, NULL};
    bool known = sm_kind_find(&first, data, size, NULL, SM_WANTED_CHECKPOINT);
    for (enum sm_wanted wanted = 0; wanted < SM_WANTED; wanted++) {
        struct sm_kind kind = {NULL, NULL};
        bool found = sm_kind_find(&kind, data, size, NULL, wanted);
        assert(found == known && kind.name == first.name && !found == !kind.advice);
        assert(!found || (strlen(kind.name) <= 50 && strlen(kind.advice) <= 110));
    }
    return 0;
}
