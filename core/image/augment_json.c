/* Reads and writes op lists as JSON, and defines the presets.
 *
 * Each kind of op has a table of its fields with their bounds; reading and writing both use it. The
 * bounds keep later computations from overflowing. Defaults are torchvision's. */
#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/image/augment.h"

#define SIZE_MAX_PX  2048
#define SIGMA_MAX    64
#define FACTOR_MAX   16 /* limit of brightness, contrast and saturation */
#define PADDING_MAX  1024
#define COUNT_OF(a)  (sizeof(a) / sizeof((a)[0]))
#define PRESET_OPS   6
#define POINTER_SIZE sizeof(((struct sm_err *)0)->pointer)

const char *const sm_op_names[SM_OP_KINDS + 1] = {"random_resized_crop",
                                                  "flip",
                                                  "color_jitter",
                                                  "grayscale",
                                                  "gaussian_blur",
                                                  "solarize",
                                                  "resize",
                                                  "center_crop",
                                                  "pad",
                                                  NULL};

static const char *const interpolations[] = {"bilinear", "bicubic", NULL};

#define AT(member) offsetof(struct sm_op, member)
#define OP                                                                                         \
    {                                                                                              \
        "op", SM_FIELD_ENUM, AT(kind), .names = sm_op_names, .required = true                      \
    }
#define SIZE                                                                                       \
    {                                                                                              \
        "size", SM_FIELD_INT, AT(size_px), .min = 1, .max = SIZE_MAX_PX                            \
    }
#define P                                                                                          \
    {                                                                                              \
        "p", SM_FIELD_DOUBLE, AT(p), .min = 0, .max = 1                                            \
    }
#define INTERPOLATE                                                                                \
    {                                                                                              \
        "interpolation", SM_FIELD_ENUM, AT(interpolation), .names = interpolations                 \
    }
#define FACTOR(name)                                                                               \
    {                                                                                              \
#name, SM_FIELD_DOUBLE, AT(name), .min = 0, .max = FACTOR_MAX                              \
    }

static const struct sm_field crop_fields[] = {
    OP,
    SIZE,
    {"scale", SM_FIELD_RANGE, AT(scale), .min = 1e-4, .max = 1},
    {"ratio", SM_FIELD_RANGE, AT(ratio), .min = 0.01, .max = 100},
    INTERPOLATE,
    {0},
};
static const struct sm_field p_fields[] = {OP, P, {0}};
static const struct sm_field jitter_fields[] = {
    OP,
    FACTOR(brightness),
    FACTOR(contrast),
    FACTOR(saturation),
    {"hue", SM_FIELD_DOUBLE, AT(hue), .min = 0, .max = 0.5},
    P,
    {0},
};
static const struct sm_field blur_fields[] = {
    OP,
    {"sigma", SM_FIELD_RANGE, AT(sigma), .min = 0, .max = SIGMA_MAX},
    P,
    {0},
};
static const struct sm_field solarize_fields[] = {
    OP,
    {"threshold", SM_FIELD_INT, AT(threshold), .min = 0, .max = 256},
    P,
    {0},
};
static const struct sm_field resize_fields[] = {OP, SIZE, INTERPOLATE, {0}};
static const struct sm_field center_crop_fields[] = {OP, SIZE, {0}};
static const struct sm_field pad_fields[] = {
    OP,
    {"padding", SM_FIELD_INT, AT(padding_px), .min = 1, .max = PADDING_MAX, .required = true},
    {"fill", SM_FIELD_INT, AT(fill), .min = 0, .max = 255},
    {0},
};

/* Shorthands for presets and defaults. A size of 0 becomes the caller's `size_px`. */
#define RRC(low, method)                                                                           \
    {                                                                                              \
        .kind = SM_OP_RANDOM_RESIZED_CROP, .interpolation = (method), .p = 1,                      \
        .scale = {(low), 1.0}, .ratio = {                                                          \
            3.0 / 4.0,                                                                             \
            4.0 / 3.0                                                                              \
        }                                                                                          \
    }
#define FLIP(prob)                                                                                 \
    {                                                                                              \
        .kind = SM_OP_FLIP, .p = (prob)                                                            \
    }
#define JITTER(b, c, s, h, prob)                                                                   \
    {                                                                                              \
        .kind = SM_OP_COLOR_JITTER, .p = (prob), .brightness = (b), .contrast = (c),               \
        .saturation = (s), .hue = (h)                                                              \
    }
