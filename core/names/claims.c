/* Compares what files of other programs say about a network with its tensors.
 *
 * Such a file is trusted for facts that tensors hide, so it must describe the network of this
 * checkpoint. Each number that the file states and the tensors show is recorded when the file is
 * read (a claim), and compared when the shapes are known. If one differs, the file describes
 * another network. A number that the file omits is not compared. If no field was taken from these
 * files, because earlier sources set them all, nothing is compared.
 *
 * The numbers behind architecture names are from timm models/vision_transformer.py, resnet.py,
 * convnext.py, eva.py (DINOv3) and from solo-learn solo/backbones. Rows of ResNets state no width,
 * because narrow ResNets have the same names. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/names/config.h"

#define NUMBER_MAX 65536
#define POOL_UNIT  32 /* pixels per position in the table of a CLIP ResNet */
#define VALUES     (sizeof(((struct sm_config_claim *)NULL)->value) / sizeof(int32_t))

enum fact { WIDTH, BLOCKS, PATCH, MLP, REGISTERS, IMAGE, STAGE_BLOCKS, STAGE_WIDTHS, CONVS };

/* a fact is one number, one or two sides, or one number per stage */
enum shape { ONE, SIDES, STAGES };

static const struct {
    const char *name;
    enum shape shape;
    size_t offset; /* where sm_encoder_info has the fact's first number */
    int32_t min;
} facts[] = {
#define AT(member) offsetof(struct sm_encoder_info, member)
    [WIDTH] = {"width", ONE, AT(dim), 1},
    [BLOCKS] = {"depth", ONE, AT(blocks), 1},
    [PATCH] = {"patch size", SIDES, AT(patch), 1},
    [MLP] = {"MLP width", ONE, AT(mlp), 1},
    [REGISTERS] = {"register tokens", ONE, AT(registers), 0},
    [IMAGE] = {"image size", SIDES, AT(table_side), 1},
    [STAGE_BLOCKS] = {"depths", STAGES, AT(stage_blocks), 1},
    [STAGE_WIDTHS] = {"widths", STAGES, AT(stage_dims), 1},
    [CONVS] = {"convolutions a block", ONE, AT(block_convs), 1},
#undef AT
};

/* Maps the keys of each kind of file to the facts that they state. */
static const struct row {
    enum sm_claims kind;
    const char *file, *key;
    enum fact fact;
    int32_t times; /* factor from the file's number to the fact; 0: 1 */
    bool ratio;    /* the number is a ratio to the width that the file states */
} rows[] = {
    {SM_CLAIMS_HF, "config.json", "hidden_size", WIDTH, 0, false},
    {SM_CLAIMS_HF, "config.json", "num_hidden_layers", BLOCKS, 0, false},
    {SM_CLAIMS_HF, "config.json", "patch_size", PATCH, 0, false},
    {SM_CLAIMS_HF, "config.json", "intermediate_size", MLP, 0, false},
    {SM_CLAIMS_HF, "config.json", "mlp_ratio", MLP, 0, true},
    {SM_CLAIMS_HF, "config.json", "num_register_tokens", REGISTERS, 0, false},
    {SM_CLAIMS_HF, "config.json", "image_size", IMAGE, 0, false},
    {SM_CLAIMS_HF, "config.json", "depths", STAGE_BLOCKS, 0, false},
    {SM_CLAIMS_HF, "config.json", "hidden_sizes", STAGE_WIDTHS, 0, false},
    {SM_CLAIMS_TIMM_ARGS, "config.json", "embed_dim", WIDTH, 0, false},
    {SM_CLAIMS_TIMM_ARGS, "config.json", "depth", BLOCKS, 0, false},
    {SM_CLAIMS_TIMM_ARGS, "config.json", "patch_size", PATCH, 0, false},
    {SM_CLAIMS_TIMM_ARGS, "config.json", "img_size", IMAGE, 0, false},
    {SM_CLAIMS_TIMM_ARGS, "config.json", "reg_tokens", REGISTERS, 0, false},
    {SM_CLAIMS_TIMM_ARGS, "config.json", "num_reg_tokens", REGISTERS, 0, false},
    {SM_CLAIMS_TIMM_ARGS, "config.json", "depths", STAGE_BLOCKS, 0, false},
    {SM_CLAIMS_TIMM_ARGS, "config.json", "layers", STAGE_BLOCKS, 0, false},
    {SM_CLAIMS_TIMM_ARGS, "config.json", "dims", STAGE_WIDTHS, 0, false},
    {SM_CLAIMS_TIMM, "config.json", "num_features", WIDTH, 0, false},
    {SM_CLAIMS_CLIP, "open_clip_config.json", "width", WIDTH, 0, false},
    {SM_CLAIMS_CLIP, "open_clip_config.json", "layers", BLOCKS, 0, false},
    {SM_CLAIMS_CLIP, "open_clip_config.json", "patch_size", PATCH, 0, false},
    {SM_CLAIMS_CLIP, "open_clip_config.json", "mlp_ratio", MLP, 0, true},
    {SM_CLAIMS_CLIP, "open_clip_config.json", "image_size", IMAGE, 0, false},
    {SM_CLAIMS_CLIP_RESNET, "open_clip_config.json", "width", WIDTH, 32, false},
    {SM_CLAIMS_CLIP_RESNET, "open_clip_config.json", "layers", STAGE_BLOCKS, 0, false},
    {SM_CLAIMS_CLIP_RESNET, "open_clip_config.json", "image_size", IMAGE, 0, false},
    {SM_CLAIMS_CLIP_TIMM, "open_clip_config.json", "image_size", IMAGE, 0, false},
    {SM_CLAIMS_SOLO_ARGS, "args.json", "patch_size", PATCH, 0, false},
    {SM_CLAIMS_SOLO_ARGS, "args.json", "img_size", IMAGE, 0, false},
};

