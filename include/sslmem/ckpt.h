/* Checkpoints: named tensors out of hostile files. Nothing in a file is ever executed.
 *
 *     struct sm_ckpt *ckpt;
 *     if (sm_ckpt_open(&ckpt, "f.pt", &err) == SM_OK) {
 *         const struct sm_tensor *t = sm_ckpt_find(ckpt, "conv1.weight");
 *         sm_ckpt_read(ckpt, t, out, &err);            // out: float[t->count]
 *         sm_ckpt_close(ckpt);
 *     }
 *
 * Formats, as sm_ckpt_format calls them:
 *   "safetensors"
 *   "torch-zip"     PyTorch since 1.6: a state_dict, dicts that wrap one, or a whole pickled module
 *   "torch-legacy"  the same from before 1.6
 *   "torchscript"   the parameters and buffers of a TorchScript archive
 *   "npz"           numpy.savez
 *   "shards"        a JSON index of Hugging Face's transformers and the files that it names, which
 *                   are of any format above and stand in its folder
 * A tensor of a kind or type that we do not read is listed with the reason, and only reading it
 * fails: a file is not refused for what nobody needs.
 *
 * Nested dicts and modules become dotted names ("model.encoder.blocks.0.norm1.weight"), so a
 * wrapper is a prefix like any other; npz names are those of its entries ("params/img/kernel").
 *
 * Owner:   sm_ckpt_close frees everything, tensor descriptors and names included.
 * Threads: one thread at a time.
 * Errors:  SM_NOT_FOUND, SM_IO, SM_CORRUPT (names the tensor or entry and both numbers),
 *          SM_UNSUPPORTED, SM_LIMIT, SM_NOMEM.
 * Limits:  the constants below. Files are mapped; beside the mapping, memory taken is that of names
 *          and of the header or pickle. */
#ifndef SSLMEM_CKPT_H
#define SSLMEM_CKPT_H

#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

#define SM_CKPT_BYTES_MAX   (INT64_C(32) << 30)
#define SM_CKPT_TENSORS_MAX 65536
#define SM_CKPT_HEADER_MAX  (16u << 20) /* bytes of a safetensors header or of a pickle stream */
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
    SM_UNREAD /* of a tensor that is listed, but cannot be read */
};

struct sm_tensor {
    const char *name;
    enum sm_dtype dtype;
    int rank;
    int64_t shape[SM_TENSOR_RANK_MAX];
    int64_t count;      /* product of shape; 0 where it cannot be read */
    const char *unread; /* why it cannot be read (complex, sparse, quantised, …); else NULL */
};

struct sm_ckpt;

enum sm_code sm_ckpt_open(struct sm_ckpt **out, const char *path, struct sm_err *err);
/* As open, on bytes that must outlive the checkpoint. An index of shards is SM_UNSUPPORTED: bytes
 * have no folder. */
enum sm_code sm_ckpt_open_bytes(struct sm_ckpt **out, const void *bytes, size_t bytes_count,
                                struct sm_err *err);
void sm_ckpt_close(struct sm_ckpt *ckpt);

const char *sm_ckpt_format(const struct sm_ckpt *ckpt);
/* SHA-256, 64 hex digits: of the file; of shards, of a text made of the digests of the index and of
 * the shards with their names (core/ckpt/shards.c), which moving the folder does not change. */
const char *sm_ckpt_digest(const struct sm_ckpt *ckpt);
size_t sm_ckpt_count(const struct sm_ckpt *ckpt);
const struct sm_tensor *sm_ckpt_at(const struct sm_ckpt *ckpt, size_t index); /* in file order */
const struct sm_tensor *sm_ckpt_find(const struct sm_ckpt *ckpt, const char *name);

/* Converts a tensor to float, in row-major order of its shape: out [count]. f64 and integers are
 * rounded to the nearest float. SM_UNSUPPORTED for a tensor that cannot be read. */
enum sm_code sm_ckpt_read(struct sm_ckpt *ckpt, const struct sm_tensor *tensor, float *out,
                          struct sm_err *err);

/* The same of one row of its first side, 0 <= row < shape[0]: out [count / shape[0]]. */
enum sm_code sm_ckpt_read_row(struct sm_ckpt *ckpt, const struct sm_tensor *tensor, int64_t row,
                              float *out, struct sm_err *err);

const char *sm_dtype_name(enum sm_dtype dtype); /* "f32", … */
size_t sm_dtype_bytes(enum sm_dtype dtype);

/* A tensor to write; data is float [product of shape]. */
struct sm_tensor_out {
    const char *name;
    int rank;
    int64_t shape[SM_TENSOR_RANK_MAX];
    const float *data;
};

/* Writes a safetensors file of float32 tensors, whole or not at all (temporary file and rename). */
enum sm_code sm_safetensors_write(const char *path, const struct sm_tensor_out *tensors,
                                  size_t tensors_count, struct sm_err *err);

#endif
