/* Names: finds the encoder in a checkpoint and reads its tensors under canonical names and in
 * PyTorch's layout, whichever program wrote the file.
 *
 *     struct sm_names names;
 *     sm_names_init(&names, ckpt, NULL, &err);                     // NULL: there is only one
 *     sm_names_read(&names, &w, "blocks.0.norm1.weight", 1, (int64_t[]){192}, &err);
 *     sm_names_check_unused(&names, &err);
 *     sm_names_release(&names);
 *
 * Canonical names are torchvision's for a ResNet, the official ones for ConvNeXt and timm's for a
 * ViT. A dialect maps them to the names in the file. It also joins tensors that the file stores in
 * parts (q, k, v) and transposes kernels that the file stores as [in, out].
 *
 * Owner:   the caller frees what sm_names_read returns; the checkpoint must outlive the names.
 * Errors:  SM_UNSUPPORTED (no known encoder; a tensor of the encoder that no builder reads; a
 * tensor that is not of floats), SM_INVALID (several encoders and no key; a wrong shape),
 * SM_NOT_FOUND (a missing tensor, with the nearest name in the file; a key that matches no encoder
 * or several). */
#ifndef CORE_NAMES_NAMES_H
#define CORE_NAMES_NAMES_H

#include <stdbool.h>

#include "core/names/dialect.h"
#include "core/names/weights.h"
#include "sslmem/ckpt.h"

#define SM_PREFIX_MAX 127

struct sm_name_entry {
    const struct sm_tensor *tensor;
    /* the tensor's name without wrappers such as "_orig_mod."; a chunked block name is flattened:
     * "blocks.1.3." becomes "blocks.3." */
    char *key;
    bool used;
};

struct sm_names {
    struct sm_ckpt *ckpt;
    const struct sm_dialect *dialect;
    char prefix[SM_PREFIX_MAX + 1];
    struct sm_name_entry *entries; /* all tensors of the file, sorted by key */
    size_t entries_count;
    int64_t nonfinite;         /* count of NaN and infinite numbers read so far */
    struct sm_weights weights; /* identity of all weights read so far */
};

/* Indexes the tensors of `ckpt` and finds the encoder. `key` chooses one of several encoders by
 * components of its prefix, as "teacher" or "model.teacher.backbone"; "" is the encoder at the
 * root. With NULL the file must hold exactly one. A failure leaves nothing to release. */
enum sm_code sm_names_init(struct sm_names *out, struct sm_ckpt *ckpt, const char *key,
                           struct sm_err *err);
void sm_names_release(struct sm_names *names);

/* Returns true if the file has the tensor of this canonical name, or one of its parts. */
bool sm_names_has(const struct sm_names *names, const char *canonical);

/* Returns true if any tensor of the encoder has a name whose last component is `last`. */
bool sm_names_any_ends(const struct sm_names *names, const char *last);

/* Returns the length of a list: for "layer1" the number of "layer1.0", "layer1.1", … that hold
 * tensors, counted up to the first gap. */
int32_t sm_names_count(const struct sm_names *names, const char *list);

/* Writes a tensor's shape to out [rank]. The shape must match `shape`, where -1 allows any size. */
enum sm_code sm_names_shape(int64_t *out, const struct sm_names *names, const char *canonical,
                            int rank, const int64_t *shape, struct sm_err *err);

/* Reads a tensor of exactly this shape as floats into a new array, which the caller frees. Sides of
 * 1 are dropped, or added in front, to fit: [1, 1, 192] reads as [192], and the other way round. */
enum sm_code sm_names_read(struct sm_names *names, float **out, const char *canonical, int rank,
                           const int64_t *shape, struct sm_err *err);

/* Returns SM_UNSUPPORTED if a tensor of the encoder was not read: the file then holds a related
 * network that computes something else. */
enum sm_code sm_names_check_unused(const struct sm_names *names, struct sm_err *err);

#endif
