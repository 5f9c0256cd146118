/* Names: finds the encoder in a checkpoint and reads its tensors under our own names.
 *
 *     struct sm_names names;
 *     sm_names_init(&names, ckpt, NULL, &err);                     // NULL: find the prefix
 *     sm_names_read(&names, &w, "blocks.0.norm1.weight", 1, (int64_t[]){192}, &err);
 *     sm_names_check_unused(&names, &err);
 *     sm_names_release(&names);
 *
 * Canonical names are torchvision's for a ResNet and timm's for a ViT; a dialect maps them to the
 * file's.
 *
 * Owner:   the caller frees what sm_names_read gives; the checkpoint outlives the names.
 * Errors:  SM_UNSUPPORTED (no known encoder; a tensor of the encoder that we would leave out; not
 * floats), SM_INVALID (several encoders; wrong shape), SM_NOT_FOUND (missing tensor; no encoder
 * under a prefix). */
#ifndef CORE_NN_NAMES_H
#define CORE_NN_NAMES_H

#include <stdbool.h>

#include "sslmem/ckpt.h"

#define SM_PREFIX_MAX 127

enum sm_family { SM_FAMILY_RESNET, SM_FAMILY_VIT };

struct sm_rename {
    const char *canonical, *file; /* leading components of a name; the table ends with NULL */
};

struct sm_dialect {
    const char *name; /* "torchvision", … */
    enum sm_family family;
    /* An encoder stands wherever all of these do, in the file's names; the first must be enough to
     * find it. */
    const char *anchors[3];
    const struct sm_rename *renames;
    /* First components that belong to the encoder: a tensor under them that nobody read is an
     * error. Includes those of relatives that compute something else. NULL-terminated. */
    const char *const *own;
    /* ResNet: -1 tells the pooling of the stem from the size of conv1, else whether there is one.
     */
    int stem_pool;
    bool cls_position; /* ViT: the position table has a row for CLS */
    double norm_eps;   /* ViT */
};

struct sm_name_entry {
    const struct sm_tensor *tensor;
    bool used;
};

struct sm_names {
    struct sm_ckpt *ckpt;
    const struct sm_dialect *dialect;
    char prefix[SM_PREFIX_MAX + 1];
    struct sm_name_entry *entries; /* all tensors, by name */
    size_t entries_count;
};

enum sm_code sm_names_init(struct sm_names *out, struct sm_ckpt *ckpt, const char *prefix,
                           struct sm_err *err);
void sm_names_release(struct sm_names *names);

/* The tensor of a canonical name; NULL when the file has none. */
const struct sm_tensor *sm_names_find(const struct sm_names *names, const char *canonical);

/* The tensor, which must exist with this shape; -1 is any size. */
enum sm_code sm_names_expect(const struct sm_tensor **out, const struct sm_names *names,
                             const char *canonical, int rank, const int64_t *shape,
                             struct sm_err *err);

/* As expect, and reads it as float, to be freed by the caller. */
enum sm_code sm_names_read(struct sm_names *names, float **out, const char *canonical, int rank,
                           const int64_t *shape, struct sm_err *err);

/* One more than the highest N of the tensors "<canonical>.N.…"; 0 for none. */
int32_t sm_names_count(const struct sm_names *names, const char *canonical);

/* An error when a tensor of the encoder was not read: the file is of a relative that computes
 * something else. */
enum sm_code sm_names_check_unused(const struct sm_names *names, struct sm_err *err);

#endif
