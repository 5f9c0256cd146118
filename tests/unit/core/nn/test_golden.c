/* Encoders against PyTorch: every expected tensor of every case, by every kernel row, opened as a
 * user would: the checkpoint and what stands beside it.
 *
 * tests/golden/encoders: made with the official public code of each family. tests/golden/nn: made
 * by make_nn.py with torchvision and with our own writing of the ViTs, for what the first set lacks.
 * Two bounds hold at once, of each value and of each tensor: |d| <= 2e-5 (1 + |expected|) and |d| <=
 * 2e-5 max |expected|. Wrong eps, GELU or head count moves outputs by 5e-5 and more, two public
 * implementations differ by 2e-6. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/kern/kern.h"
#include "core/nn/resample.h"
#include "sslmem/encoder.h"

#define TOLERANCE 2e-5

struct golden {
    const char *folder, *family, *dialect;
};

static const struct golden goldens[] = {
    {"encoders/clip-resnet", "clip-resnet", "torchvision"},
    {"encoders/clip-vit", "vit", "clip"},
    {"encoders/clip-vit-jit", "vit", "clip"},
    {"encoders/dino-backbone", "vit", "timm"},
    {"encoders/dino-fp16", "vit", "timm"},
    {"encoders/dino-full", "vit", "timm"},
    {"encoders/dino-interp", "vit", "timm"},
    {"encoders/dinov2-hub", "vit", "timm"},
    {"encoders/dinov2-interp", "vit", "timm"},
    {"encoders/dinov2-reg4", "vit", "timm"},
    {"encoders/dinov2-reg4-bf16", "vit", "timm"},
    {"encoders/dinov2-reg4-interp", "vit", "timm"},
    {"encoders/dinov2-swiglu", "vit", "timm"},
    {"encoders/dinov2-teacher", "vit", "timm"},
    {"encoders/dinov2-train", "vit", "timm"},
    {"encoders/dinov3-7b", "vit", "timm"},
    {"encoders/dinov3-convnext", "convnext", "convnext"},
    {"encoders/dinov3-plus", "vit", "timm"},
    {"encoders/dinov3-teacher", "vit", "timm"},
    {"encoders/dinov3-vit", "vit", "timm"},
    {"encoders/hf-clip", "vit", "hf-clip"},
    {"encoders/hf-dinov2", "vit", "hf-dinov2"},
    {"encoders/hf-dinov2-bf16", "vit", "hf-dinov2"},
    {"encoders/hf-dinov2-swiglu", "vit", "hf-dinov2"},
    {"encoders/hf-siglip", "vit", "hf-siglip"},
    {"encoders/hf-vit", "vit", "hf-vit"},
    {"encoders/hf-vitmae", "vit", "hf-vit"},
    {"encoders/ibot-layerscale", "vit", "timm"},
    {"encoders/ibot-meanpool", "vit", "timm"},
    {"encoders/ibot-teacher", "vit", "timm"},
    {"encoders/ijepa", "vit", "timm"},
    {"encoders/mae-finetune", "vit", "timm"},
    {"encoders/mae-full", "vit", "timm"},
    {"encoders/mae-interp", "vit", "timm"},
    {"encoders/mae-pretrain", "vit", "timm"},
    {"encoders/memssl-mae", "vit", "memssl-mae"},
    {"encoders/memssl-mae-encoder", "vit", "memssl-mae"},
    {"encoders/memssl-mae-state", "vit", "memssl-mae"},
    {"encoders/mocov3-conv", "vit", "timm"},
    {"encoders/mocov3-vit", "vit", "timm"},
    {"encoders/openclip-quickgelu", "vit", "clip"},
    {"encoders/openclip-timm-siglip", "vit", "timm"},
    {"encoders/openclip-variants", "vit", "clip"},
    {"encoders/openclip-vit", "vit", "clip"},
    {"encoders/resnet-barlow", "resnet", "torchvision"},
    {"encoders/resnet-lightly", "resnet18", "sequential"},
    {"encoders/resnet-memssl-vicreg", "resnet", "sequential"},
    {"encoders/resnet-mocov3", "resnet", "torchvision"},
    {"encoders/resnet-simclr-cifar", "resnet", "sequential"},
    {"encoders/resnet-sololearn-cifar", "resnet18", "torchvision"},
    {"encoders/resnet-vicreg", "resnet", "torchvision"},
    {"encoders/resnet18-torchvision", "resnet18", "torchvision"},
    {"encoders/resnet50-fp16", "resnet50", "torchvision"},
    {"encoders/resnet50-torchvision", "resnet50", "torchvision"},
    {"encoders/resnext", "resnext", "torchvision"},
    {"encoders/timm-clip", "vit", "timm"},
    {"encoders/timm-clip-quickgelu", "vit", "timm"},
    {"encoders/timm-dinov2-reg", "vit", "timm"},
    {"encoders/timm-dinov2-reg-interp", "vit", "timm"},
    {"encoders/timm-dinov2-swiglu", "vit", "timm"},
    {"encoders/timm-dinov3", "vit", "timm"},
    {"encoders/timm-dinov3-swiglu", "vit", "timm"},
    {"encoders/timm-siglip", "vit", "timm"},
    {"encoders/timm-siglip-gap", "vit", "timm"},
    {"encoders/timm-siglip-tanh", "vit", "timm"},
    {"encoders/timm-vit", "vit", "timm"},
    {"encoders/timm-vit-interp", "vit", "timm"},
    {"encoders/wide-resnet", "resnet", "torchvision"},
    {"nn/resnet18-narrow", "resnet18", "torchvision"},
    {"nn/resnet34-narrow", "resnet34", "torchvision"},
    {"nn/resnet50-narrow", "resnet50", "torchvision"},
    {"nn/resnet101-narrow", "resnet101", "torchvision"},
    {"nn/simclr-resnet18", "resnet18", "sequential"},
    {"nn/timm-vit-tiny", "vit", "timm"},
    {"nn/timm-vit-64", "vit", "timm"},
    {"nn/mae-wrapped", "vit", "timm"},
    {"nn/dino-both", "vit", "timm"},
    {"nn/torchvision-vit", "vit", "torchvision-vit"},
    {"nn/hf-dinov3", "vit", "hf-dinov3"},
    {"nn/big-vision", "vit", "big_vision"},
    {"nn/big-vision-scan", "vit", "big_vision"},
    {"nn/memssl-mae-f16", "vit", "memssl-mae"},
    {"nn/memssl-mae-bf16", "vit", "memssl-mae"},
};

struct files {
    json_t *config;
    char path[256]; /* of the checkpoint */
    struct sm_ckpt *checkpoint, *input, *expected;
    const struct sm_tensor *x_tensor;
    float *x;
};

