/* Facts: what decides an encoder's numbers and stands in no tensor, one row each.
 *
 *     for (size_t i = 0; sm_fact_at(i); i++)
 *         printf("%s\n", sm_fact_at(i)->name);
 *
 * A row with a setting (its name is a field of the configuration) may be said; builders note which
 * value they took and who decided it (build.h), under the row's name and from a source that the row
 * allows. A row without a setting has one value in all code that writes these tensor names, or the
 * tensors tell it after all: `told` says which.
 *
 * Threads: constant data. */
#ifndef CORE_NAMES_FACTS_H
#define CORE_NAMES_FACTS_H

#include <stdbool.h>

#include "sslmem/encoder.h"

/* Families, as bits. */
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
    unsigned sources; /* 1 << enum sm_source: who decides what configuration, encoder.json, preset
                         and other programs' files leave open */
    const char *told; /* values in use, or why there is one only */
};

/* By index; NULL past the end. */
const struct sm_fact *sm_fact_at(size_t index);
/* The row of a name for these families; NULL when there is none. */
const struct sm_fact *sm_fact_find(const char *name, unsigned families);
/* Whether `source` may decide the fact of this name. */
bool sm_fact_allows(const char *name, enum sm_source source);

#endif