#define GRAY(prob)                                                                                 \
    {                                                                                              \
        .kind = SM_OP_GRAYSCALE, .p = (prob)                                                       \
    }
#define BLUR(prob)                                                                                 \
    {                                                                                              \
        .kind = SM_OP_GAUSSIAN_BLUR, .p = (prob), .sigma = { 0.1, 2.0 }                            \
    }
#define SOLARIZE(prob)                                                                             \
    {                                                                                              \
        .kind = SM_OP_SOLARIZE, .p = (prob), .threshold = 128                                      \
    }
#define RESIZE                                                                                     \
    {                                                                                              \
        .kind = SM_OP_RESIZE, .interpolation = SM_BILINEAR, .p = 1                                 \
    }
#define CENTER_CROP                                                                                \
    {                                                                                              \
        .kind = SM_OP_CENTER_CROP, .p = 1                                                          \
    }

static const struct kind {
    const struct sm_field *fields;
    bool has_size;
    struct sm_op defaults;
} kinds[SM_OP_KINDS] = {
    [SM_OP_RANDOM_RESIZED_CROP] = {crop_fields, true, RRC(0.08, SM_BILINEAR)},
    [SM_OP_FLIP] = {p_fields, false, FLIP(0.5)},
    [SM_OP_COLOR_JITTER] = {jitter_fields, false, JITTER(0, 0, 0, 0, 1)},
    [SM_OP_GRAYSCALE] = {p_fields, false, GRAY(0.1)},
    [SM_OP_GAUSSIAN_BLUR] = {blur_fields, false, BLUR(1)},
    [SM_OP_SOLARIZE] = {solarize_fields, false, SOLARIZE(0.5)},
    [SM_OP_RESIZE] = {resize_fields, true, RESIZE},
    [SM_OP_CENTER_CROP] = {center_crop_fields, true, CENTER_CROP},
    [SM_OP_PAD] = {pad_fields, false, {.kind = SM_OP_PAD, .p = 1}},
};

static const struct preset {
    const char *name;
    struct sm_op ops[PRESET_OPS];
    int count;
} presets[] = {
    /* SSLMem (arXiv 2401.12233), appendix B.1: augmentations of SimCLR training on CIFAR-10. */
    {"simclr-cifar",
     {RRC(0.08, SM_BILINEAR), FLIP(0.5), JITTER(0.4, 0.4, 0.4, 0.1, 0.8), GRAY(0.2)},
     4},
    /* SimCLR (arXiv 2002.05709), appendix A, colour strength 1; torchvision's bilinear crop. */
    {"simclr-imagenet",
     {RRC(0.08, SM_BILINEAR), FLIP(0.5), JITTER(0.8, 0.8, 0.8, 0.2, 0.8), GRAY(0.2), BLUR(0.5)},
     5},
    /* MAE's pretraining (facebookresearch/mae, main_pretrain.py). */
    {"mae", {RRC(0.2, SM_BICUBIC), FLIP(0.5)}, 2},
    /* DINO (facebookresearch/dino, main_dino.py): global_transfo1, the first global crop, which is
     * always blurred and never solarized; the scale 0.4-1 is --global_crops_scale's default. */
    {"dino-global",
     {RRC(0.4, SM_BICUBIC), FLIP(0.5), JITTER(0.4, 0.4, 0.2, 0.1, 0.8), GRAY(0.2), BLUR(1)},
     5},
    /* VICReg (facebookresearch/vicreg, augmentations.py): `transform`, the first of two, with p 1.0
     * for blur and 0.0 for solarization; `transform_prime` has 0.1 and 0.2. */
    {"vicreg",
     {RRC(0.08, SM_BICUBIC), FLIP(0.5), JITTER(0.4, 0.4, 0.2, 0.1, 0.8), GRAY(0.2), BLUR(1),
      SOLARIZE(0)},
     6},
    /* The published SSLMem script (sprintml/MemorizationSSL); it applies the ops to normalised
     * values, this preset applies them to pixels. */
    {"sslmem-script",
     {RRC(0.08, SM_BILINEAR), FLIP(0.5), JITTER(0.8, 0.8, 0.8, 0.2, 0.8), GRAY(0.2)},
     4},
    /* torchvision's usual evaluation; does not change a square image of the target size. */
    {"eval", {RESIZE, CENTER_CROP}, 2},
    {"identity", {{0}}, 0},
};

