/* Reads sidecars, the files in a checkpoint's folder: encoder.json, and files in which other
 * programs record facts that tensors do not show.
 *
 * Each file has a reader that turns the document into a configuration of its own, in which zero is
 * "not stated". The files are not trusted. Their bytes and depth are bounded before they are
 * parsed. Fields that no reader uses are ignored. Fields that are used must have the right type and
 * range, even if an earlier source wins. `null` and "" state nothing.
 *
 * A config.json or args.json without the keys that mark its kind belongs to another program and is
 * ignored. A file that is not JSON is refused: its program cannot be identified, and to drop a
 * truncated file silently would change the scores.
 *
 * Image sizes in these files are used only if the network has no position table (DINOv3). Numbers
 * that the tensors show as well are recorded, and claims.c compares them.
 *
 * Hugging Face's classes do not write default values to their files. The defaults here are from
 * transformers src/transformers/models/<type>/configuration_<type>.py; the comment at hf_families
 * lists the uncertain ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/names/config.h"

#define WIDTH_MAX     65536
#define FOREIGN_BYTES 64 /* size of a name in another program's file, with its NUL */

json_t *sm_sidecar_get(const json_t *node, const char *name)
{
    json_t *value = json_object_get(node, name);
    bool silent = json_is_null(value) || (json_is_string(value) && !json_string_length(value));
    return silent ? NULL : value;
}

/* Reads the fields of the table and ignores all others. Nodes are borrowed from `node`. */
static enum sm_code read_known(void *out, const json_t *node, const struct sm_field *fields,
                               const char *pointer, struct sm_err *err)
{
    if (!json_is_object(node))
        return sm_fields_read(out, node, fields, pointer, err);
    json_t *known = json_object();
    bool whole = known != NULL;
    for (const struct sm_field *f = fields; whole && f->name; f++) {
        json_t *value = sm_sidecar_get(node, f->name);
        whole = !value || json_object_set(known, f->name, value) == 0;
    }
    enum sm_code code = whole ? sm_fields_read(out, known, fields, pointer, err)
                              : sm_err_set(err, SM_NOMEM, "out of memory for a document");
    json_decref(known);
    return code;
}

static enum sm_code read_pixels(struct sm_encoder_config *out, const json_t *node, const char *mean,
                                const char *std, const char *pointer, struct sm_err *err)
{
    bool silent = !sm_sidecar_get(node, mean) && !sm_sidecar_get(node, std);
    return silent ? SM_OK : sm_config_read_pixels(out, node, mean, std, pointer, err);
}

static bool is_side(const json_t *node)
{
    return json_is_integer(node) && json_integer_value(node) >= 1 &&
           json_integer_value(node) <= SM_INPUT_MAX_PX;
}

/* Reads an input size: one number for both sides, or a list that ends in height and width. */
static enum sm_code read_size(struct sm_encoder_config *out, const json_t *node, const char *name,
                              const char *pointer, struct sm_err *err)
{
    char at[sizeof err->pointer];
    size_t count = json_array_size(node);
    const json_t *h = json_is_array(node) ? json_array_get(node, count - 2) : node;
    const json_t *w = json_is_array(node) ? json_array_get(node, count - 1) : node;
    snprintf(at, sizeof at, "%s/%s", pointer, name);
    if (!is_side(h) || !is_side(w))
        return sm_err_field(err, at, "%s must be sides from 1 to %d", name, SM_INPUT_MAX_PX);
    out->input_h_px = (int32_t)json_integer_value(h);
    out->input_w_px = (int32_t)json_integer_value(w);
    return SM_OK;
}

/* Hugging Face: its config.json has a model_type. Two-tower models keep the encoder's fields in
 * vision_config.
 *
 * Uncertain defaults: DINOv2's resizing (transformers first passed the scales with an offset, as
 * DINOv2 does, and later the size; the table has the offset, as in training); ViT's resizing (it
 * changed likewise and stays unset); DINOv2's eps (1e-6 in releases, 1e-12 before the first);
 * siglip2 (its patches have any aspect ratio, which encoders here do not take). */
