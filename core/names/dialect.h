/* Dialects: how families of checkpoints name the tensors of an encoder. Data only; names.c reads
 * it. */
#ifndef CORE_NAMES_DIALECT_H
#define CORE_NAMES_DIALECT_H

#include <stdbool.h>
#include <stddef.h>

#include "sslmem/encoder.h"

enum sm_family { SM_FAMILY_RESNET, SM_FAMILY_VIT, SM_FAMILY_CONVNEXT };

/* Leading components of a canonical name, and the file's: alternatives with ',' between, the first
 * that is there counts; parts with '+' between are joined along the first dimension. A part that is
 * missing beside others is zero (a bias that k has none of). Tables end with a NULL row. */
struct sm_rename {
    const char *canonical, *file;
};

struct sm_dialect {
    const char *name; /* "torchvision", … */
    enum sm_family family;
    /* An encoder stands wherever all of these do, in the file's names; alternatives with ','. The
     * first, without alternatives, is enough to find it. Rows are tried in order, the first that
     * stands at a place is its dialect. */
    const char *anchors[3];
    const struct sm_rename *renames;
    /* ViT: the way to block N, with '#' for N, and renames below it; NULL: as all names. */
    const char *block;
    const struct sm_rename *block_renames;
    bool stacked; /* no '#' in `block`: tensors below it have all blocks along their first side */
    /* First components that belong to the encoder: a tensor under them that nobody read is an
     * error, unless its name is or is below one of `unread`. Includes those of relatives that
     * compute something else. NULL-terminated. */
    const char *const *own;
    const char *const *unread;
    bool in_out; /* kernels are [in…, out…] (flax), not [out, in…] */
    /* ResNet: -1 tells the pooling of the stem from the size of conv1, else whether there is one.
     */
    int stem_pool;
    /* ViT: what most published encoders with these names have; 0: they differ. `fixed`: one program
     * writes these names, and it knows no other. */
    bool fixed;
    double norm_eps;
    enum sm_activation_kind activation;
};

/* Ends with a row without a name. */
extern const struct sm_dialect sm_dialects[];

#endif
