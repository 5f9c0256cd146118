/* Encoders: a checkpoint recognised, turned into a graph, and run.
 *
 *     struct sm_encoder_config config = {.heads = 3};          // what tensors do not tell
 *     struct sm_encoder *enc;
 *     struct sm_workspace *ws;
 *     sm_encoder_config_complete(&config, "f/dino.pth", &err); // preset, files beside it
 *     sm_encoder_open(&enc, ckpt, &config, "auto", &err);
 *     sm_workspace_new(&ws, enc, 10, (const char *[]){"tokens"}, 1, &err);
 *     sm_encoder_forward(enc, ws, x, 10);             // x [10, 3, input_h_px, input_w_px]
 *     sm_encoder_tap(&tap, ws, "tokens", &err);       // tap.data [10, tokens, dim]
 *
 * The encoder is immutable after open and may be shared by threads; a workspace belongs to one
 * thread and is planned once. Forward neither allocates, locks nor logs, and its bits depend on the
 * encoder, the input and `n` only.
 *
 * Errors:  SM_CONFLICT when the preset, or a file beside the checkpoint that something is taken
 * from, is about another network. SM_NOT_FOUND / SM_INVALID name the tensor and both shapes;
 * SM_UNSUPPORTED an unknown family. */
#ifndef SSLMEM_ENCODER_H
#define SSLMEM_ENCODER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "sslmem/ckpt.h"
#include "sslmem/encoder_config.h"
#include "sslmem/watch.h"

#define SM_VIEWS_CHUNK 16 /* most images that one forward takes */

/* One decision, for people: {"heads", "3", SM_SOURCE_TENSORS, "4 RoPE periods: head width 16"}. */
struct sm_choice {
    char name[24], value[32];
    enum sm_source source;
    char why[96];
};

#define SM_CHOICES_MAX 24

struct sm_encoder_info {
    char family[32];  /* "resnet18", "resnet50", "vit", "convnext" */
    char dialect[32]; /* whose names: "torchvision", "sequential", "timm", "hf-vit", … */
    char prefix[128]; /* where the encoder stands in the file, "teacher.backbone." */
    int32_t input_h_px, input_w_px;
    int32_t tokens; /* rows of the "tokens" tap: CLS and registers first for ViT, map positions for
                       ResNet */
    int32_t dim;
    int32_t heads;     /* 0 without attention */
    int32_t blocks;    /* "block.0" … "block.N-1" can be tapped */
    int32_t stages;    /* "stage.0" …; 0 for ViT */
    int32_t registers; /* tokens between CLS and patches */
    bool has_cls;
    int32_t patch;       /* side of a ViT's patch, px; 0: none */
    int32_t mlp;         /* width of a ViT's MLP, of the gated half where it has a gate; 0: none */
    int32_t table_side;  /* of the position table; 0: none */
    int32_t block_convs; /* of a ResNet's block, 2 or 3; 0: no ResNet */
    int32_t stage_blocks[4], stage_dims[4]; /* ResNet, ConvNeXt */
    double norm_eps;                        /* of LayerNorm, of a ResNet's BatchNorm */
    int64_t parameters;
    int64_t multiply_adds; /* of one image */
    int64_t nonfinite;     /* NaN and infinite numbers among the weights */
    const char *kernels;   /* name of the kernel row */
    struct sm_choice choices[SM_CHOICES_MAX];
    int32_t choices_count;
};

/* Output of a tap: [image, rows, dim]. */
struct sm_tap {
    const float *data; /* valid until the next forward on the workspace */
    int32_t rows, dim;
};

struct sm_encoder;
struct sm_workspace;

/* The row of kernels that a name chooses on this processor: "ref", "blas", "avx2", "avx512", and
 * "auto" for the fastest of them. NULL for a name that is unknown or not supported here. */
const char *sm_kernels_find(const char *kernels);

/* Reads the weights it needs out of `ckpt`, which may be closed afterwards. `kernels`: a name that
 * sm_kernels_find knows. */
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

void sm_workspace_watch(struct sm_workspace *workspace, const struct sm_watch *watch);
/* x [n, 3, input_h_px, input_w_px], normalised; 1 <= n <= n_max. False when its watch ended it. */
bool sm_encoder_forward(const struct sm_encoder *encoder, struct sm_workspace *workspace,
                        const float *x, int n);

/* Taps. All: "tokens" (all output tokens after the final norm / the whole final map, row by row),
 * "mean" (mean of the patch tokens / of the map), "pooled" (what the family's own forward returns),
 * "block.N" (residual stream after block N, counted over all stages). ViT and ConvNeXt: "cls"
 * where there is one. ResNet and ConvNeXt: "stage.N". ViT: "block.N.attn" and "block.N.mlp", what
 * the halves of block N add to the stream, and "block.N.attn.residual" and "block.N.mlp.residual",
 * the stream after each (the latter is "block.N"). Where the file has them: "logits" (its
 * classifier or projection on "pooled"), "pooler" (Hugging Face). */
enum sm_code sm_encoder_tap(struct sm_tap *out, const struct sm_workspace *workspace,
                            const char *tap, struct sm_err *err);
/* Whether the tap exists, without a workspace; fills rows and dim of `out` (data NULL). */
enum sm_code sm_encoder_tap_shape(struct sm_tap *out, const struct sm_encoder *encoder,
                                  const char *tap, struct sm_err *err);

/* The graph for people and programs: one object per op {op, name, shape, parameters, bytes,
 * multiply_adds}. Returns a new reference, NULL when out of memory. */
json_t *sm_encoder_graph(const struct sm_encoder *encoder);

/* What was recognised, for people and programs: the info's members, "choices" as a list of {name,
 * value, source, why}. New reference, NULL when out of memory. */
json_t *sm_encoder_json(const struct sm_encoder *encoder);
/* Whether tensor `index` of the checkpoint became part of the encoder. */
bool sm_encoder_uses(const struct sm_encoder *encoder, size_t index);
/* Returns true if both hold the same weights, rounded to 16 bits (core/names/weights.h). */
bool sm_encoder_same_weights(const struct sm_encoder *a, const struct sm_encoder *b);

/* BLAS build and core type for provenance, e.g. "OpenBLAS 0.3.21 … Haswell". */
const char *sm_blas_version(void);
/* One BLAS thread per caller. Process-wide; call once, before any other thread starts. */
void sm_blas_single_thread(void);

#endif