static const char *const preset_names[] = {"simclr-cifar", "simclr-imagenet", "mae",
                                           "dino-global",  "vicreg",          "sslmem-script",
                                           "eval",         "identity",        NULL};
_Static_assert(COUNT_OF(preset_names) == COUNT_OF(presets) + 1, "a preset without a name");

const char *const *sm_augment_presets(void)
{
    return preset_names;
}

static void fill_size(struct sm_op *op, int32_t size_px)
{
    if (kinds[op->kind].has_size && op->size_px == 0)
        op->size_px = size_px;
}

static enum sm_code parse_preset(struct sm_augment *out, const char *name, int32_t size_px,
                                 const char *pointer, struct sm_err *err)
{
    size_t i = 0;
    while (i < COUNT_OF(presets) && strcmp(presets[i].name, name) != 0)
        i++;
    if (i == COUNT_OF(presets))
        return sm_err_field(
            err, pointer,
            "no preset is called \"%.40s\"; there are simclr-cifar, simclr-imagenet, "
            "mae, dino-global, vicreg, sslmem-script, eval, identity",
            name);
    out->count = presets[i].count;
    for (int k = 0; k < out->count; k++) {
        out->ops[k] = presets[i].ops[k];
        fill_size(&out->ops[k], size_px);
    }
    return SM_OK;
}

static enum sm_code parse_op(struct sm_op *out, const json_t *node, int32_t size_px,
                             const char *pointer, struct sm_err *err)
{
    const char *name = json_string_value(json_object_get(node, "op"));
    int kind = 0;
    while (name && kind < SM_OP_KINDS && strcmp(sm_op_names[kind], name) != 0)
        kind++;
    if (!name || kind == SM_OP_KINDS) {
        char at[POINTER_SIZE + sizeof "/op"];
        snprintf(at, sizeof at, "%s/op", pointer);
        return sm_err_field(err, at,
                            "op must be one of random_resized_crop, flip, color_jitter, grayscale, "
                            "gaussian_blur, solarize, resize, center_crop, pad");
    }
    *out = kinds[kind].defaults;
    enum sm_code code = sm_fields_read(out, node, kinds[kind].fields, pointer, err);
    fill_size(out, size_px);
    return code;
}

enum sm_code sm_augment_parse(struct sm_augment *out, const json_t *node, int32_t size_px,
                              const char *pointer, struct sm_err *err)
{
    *out = (struct sm_augment){0};
    if (json_is_string(node))
        return parse_preset(out, json_string_value(node), size_px, pointer, err);
    if (!json_is_array(node))
        return sm_err_field(err, pointer, "augment must be the name of a preset or a list of ops");
    size_t count = json_array_size(node);
    if (count > SM_OPS_MAX)
        return sm_err_field(err, pointer, "augment has %zu ops, the limit is %d", count,
                            SM_OPS_MAX);
    for (size_t i = 0; i < count; i++) {
        char at[POINTER_SIZE];
        snprintf(at, sizeof at, "%s/%zu", pointer, i);
        enum sm_code code = parse_op(&out->ops[i], json_array_get(node, i), size_px, at, err);
        if (code != SM_OK) {
            *out = (struct sm_augment){0};
            return code;
        }
    }
    out->count = (int)count;
    return SM_OK;
}

static json_t *field_json(const struct sm_op *op, const struct sm_field *field)
{
    const char *at = (const char *)op + field->offset;
    switch (field->type) {
    case SM_FIELD_INT:
        return json_integer(*(const int32_t *)at);
    case SM_FIELD_DOUBLE:
        return json_real(*(const double *)at);
    case SM_FIELD_RANGE:
        return json_pack("[f,f]", ((const double *)at)[0], ((const double *)at)[1]);
    case SM_FIELD_ENUM:
        return json_string(field->names[*(const int *)at]);
    default:
        return NULL;
    }
}

json_t *sm_augment_json(const struct sm_augment *augment)
{
    json_t *list = json_array();
    for (int i = 0; list && i < augment->count; i++) {
        const struct sm_op *op = &augment->ops[i];
        json_t *object = json_object();
        bool failed = false;
        for (const struct sm_field *field = kinds[op->kind].fields; field->name; field++)
            failed |= json_object_set_new(object, field->name, field_json(op, field)) != 0;
        failed |= json_array_append_new(list, object) != 0;
        if (failed) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}