static struct sm_ckpt *open_file(char path[256], const char *folder, const char *file)
{
    struct sm_err err = {0};
    struct sm_ckpt *out;
    snprintf(path, 256, "tests/golden/%s/%s", folder, file);
    if (sm_ckpt_open(&out, path, &err) != SM_OK)
        fail_msg("%s: %s", path, err.text);
    return out;
}

static float *read_tensor(struct sm_ckpt *ckpt, const struct sm_tensor *tensor)
{
    float *out = malloc((size_t)tensor->count * sizeof *out);
    assert_non_null(out);
    assert_int_equal(sm_ckpt_read(ckpt, tensor, out, NULL), SM_OK);
    return out;
}

static void open_files(struct files *f, const char *folder)
{
    char path[256];
    snprintf(path, sizeof path, "tests/golden/%s/case.json", folder);
    f->config = json_load_file(path, 0, NULL);
    assert_non_null(f->config);
    json_t *checkpoint = json_object_get(f->config, "checkpoint");
    f->checkpoint =
        open_file(f->path, folder, json_string_value(json_object_get(checkpoint, "file")));
    f->input = open_file(path, folder, "input.safetensors");
    f->expected = open_file(path, folder, "expected.safetensors");
    f->x_tensor = sm_ckpt_find(f->input, "x");
    assert_non_null(f->x_tensor);
    f->x = read_tensor(f->input, f->x_tensor);
}

static void close_files(struct files *f)
{
    json_decref(f->config);
    sm_ckpt_close(f->checkpoint);
    sm_ckpt_close(f->input);
    sm_ckpt_close(f->expected);
    free(f->x);
}

