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
 * Errors:  SM_NOT_FOUND / SM_INVALID name the tensor and both shapes; SM_UNSUPPORTED an unknown
 * family. */
#ifndef SSLMEM_ENCODER_H
#define SSLMEM_ENCODER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "sslmem/ckpt.h"
#include "sslmem/watch.h"

#define SM_VIEWS_CHUNK 16 /* most images that one forward takes */

/* Values of the configuration. 0 is "not said": a preset, a file beside the checkpoint, the family
 * or a guess decides, in this order. */
enum sm_gelu { SM_GELU_UNSET, SM_GELU_EXACT, SM_GELU_TANH, SM_GELU_QUICK };
enum sm_pool { SM_POOL_UNSET, SM_POOL_CLS, SM_POOL_MEAN, SM_POOL_MAP };
enum sm_final_norm { SM_FINAL_NORM_UNSET, SM_FINAL_NORM_BEFORE_POOL, SM_FINAL_NORM_AFTER_POOL };
/* How a position table is resampled for another input size; all bicubic without aligned corners. */
enum sm_pos_resize {
    SM_POS_RESIZE_UNSET,
    SM_POS_RESIZE_PLAIN,    /* a = -0.75, to the size: MAE */
    SM_POS_RESIZE_OFFSET,   /* a = -0.75, scales (n + 0.1) / grid: DINO, iBOT, DINOv2 */
    SM_POS_RESIZE_ANTIALIAS /* a = -0.5, antialiased, to the size: DINOv2 with registers, timm */
};
enum sm_stride_at { SM_STRIDE_UNSET, SM_STRIDE_CONV1, SM_STRIDE_CONV2 }; /* ResNet v1, v1.5 */

enum sm_config_field {
    SM_CONFIG_PRESET,
    SM_CONFIG_KEY,
    SM_CONFIG_INPUT_PX,
    SM_CONFIG_HEADS,
    SM_CONFIG_NORM_EPS,
    SM_CONFIG_ACTIVATION,
    SM_CONFIG_POOL,
    SM_CONFIG_FINAL_NORM,
    SM_CONFIG_POS_RESIZE,
    SM_CONFIG_STEM_PAD,
    SM_CONFIG_STRIDE_AT,
    SM_CONFIG_MEAN,
    SM_CONFIG_STD,
    SM_CONFIG_FIELDS
};

/* Who decided something that tensors do not tell, from most to least certain. */
enum sm_source {
    SM_SOURCE_CONFIG,  /* the configuration given */
    SM_SOURCE_FILE,    /* encoder.json beside the checkpoint */
    SM_SOURCE_PRESET,  /* the named preset */
    SM_SOURCE_SIDECAR, /* config.json, open_clip_config.json or args.json beside the checkpoint */
    SM_SOURCE_TENSORS, /* the checkpoint itself */
    SM_SOURCE_FAMILY,  /* all published encoders with these names agree */
    SM_SOURCE_GUESS    /* they do not: the most usual value */
};

/* What tensors cannot tell. A zeroed struct says nothing. */
struct sm_encoder_config {
    char preset[32];
    char key[128]; /* which encoder of the file: names on the way to it, "teacher",
                      "model.teacher.backbone" */
    bool has_key;  /* false: there must be one only; true with "": the one at the root */
    int32_t input_h_px, input_w_px;
    int32_t heads;
    double norm_eps; /* of LayerNorm */
    enum sm_gelu activation;
    enum sm_pool pool;                /* ViT: what "pooled" is made of */
    enum sm_final_norm final_norm;    /* ViT */
    enum sm_pos_resize pos_resize;    /* ViT */
    int32_t stem_pad;                 /* padding of a 3x3 ResNet stem, 1 or 2 */
    enum sm_stride_at stride_at;      /* of a ResNet's strided bottlenecks */
    double mean[3], std[3];           /* input normalisation on [0, 1]; std 0: not said */
    uint8_t source[SM_CONFIG_FIELDS]; /* enum sm_source of each field that is set */
};

/* One decision, for people: {"heads", "3", SM_SOURCE_TENSORS, "4 RoPE periods: head width 16"}. */
struct sm_choice {
    char name[24], value[32];
    enum sm_source source;
    char why[96];
};

#define SM_CHOICES_MAX 16

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
    double norm_eps; /* 0 for ResNet */
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

/* Reads {"preset", "key", "input_px", "heads", "norm_eps", "activation", "pool", "final_norm",
 * "pos_resize", "stem_pad", "stride_at", "mean", "std"}; an unknown field is an error. NULL node:
 * says nothing. */
enum sm_code sm_encoder_config_parse(struct sm_encoder_config *out, const json_t *node,
                                     const char *pointer, struct sm_err *err);
/* What is set, in the form that parse reads. New reference, NULL when out of memory. */
json_t *sm_encoder_config_json(const struct sm_encoder_config *config);
/* Fills in what `config` does not say: from encoder.json beside the checkpoint at `path` (NULL: no
 * files), the preset, then config.json (Hugging Face), open_clip_config.json or args.json
 * (solo-learn). SM_NOT_FOUND for an unknown preset, SM_INVALID for a file that is broken; a
 * config.json of another program is left alone. */
enum sm_code sm_encoder_config_complete(struct sm_encoder_config *config, const char *path,
                                        struct sm_err *err);

/* Presets, by index; NULL past the end. */
const char *sm_encoder_preset(size_t index);

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

/* BLAS build and core type for provenance, e.g. "OpenBLAS 0.3.21 … Haswell". */
const char *sm_blas_version(void);
/* One BLAS thread per caller. Process-wide; call once, before any other thread starts. */
void sm_blas_single_thread(void);

#endif