#define ROWS (sizeof rows / sizeof *rows)

/* Keys whose value is the name of an architecture. Their claims are numbered from ROWS on. */
static const struct {
    const char *file, *key;
} names[] = {
    [SM_NAME_TIMM] = {"config.json", "architecture"},
    [SM_NAME_CLIP_TIMM] = {"open_clip_config.json", "timm_model_name"},
    [SM_NAME_SOLO] = {"args.json", "backbone"},
};

/* Numbers behind the names of architectures; 0: not stated. The first row counts whose `name`
 * begins the architecture's name and whose `part` occurs in it. */
static const struct architecture {
    const char *name, *part;
    int32_t width, blocks, stages[VALUES], convs;
} architectures[] = {
    {"vit_giant", "dinov2", 1536, 40, {0}, 0},
    {"vit_base", "_plus_", 896, 12, {0}, 0},
    {"vit_small", "_36x1", 384, 36, {0}, 0},
    {"vit_small", "_18x2", 384, 18, {0}, 0},
    {"vit_base", "_18x2", 768, 18, {0}, 0},
    {"vit_tiny", "", 192, 12, {0}, 0},
    {"vit_wee", "", 256, 14, {0}, 0},
    {"vit_little", "", 320, 14, {0}, 0},
    {"vit_small", "", 384, 12, {0}, 0},
    {"vit_medium", "", 512, 12, {0}, 0},
    {"vit_mediumd", "", 512, 20, {0}, 0},
    {"vit_betwixt", "", 640, 12, {0}, 0},
    {"vit_base", "", 768, 12, {0}, 0},
    {"vit_large", "", 1024, 24, {0}, 0},
    {"vit_so400m", "", 1152, 27, {0}, 0},
    {"vit_huge", "", 1280, 32, {0}, 0},
    {"vit_giant", "", 1408, 40, {0}, 0},
    {"vit_giantopt", "", 1536, 40, {0}, 0},
    {"vit_gigantic", "", 1664, 48, {0}, 0},
    {"vit_7b", "", 4096, 40, {0}, 0},
    {"deit_tiny", "", 192, 12, {0}, 0},
    {"deit_small", "", 384, 12, {0}, 0},
    {"deit_base", "", 768, 12, {0}, 0},
    {"deit3_small", "", 384, 12, {0}, 0},
    {"deit3_medium", "", 512, 12, {0}, 0},
    {"deit3_base", "", 768, 12, {0}, 0},
    {"deit3_large", "", 1024, 24, {0}, 0},
    {"deit3_huge", "", 1280, 32, {0}, 0},
    {"resnet18", "", 0, 0, {2, 2, 2, 2}, 2},
    {"resnet34", "", 0, 0, {3, 4, 6, 3}, 2},
    {"resnet50", "", 0, 0, {3, 4, 6, 3}, 3},
    {"resnet101", "", 0, 0, {3, 4, 23, 3}, 3},
    {"resnet152", "", 0, 0, {3, 8, 36, 3}, 3},
    {"wide_resnet50", "", 0, 0, {3, 4, 6, 3}, 3},
    {"wide_resnet101", "", 0, 0, {3, 4, 23, 3}, 3},
    {"resnext50", "", 0, 0, {3, 4, 6, 3}, 3},
    {"resnext101", "", 0, 0, {3, 4, 23, 3}, 3},
    {"convnext_tiny", "", 768, 0, {3, 3, 9, 3}, 0},
    {"convnext_small", "", 768, 0, {3, 3, 27, 3}, 0},
    {"convnext_base", "", 1024, 0, {3, 3, 27, 3}, 0},
    {"convnext_large", "", 1536, 0, {3, 3, 27, 3}, 0},
    {"convnext_xlarge", "", 2048, 0, {3, 3, 27, 3}, 0},
};

