/* Internals of the encoder configuration, shared by config.c, sidecar.c, presets.c, claims.c and
 * the builders of core/nn.
 *
 *     struct sm_encoder_config config = {.preset = "dino-vits16"};
 *     sm_encoder_config_complete(&config, "f/dino.pth", &err); // also checks fields set by hand
 *     …                                                        // open the encoder
 *     sm_preset_check(&config, sm_encoder_info(encoder), &err);
 *
 * Threads: no shared state, constant tables only. Limits: SM_SIDECAR_BYTES_MAX,
 * SM_SIDECAR_DEPTH_MAX. Errors: as in encoder.h; an error about a file begins with the file's
 * name. */
#ifndef CORE_NAMES_CONFIG_H
#define CORE_NAMES_CONFIG_H

#include <stddef.h>

#include "sslmem/encoder.h"

#define SM_INPUT_MAX_PX 4096 /* largest side of an encoder's input */

#define SM_HEADS_MAX         1024
#define SM_NORM_EPS_MIN      1e-12
#define SM_NORM_EPS_MAX      1
#define SM_ATTN_SCALE_MIN    1e-4
#define SM_ATTN_SCALE_MAX    100
#define SM_ROPE_BASE_MAX     1e9
#define SM_SIDECAR_BYTES_MAX (4 << 20) /* a config.json with the labels of ImageNet-21k has 2 MB */
#define SM_SIDECAR_DEPTH_MAX 32

/* Sets the fields of `out` that preset `name` states and zeroes all others. SM_NOT_FOUND lists the
 * nearest preset names. */
enum sm_code sm_preset_config(struct sm_encoder_config *out, const char *name, struct sm_err *err);

/* Compare an encoder with the preset that `config` names, if it names one. SM_CONFLICT gives both
 * widths, block counts or patch counts. A builder calls the first as soon as width and blocks are
 * known, before it takes anything from the preset; the second also needs tokens and input size. */
enum sm_code sm_preset_check_size(const struct sm_encoder_config *config,
                                  const struct sm_encoder_info *info, struct sm_err *err);
enum sm_code sm_preset_check(const struct sm_encoder_config *config,
                             const struct sm_encoder_info *info, struct sm_err *err);

/* Checks that every set field lies within its limits. SM_INVALID gives the value and the limits. A
 * parsed config always passes. */
enum sm_code sm_encoder_config_check(const struct sm_encoder_config *config, struct sm_err *err);

/* Copies every field that `from` sets and `config` does not, and records `source` as its source. */
void sm_config_fill(struct sm_encoder_config *config, const struct sm_encoder_config *from,
                    enum sm_source source);

/* Return the name of a field, and whether `config` sets it. */
const char *sm_config_name(enum sm_config_field field);
bool sm_config_is_set(const struct sm_encoder_config *config, enum sm_config_field field);
/* Writes a field's value as text. `value` points to a value of the field's type. */
void sm_config_text(char *out, size_t out_bytes, enum sm_config_field field, const void *value);
/* Copies a set field to *value, which must have the field's type. */
void sm_config_get(void *value, const struct sm_encoder_config *config, enum sm_config_field field);

/* Normalisations (mean and standard deviation of pixels in [0, 1]) of published training code. */
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

/* Readers of documents. They set the fields that the document states and do not touch `source`. */

/* Reads the document that sm_encoder_config_parse describes. */
enum sm_code sm_encoder_config_read(struct sm_encoder_config *out, const json_t *node,
                                    const char *pointer, struct sm_err *err);
/* Reads mean and standard deviation from fields `mean` and `std`: both must be there, or
 * neither. */
enum sm_code sm_config_read_pixels(struct sm_encoder_config *out, const json_t *node,
                                   const char *mean, const char *std, const char *pointer,
                                   struct sm_err *err);
/* Sidecars: files in the checkpoint's folder that state facts about its encoder. They are indexed
 * in order of precedence. */

#define SM_SIDECAR_OWN 0 /* encoder.json; it precedes the preset, the others follow it */

/* Returns the file name of a sidecar; NULL past the end. */
const char *sm_sidecar(size_t index);
/* Fills the unset fields of `config` from the contents of a sidecar. SM_INVALID for a malformed
 * document, SM_LIMIT for one that is too big or too deep; `config` is then unchanged. */
enum sm_code sm_sidecar_read(struct sm_encoder_config *config, size_t index, const void *bytes,
                             size_t bytes_count, struct sm_err *err);
/* As sm_sidecar_read, for the file in the folder of checkpoint `path`. A missing file is no
 * error. */
enum sm_code sm_sidecar_beside(struct sm_encoder_config *config, const char *path, size_t index,
                               struct sm_err *err);
/* Returns the value of a key, borrowed; NULL if the key is missing or its value is null or "". */
json_t *sm_sidecar_get(const json_t *node, const char *name);

/* Claims: numbers that a sidecar states and that the tensors show as well. */

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

/* Records the claims that `node` makes. SM_INVALID gives the pointer of a value that has the wrong
 * type or is out of range. */
enum sm_code sm_claims_read(struct sm_encoder_config *out, enum sm_claims kind, const json_t *node,
                            const char *pointer, struct sm_err *err);
/* Records the claims that an architecture's name implies; facts that `out` claims already stay. */
void sm_claims_name(struct sm_encoder_config *out, enum sm_name key, const char *name);
/* Copies the claims of `from` to `config`, without duplicates. */
void sm_claims_fill(struct sm_encoder_config *config, const struct sm_encoder_config *from);
/* Compares the claims with the opened checkpoint, unless no field was taken from files of other
 * programs. SM_CONFLICT names the file, its key, both numbers and the fields taken from such
 * files. */
enum sm_code sm_claims_check(const struct sm_encoder_config *config,
                             const struct sm_encoder_info *info, struct sm_err *err);

/* Puts the sidecar's file name before the text of an error. Returns `code`. */
enum sm_code sm_sidecar_name(struct sm_err *err, enum sm_code code, size_t index);

#endif
