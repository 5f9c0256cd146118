/* Encoders: recognises the network in a checkpoint, builds its graph and runs it.
 *
 *     struct sm_encoder_config config = {.heads = 3};          // facts not in the tensors
 *     struct sm_encoder *enc;
 *     struct sm_workspace *ws;
 *     sm_encoder_config_complete(&config, "f/dino.pth", &err); // preset, files in f/
 *     sm_encoder_open(&enc, ckpt, &config, "auto", &err);
 *     sm_workspace_new(&ws, enc, 10, (const char *[]){"tokens"}, 1, &err);
 *     sm_encoder_forward(enc, ws, x, 10);             // x [10, 3, input_h_px, input_w_px]
 *     sm_encoder_tap(&tap, ws, "tokens", &err);       // tap.data [10, tokens, dim]
 *
 * Owner:   the caller closes encoders and frees workspaces; an encoder must outlive its workspaces.
 * Threads: an encoder is immutable after open, and threads may share it. A workspace belongs to one
 *          thread. A forward neither allocates, locks nor logs; its output bits depend only on the
 *          encoder, the input and `n`.
 * Errors:  SM_CONFLICT if the preset, or a file in the checkpoint's folder that supplies a setting,
 *          describes another network; SM_NOT_FOUND or SM_INVALID for a missing or misshapen tensor,
 *          with its name and both shapes; SM_UNSUPPORTED for an unknown family. */
#ifndef SSLMEM_ENCODER_H
#define SSLMEM_ENCODER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "sslmem/ckpt.h"
#include "sslmem/encoder_config.h"
#include "sslmem/watch.h"

#define SM_VIEWS_CHUNK 16 /* maximum number of images in one forward */

/* A setting as it was decided, to be shown to people:
 * {"heads", "3", SM_SOURCE_TENSORS, "4 RoPE periods: head width 16"}. */
struct sm_choice {
    char name[24], value[32];
    enum sm_source source;
    char why[96];
};

#define SM_CHOICES_MAX 24

struct sm_encoder_info {
    char family[32];  /* network family: "resnet18", "resnet50", "vit", "convnext" */
    char dialect[32]; /* naming scheme: "torchvision", "sequential", "timm", "hf-vit", … */
    char prefix[128]; /* prefix of the encoder's tensor names in the file: "teacher.backbone." */
    int32_t input_h_px, input_w_px;
    int32_t tokens;    /* rows of the "tokens" tap: of a ViT CLS, registers and patches; of a
                          ConvNeXt CLS (the mean) and map positions; of a ResNet map positions */
    int32_t dim;       /* width of the "tokens" tap */
    int32_t heads;     /* attention heads; 0: no attention */
    int32_t blocks;    /* N: taps "block.0" to "block.N-1" exist */
    int32_t stages;    /* N: taps "stage.0" to "stage.N-1" exist; 0 for ViT */
    int32_t registers; /* tokens between CLS and patches */
    bool has_cls;
    int32_t patch;       /* side of a ViT's patch in pixels; 0: not a ViT */
    int32_t mlp;         /* hidden width of a ViT's MLP (of one half if gated); 0: not a ViT */
    int32_t table_side;  /* side of the position table in positions; 0: no table */
    int32_t block_convs; /* convolutions in a ResNet's block, 2 or 3; 0: not a ResNet */
    int32_t stage_blocks[4], stage_dims[4]; /* per stage, blocks and width: ResNet, ConvNeXt */
    double norm_eps;                        /* epsilon of LayerNorm, or of a ResNet's BatchNorm */
    int64_t parameters;
    int64_t multiply_adds; /* multiply-adds of one image's forward */
    int64_t nonfinite;     /* number of weights that are NaN or infinite */
    const char *kernels;   /* name of the kernel row in use, a static string */
    struct sm_choice choices[SM_CHOICES_MAX];
    int32_t choices_count;
};

/* Output of a tap: one matrix [rows, dim] for each image of the forward. */
struct sm_tap {
    const float *data; /* [n, rows, dim], valid until the workspace's next forward */
    int32_t rows, dim;
};

struct sm_encoder;
struct sm_workspace;

