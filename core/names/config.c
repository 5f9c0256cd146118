/* The configuration of an encoder: the facts that tensors do not show, collected from all sources.
 *
 * One table lists every field with its type, its limits, its place in the struct and the bytes that
 * show whether it is set. Reading, writing, checking and merging are loops over this table. A
 * source reaches a configuration only by merging, which fills unset fields and records the source.
 * So the order of the calls in sm_encoder_config_complete is the order of precedence. */
#include "core/names/config.h"

#include <stdio.h>
#include <string.h>

#include "core/base/json.h"

static const char *const activation_names[] = {"gelu", "gelu_tanh", "quick_gelu", "relu", NULL};
static const char *const pool_names[] = {"cls", "mean", "map", "max", NULL};
static const char *const final_norm_names[] = {"before_pool", "after_pool", NULL};
static const char *const pos_resize_names[] = {"plain", "offset", "antialias", NULL};
static const char *const stride_at_names[] = {"conv1", "conv2", NULL};
static const char *const stem_pool_names[] = {"max", "max_ceil", "none", NULL};
static const char *const dilate_names[] = {"none", "layer2", "layer3", "layer4", NULL};
static const char *const shortcut_pad_names[] = {"both", "after", NULL};
static const char *const norm_order_names[] = {"pre", "post", NULL};
static const char *const channel_names[] = {"rgb", "bgr", NULL};

struct span {
    size_t offset, size;
};

/* One field. Enum values are 1 + the index in `names`; 0 means unset. SM_FIELD_NODE is an array of
 * three numbers within the limits. The field is set if any byte of `told` is not zero. */
static const struct setting {
    const char *name;
    enum sm_field_type type;
    double min, max;
    const char *const *names;
    struct span value, told;
} settings[SM_CONFIG_FIELDS] = {
#define C struct sm_encoder_config
#define AT(member)                                                                                 \
    {                                                                                              \
        offsetof(C, member), sizeof(((C *)NULL)->member)                                           \
    }
#define FROM_TO(first, last)                                                                       \
    {                                                                                              \
        offsetof(C, first), offsetof(C, last) + sizeof(((C *)NULL)->last) - offsetof(C, first)     \
    }
#define ROW(type, min, max, names, member) type, min, max, names, AT(member), AT(member)
    [SM_CONFIG_PRESET] = {"preset",
                          ROW(SM_FIELD_TEXT, 0, sizeof(((C *)NULL)->preset) - 1, NULL, preset)},
    [SM_CONFIG_KEY] = {"key", SM_FIELD_TEXT, 0, sizeof(((C *)NULL)->key) - 1, NULL,
                       FROM_TO(key, has_key), AT(has_key)},
    [SM_CONFIG_INPUT_PX] = {"input_px", SM_FIELD_INT, 1, SM_INPUT_MAX_PX, NULL,
                            FROM_TO(input_h_px, input_w_px), FROM_TO(input_h_px, input_w_px)},
    [SM_CONFIG_HEADS] = {"heads", ROW(SM_FIELD_INT, 1, SM_HEADS_MAX, NULL, heads)},
    [SM_CONFIG_NORM_EPS] = {"norm_eps",
                            ROW(SM_FIELD_DOUBLE, SM_NORM_EPS_MIN, SM_NORM_EPS_MAX, NULL, norm_eps)},
    [SM_CONFIG_ACTIVATION] = {"activation", ROW(SM_FIELD_ENUM, 1, 4, activation_names, activation)},
    [SM_CONFIG_POOL] = {"pool", ROW(SM_FIELD_ENUM, 1, 4, pool_names, pool)},
    [SM_CONFIG_FINAL_NORM] = {"final_norm", ROW(SM_FIELD_ENUM, 1, 2, final_norm_names, final_norm)},
    [SM_CONFIG_POS_RESIZE] = {"pos_resize", ROW(SM_FIELD_ENUM, 1, 3, pos_resize_names, pos_resize)},
    [SM_CONFIG_STEM_PAD] = {"stem_pad", ROW(SM_FIELD_INT, 1, 3, NULL, stem_pad)},
    [SM_CONFIG_STRIDE_AT] = {"stride_at", ROW(SM_FIELD_ENUM, 1, 2, stride_at_names, stride_at)},
    [SM_CONFIG_STEM_POOL] = {"stem_pool", ROW(SM_FIELD_ENUM, 1, 3, stem_pool_names, stem_pool)},
    [SM_CONFIG_STEM_STRIDE] = {"stem_stride", ROW(SM_FIELD_INT, 1, 4, NULL, stem_stride)},
    [SM_CONFIG_STEM_NORM_EPS] = {"stem_norm_eps", ROW(SM_FIELD_DOUBLE, SM_NORM_EPS_MIN,
                                                      SM_NORM_EPS_MAX, NULL, stem_norm_eps)},
    [SM_CONFIG_DILATE_FROM] = {"dilate_from", ROW(SM_FIELD_ENUM, 1, 4, dilate_names, dilate_from)},
    [SM_CONFIG_SHORTCUT_PAD] = {"shortcut_pad",
                                ROW(SM_FIELD_ENUM, 1, 2, shortcut_pad_names, shortcut_pad)},
    [SM_CONFIG_NORM_ORDER] = {"norm_order", ROW(SM_FIELD_ENUM, 1, 2, norm_order_names, norm_order)},
    [SM_CONFIG_ATTN_SCALE] = {"attn_scale", ROW(SM_FIELD_DOUBLE, SM_ATTN_SCALE_MIN,
                                                SM_ATTN_SCALE_MAX, NULL, attn_scale)},
    [SM_CONFIG_ROPE_BASE] = {"rope_base",
                             ROW(SM_FIELD_DOUBLE, 1, SM_ROPE_BASE_MAX, NULL, rope_base)},
    [SM_CONFIG_PATCH_STRIDE] = {"patch_stride",
                                ROW(SM_FIELD_INT, 1, SM_INPUT_MAX_PX, NULL, patch_stride)},
    [SM_CONFIG_CHANNEL_ORDER] = {"channel_order",
                                 ROW(SM_FIELD_ENUM, 1, 2, channel_names, channel_order)},
    /* 0 (black) is a valid mean, so std shows whether both are set: a document has both or
     * neither. */
    [SM_CONFIG_MEAN] = {"mean", SM_FIELD_NODE, 0, 1, NULL, AT(mean), AT(std)},
    [SM_CONFIG_STD] = {"std", ROW(SM_FIELD_NODE, 1e-3, 1, NULL, std)},
#undef ROW
#undef FROM_TO
#undef AT
#undef C
};

