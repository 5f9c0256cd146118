/* Checkpoint formats: the functions that each format gives to core/ckpt/ckpt.c, and helpers that
 * all formats use. Private to core/ckpt. */
#ifndef CORE_CKPT_FORMAT_H
#define CORE_CKPT_FORMAT_H

#include <stdbool.h>

#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/ckpt/view.h"
#include "sslmem/ckpt.h"

#define SM_CKPT_NAME_MAX 512 /* maximum length of a tensor's name, bytes */

/* The position of a tensor's elements. */
struct sm_place {
    struct sm_view view;
    uint64_t at;   /* first byte of the storage in the file; shards: index in the shard */
    uint64_t part; /* index of the zip entry or shard that holds it; other formats: 0 */
};

struct sm_ckpt_format {
    const char *name;
    /* Returns true if the file begins like one of this format. */
    bool (*sniff)(const uint8_t *bytes, size_t bytes_count);
    /* Lists the tensors with sm_ckpt_add and keeps its own data in ckpt->state. May replace
     * ckpt->format by a more specific one, and set ckpt->digest if it is not the SHA-256 of the
     * bytes. */
    enum sm_code (*open)(struct sm_ckpt *ckpt, struct sm_err *err);
    /* Converts tensor `index`, in the order of sm_ckpt_add, or one row of it to float (`row` may be
     * SM_ALL_ROWS). NULL: sm_ckpt_read_place reads the tensors. */
    enum sm_code (*read)(struct sm_ckpt *ckpt, size_t index, int64_t row, float *out,
                         struct sm_err *err);
    /* Frees ckpt->state, which may be NULL or incomplete. NULL: the format has no state. */
    void (*close)(void *state);
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
    struct sm_file file; /* zeroed if the caller owns the bytes */
    const char *path;    /* the file's path, only during open; NULL: may not open other files */
    const uint8_t *bytes;
    size_t bytes_count;
    struct sm_tensor *tensors;
    struct sm_place *places; /* [tensors_count], in the order of `tensors` */
    size_t tensors_count, tensors_room;
    const struct sm_tensor **by_name; /* [tensors_count], sorted by name */
    char digest[SM_SHA256_HEX];
};

/* "Measures" a tensor: sets its count from rank and shape. SM_CORRUPT for a negative side or a
 * product that overflows, even if sides of 0 are left out. */
enum sm_code sm_tensor_measure(struct sm_tensor *tensor, struct sm_err *err);

/* Appends a measured tensor; copies its name. The caller has checked its view against the file. */
enum sm_code sm_ckpt_add(struct sm_ckpt *ckpt, const struct sm_tensor *tensor,
                         const struct sm_place *place, struct sm_err *err);

/* Appends a tensor that cannot be read, with the reason `why`. Copies name, rank and shape. */
enum sm_code sm_ckpt_add_unread(struct sm_ckpt *ckpt, const struct sm_tensor *tensor,
                                const char *why, struct sm_err *err);

/* Opens a file as sm_ckpt_open does, but refuses an index of shards. */
enum sm_code sm_ckpt_open_alone(struct sm_ckpt **out, const char *path, struct sm_err *err);

#define SM_ALL_ROWS (-1) /* `row` of a function that then reads the whole tensor */

/* Converts a tensor, or its elements with first index `row`, from its place in the mapped file. */
void sm_ckpt_read_place(const struct sm_ckpt *ckpt, size_t index, int64_t row, float *out);

#endif