static const struct hf_family {
    const char *model_type;
    bool two_towers;
    bool has_table; /* the network has a position table */
    int32_t heads;
    double norm_eps;
    enum sm_activation_kind activation;
    enum sm_pool pool;
    enum sm_pos_resize pos_resize;
} hf_families[] = {
    {"vit", false, true, 12, 1e-12, SM_ACTIVATION_GELU, SM_POOL_CLS, 0},
    {"vit_mae", false, true, 12, 1e-12, SM_ACTIVATION_GELU, SM_POOL_CLS, SM_POS_RESIZE_PLAIN},
    {"vit_msn", false, true, 12, 1e-6, SM_ACTIVATION_GELU, SM_POOL_CLS, 0},
    {"ijepa", false, true, 12, 1e-12, SM_ACTIVATION_GELU, SM_POOL_MEAN, SM_POS_RESIZE_PLAIN},
    {"dinov2", false, true, 12, 1e-6, SM_ACTIVATION_GELU, SM_POOL_CLS, SM_POS_RESIZE_OFFSET},
    {"dinov2_with_registers", false, true, 12, 1e-6, SM_ACTIVATION_GELU, SM_POOL_CLS,
     SM_POS_RESIZE_ANTIALIAS},
    {"dinov3_vit", false, false, 6, 1e-5, SM_ACTIVATION_GELU, SM_POOL_CLS, 0},
    {"dinov3_convnext", false, false, 0, 1e-6, SM_ACTIVATION_GELU, 0, 0},
    {"clip", true, true, 12, 1e-5, SM_ACTIVATION_QUICK_GELU, SM_POOL_CLS, 0},
    {"clip_vision_model", false, true, 12, 1e-5, SM_ACTIVATION_QUICK_GELU, SM_POOL_CLS, 0},
    {"siglip", true, true, 12, 1e-6, SM_ACTIVATION_GELU_TANH, SM_POOL_MAP, SM_POS_RESIZE_PLAIN},
    {"siglip_vision_model", false, true, 12, 1e-6, SM_ACTIVATION_GELU_TANH, SM_POOL_MAP,
     SM_POS_RESIZE_PLAIN},
    {"siglip2", true, true, 12, 1e-6, SM_ACTIVATION_GELU_TANH, SM_POOL_MAP, 0},
    {"siglip2_vision_model", false, true, 12, 1e-6, SM_ACTIVATION_GELU_TANH, SM_POOL_MAP, 0},
};

/* From transformers activations.py. "silu" is the gate's activation, for gated MLPs only. */
static const char *const hf_act_names[] = {
    "gelu",       "gelu_python", "gelu_new", "gelu_fast", "gelu_pytorch_tanh",
    "quick_gelu", "relu",        "silu",     NULL};
static const enum sm_activation_kind hf_acts[] = {SM_ACTIVATION_GELU,      SM_ACTIVATION_GELU,
                                                  SM_ACTIVATION_GELU_TANH, SM_ACTIVATION_GELU_TANH,
                                                  SM_ACTIVATION_GELU_TANH, SM_ACTIVATION_QUICK_GELU,
                                                  SM_ACTIVATION_RELU,      SM_ACTIVATION_UNSET};
_Static_assert(sizeof hf_act_names / sizeof *hf_act_names == sizeof hf_acts / sizeof *hf_acts + 1,
               "an activation for every name");

#define HF_IMAGE_SIZE 224 /* default image size of every class without a position table */
#define HF_ROPE_THETA 100 /* default of DINOv3 and of the builder, so not recorded */

/* Reads the file's claims. If the file omits `key` and `standard` is above 0, `standard` is
 * claimed: the program's default width, from which its default number of heads follows. */