const char *sm_config_name(enum sm_config_field field)
{
    return settings[field].name;
}

const char *sm_encoder_setting(size_t index)
{
    return index < SM_CONFIG_FIELDS ? settings[index].name : NULL;
}

bool sm_config_is_set(const struct sm_encoder_config *config, enum sm_config_field i)
{
    const char *told = (const char *)config + settings[i].told.offset;
    for (size_t k = 0; k < settings[i].told.size; k++)
        if (told[k])
            return true;
    return false;
}

void sm_config_get(void *value, const struct sm_encoder_config *config, enum sm_config_field field)
{
    const struct span *from = &settings[field].value;
    memcpy(value, (const char *)config + from->offset, from->size);
}

void sm_config_text(char *out, size_t out_bytes, enum sm_config_field field, const void *value)
{
    const struct setting *s = &settings[field];
    const double *numbers = value;
    if (s->type == SM_FIELD_TEXT)
        snprintf(out, out_bytes, "%s", (const char *)value);
    else if (s->type == SM_FIELD_INT)
        snprintf(out, out_bytes, "%d", (int)*(const int32_t *)value);
    else if (s->type == SM_FIELD_ENUM)
        snprintf(out, out_bytes, "%s", s->names[*(const int *)value - 1]);
    else if (s->type == SM_FIELD_DOUBLE)
        snprintf(out, out_bytes, "%g", *numbers);
    else
        snprintf(out, out_bytes, "%.4g %.4g %.4g", numbers[0], numbers[1], numbers[2]);
}