/* Returns the name of the kernel row that `kernels` selects on this processor: "ref", "blas",
 * "avx2" or "avx512"; "auto" selects the fastest. NULL: the name is unknown or the processor lacks
 * the instructions. */
const char *sm_kernels_find(const char *kernels);

/* Finds the encoder in `ckpt` and loads its weights; `ckpt` may be closed afterwards. `config` NULL
 * sets nothing. `kernels` is a name that sm_kernels_find accepts. */
enum sm_code sm_encoder_open(struct sm_encoder **out, struct sm_ckpt *ckpt,
                             const struct sm_encoder_config *config, const char *kernels,
                             struct sm_err *err);
void sm_encoder_close(struct sm_encoder *encoder);
const struct sm_encoder_info *sm_encoder_info(const struct sm_encoder *encoder);

/* Makes a workspace for forwards of up to `n_max` images, 1..SM_VIEWS_CHUNK, that keeps the outputs
 * of the listed taps only. SM_NOT_FOUND for a tap that the encoder does not have. */
enum sm_code sm_workspace_new(struct sm_workspace **out, const struct sm_encoder *encoder,
                              int n_max, const char *const *taps, size_t taps_count,
                              struct sm_err *err);
void sm_workspace_free(struct sm_workspace *workspace);

/* Sets the watch that every later forward on the workspace asks before each op; NULL: none. */
void sm_workspace_watch(struct sm_workspace *workspace, const struct sm_watch *watch);
/* Runs the encoder on x [n, 3, input_h_px, input_w_px], normalised, 1 <= n <= n_max. Returns false
 * if the watch ended the forward. */
bool sm_encoder_forward(const struct sm_encoder *encoder, struct sm_workspace *workspace,
                        const float *x, int n);

/* Reads the output of a tap of the last forward. SM_NOT_FOUND if the encoder lacks the tap or the
 * workspace was made without it.
 *   tokens   all output tokens after the final norm; for ResNet the whole final map, row by row
 *   mean     mean of the patch tokens or of the map
 *   cls      the CLS token: ConvNeXt, and ViT if it has one
 *   pooled   the output of the family's own forward
 *   block.N  the residual stream after block N; blocks are counted over all stages
 *   stage.N  the output of stage N: ResNet, ConvNeXt
 *   block.N.attn, block.N.mlp      what each half of block N adds to the stream: ViT
 *   block.N.attn.residual, block.N.mlp.residual  the stream after each half of block N: ViT
 *   logits   the file's classifier or projection applied to "pooled", if the file has one
 *   pooler   Hugging Face's pooler applied to "cls", if the file has one */
enum sm_code sm_encoder_tap(struct sm_tap *out, const struct sm_workspace *workspace,
                            const char *tap, struct sm_err *err);
/* Writes the rows and dim of a tap to `out`, with data NULL; needs no workspace. SM_NOT_FOUND if
 * the encoder lacks the tap. */
enum sm_code sm_encoder_tap_shape(struct sm_tap *out, const struct sm_encoder *encoder,
                                  const char *tap, struct sm_err *err);

/* Describes the graph: an array with an object {op, name, shape, parameters, bytes, multiply_adds}
 * for each op. Returns a new reference, NULL when out of memory. */
json_t *sm_encoder_graph(const struct sm_encoder *encoder);

/* Describes the recognised encoder: members of sm_encoder_info, with "choices" as a list of {name,
 * value, source, why}. Returns a new reference, NULL when out of memory. */
json_t *sm_encoder_json(const struct sm_encoder *encoder);
/* Returns true if the encoder uses tensor `index` of its checkpoint. */
bool sm_encoder_uses(const struct sm_encoder *encoder, size_t index);
/* Returns true if both have equal weights after rounding to 16 bits (core/names/weights.h). */
bool sm_encoder_same_weights(const struct sm_encoder *a, const struct sm_encoder *b);

/* Returns BLAS build and core type for provenance, a static string ("OpenBLAS 0.3.21 Haswell"). */
const char *sm_blas_version(void);
/* Makes every BLAS call run on its caller's thread only. Applies to the whole process; call it
 * once, before any other thread starts. */
void sm_blas_single_thread(void);

#endif