/* "<wrapper>.<prefix>" of a golden's checkpoint object. */
static void read_prefix(char out[128], const json_t *object)
{
    const char *wrapper = json_string_value(json_object_get(object, "wrapper_key"));
    const char *prefix = json_string_value(json_object_get(object, "prefix"));
    snprintf(out, 128, "%s%s%s", wrapper ? wrapper : "", wrapper ? "." : "", prefix);
}

/* Our tap for an expected tensor; false for those that are no output of the encoder. */
static bool tap_name(char out[32], const char *name, const struct sm_encoder_info *info)
{
    int stage;
    if (!strcmp(name, "published.order") || !strcmp(name, "pos_embed") ||
        !strncmp(name, "rope.", 5))
        return false;
    if (sscanf(name, "layer%d", &stage) == 1)
        snprintf(out, 32, "stage.%d", stage - 1);
    else if (!strcmp(name, "map") || !strcmp(name, "published.tokens"))
        snprintf(out, 32, "tokens");
    else if (!strcmp(name, "feature_normalised"))
        snprintf(out, 32, "pooled");
    else if (!strcmp(name, "tokens_prenorm"))
        snprintf(out, 32, "block.%d", (int)info->blocks - 1);
    else
        snprintf(out, 32, "%s", name);
    return true;
}

/* [c, h * w] -> [h * w, c] of each image, as maps are stored by PyTorch. */
static void to_rows(float *values, const struct sm_tensor *t)
{
    size_t c = (size_t)t->shape[1], area = (size_t)(t->shape[2] * t->shape[3]);
    float *copy = malloc((size_t)t->count * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, values, (size_t)t->count * sizeof *copy);
    for (size_t i = 0; i < (size_t)t->count; i++) {
        size_t image = i / (c * area), channel = i / area % c, at = i % area;
        values[(image * area + at) * c + channel] = copy[i];
    }
    free(copy);
}

/* Our output in the form of the expected tensor: normalised to length 1, or in the order of patches
 * of the published MAE script, which draws one per image and keeps it: its block outputs are
 * recorded in that order, "tokens" in raster order. */
static void to_form(float *out, const struct sm_tap *tap, const char *name, struct files *f,
                    int images)
{
    size_t dim = (size_t)tap->dim, rows = (size_t)(images * tap->rows);
    memcpy(out, tap->data, rows * dim * sizeof *out);
    const struct sm_tensor *published = sm_ckpt_find(f->expected, "published.order");
    if (published && (!strcmp(name, "published.tokens") || !strncmp(name, "block.", 6))) {
        float *order = read_tensor(f->expected, published);
        for (size_t r = 0; r < rows; r++) {
            size_t image = r / (size_t)tap->rows, from = (size_t)order[r];
            memcpy(out + r * dim, tap->data + (image * (size_t)tap->rows + from) * dim,
                   dim * sizeof *out);
        }
        free(order);
    }
    for (size_t r = 0; !strcmp(name, "feature_normalised") && r < rows; r++) {
        double length = 0;
        for (size_t i = 0; i < dim; i++)
            length += pow((double)out[r * dim + i], 2);
        for (size_t i = 0; i < dim; i++)
            out[r * dim + i] = (float)((double)out[r * dim + i] / sqrt(length));
    }
}

static void compare(const float *actual, const float *expected, size_t count, const char *what,
                    const char *name, const char *kernels)
{
    double top = 0;
    for (size_t i = 0; i < count; i++)
        top = fmax(top, fabs((double)expected[i]));
    for (size_t i = 0; i < count; i++) {
        double e = (double)expected[i], d = fabs((double)actual[i] - e);
        if (!(d <= TOLERANCE * (1 + fabs(e)) && d <= TOLERANCE * top))
            fail_msg("%s, %s, %s: value %zu is %.9g, expected %.9g, largest %.3g", what, name,
                     kernels, i, (double)actual[i], e, top);
    }
}

