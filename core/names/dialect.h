/* Dialects: how each family of checkpoints names the tensors of an encoder. Data for names.c,
 * find.c. */
#ifndef CORE_NAMES_DIALECT_H
#define CORE_NAMES_DIALECT_H

#include <stdbool.h>
#include <stddef.h>

#include "sslmem/encoder.h"

enum sm_family { SM_FAMILY_RESNET, SM_FAMILY_VIT, SM_FAMILY_CONVNEXT };

/* Maps the leading components of a canonical name to components in the file. `file` holds
 * alternatives, separated by ','; the first one with a tensor in the file counts. An alternative
 * can have parts, separated by '+', which are joined along the first dimension. If only some parts
 * exist, the missing ones are zeros (k may have no bias). Tables end with a NULL row. */
struct sm_rename {
    const char *canonical, *file;
};

struct sm_dialect {
    const char *name; /* the dialect's name, such as "torchvision" */
    enum sm_family family;
    /* Names of tensors in the file that mark an encoder: a place has this dialect if all of them
     * exist below its prefix. An anchor may have alternatives, separated by ','; the first may not,
     * because it alone is searched for. If several rows match a place, the first one counts. */
    const char *anchors[3];
    const struct sm_rename *renames;
    /* ViT: the file's prefix of block N, with '#' for N, and the renames below it; NULL: as
     * `renames`. */
    const char *block;
    const struct sm_rename *block_renames;
    /* `block` has no '#': tensors below it hold all blocks along their first dimension */
    bool stacked;
    /* First components of the encoder's tensors, NULL-terminated, including those of related
     * networks that compute something else. An unread tensor below one of them is an error, unless
     * its name is, or is below, an entry of `unread`. */
    const char *const *own;
    const char *const *unread;
    bool in_out; /* kernels are stored as [in…, out…] (flax), not as [out, in…] */
    /* ResNet: 1 or 0: the stem has max pooling or has none; -1: the size of conv1 decides. */
    int stem_pool;
    /* ViT: the values of most published encoders with these names; 0: they differ. `fixed`: only
     * one program writes these names, and it has no other values. */
    bool fixed;
    double norm_eps;
    enum sm_activation_kind activation;
};

/* The table of dialects. A row without a name ends it. */
extern const struct sm_dialect sm_dialects[];

#endif