static enum sm_code read_claims(struct sm_encoder_config *out, enum sm_claims kind,
                                const json_t *node, const char *key, int32_t standard,
                                const char *pointer, struct sm_err *err)
{
    json_t *whole = node ? json_copy((json_t *)(uintptr_t)node) : json_object();
    enum sm_code code = whole ? SM_OK : sm_err_set(err, SM_NOMEM, "config: out of memory");
    if (code == SM_OK && standard > 0 && !json_object_get(whole, key) &&
        json_object_set_new(whole, key, json_integer(standard)) != 0)
        code = sm_err_set(err, SM_NOMEM, "config: out of memory");
    if (code == SM_OK)
        code = sm_claims_read(out, kind, whole, pointer, err);
    json_decref(whole);
    return code;
}

#define HEAD_WIDTH 64 /* default width of a head in every class */

static enum sm_code read_hf(struct sm_encoder_config *out, const struct hf_family *family,
                            const json_t *doc, struct sm_err *err)
{
    struct hf {
        int32_t heads;
        double norm_eps, rope_theta;
        int act;
        bool swiglu, gated, map_head;
    } hf = {family->heads, family->norm_eps, HF_ROPE_THETA, -1, false, false, true};
#define AT(member) offsetof(struct hf, member)
    static const struct sm_field fields[] = {
        {"num_attention_heads", SM_FIELD_INT, AT(heads), 1, SM_HEADS_MAX, NULL, false},
        {"layer_norm_eps", SM_FIELD_DOUBLE, AT(norm_eps), SM_NORM_EPS_MIN, SM_NORM_EPS_MAX, NULL,
         false},
        {"rope_theta", SM_FIELD_DOUBLE, AT(rope_theta), 1, SM_ROPE_BASE_MAX, NULL, false},
        {"hidden_act", SM_FIELD_ENUM, AT(act), 0, 0, hf_act_names, false},
        {"use_swiglu_ffn", SM_FIELD_BOOL, AT(swiglu), 0, 0, NULL, false},
        {"use_gated_mlp", SM_FIELD_BOOL, AT(gated), 0, 0, NULL, false},
        {"vision_use_head", SM_FIELD_BOOL, AT(map_head), 0, 0, NULL, false},
        {0}};
#undef AT
    const json_t *node = family->two_towers ? sm_sidecar_get(doc, "vision_config") : doc;
    const char *pointer = family->two_towers ? "/vision_config" : "";
    char at[sizeof err->pointer];
    enum sm_code code = node ? read_known(&hf, node, fields, pointer, err) : SM_OK;
    if (code != SM_OK)
        return code;
    *out = (struct sm_encoder_config){
        .heads = hf.heads,
        .norm_eps = hf.norm_eps,
        .activation = hf.act < 0 ? family->activation : hf_acts[hf.act],
        .pool = hf.map_head ? family->pool : SM_POOL_UNSET,
        .pos_resize = family->pos_resize,
        .rope_base = family->has_table || hf.rope_theta == HF_ROPE_THETA ? 0 : hf.rope_theta,
        .input_h_px = family->has_table ? 0 : HF_IMAGE_SIZE,
        .input_w_px = family->has_table ? 0 : HF_IMAGE_SIZE};
    if (!out->activation && !hf.swiglu && !hf.gated) {
        snprintf(at, sizeof at, "%s/hidden_act", pointer);
        return sm_err_field(err, at, "hidden_act is \"%s\" in an MLP that is not gated",
                            hf_act_names[hf.act]);
    }
    if (hf.gated && out->activation) {
        snprintf(at, sizeof at, "%s/hidden_act", pointer);
        return sm_err_field(err, at,
                            "hidden_act of a gated MLP is not \"silu\", which is the only "
                            "gate that is supported");
    }
    const json_t *size = family->has_table ? NULL : sm_sidecar_get(node, "image_size");
    if (size)
        code = read_size(out, size, "image_size", pointer, err);
    bool heads_said = json_object_get(node, "num_attention_heads") != NULL;
    return code == SM_OK ? read_claims(out, SM_CLAIMS_HF, node, "hidden_size",
                                       heads_said ? 0 : family->heads * HEAD_WIDTH, pointer, err)
                         : code;
}

/* timm: its config.json has an architecture. Facts about the training are in pretrained_cfg, or at
 * the top level before timm 0.9. Only DINOv3 has no position table. */
