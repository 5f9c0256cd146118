/* Encoders against PyTorch: every expected tensor of every case, by every kernel row.
 *
 * tests/golden/encoders: made with the official public code of each family. tests/golden/nn: made
 * by make_nn.py with torchvision and with our own writing of the ViTs, for what the first set lacks
 * (block taps of ResNets, means, counts of 18/34/101, half precision in a pickled module). Two
 * bounds hold at once, of each value and of each tensor: |d| <= 2e-5 (1 + |expected|) and |d| <=
 * 2e-5 max |expected|. Wrong eps, GELU or head count moves outputs by 2e-4 and more, two public
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

#include "core/nn/kern.h"
#include "sslmem/encoder.h"

#define TOLERANCE 2e-5

struct golden {
    const char *folder;
    const char *family, *dialect;
    bool choose; /* several encoders in the file: the prefix has to be given */
};

static const struct golden goldens[] = {
    {"encoders/resnet-simclr-cifar", "resnet", "sequential", false},
    {"encoders/resnet-lightly", "resnet18", "sequential", false},
    {"encoders/resnet-memssl-vicreg", "resnet", "sequential", false},
    {"encoders/resnet-vicreg", "resnet", "torchvision", false},
    {"encoders/resnet-barlow", "resnet", "torchvision", false},
    {"encoders/resnet-mocov3", "resnet", "torchvision", true},
    {"encoders/resnet50-torchvision", "resnet50", "torchvision", false},
    {"encoders/resnet50-fp16", "resnet50", "torchvision", false},
    {"encoders/wide-resnet", "resnet", "torchvision", false},
    {"encoders/timm-vit", "vit", "timm", false},
    {"encoders/mae-full", "vit", "timm", false},
    {"encoders/mae-pretrain", "vit", "timm", false},
    {"encoders/dino-full", "vit", "timm", true},
    {"encoders/dino-fp16", "vit", "timm", false},
    {"encoders/memssl-mae", "vit", "memssl-mae", false},
    {"encoders/memssl-mae-encoder", "vit", "memssl-mae", false},
    {"nn/resnet18-narrow", "resnet18", "torchvision", false},
    {"nn/resnet34-narrow", "resnet34", "torchvision", false},
    {"nn/resnet50-narrow", "resnet50", "torchvision", false},
    {"nn/resnet101-narrow", "resnet101", "torchvision", false},
    {"nn/simclr-resnet18", "resnet18", "sequential", false},
    {"nn/timm-vit-tiny", "vit", "timm", false},
    {"nn/timm-vit-64", "vit", "timm", false},
    {"nn/mae-wrapped", "vit", "timm", false},
    {"nn/dino-both", "vit", "timm", true},
    {"nn/memssl-mae-f16", "vit", "memssl-mae", false},
    {"nn/memssl-mae-bf16", "vit", "memssl-mae", false},
};

struct files {
    json_t *config;
    struct sm_ckpt *checkpoint, *input, *expected;
    const struct sm_tensor *x_tensor;
    float *x;
};

