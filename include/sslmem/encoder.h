/* Encoders: a checkpoint recognised, turned into a graph, and run.
 *
 *     struct sm_encoder *enc;
 *     struct sm_workspace *ws;
 *     sm_encoder_open(&enc, ckpt, &(struct sm_encoder_config){.heads = 3}, "blas", &err);
 *     sm_workspace_new(&ws, enc, 10, (const char *[]){"tokens"}, 1, &err);
 *     sm_encoder_forward(enc, ws, x, 10);             // x [10, 3, input_px, input_px]
 *     sm_encoder_tap(&tap, ws, "tokens", &err);       // tap.data [10, tokens, dim]
 *
 * The encoder is immutable after open and may be shared by threads; a workspace belongs to one
 * thread and is planned once. Forward neither allocates, locks nor logs, and its bits depend on the
 * encoder, the input and `n` only.
 *
 * Errors:  SM_NOT_FOUND / SM_INVALID name the tensor and both shapes; SM_UNSUPPORTED an unknown
 * family. */
#ifndef SSLMEM_ENCODER_H
#define SSLMEM_ENCODER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "sslmem/ckpt.h"

#define SM_VIEWS_CHUNK 16 /* most images that one forward takes */

/* What tensors cannot tell. Zero means: infer, or the family's default. */
struct sm_encoder_config {
    char prefix[128]; /* where the encoder stands in the file, e.g. "teacher.backbone." */
    bool has_prefix;  /* false: find it */
    int32_t input_px; /* side of the square input; ViT: from the position table */
    int32_t heads;    /* ViT: default dim/64, refused when that is not whole */
    double norm_eps;  /* ViT: 1e-6; published MAE script: 1e-5 */
};

struct sm_encoder_info {
    char family[32];  /* "resnet18", "resnet50", "vit" */
    char dialect[32]; /* "torchvision", "sequential", "timm", "memssl-mae" */
    char prefix[128];
    int32_t input_px;
    int32_t tokens; /* rows of the "tokens" tap: CLS first for ViT, map positions for ResNet */
    int32_t dim;
    int32_t heads;  /* 0 for ResNet */
    int32_t blocks; /* "block.0" … "block.N-1" can be tapped */
    bool has_cls;
    double norm_eps;
    int64_t parameters;
    int64_t multiply_adds; /* of one image */
    const char *kernels;   /* name of the kernel row */
};

/* Output of a tap: [image, rows, dim]. */
struct sm_tap {
    const float *data; /* valid until the next forward on the workspace */
    int32_t rows, dim;
};

struct sm_encoder;
struct sm_workspace;

/* {"prefix","input_px","heads","norm_eps"}; an unknown field is an error. NULL node: all defaults.
 */
enum sm_code sm_encoder_config_parse(struct sm_encoder_config *out, const json_t *node,
                                     const char *pointer, struct sm_err *err);

/* Reads the weights it needs out of `ckpt`, which may be closed afterwards. `kernels`: "ref" or
 * "blas". */
enum sm_code sm_encoder_open(struct sm_encoder **out, struct sm_ckpt *ckpt,
                             const struct sm_encoder_config *config, const char *kernels,
                             struct sm_err *err);
void sm_encoder_close(struct sm_encoder *encoder);
const struct sm_encoder_info *sm_encoder_info(const struct sm_encoder *encoder);

/* Planned for up to `n_max` images at once, 1..SM_VIEWS_CHUNK, and for exactly these taps: what
 * nobody asked for is not kept. SM_NOT_FOUND for a tap that the encoder does not have. */
enum sm_code sm_workspace_new(struct sm_workspace **out, const struct sm_encoder *encoder,
                              int n_max, const char *const *taps, size_t taps_count,
                              struct sm_err *err);
void sm_workspace_free(struct sm_workspace *workspace);

/* x [n, 3, input_px, input_px], normalised; 1 <= n <= n_max. */
void sm_encoder_forward(const struct sm_encoder *encoder, struct sm_workspace *workspace,
                        const float *x, int n);

/* Taps: "tokens" (all output tokens after the final norm / the whole final map, row by row), "cls"
 * (ViT only), "mean" (mean of patch tokens without CLS / of the map), "pooled" (what the family's
 * own forward returns: CLS for ViT, global average for ResNet), "block.N" (residual stream after
 * block N of a ViT; output of residual block N of a ResNet, counted over all stages). */
enum sm_code sm_encoder_tap(struct sm_tap *out, const struct sm_workspace *workspace,
                            const char *tap, struct sm_err *err);
/* Whether the tap exists, without a workspace; fills rows and dim of `out` (data NULL). */
enum sm_code sm_encoder_tap_shape(struct sm_tap *out, const struct sm_encoder *encoder,
                                  const char *tap, struct sm_err *err);

/* The graph for people and programs: one object per op {op, name, shape, parameters, bytes,
 * multiply_adds}. Returns a new reference, NULL when out of memory. */
json_t *sm_encoder_graph(const struct sm_encoder *encoder);

/* BLAS build and core type for provenance, e.g. "OpenBLAS 0.3.21 … Haswell". */
const char *sm_blas_version(void);
/* One BLAS thread per caller. Process-wide; call once, before any other thread starts. */
void sm_blas_single_thread(void);

#endif