/* names in the order of enum sm_pool */
static const char *const timm_pool_names[] = {"token", "avg", "map", NULL};

static enum sm_code read_timm(struct sm_encoder_config *out, const json_t *doc, struct sm_err *err)
{
    struct timm {
        const json_t *trained;
        int pool;
    } timm = {NULL, -1};
    static const struct sm_field fields[] = {
        {"pretrained_cfg", SM_FIELD_NODE, offsetof(struct timm, trained), 0, 0, NULL, false},
        {"global_pool", SM_FIELD_ENUM, offsetof(struct timm, pool), 0, 0, timm_pool_names, false},
        {0}};
    const char *architecture = json_string_value(json_object_get(doc, "architecture"));
    enum sm_code code = read_known(&timm, doc, fields, "", err);
    if (code != SM_OK)
        return code;
    const char *pointer = timm.trained ? "/pretrained_cfg" : "";
    const json_t *trained = timm.trained ? timm.trained : doc;
    if (!json_is_object(trained))
        return sm_err_field(err, pointer, "pretrained_cfg must be an object");
    out->pool = (enum sm_pool)(timm.pool + 1);
    if (strstr(architecture, "quickgelu"))
        out->activation = SM_ACTIVATION_QUICK_GELU;
    const json_t *size =
        strstr(architecture, "dinov3") ? sm_sidecar_get(trained, "input_size") : NULL;
    if (size)
        code = read_size(out, size, "input_size", pointer, err);
    if (code == SM_OK)
        code = read_pixels(out, trained, "mean", "std", pointer, err);
    if (code == SM_OK)
        code = sm_claims_read(out, SM_CLAIMS_TIMM_ARGS, sm_sidecar_get(doc, "model_args"),
                              "/model_args", err);
    if (code == SM_OK)
        code = sm_claims_read(out, SM_CLAIMS_TIMM, doc, "", err);
    if (code == SM_OK)
        sm_claims_name(out, SM_NAME_TIMM, architecture);
    return code;
}

/* Networks of Hugging Face whose files state no fact that tensors hide. Their claims are recorded
 * all the same, because other sidecars may set fields. */
static const char *const hf_compared[] = {"resnet", "convnext", "convnextv2"};

static enum sm_code read_config(struct sm_encoder_config *out, const json_t *doc,
                                struct sm_err *err)
{
    const char *type = json_string_value(json_object_get(doc, "model_type"));
    for (size_t i = 0; type && i < sizeof hf_families / sizeof *hf_families; i++)
        if (strcmp(hf_families[i].model_type, type) == 0)
            return read_hf(out, &hf_families[i], doc, err);
    for (size_t i = 0; type && i < sizeof hf_compared / sizeof *hf_compared; i++)
        if (strcmp(hf_compared[i], type) == 0)
            return sm_claims_read(out, SM_CLAIMS_HF, doc, "", err);
    return json_is_string(json_object_get(doc, "architecture")) ? read_timm(out, doc, err) : SM_OK;
}

/* Reads Hugging Face's image processor. Without normalisation, mean is 0 and std is 1. */
static enum sm_code read_preprocessor(struct sm_encoder_config *out, const json_t *doc,
                                      struct sm_err *err)
{
    bool normalize = true;
    static const struct sm_field fields[] = {{"do_normalize", SM_FIELD_BOOL, 0, 0, 0, 0, 0}, {0}};
    enum sm_code code = read_known(&normalize, doc, fields, "", err);
    if (code == SM_OK)
        code = read_pixels(out, doc, "image_mean", "image_std", "", err);
    for (int c = 0; c < 3 && !normalize; c++) {
        out->mean[c] = 0;
        out->std[c] = 1;
    }
    return code;
}

/* Fields of open_clip src/open_clip/model.py, CLIPVisionCfg. */

/* names in the order of enum sm_pool */
static const char *const clip_pool_names[] = {"tok", "avg", NULL};
static const char *const approximate_names[] = {"none", "tanh",
                                                NULL}; /* in the order of enum sm_activation_kind */

