/* Inside of the encoder configuration: what config.c, sidecar.c, presets.c and encoder.c share.
 *
 *     struct sm_encoder_config config = {.preset = "dino-vits16"};
 *     sm_encoder_config_complete(&config, "f/dino.pth", &err); // checks what was set by hand, too
 *     …                                                        // the encoder opens
 *     sm_preset_check(&config, sm_encoder_info(encoder), &err);
 *
 * Threads: constant tables only. Limits: SM_SIDECAR_BYTES_MAX, SM_SIDECAR_DEPTH_MAX. Errors: as
 * encoder.h; those of files begin with the file's name. */
#ifndef CORE_NAMES_CONFIG_H
#define CORE_NAMES_CONFIG_H

#include <stddef.h>

#include "sslmem/encoder.h"

#define SM_INPUT_MAX_PX 4096 /* side of an encoder's input */

#define SM_HEADS_MAX         1024
#define SM_NORM_EPS_MIN      1e-12
#define SM_NORM_EPS_MAX      1
#define SM_ATTN_SCALE_MIN    1e-4
#define SM_ATTN_SCALE_MAX    100
#define SM_ROPE_BASE_MAX     1e9
#define SM_SIDECAR_BYTES_MAX (4 << 20) /* config.json with the labels of ImageNet-21k has 2 MB */
#define SM_SIDECAR_DEPTH_MAX 32

/* What the preset says; everything else is zero. SM_NOT_FOUND with the nearest names. */
enum sm_code sm_preset_config(struct sm_encoder_config *out, const char *name, struct sm_err *err);

/* Whether the encoder that was opened looks as the preset of `config` (if it names one) says:
 * SM_CONFLICT with both widths, block counts or patch counts. */
enum sm_code sm_preset_check(const struct sm_encoder_config *config,
                             const struct sm_encoder_info *info, struct sm_err *err);

/* Whether every field that is set lies within its limits: SM_INVALID with value and limits. A
 * config that was parsed does. */
enum sm_code sm_encoder_config_check(const struct sm_encoder_config *config, struct sm_err *err);

/* Takes over what `from` says and `config` does not, as said by `source`. */
void sm_config_fill(struct sm_encoder_config *config, const struct sm_encoder_config *from,
                    enum sm_source source);

/* Name of a field, and whether it is set. */
const char *sm_config_name(enum sm_config_field field);
bool sm_config_is_set(const struct sm_encoder_config *config, enum sm_config_field field);
/* A field's value as text; `value` has its type. */
void sm_config_text(char *out, size_t out_bytes, enum sm_config_field field, const void *value);
/* Copies a field that is set to *value, of its type. */
void sm_config_get(void *value, const struct sm_encoder_config *config, enum sm_config_field field);

/* Normalisations of [0, 1] pixels that training code uses. */
enum sm_pixels {
    SM_PIXELS_UNSET,
    SM_PIXELS_IMAGENET,
    SM_PIXELS_HALF,
    SM_PIXELS_CLIP,
    SM_PIXELS_SWAV,
    SM_PIXELS_SAT493M,
    SM_PIXELS_CIFAR10,
    SM_PIXELS_CIFAR10_SIMCLR,
    SM_PIXELS_CIFAR100,
    SM_PIXELS_STL10
};
void sm_pixels_set(struct sm_encoder_config *out, enum sm_pixels pixels);

/* Readers: they set what the document says and leave `source` alone. */

/* The document of sm_encoder_config_parse. */
enum sm_code sm_encoder_config_read(struct sm_encoder_config *out, const json_t *node,
                                    const char *pointer, struct sm_err *err);
/* Mean and standard deviation under these names in `node`: both or none. */
enum sm_code sm_config_read_pixels(struct sm_encoder_config *out, const json_t *node,
                                   const char *mean, const char *std, const char *pointer,
                                   struct sm_err *err);
/* The files that are looked for beside a checkpoint, in order of precedence. */

#define SM_SIDECAR_OWN 0 /* encoder.json: before the preset, the others after it */

/* Its name; NULL past the end. */
const char *sm_sidecar(size_t index);
/* Fills in what `config` does not say out of the contents of such a file. SM_INVALID when it is
 * broken, SM_LIMIT when it is too big or too deep; `config` is then left as it was. */
enum sm_code sm_sidecar_read(struct sm_encoder_config *config, size_t index, const void *bytes,
                             size_t bytes_count, struct sm_err *err);
/* The same, of the file in the folder of the checkpoint at `path`; none is fine. */
enum sm_code sm_sidecar_beside(struct sm_encoder_config *config, const char *path, size_t index,
                               struct sm_err *err);
/* The value of a key; NULL also for what says nothing, null and "". */
json_t *sm_sidecar_get(const json_t *node, const char *name);

/* Claims: what such a file says that the tensors tell, too. */

enum sm_claims {
    SM_CLAIMS_HF,
    SM_CLAIMS_TIMM,
    SM_CLAIMS_TIMM_ARGS,
    SM_CLAIMS_CLIP,
    SM_CLAIMS_CLIP_RESNET,
    SM_CLAIMS_CLIP_TIMM,
    SM_CLAIMS_SOLO_ARGS
};
enum sm_name { SM_NAME_TIMM, SM_NAME_CLIP_TIMM, SM_NAME_SOLO };

/* Notes what the object says; SM_INVALID with the pointer of a number that is none. */
enum sm_code sm_claims_read(struct sm_encoder_config *out, enum sm_claims kind, const json_t *node,
                            const char *pointer, struct sm_err *err);
/* Notes what the architecture's name says and the file has not said itself, so far. */
void sm_claims_name(struct sm_encoder_config *out, enum sm_name key, const char *name);
/* Takes over the claims of `from`, each once. */
void sm_claims_fill(struct sm_encoder_config *config, const struct sm_encoder_config *from);
/* Whether what was measured is what the files say, if anything is taken from them: SM_CONFLICT with
 * the file, its key, both numbers and what is taken. */
enum sm_code sm_claims_check(const struct sm_encoder_config *config,
                             const struct sm_encoder_info *info, struct sm_err *err);

/* Puts the file's name before the text of an error. */
enum sm_code sm_sidecar_name(struct sm_err *err, enum sm_code code, size_t index);

#endif