static bool is_said(const struct sm_encoder_config *config, enum fact fact)
{
    for (int32_t i = 0; i < config->claims_count; i++)
        if (config->claims[i].fact == fact)
            return true;
    return false;
}

static void claim(struct sm_encoder_config *config, const struct sm_config_claim *said)
{
    for (int32_t i = 0; i < config->claims_count; i++)
        if (!memcmp(&config->claims[i], said, sizeof *said))
            return;
    if (config->claims_count < SM_CLAIMS_MAX)
        config->claims[config->claims_count++] = *said;
}

void sm_claims_fill(struct sm_encoder_config *config, const struct sm_encoder_config *from)
{
    for (int32_t i = 0; i < from->claims_count; i++)
        claim(config, &from->claims[i]);
}

static bool is_number(const json_t *node, int32_t min, int32_t max)
{
    return json_is_integer(node) && json_integer_value(node) >= min &&
           json_integer_value(node) <= max;
}

/* Reads the numbers of a fact; returns false if they have the wrong type or are out of range. */
static bool read_numbers(int32_t out[VALUES], const struct row *row, const json_t *node)
{
    enum shape shape = facts[row->fact].shape;
    size_t count = json_array_size(node);
    int32_t times = row->times ? row->times : 1, min = facts[row->fact].min;
    if (!json_is_array(node)) {
        if (shape == STAGES || !is_number(node, min, NUMBER_MAX / times))
            return false;
        out[0] = (int32_t)json_integer_value(node) * times;
        out[1] = shape == SIDES ? out[0] : 0;
        return true;
    }
    if (shape == ONE || count < 1 || count > VALUES || (shape == SIDES && count != 2))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!is_number(json_array_get(node, i), min, NUMBER_MAX))
            return false;
        out[i] = (int32_t)json_integer_value(json_array_get(node, i));
    }
    return true;
}

/* Computes the MLP's width from its ratio to the file's `width`. DINOv2's SwiGLU (`gated`) takes
 * two thirds of it, rounded up to a multiple of 8. Returns false for an invalid ratio. */
static bool read_ratio(int32_t out[VALUES], const json_t *ratio, const json_t *width,
                       const json_t *gated)
{
    double value = json_number_value(ratio);
    if (!json_is_number(ratio) || !(value > 0) || value > NUMBER_MAX)
        return false;
    int64_t wide = (int64_t)((double)json_integer_value(width) * value);
    wide = json_is_true(gated) ? (wide * 2 / 3 + 7) / 8 * 8 : wide;
    out[0] = wide < INT32_MAX ? (int32_t)wide : INT32_MAX;
    return true;
}

enum sm_code sm_claims_read(struct sm_encoder_config *out, enum sm_claims kind, const json_t *node,
                            const char *pointer, struct sm_err *err)
{
    char at[sizeof err->pointer];
    for (size_t i = 0; i < ROWS; i++) {
        struct sm_config_claim said = {.row = (uint16_t)i, .fact = (uint16_t)rows[i].fact};
        const json_t *value = sm_sidecar_get(node, rows[i].key);
        const json_t *width = sm_sidecar_get(node, kind == SM_CLAIMS_HF ? "hidden_size" : "width");
        if (rows[i].kind != kind || !value)
            continue;
        if (rows[i].ratio && !is_number(width, 1, NUMBER_MAX))
            continue;
        bool whole = rows[i].ratio ? read_ratio(said.value, value, width,
                                                sm_sidecar_get(node, "use_swiglu_ffn"))
                                   : read_numbers(said.value, &rows[i], value);
        if (!whole) {
            static const char *const forms[] = {"a number", "one side or two", "a list of stages"};
            snprintf(at, sizeof at, "%s/%s", pointer, rows[i].key);
            return sm_err_field(err, at, "%s must be %s, from %d to %d", rows[i].key,
                                rows[i].ratio ? forms[ONE] : forms[facts[rows[i].fact].shape],
                                (int)facts[rows[i].fact].min, NUMBER_MAX);
        }
        claim(out, &said);
    }
    return SM_OK;
}

/* Records a number that an architecture's name implies, unless the file states the fact itself. */
static void claim_named(struct sm_encoder_config *out, enum sm_name name, enum fact fact,
                        const int32_t *values, size_t count)
{
    struct sm_config_claim said = {.row = (uint16_t)(ROWS + name), .fact = (uint16_t)fact};
    if (!values[0] || is_said(out, fact))
        return;
    memcpy(said.value, values, count * sizeof *values);
    if (facts[fact].shape == SIDES)
        said.value[1] = said.value[0];
    claim(out, &said);
}