struct clip {
    const json_t *model, *pixels, *vision;
    bool quick_gelu;
    /* The members below are the fields of vision_cfg. */
    int32_t width, head_width;
    const json_t *layers, *attentional_pool, *act_kwargs, *norm_kwargs;
    char timm_model_name[2 * FOREIGN_BYTES];
    int timm_pool, pool_type, approximate;
    bool norm_after_pool;
    double norm_eps;
};

#define AT(member) offsetof(struct clip, member)
static const struct sm_field clip_fields[] = {
    {"model_cfg", SM_FIELD_NODE, AT(model), 0, 0, NULL, true},
    {"preprocess_cfg", SM_FIELD_NODE, AT(pixels), 0, 0, NULL, false},
    {0}};
static const struct sm_field clip_model_fields[] = {
    {"vision_cfg", SM_FIELD_NODE, AT(vision), 0, 0, NULL, true},
    {"quick_gelu", SM_FIELD_BOOL, AT(quick_gelu), 0, 0, NULL, false},
    {0}};
static const struct sm_field clip_vision_fields[] = {
    {"width", SM_FIELD_INT, AT(width), 1, WIDTH_MAX, NULL, false},
    {"head_width", SM_FIELD_INT, AT(head_width), 1, WIDTH_MAX, NULL, false},
    {"layers", SM_FIELD_NODE, AT(layers), 0, 0, NULL, false},
    {"attentional_pool", SM_FIELD_NODE, AT(attentional_pool), 0, 0, NULL, false},
    {"act_kwargs", SM_FIELD_NODE, AT(act_kwargs), 0, 0, NULL, false},
    {"norm_kwargs", SM_FIELD_NODE, AT(norm_kwargs), 0, 0, NULL, false},
    {"timm_model_name", SM_FIELD_TEXT, AT(timm_model_name), 0, 2 * FOREIGN_BYTES - 1, NULL, false},
    {"timm_pool", SM_FIELD_ENUM, AT(timm_pool), 0, 0, timm_pool_names, false},
    {"pool_type", SM_FIELD_ENUM, AT(pool_type), 0, 0, clip_pool_names, false},
    {"final_ln_after_pool", SM_FIELD_BOOL, AT(norm_after_pool), 0, 0, NULL, false},
    {0}};
static const struct sm_field clip_act_fields[] = {
    {"approximate", SM_FIELD_ENUM, AT(approximate), 0, 0, approximate_names, false}, {0}};
static const struct sm_field clip_norm_fields[] = {
    {"eps", SM_FIELD_DOUBLE, AT(norm_eps), SM_NORM_EPS_MIN, SM_NORM_EPS_MAX, NULL, false}, {0}};
#undef AT

#define CLIP_VISION "/model_cfg/vision_cfg"

static enum sm_code read_clip_vision(struct sm_encoder_config *out, const struct clip *clip,
                                     struct sm_err *err)
{
    bool resnet = json_is_array(clip->layers);
    if (clip->timm_model_name[0]) { /* the mean unless stated; "" leaves the pooling to the tower */
        bool said = json_object_get(clip->vision, "timm_pool") != NULL;
        out->pool = said ? (enum sm_pool)(clip->timm_pool + 1) : SM_POOL_MEAN;
        return SM_OK;
    }
    /* A ResNet pools its last map by attention. That map is 32 times as wide as the stem. */
    out->heads = (resnet ? 32 : 1) * clip->width / clip->head_width;
    if (out->heads < 1 || out->heads > SM_HEADS_MAX)
        return sm_err_field(err, CLIP_VISION "/head_width",
                            "width %d in heads of width %d makes %d heads, must be from 1 to %d",
                            (int)clip->width, (int)clip->head_width, (int)out->heads, SM_HEADS_MAX);
    if (resnet)
        return SM_OK;
    out->norm_eps = clip->norm_eps;
    out->activation = clip->quick_gelu ? SM_ACTIVATION_QUICK_GELU
                                       : (enum sm_activation_kind)(clip->approximate + 1);
    if (clip->attentional_pool && !json_is_false(clip->attentional_pool))
        return SM_OK;
    out->pool = (enum sm_pool)(clip->pool_type + 1);
    out->final_norm = clip->norm_after_pool ? SM_FINAL_NORM_AFTER_POOL : SM_FINAL_NORM_BEFORE_POOL;
    return SM_OK;
}

