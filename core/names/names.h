/* Names: finds the encoder in a checkpoint and reads its tensors under our own names and in
 * PyTorch's layout, whoever wrote the file.
 *
 *     struct sm_names names;
 *     sm_names_init(&names, ckpt, NULL, &err);                     // NULL: there is one encoder
 *     sm_names_read(&names, &w, "blocks.0.norm1.weight", 1, (int64_t[]){192}, &err);
 *     sm_names_check_unused(&names, &err);
 *     sm_names_release(&names);
 *
 * Canonical names are torchvision's for a ResNet, the official ones for ConvNeXt and timm's for a
 * ViT; a dialect maps them to the file's, joins what the file has in parts (q, k, v) and turns
 * kernels that are stored as [in, out].
 *
 * Owner:   the caller frees what sm_names_read gives; the checkpoint outlives the names.
 * Errors:  SM_UNSUPPORTED (no known encoder; a tensor of the encoder that we would leave out; not
 * floats), SM_INVALID (several encoders; wrong shape), SM_NOT_FOUND (missing tensor, with the
 * nearest name that is there; no encoder under a key). */
#ifndef CORE_NAMES_NAMES_H
#define CORE_NAMES_NAMES_H

#include <stdbool.h>

#include "core/names/dialect.h"
#include "core/names/weights.h"
#include "sslmem/ckpt.h"

#define SM_PREFIX_MAX 127

struct sm_name_entry {
    const struct sm_tensor *tensor;
    char *key; /* its name without wrappers ("_orig_mod."), chunked block names flattened:
                  "blocks.1.3." is "blocks.3." */
    bool used;
};

struct sm_names {
    struct sm_ckpt *ckpt;
    const struct sm_dialect *dialect;
    char prefix[SM_PREFIX_MAX + 1];
    struct sm_name_entry *entries; /* all tensors, by key */
    size_t entries_count;
    int64_t nonfinite;         /* NaN and infinite numbers read so far */
    struct sm_weights weights; /* of all tensors read so far */
};

/* `key`: names on the way to the wanted encoder, "teacher" or "model.teacher.backbone"; "" is the
 * one at the root. */
enum sm_code sm_names_init(struct sm_names *out, struct sm_ckpt *ckpt, const char *key,
                           struct sm_err *err);
void sm_names_release(struct sm_names *names);

/* Whether the file has a tensor of this canonical name, or a part of it. */
bool sm_names_has(const struct sm_names *names, const char *canonical);

/* Whether any tensor of the encoder has a name whose last component is `last`. */
bool sm_names_any_ends(const struct sm_names *names, const char *last);

/* How many of "layer1.0", "layer1.1", … hold tensors, counted from 0 without a gap, for the list
 * "layer1". */
int32_t sm_names_count(const struct sm_names *names, const char *list);

/* The tensor's shape, which must fit: out [rank]; -1 in `shape` is any size. */
enum sm_code sm_names_shape(int64_t *out, const struct sm_names *names, const char *canonical,
                            int rank, const int64_t *shape, struct sm_err *err);

/* Reads a tensor of exactly this shape as float, to be freed by the caller. Sides of 1 in front are
 * not told apart: [1, 1, 192] reads as [192] and the other way round. */
enum sm_code sm_names_read(struct sm_names *names, float **out, const char *canonical, int rank,
                           const int64_t *shape, struct sm_err *err);

/* An error when a tensor of the encoder was not read: the file is of a relative that computes
 * something else. */
enum sm_code sm_names_check_unused(const struct sm_names *names, struct sm_err *err);

#endif
