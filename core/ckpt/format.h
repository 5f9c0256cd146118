/* What a checkpoint format is to core/ckpt/ckpt.c: one row of functions, and the helpers that every
 * row uses. Private to core/ckpt. */
#ifndef CORE_CKPT_FORMAT_H
#define CORE_CKPT_FORMAT_H

#include <stdbool.h>

#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/ckpt/view.h"
#include "sslmem/ckpt.h"

#define SM_CKPT_NAME_MAX 512 /* bytes of a tensor's name */

/* Where a tensor's elements are. */
struct sm_place {
    struct sm_view view;
    uint64_t at;   /* byte of the file where the view's storage begins */
    uint64_t part; /* of the file, as its format counts: zip entry, shard */
};

struct sm_ckpt_format {
    const char *name;
    bool (*sniff)(const uint8_t *bytes, size_t bytes_count);
    /* Lists the tensors with sm_ckpt_add and leaves what else it needs in ckpt->state. May choose a
     * closer format, and set the digest when it is not that of the bytes. */
    enum sm_code (*open)(struct sm_ckpt *ckpt, struct sm_err *err);
    /* Tensor `index`, in the order of sm_ckpt_add, or one row of it, to float. NULL: straight from
     * its place. */
    enum sm_code (*read)(struct sm_ckpt *ckpt, size_t index, int64_t row, float *out,
                         struct sm_err *err);
    void (*close)(void *state); /* NULL and half-built states included; NULL: there is none */
};

extern const struct sm_ckpt_format sm_ckpt_format_npz;
extern const struct sm_ckpt_format sm_ckpt_format_safetensors;
extern const struct sm_ckpt_format sm_ckpt_format_shards;
extern const struct sm_ckpt_format sm_ckpt_format_torch;
extern const struct sm_ckpt_format sm_ckpt_format_torch_legacy;
extern const struct sm_ckpt_format sm_ckpt_format_torch_tar;

struct sm_ckpt {
    const struct sm_ckpt_format *format;
    void *state;
    struct sm_file file; /* zero when the bytes are the caller's */
    const char *path; /* while it is opened: the file's; NULL when other files are out of reach */
    const uint8_t *bytes;
    size_t bytes_count;
    struct sm_tensor *tensors;
    struct sm_place *places; /* parallel to the tensors */
    size_t tensors_count, tensors_room;
    const struct sm_tensor **by_name; /* [tensors_count], sorted */
    char digest[SM_SHA256_HEX];
};

/* Sets tensor->count from rank and shape. SM_CORRUPT for a negative side or a product that does not
 * fit (sides of 0 counted as 1, so that no part of the product can overflow later). */
enum sm_code sm_tensor_measure(struct sm_tensor *tensor, struct sm_err *err);

/* Appends a measured tensor; its name is copied. The view's elements are within the file. */
enum sm_code sm_ckpt_add(struct sm_ckpt *ckpt, const struct sm_tensor *tensor,
                         const struct sm_place *place, struct sm_err *err);

/* Appends a tensor that cannot be read, and why not; of `tensor` name, rank and shape are kept. */
enum sm_code sm_ckpt_add_unread(struct sm_ckpt *ckpt, const struct sm_tensor *tensor,
                                const char *why, struct sm_err *err);

/* Opens a file that may not reach for others. */
enum sm_code sm_ckpt_open_alone(struct sm_ckpt **out, const char *path, struct sm_err *err);

#define SM_ALL_ROWS (-1)

/* Reads a tensor, or one row of its first side, straight from its place in the file. */
void sm_ckpt_read_place(const struct sm_ckpt *ckpt, size_t index, int64_t row, float *out);

#endif