static enum sm_code read_open_clip(struct sm_encoder_config *out, const json_t *doc,
                                   struct sm_err *err)
{
    struct clip clip = {.width = 768, .head_width = 64, .norm_eps = 1e-5, .timm_pool = -1};
    enum sm_code code = read_known(&clip, doc, clip_fields, "", err);
    if (code == SM_OK)
        code = read_known(&clip, clip.model, clip_model_fields, "/model_cfg", err);
    if (code == SM_OK)
        code = read_known(&clip, clip.vision, clip_vision_fields, CLIP_VISION, err);
    if (code == SM_OK && clip.act_kwargs)
        code = read_known(&clip, clip.act_kwargs, clip_act_fields, CLIP_VISION "/act_kwargs", err);
    if (code == SM_OK && clip.norm_kwargs)
        code =
            read_known(&clip, clip.norm_kwargs, clip_norm_fields, CLIP_VISION "/norm_kwargs", err);
    if (code == SM_OK)
        code = read_clip_vision(out, &clip, err);
    enum sm_claims kind = clip.timm_model_name[0]      ? SM_CLAIMS_CLIP_TIMM
                          : json_is_array(clip.layers) ? SM_CLAIMS_CLIP_RESNET
                                                       : SM_CLAIMS_CLIP;
    if (code == SM_OK)
        code = read_claims(out, kind, clip.vision, "width", kind == SM_CLAIMS_CLIP ? clip.width : 0,
                           CLIP_VISION, err);
    if (code == SM_OK)
        sm_claims_name(out, SM_NAME_CLIP_TIMM, clip.timm_model_name);
    if (code == SM_OK && clip.pixels && !json_is_object(clip.pixels))
        code = sm_err_field(err, "/preprocess_cfg", "preprocess_cfg must be an object");
    if (code == SM_OK)
        code = read_pixels(out, clip.pixels, "mean", "std", "/preprocess_cfg", err);
    return code;
}

/* solo-learn: the normalisations are from solo/data/pretrain_dataloader.py. The stem of CIFAR
 * ResNets (3x3 convolution with padding 2) is from solo/methods/base.py. Other data sets get
 * ImageNet's normalisation. */
static const struct {
    const char *name;
    enum sm_pixels pixels;
    bool cifar;
} solo_datasets[] = {
    {"cifar10", SM_PIXELS_CIFAR10, true},
    {"cifar100", SM_PIXELS_CIFAR100, true},
    {"stl10", SM_PIXELS_STL10, false},
};

/* Reads the text at doc[outer][inner], or at doc[flat] in older files, which have no sections. */
static enum sm_code read_sectioned(char out[FOREIGN_BYTES], const json_t *doc, const char *outer,
                                   const char *inner, const char *flat, struct sm_err *err)
{
    const json_t *section = json_object_get(doc, outer);
    bool flattened = !json_is_object(section);
    char pointer[FOREIGN_BYTES];
    const struct sm_field fields[] = {
        {flattened ? flat : inner, SM_FIELD_TEXT, 0, 0, FOREIGN_BYTES - 1, NULL, true}, {0}};
    snprintf(pointer, sizeof pointer, "%s%s", flattened ? "" : "/", flattened ? "" : outer);
    return read_known(out, flattened ? doc : section, fields, pointer, err);
}