/* Compares one tensor of expected.safetensors. */
static void check_tensor(const struct sm_encoder *encoder, struct files *f,
                         const struct sm_tensor *tensor, const char *name, const char *what)
{
    char tap_text[32];
    const char *const taps[] = {tap_text};
    struct sm_workspace *ws;
    struct sm_tap tap, shape;
    struct sm_err err = {0};
    int images = (int)f->x_tensor->shape[0];
    if (!tap_name(tap_text, name, sm_encoder_info(encoder)))
        return;
    if (sm_workspace_new(&ws, encoder, images, taps, 1, &err) != SM_OK)
        fail_msg("%s, %s: %s", what, name, err.text);
    sm_encoder_forward(encoder, ws, f->x, images);
    assert_int_equal(sm_encoder_tap(&tap, ws, tap_text, &err), SM_OK);
    assert_int_equal(sm_encoder_tap_shape(&shape, encoder, tap_text, &err), SM_OK);
    assert_true(shape.rows == tap.rows && shape.dim == tap.dim && !shape.data);
    if (tensor->count != (int64_t)images * tap.rows * tap.dim)
        fail_msg("%s, %s: %d x %d x %d numbers, expected %lld", what, name, images, (int)tap.rows,
                 (int)tap.dim, (long long)tensor->count);
    float *expected = read_tensor(f->expected, tensor);
    float *actual = malloc((size_t)tensor->count * sizeof *actual);
    assert_non_null(actual);
    if (tensor->rank == 4)
        to_rows(expected, tensor);
    to_form(actual, &tap, name, f, images);
    compare(actual, expected, (size_t)tensor->count, what, name, sm_encoder_info(encoder)->kernels);
    free(actual);
    free(expected);
    sm_workspace_free(ws);
}

static const char *choice(const struct sm_encoder_info *info, const char *name)
{
    for (int32_t i = 0; i < info->choices_count; i++)
        if (!strcmp(info->choices[i].name, name))
            return info->choices[i].value;
    return "";
}

/* The resampled position table, by the rule that the encoder chose. */
static void check_positions(const struct sm_encoder_info *info, struct files *f, const char *what)
{
    static const char *const rules[] = {"", "plain", "offset", "antialias"};
    const struct sm_tensor *wanted = sm_ckpt_find(f->expected, "pos_embed");
    char name[160];
    int rule = 0, grid = 1;
    if (!wanted)
        return;
    while (rule < 3 && strcmp(rules[rule], choice(info, "pos_resize")) != 0)
        rule++;
    snprintf(name, sizeof name, "%spos_embed", info->prefix);
    const struct sm_tensor *table = sm_ckpt_find(f->checkpoint, name);
    assert_non_null(table);
    while ((grid + 1) * (grid + 1) <= table->shape[1])
        grid++;
    int64_t dim = table->shape[2], cls = table->shape[1] - grid * grid;
    int32_t rows = (int32_t)(f->x_tensor->shape[2] * grid), cols = rows;
    const json_t *model = json_object_get(f->config, "model");
    int32_t patch = (int32_t)json_integer_value(json_object_get(model, "patch_size"));
    rows = (int32_t)f->x_tensor->shape[2] / patch;
    cols = (int32_t)f->x_tensor->shape[3] / patch;
    assert_int_equal(wanted->count, (rows * cols + cls) * dim);
    float *in = read_tensor(f->checkpoint, table), *expected = read_tensor(f->expected, wanted);
    float *out = malloc((size_t)wanted->count * sizeof *out);
    assert_non_null(out);
    memcpy(out, in, (size_t)(cls * dim) * sizeof *out);
    assert_int_equal(sm_pos_resample(out + cls * dim, in + cls * dim, grid, grid, (int32_t)dim,
                                     rows, cols, (enum sm_pos_resize)rule, NULL),
                     SM_OK);
    compare(out, expected, (size_t)wanted->count, what, "pos_embed", "resample");
    free(in);
    free(out);
    free(expected);
}

static void check_rope(const struct sm_encoder_info *info, struct files *f, const char *what)
{
    const struct sm_tensor *sines = sm_ckpt_find(f->expected, "rope.sin");
    const struct sm_tensor *cosines = sm_ckpt_find(f->expected, "rope.cos");
    char name[160];
    double periods[64];
    snprintf(name, sizeof name, "%srope_embed.periods", info->prefix);
    const struct sm_tensor *stored = sm_ckpt_find(f->checkpoint, name);
    if (!sines || !stored)
        return;
    assert_true(cosines && stored->count <= 64);
    float *p = read_tensor(f->checkpoint, stored);
    float *s = read_tensor(f->expected, sines), *c = read_tensor(f->expected, cosines);
    for (int64_t i = 0; i < stored->count; i++)
        periods[i] = (double)p[i];
    float *out = malloc((size_t)sines->count * 2 * sizeof *out);
    assert_non_null(out);
    int32_t patch = 8; /* of all these cases */
    sm_rope_tables(out, out + sines->count, periods, (int32_t)sines->shape[1],
                   (int32_t)f->x_tensor->shape[2] / patch, (int32_t)f->x_tensor->shape[3] / patch);
    compare(out, c, (size_t)sines->count, what, "rope.cos", "tables");
    compare(out + sines->count, s, (size_t)sines->count, what, "rope.sin", "tables");
    free(p);
    free(s);
    free(c);
    free(out);
}