void sm_config_fill(struct sm_encoder_config *config, const struct sm_encoder_config *from,
                    enum sm_source source)
{
    for (enum sm_config_field i = 0; i < SM_CONFIG_FIELDS; i++) {
        const struct span *value = &settings[i].value;
        if (sm_config_is_set(config, i) || !sm_config_is_set(from, i))
            continue;
        memcpy((char *)config + value->offset, (const char *)from + value->offset, value->size);
        config->source[i] = (uint8_t)source;
    }
}

static enum sm_code check_number(const struct setting *s, double value, const char *name,
                                 const char *pointer, struct sm_err *err)
{
    if (value >= s->min && value <= s->max)
        return SM_OK;
    return sm_err_field(err, pointer, "%s is %g, must be from %g to %g", name, value, s->min,
                        s->max);
}

enum sm_code sm_encoder_config_check(const struct sm_encoder_config *config, struct sm_err *err)
{
    enum sm_code code = SM_OK;
    for (enum sm_config_field i = 0; i < SM_CONFIG_FIELDS && code == SM_OK; i++) {
        const struct setting *s = &settings[i];
        const char *at = (const char *)config + s->value.offset;
        bool whole = s->type == SM_FIELD_INT || s->type == SM_FIELD_ENUM;
        size_t step = whole ? sizeof(int32_t) : sizeof(double);
        if (!sm_config_is_set(config, i) || s->type == SM_FIELD_TEXT)
            continue;
        for (size_t k = 0; k < s->value.size && code == SM_OK; k += step) {
            double value = whole ? *(const int32_t *)(const void *)(at + k)
                                 : *(const double *)(const void *)(at + k);
            code = check_number(s, value, s->name, "", err);
        }
    }
    return code;
}

static enum sm_code read_triple(double out[3], const struct setting *s, const json_t *list,
                                const char *name, const char *pointer, struct sm_err *err)
{
    char at[sizeof err->pointer];
    enum sm_code code = SM_OK;
    snprintf(at, sizeof at, "%s/%s", pointer, name);
    if (json_array_size(list) != 3)
        return sm_err_field(err, at, "%s must be an array of three numbers", name);
    for (size_t c = 0; c < 3 && code == SM_OK; c++) {
        const json_t *number = json_array_get(list, c);
        snprintf(at, sizeof at, "%s/%s/%zu", pointer, name, c);
        out[c] = json_number_value(number);
        code = json_is_number(number)
                   ? check_number(s, out[c], name, at, err)
                   : sm_err_field(err, at, "%s must be an array of three numbers", name);
    }
    return code;
}

enum sm_code sm_config_read_pixels(struct sm_encoder_config *out, const json_t *node,
                                   const char *mean, const char *std, const char *pointer,
                                   struct sm_err *err)
{
    const json_t *mean_list = json_object_get(node, mean), *std_list = json_object_get(node, std);
    char at[sizeof err->pointer];
    if (!mean_list && !std_list)
        return SM_OK;
    if (!mean_list || !std_list) {
        const char *missing = mean_list ? std : mean, *other = mean_list ? mean : std;
        snprintf(at, sizeof at, "%s/%s", pointer, missing);
        return sm_err_field(err, at, "field \"%s\" is missing beside \"%s\"", missing, other);
    }
    enum sm_code code =
        read_triple(out->mean, &settings[SM_CONFIG_MEAN], mean_list, mean, pointer, err);
    if (code == SM_OK)
        code = read_triple(out->std, &settings[SM_CONFIG_STD], std_list, std, pointer, err);
    return code;
}

