/* Checkpoints: reads named tensors from untrusted files. Nothing in a file is ever executed.
 *
 *     struct sm_ckpt *ckpt;
 *     if (sm_ckpt_open(&ckpt, "f.pt", &err) == SM_OK) {
 *         const struct sm_tensor *t = sm_ckpt_find(ckpt, "conv1.weight");
 *         sm_ckpt_read(ckpt, t, out, &err);            // out: float[t->count]
 *         sm_ckpt_close(ckpt);
 *     }
 *
 * Formats, by the names that sm_ckpt_format returns:
 *   "safetensors"
 *   "torch-zip"     PyTorch since 1.6: a state_dict, dicts that wrap one, or a whole pickled module
 *   "torch-legacy"  the same contents, written by PyTorch before 1.6
 *   "torchscript"   the parameters and buffers of a TorchScript archive
 *   "npz"           numpy.savez
 *   "shards"        a JSON index as Hugging Face's transformers writes it; the files that it names
 *                   are in its folder and have any of the formats above
 * A tensor of an unsupported kind or type is listed with the reason. Only reading that tensor
 * fails, so that a file opens even if it holds unsupported tensors that the encoder does not need.
 *
 * Nested dicts and modules become dotted names ("model.encoder.blocks.0.norm1.weight"), so that a
 * wrapper is a prefix like any other. Tensors of an npz file have the names of its entries
 * ("params/img/kernel").
 *
 * Owner:   sm_ckpt_close frees everything, including tensor descriptors and names.
 * Threads: only one thread at a time may use a checkpoint.
 * Errors:  SM_NOT_FOUND, SM_IO, SM_CORRUPT (the text names the tensor or entry and both numbers),
 *          SM_UNSUPPORTED, SM_LIMIT, SM_NOMEM.
 * Limits:  the constants below. Files are mapped into memory; further memory is allocated only for
 *          the tensor names and for the header or pickle. */
#ifndef SSLMEM_CKPT_H
#define SSLMEM_CKPT_H

#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

#define SM_CKPT_BYTES_MAX   (INT64_C(32) << 30) /* maximum size of a file, bytes */
#define SM_CKPT_TENSORS_MAX 65536
#define SM_CKPT_HEADER_MAX  (16u << 20) /* maximum size of a header or pickle, bytes */
#define SM_TENSOR_RANK_MAX  8

enum sm_dtype {
    SM_F64,
    SM_F32,
    SM_F16,
    SM_BF16,
    SM_I64,
    SM_I32,
    SM_I16,
    SM_I8,
    SM_U8,
    SM_BOOL,
    SM_UNREAD /* the tensor is listed, but cannot be read */
};

struct sm_tensor {
    const char *name;
    enum sm_dtype dtype;
    int rank;
    int64_t shape[SM_TENSOR_RANK_MAX];
    int64_t count;      /* number of elements, the product of shape; 0 if it cannot be read */
    const char *unread; /* why it cannot be read (complex, sparse, quantised); NULL: readable */
};

struct sm_ckpt;

/* Opens the checkpoint file at `path` and lists its tensors. */
enum sm_code sm_ckpt_open(struct sm_ckpt **out, const char *path, struct sm_err *err);
/* Opens a checkpoint in memory; the bytes must outlive it. SM_UNSUPPORTED for an index of shards,
 * because without a path the shards cannot be found. */
enum sm_code sm_ckpt_open_bytes(struct sm_ckpt **out, const void *bytes, size_t bytes_count,
                                struct sm_err *err);
void sm_ckpt_close(struct sm_ckpt *ckpt);

/* Returns the name of the format, a static string. */
const char *sm_ckpt_format(const struct sm_ckpt *ckpt);
/* Returns the SHA-256 of the file as 64 hex digits, owned by the checkpoint. For shards it is the
 * SHA-256 of a text that lists the digests of the index and of every shard with its name
 * (core/ckpt/shards.c); it does not depend on the folder's path. */
const char *sm_ckpt_digest(const struct sm_ckpt *ckpt);
size_t sm_ckpt_count(const struct sm_ckpt *ckpt);
/* Returns tensor `index`, less than sm_ckpt_count, in the order of the file. */
const struct sm_tensor *sm_ckpt_at(const struct sm_ckpt *ckpt, size_t index);
/* Returns the tensor of this exact name, or NULL. */
const struct sm_tensor *sm_ckpt_find(const struct sm_ckpt *ckpt, const char *name);

/* Converts a tensor to float, in row-major order: out [count]. Values of f64 and integer tensors
 * are rounded to the nearest float. SM_UNSUPPORTED for a tensor that cannot be read. */
enum sm_code sm_ckpt_read(struct sm_ckpt *ckpt, const struct sm_tensor *tensor, float *out,
                          struct sm_err *err);

/* Converts one row of a tensor, its elements with first index `row`, 0 <= row < shape[0]:
 * out [count / shape[0]]. */
enum sm_code sm_ckpt_read_row(struct sm_ckpt *ckpt, const struct sm_tensor *tensor, int64_t row,
                              float *out, struct sm_err *err);

/* Return the name of a type ("f32") and the bytes of one element (0 for SM_UNREAD). */
const char *sm_dtype_name(enum sm_dtype dtype);
size_t sm_dtype_bytes(enum sm_dtype dtype);

/* A tensor to write; `data` [product of shape] is in row-major order. */
struct sm_tensor_out {
    const char *name;
    int rank;
    int64_t shape[SM_TENSOR_RANK_MAX];
    const float *data;
};

/* Writes a safetensors file of float32 tensors. Writes a temporary file and renames it, so that a
 * failure leaves no partial file. */
enum sm_code sm_safetensors_write(const char *path, const struct sm_tensor_out *tensors,
                                  size_t tensors_count, struct sm_err *err);

#endif