/* What the case says that the encoder has. */
static void check_info(const struct golden *g, const struct sm_encoder_info *info,
                       const struct files *f, const char *prefix)
{
    const json_t *model = json_object_get(f->config, "model"), *node;
    assert_string_equal(info->family, g->family);
    assert_string_equal(info->dialect, g->dialect);
    assert_string_equal(info->prefix, prefix);
    if ((node = json_object_get(model, "norm_eps")) && info->heads)
        assert_true(info->norm_eps == json_real_value(node));
    if ((node = json_object_get(model, "num_heads")))
        assert_int_equal(info->heads, json_integer_value(node));
    if ((node = json_object_get(model, "register_tokens")))
        assert_int_equal(info->registers, json_integer_value(node));
    if ((node = json_object_get(model, "class_token")))
        assert_int_equal(info->has_cls, json_is_true(node));
    assert_int_equal(info->nonfinite, 0);
}

/* One encoder of a case, `key` NULL for the one of encoder.json: the tensors whose names start with
 * `expected_prefix`, among `others` with other prefixes. */
static int check_encoder(const struct golden *g, struct files *f, const char *prefix,
                         const char *key, const char *expected_prefix, const char *others,
                         const char *kernels)
{
    struct sm_encoder_config config = {.has_key = key != NULL};
    struct sm_encoder *encoder;
    struct sm_err err = {0};
    int checked = 0;
    if (key)
        snprintf(config.key, sizeof config.key, "%s", key);
    if (sm_encoder_config_complete(&config, f->path, &err) != SM_OK)
        fail_msg("%s: %s", g->folder, err.text);
    config.input_h_px = (int32_t)f->x_tensor->shape[2];
    config.input_w_px = (int32_t)f->x_tensor->shape[3];
    if (sm_encoder_open(&encoder, f->checkpoint, &config, kernels, &err) != SM_OK)
        fail_msg("%s: %s", g->folder, err.text);
    check_info(g, sm_encoder_info(encoder), f, prefix);
    for (size_t i = 0; i < sm_ckpt_count(f->expected); i++) {
        const struct sm_tensor *tensor = sm_ckpt_at(f->expected, i);
        size_t length = strlen(expected_prefix);
        bool other = others && !strncmp(tensor->name, others, strlen(others));
        if (strncmp(tensor->name, expected_prefix, length) != 0 || (!length && other))
            continue;
        check_tensor(encoder, f, tensor, tensor->name + length, g->folder);
        checked++;
    }
    check_positions(sm_encoder_info(encoder), f, g->folder);
    check_rope(sm_encoder_info(encoder), f, g->folder);
    sm_encoder_close(encoder);
    return checked;
}

static void check_case(const struct golden *g, const char *kernels)
{
    struct files f;
    char prefix[128];
    open_files(&f, g->folder);
    const json_t *checkpoint = json_object_get(f.config, "checkpoint");
    const json_t *other = json_array_get(json_object_get(checkpoint, "also_valid"), 0);
    const char *others = json_string_value(json_object_get(other, "expected_prefix"));
    read_prefix(prefix, checkpoint);
    assert_true(check_encoder(g, &f, prefix, NULL, "", others, kernels) >= 2);
    if (other) {
        read_prefix(prefix, other);
        assert_true(check_encoder(g, &f, prefix, prefix, others, NULL, kernels) >= 1);
    }
    close_files(&f);
}

static void outputs_are_those_of_pytorch(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof goldens / sizeof goldens[0]; i++)
        for (size_t r = 0; sm_kern_at(r); r++)
            check_case(&goldens[i], sm_kern_at(r)->name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(outputs_are_those_of_pytorch)};
    sm_blas_single_thread();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