static struct sm_ckpt *open_file(const char *folder, const char *file)
{
    char path[256];
    struct sm_err err = {0};
    struct sm_ckpt *out;
    snprintf(path, sizeof path, "tests/golden/%s/%s", folder, file);
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
    snprintf(path, sizeof path, "tests/golden/%s/config.json", folder);
    f->config = json_load_file(path, 0, NULL);
    assert_non_null(f->config);
    json_t *checkpoint = json_object_get(f->config, "checkpoint");
    f->checkpoint = open_file(folder, json_string_value(json_object_get(checkpoint, "file")));
    f->input = open_file(folder, "input.safetensors");
    f->expected = open_file(folder, "expected.safetensors");
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

/* Blocks up to and including stage `stage` (1..4). */
static int blocks_until(const json_t *config, int stage)
{
    const json_t *layers = json_object_get(json_object_get(config, "model"), "layers");
    int sum = 0;
    for (int i = 0; i < stage; i++)
        sum += (int)json_integer_value(json_array_get(layers, (size_t)i));
    return sum;
}

/* Our tap for an expected tensor; false for those that are no output of the encoder. */
static bool tap_name(char out[32], const char *name, const json_t *config)
{
    int stage;
    if (!strcmp(name, "logits") || !strcmp(name, "published.order"))
        return false;
    if (sscanf(name, "layer%d", &stage) == 1)
        snprintf(out, 32, "block.%d", blocks_until(config, stage) - 1);
    else if (!strcmp(name, "map") || !strcmp(name, "published.tokens"))
        snprintf(out, 32, "tokens");
    else if (!strcmp(name, "feature_normalised"))
        snprintf(out, 32, "pooled");
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
    if (!tap_name(tap_text, name, f->config))
        return;
    if (sm_workspace_new(&ws, encoder, images, taps, 1, &err) != SM_OK)
        fail_msg("%s, %s: %s", what, name, err.text);
    sm_encoder_forward(encoder, ws, f->x, images);
    assert_int_equal(sm_encoder_tap(&tap, ws, tap_text, &err), SM_OK);
    assert_int_equal(sm_encoder_tap_shape(&shape, encoder, tap_text, &err), SM_OK);
    assert_true(shape.rows == tap.rows && shape.dim == tap.dim && !shape.data);
    assert_int_equal(tensor->count, (int64_t)images * tap.rows * tap.dim);
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

/* One encoder of a case: the tensors whose names start with `expected_prefix`, among `others` with
 * other prefixes. */
static int check_encoder(const struct golden *g, struct files *f, const char *prefix, bool choose,
                         const char *expected_prefix, const char *kernels)
{
    struct sm_encoder_config config = {.has_prefix = choose,
                                       .input_px = (int32_t)f->x_tensor->shape[3]};
    const json_t *model = json_object_get(f->config, "model");
    struct sm_encoder *encoder;
    struct sm_err err = {0};
    int checked = 0;
    config.heads = (int32_t)json_integer_value(json_object_get(model, "num_heads"));
    if (choose)
        snprintf(config.prefix, sizeof config.prefix, "%s", prefix);
    if (sm_encoder_open(&encoder, f->checkpoint, &config, kernels, &err) != SM_OK)
        fail_msg("%s: %s", g->folder, err.text);
    const struct sm_encoder_info *info = sm_encoder_info(encoder);
    assert_string_equal(info->family, g->family);
    assert_string_equal(info->dialect, g->dialect);
    assert_string_equal(info->prefix, prefix);
    if (json_object_get(model, "norm_eps"))
        assert_true(info->norm_eps == json_real_value(json_object_get(model, "norm_eps")));
    for (size_t i = 0; i < sm_ckpt_count(f->expected); i++) {
        const struct sm_tensor *tensor = sm_ckpt_at(f->expected, i);
        size_t length = strlen(expected_prefix);
        bool student = !strncmp(tensor->name, "student.", 8);
        if (strncmp(tensor->name, expected_prefix, length) != 0 || (!length && student))
            continue;
        check_tensor(encoder, f, tensor, tensor->name + length, g->folder);
        checked++;
    }
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
    read_prefix(prefix, checkpoint);
    assert_true(check_encoder(g, &f, prefix, g->choose, "", kernels) >= 2);
    if (other) {
        read_prefix(prefix, other);
        const char *name = json_string_value(json_object_get(other, "expected_prefix"));
        assert_true(check_encoder(g, &f, prefix, true, name, kernels) >= 1);
    }
    close_files(&f);
}

static void outputs_are_those_of_pytorch(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof goldens / sizeof goldens[0]; i++)
        for (const struct sm_kern *const *row = sm_kern_rows; *row; row++)
            check_case(&goldens[i], (*row)->name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(outputs_are_those_of_pytorch)};
    sm_blas_single_thread();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