enum sm_code sm_encoder_config_read(struct sm_encoder_config *out, const json_t *node,
                                    const char *pointer, struct sm_err *err)
{
    struct draft {
        struct sm_encoder_config config;
        const json_t *list; /* mean or std; sm_config_read_pixels reads both afterwards */
    } draft = {0};
    struct sm_field fields[SM_CONFIG_FIELDS + 1] = {0};
    for (int i = 0; i < SM_CONFIG_FIELDS; i++) {
        const struct setting *s = &settings[i];
        bool list = s->type == SM_FIELD_NODE;
        size_t offset = list ? offsetof(struct draft, list) : s->value.offset;
        fields[i] = (struct sm_field){s->name, s->type, offset, s->min, s->max, s->names, false};
    }
    enum sm_code code = sm_fields_read(&draft, node, fields, pointer, err);
    if (code == SM_OK)
        code = sm_config_read_pixels(&draft.config, node, settings[SM_CONFIG_MEAN].name,
                                     settings[SM_CONFIG_STD].name, pointer, err);
    if (code != SM_OK)
        return code;
    for (int i = 0; i < SM_CONFIG_FIELDS; i++)
        if (settings[i].type == SM_FIELD_ENUM && json_object_get(node, settings[i].name))
            ++*(int *)(void *)((char *)&draft + settings[i].value.offset);
    draft.config.has_key = json_object_get(node, settings[SM_CONFIG_KEY].name) != NULL;
    draft.config.input_w_px = draft.config.input_h_px;
    *out = draft.config;
    return SM_OK;
}

enum sm_code sm_encoder_config_parse(struct sm_encoder_config *out, const json_t *node,
                                     const char *pointer, struct sm_err *err)
{
    struct sm_encoder_config said = {0};
    enum sm_code code = node ? sm_encoder_config_read(&said, node, pointer, err) : SM_OK;
    *out = (struct sm_encoder_config){0};
    sm_config_fill(out, &said, SM_SOURCE_CONFIG);
    return code;
}

/* Returns a field as JSON. The document has one number for both input sides: if they differ, which
 * only a caller in C can request, the height is written. */
static json_t *field_json(const struct setting *s, const void *value)
{
    const double *numbers = value;
    switch (s->type) {
    case SM_FIELD_TEXT:
        return json_string(value);
    case SM_FIELD_INT:
        return json_integer(*(const int32_t *)value);
    case SM_FIELD_ENUM:
        return json_string(s->names[*(const int *)value - 1]);
    case SM_FIELD_DOUBLE:
        return json_real(*numbers);
    default:
        return json_pack("[f, f, f]", numbers[0], numbers[1], numbers[2]);
    }
}

json_t *sm_encoder_config_json(const struct sm_encoder_config *config)
{
    json_t *out = json_object();
    if (sm_encoder_config_check(config, NULL) != SM_OK)
        goto fail;
    for (enum sm_config_field i = 0; i < SM_CONFIG_FIELDS; i++) {
        const struct setting *s = &settings[i];
        if (sm_config_is_set(config, i) &&
            json_object_set_new(out, s->name,
                                field_json(s, (const char *)config + s->value.offset)) != 0)
            goto fail;
    }
    return out;
fail:
    json_decref(out);
    return NULL;
}

json_t *sm_encoder_config_said_json(const struct sm_encoder_config *config)
{
    struct sm_encoder_config said = *config;
    for (enum sm_config_field i = 0; i < SM_CONFIG_FIELDS; i++)
        if (config->source[i] == SM_SOURCE_PRESET)
            memset((char *)&said + settings[i].value.offset, 0, settings[i].value.size);
    return sm_encoder_config_json(&said);
}

static enum sm_code fill_from_preset(struct sm_encoder_config *config, struct sm_err *err)
{
    struct sm_encoder_config said;
    if (!config->preset[0])
        return SM_OK;
    enum sm_code code = sm_preset_config(&said, config->preset, err);
    if (code == SM_OK)
        sm_config_fill(config, &said, SM_SOURCE_PRESET);
    return config->source[SM_CONFIG_PRESET] == SM_SOURCE_FILE
               ? sm_sidecar_name(err, code, SM_SIDECAR_OWN)
               : code;
}

enum sm_code sm_encoder_config_complete(struct sm_encoder_config *config, const char *path,
                                        struct sm_err *err)
{
    struct sm_encoder_config draft = *config;
    enum sm_code code = sm_encoder_config_check(config, err);
    if (code == SM_OK && path)
        code = sm_sidecar_beside(&draft, path, SM_SIDECAR_OWN, err);
    if (code == SM_OK)
        code = fill_from_preset(&draft, err);
    for (size_t i = SM_SIDECAR_OWN + 1; path && sm_sidecar(i) && code == SM_OK; i++)
        code = sm_sidecar_beside(&draft, path, i, err);
    if (code == SM_OK)
        *config = draft;
    return code;
}