static enum sm_code read_args(struct sm_encoder_config *out, const json_t *doc, struct sm_err *err)
{
    char backbone[FOREIGN_BYTES], dataset[FOREIGN_BYTES];
    const char *key = json_object_get(doc, "backbone") ? "backbone" : "encoder";
    if (!json_object_get(doc, key) ||
        !(json_object_get(doc, "data") || json_object_get(doc, "dataset")))
        return SM_OK;
    enum sm_code code = read_sectioned(backbone, doc, key, "name", key, err);
    if (code == SM_OK)
        code = read_sectioned(dataset, doc, "data", "dataset", "dataset", err);
    if (code != SM_OK)
        return code;
    sm_pixels_set(out, SM_PIXELS_IMAGENET);
    for (size_t i = 0; i < sizeof solo_datasets / sizeof *solo_datasets; i++) {
        if (strcmp(solo_datasets[i].name, dataset) != 0)
            continue;
        sm_pixels_set(out, solo_datasets[i].pixels);
        if (solo_datasets[i].cifar && strncmp(backbone, "resnet", strlen("resnet")) == 0)
            out->stem_pad = 2;
    }
    code = sm_claims_read(out, SM_CLAIMS_SOLO_ARGS,
                          sm_sidecar_get(json_object_get(doc, key), "kwargs"), "/backbone/kwargs",
                          err);
    if (code == SM_OK)
        sm_claims_name(out, SM_NAME_SOLO, backbone);
    return code;
}

static enum sm_code read_encoder(struct sm_encoder_config *out, const json_t *doc,
                                 struct sm_err *err)
{
    return sm_encoder_config_read(out, doc, "", err);
}

static const struct {
    const char *file;
    enum sm_code (*read)(struct sm_encoder_config *, const json_t *, struct sm_err *);
    enum sm_source source;
} sidecars[] = {
    [SM_SIDECAR_OWN] = {"encoder.json", read_encoder, SM_SOURCE_FILE},
    {"config.json", read_config, SM_SOURCE_SIDECAR},
    {"preprocessor_config.json", read_preprocessor, SM_SOURCE_SIDECAR},
    {"open_clip_config.json", read_open_clip, SM_SOURCE_SIDECAR},
    {"args.json", read_args, SM_SOURCE_SIDECAR},
};

#define SIDECARS (sizeof sidecars / sizeof *sidecars)

const char *sm_sidecar(size_t index)
{
    return index < SIDECARS ? sidecars[index].file : NULL;
}

enum sm_code sm_sidecar_name(struct sm_err *err, enum sm_code code, size_t index)
{
    if (code == SM_OK || !err)
        return code;
    const struct sm_err inner = *err;
    sm_err_set(err, code, "%s: %s", sidecars[index].file, inner.text);
    memcpy(err->pointer, inner.pointer, sizeof err->pointer);
    return code;
}

enum sm_code sm_sidecar_read(struct sm_encoder_config *config, size_t index, const void *bytes,
                             size_t bytes_count, struct sm_err *err)
{
    struct sm_encoder_config said = {0};
    json_t *doc;
    enum sm_code code =
        sm_json_parse(&doc, bytes, bytes_count, SM_SIDECAR_BYTES_MAX, SM_SIDECAR_DEPTH_MAX, err);
    if (code == SM_OK)
        code = sidecars[index].read(&said, doc, err);
    json_decref(doc);
    if (code == SM_OK) {
        sm_config_fill(config, &said, sidecars[index].source);
        sm_claims_fill(config, &said);
    }
    return sm_sidecar_name(err, code == SM_CORRUPT ? SM_INVALID : code, index);
}

enum sm_code sm_sidecar_beside(struct sm_encoder_config *config, const char *path, size_t index,
                               struct sm_err *err)
{
    struct sm_file file = {0};
    struct sm_err inner = {0};
    const char *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash + 1 - path) : 0;
    size_t size = folder + strlen(sidecars[index].file) + 1;
    char *at = malloc(size);
    if (!at)
        return sm_err_set(err, SM_NOMEM, "out of memory for a path");
    memcpy(at, path, folder);
    snprintf(at + folder, size - folder, "%s", sidecars[index].file);
    enum sm_code code = sm_file_map(&file, at, SM_SIDECAR_BYTES_MAX, &inner);
    free(at);
    if (code == SM_NOT_FOUND)
        return SM_OK;
    if (code != SM_OK) {
        if (err)
            *err = inner;
        return code;
    }
    code = sm_sidecar_read(config, index, file.bytes, file.bytes_count, err);
    sm_file_release(&file);
    return code;
}