/* Returns the number that follows `mark` in a name; 0 if no number does. */
static int32_t number_behind(const char *name, const char *mark)
{
    const char *at = strstr(name, mark);
    long number =
        at && isdigit((unsigned char)at[strlen(mark)]) ? strtol(at + strlen(mark), NULL, 10) : 0;
    return number > 0 && number <= NUMBER_MAX ? (int32_t)number : 0;
}

void sm_claims_name(struct sm_encoder_config *out, enum sm_name key, const char *name)
{
    int32_t patch = number_behind(name, "_patch"), registers = number_behind(name, "_reg");
    if (!registers && !strncmp(name, "vit_", 4) && strstr(name, "dinov3"))
        registers = 4;
    claim_named(out, key, PATCH, &patch, 1);
    claim_named(out, key, REGISTERS, &registers, 1);
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++) {
        const struct architecture *a = &architectures[i];
        size_t length = strlen(a->name);
        if (strncmp(name, a->name, length) != 0 || !strstr(name, a->part) ||
            !strchr("_.", name[length])) /* strchr finds the final NUL too: the name may end */
            continue;
        claim_named(out, key, WIDTH, &a->width, 1);
        claim_named(out, key, BLOCKS, &a->blocks, 1);
        claim_named(out, key, STAGE_BLOCKS, a->stages, VALUES);
        claim_named(out, key, CONVS, &a->convs, 1);
        return;
    }
}

/* Writes the checkpoint's own numbers for a claim; returns false if it has none to compare. */
static bool measure(int32_t out[VALUES], const struct sm_config_claim *said,
                    const struct sm_encoder_info *info)
{
    size_t count = facts[said->fact].shape == STAGES ? VALUES : 1;
    memcpy(out, (const char *)info + facts[said->fact].offset, count * sizeof *out);
    if (facts[said->fact].shape == SIDES)
        out[1] = out[0];
    if (said->fact != IMAGE)
        return true;
    /* Pixels that do not fill a patch have no place in the table: the image may have such
     * pixels. */
    int32_t unit = info->patch ? info->patch : POOL_UNIT;
    bool fits = (int64_t)(said->value[0] / unit) * (said->value[1] / unit) ==
                (int64_t)info->table_side * info->table_side;
    out[0] = fits ? said->value[0] : info->table_side * unit;
    out[1] = fits ? said->value[1] : out[0];
    return info->table_side > 0;
}

static void format(char out[64], const int32_t value[VALUES], enum shape shape)
{
    size_t at = (size_t)snprintf(out, 64, "%d", (int)value[0]);
    bool square = shape == SIDES && value[0] == value[1];
    for (size_t i = 1; i < VALUES && value[i] && !square && at < 64; i++)
        at +=
            (size_t)snprintf(out + at, 64 - at, "%s%d", shape == SIDES ? "x" : ", ", (int)value[i]);
}

/* Lists the fields that were taken from files of other programs: "\"heads\", \"pool\"". */
static void list_taken(char *out, size_t out_bytes, const struct sm_encoder_config *config)
{
    size_t at = 0;
    out[0] = 0;
    for (enum sm_config_field i = 0; i < SM_CONFIG_FIELDS && at < out_bytes; i++)
        if (sm_config_is_set(config, i) && config->source[i] == SM_SOURCE_SIDECAR)
            at += (size_t)snprintf(out + at, out_bytes - at, "%s\"%s\"", at ? ", " : "",
                                   sm_config_name(i));
}

enum sm_code sm_claims_check(const struct sm_encoder_config *config,
                             const struct sm_encoder_info *info, struct sm_err *err)
{
    char taken[120], theirs[64], ours[64];
    list_taken(taken, sizeof taken, config);
    for (int32_t i = 0; i < config->claims_count && taken[0]; i++) {
        const struct sm_config_claim *said = &config->claims[i];
        enum shape shape = facts[said->fact].shape;
        int32_t here[VALUES] = {0};
        if (!measure(here, said, info) || !memcmp(here, said->value, sizeof here))
            continue;
        bool named = said->row >= ROWS;
        const char *file = named ? names[said->row - ROWS].file : rows[said->row].file;
        const char *key = named ? names[said->row - ROWS].key : rows[said->row].key;
        format(theirs, said->value, shape);
        format(ours, here, shape);
        return sm_err_set(err, SM_CONFLICT,
                          "%s says %s%s%s %s, the checkpoint's is %s: it is another network's; "
                          "remove it or give %s",
                          file, key, named ? " of " : "", named ? facts[said->fact].name : "",
                          theirs, ours, taken);
    }
    return SM_OK;
}
