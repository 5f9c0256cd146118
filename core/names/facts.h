/* Facts: properties that decide an encoder's outputs but are stored in no tensor, one row each.
 *
 *     for (size_t i = 0; sm_fact_at(i); i++)
 *         printf("%s\n", sm_fact_at(i)->name);
 *
 * A row with `setting` can be configured: its name is a field of the configuration. Builders record
 * the value that they took and its source (sm_choose in build.h), under the row's name and with a
 * source that the row allows. A row without `setting` cannot be configured: only one value is in
 * use or supported, or the tensors show it after all. Its `told` says which.
 *
 * Threads: constant data. */
#ifndef CORE_NAMES_FACTS_H
#define CORE_NAMES_FACTS_H

#include <stdbool.h>

#include "sslmem/encoder.h"

/* Bits that name encoder families. */
#define SM_OF_RESNET      1u
#define SM_OF_CLIP_RESNET 2u
#define SM_OF_VIT         4u
#define SM_OF_CONVNEXT    8u
#define SM_OF_RESNETS     (SM_OF_RESNET | SM_OF_CLIP_RESNET)
#define SM_OF_ALL         (SM_OF_RESNETS | SM_OF_VIT | SM_OF_CONVNEXT)

struct sm_fact {
    const char *name;
    bool setting;
    unsigned families;
    /* bits 1 << enum sm_source: who may decide the value if configuration, encoder.json, preset and
     * sidecars leave it open */
    unsigned sources;
    const char *told; /* the values in use, or why there is only one */
};

/* Returns a row by its index; NULL past the end. */
const struct sm_fact *sm_fact_at(size_t index);
/* Returns the row of this name that covers any of these families; NULL if no row does. */
const struct sm_fact *sm_fact_find(const char *name, unsigned families);
/* Returns true if `source` may decide the fact of this name. */
bool sm_fact_allows(const char *name, enum sm_source source);

#endif
