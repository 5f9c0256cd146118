/* Encoders: same bits, only what is asked for, and the exact words for files that are not what they
 * seem.
 *
 * Hostile files are made from golden ones: all tensors are read, one is dropped, reshaped or added,
 * and the rest is written again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sslmem/encoder.h"

#define TENSORS_MAX 512

struct made {
    struct sm_tensor_out tensors[TENSORS_MAX];
    char *names[TENSORS_MAX];
    float *data[TENSORS_MAX];
    size_t count;
};

static void add(struct made *m, const char *name, int rank, const int64_t *shape)
{
    assert_true(m->count < TENSORS_MAX);
    int64_t count = 1;
    for (int i = 0; i < rank; i++)
        count *= shape[i];
    size_t at = m->count++;
    m->names[at] = strdup(name);
    m->data[at] = calloc((size_t)count, sizeof(float));
    assert_true(m->names[at] && m->data[at]);
    m->tensors[at] =
        (struct sm_tensor_out){.name = m->names[at], .rank = rank, .data = m->data[at]};
    memcpy(m->tensors[at].shape, shape, (size_t)rank * sizeof *shape);
}

/* Adds the float tensors of a file, each under prefix + name. */
static void add_file(struct made *m, const char *path, const char *prefix)
{
    struct sm_ckpt *ckpt;
    assert_int_equal(sm_ckpt_open(&ckpt, path, NULL), SM_OK);
    for (size_t i = 0; i < sm_ckpt_count(ckpt); i++) {
        const struct sm_tensor *t = sm_ckpt_at(ckpt, i);
        char name[256];
        snprintf(name, sizeof name, "%s%s", prefix, t->name);
        add(m, name, t->rank, t->shape);
        assert_int_equal(sm_ckpt_read(ckpt, t, m->data[m->count - 1], NULL), SM_OK);
    }
    sm_ckpt_close(ckpt);
}

static struct sm_tensor_out *find(struct made *m, const char *name)
{
    for (size_t i = 0; i < m->count; i++)
        if (!strcmp(m->tensors[i].name, name))
            return &m->tensors[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

static float *data_of(struct made *m, const char *name)
{
    return m->data[find(m, name) - m->tensors];
}

static void drop(struct made *m, const char *name)
{
    struct sm_tensor_out *t = find(m, name);
    *t = m->tensors[m->count - 1];
    size_t at = (size_t)(t - m->tensors);
    char *dropped = m->names[at];
    float *data = m->data[at];
    m->names[at] = m->names[m->count - 1];
    m->data[at] = m->data[m->count - 1];
    m->count--;
    free(dropped);
    free(data);
}

static void rename_tensor(struct made *m, const char *name, const char *to)
{
    struct sm_tensor_out *t = find(m, name);
    size_t at = (size_t)(t - m->tensors);
    free(m->names[at]);
    m->names[at] = strdup(to);
    t->name = m->names[at];
}

/* Writes what was made, opens it as an encoder, and forgets it. */
static enum sm_code open_made(struct sm_encoder **out, struct made *m,
                              const struct sm_encoder_config *config, struct sm_err *err)
{
    char path[] = "/tmp/sslmem-test-XXXXXX";
    struct sm_ckpt *ckpt;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(sm_safetensors_write(path, m->tensors, m->count, NULL), SM_OK);
    assert_int_equal(sm_ckpt_open(&ckpt, path, NULL), SM_OK);
    enum sm_code code = sm_encoder_open(out, ckpt, config, "blas", err);
    sm_ckpt_close(ckpt);
    unlink(path);
    for (size_t i = 0; i < m->count; i++) {
        free(m->names[i]);
        free(m->data[i]);
    }
    m->count = 0;
    return code;
}

static void refuses(struct made *m, const struct sm_encoder_config *config, enum sm_code code,
                    const char *text)
{
    struct sm_encoder *encoder;
    struct sm_err err = {0};
    assert_int_equal(open_made(&encoder, m, config, &err), code);
    assert_null(encoder);
    assert_int_equal(err.code, code);
    assert_string_equal(err.text, text);
}

#define VIT        "tests/golden/nn/timm-vit-tiny/model.safetensors"
#define RESNET     "tests/golden/nn/resnet18-narrow/model.safetensors"
#define BOTTLENECK "tests/golden/nn/resnet50-narrow/model.safetensors"
#define DINO       "tests/golden/nn/dino-both/checkpoint.pth"

static const struct sm_encoder_config four_heads = {.heads = 4}, plain = {0};

static struct sm_encoder *open_file(const char *path, const struct sm_encoder_config *config,
                                    const char *kernels)
{
    struct sm_ckpt *ckpt;
    struct sm_encoder *encoder;
    struct sm_err err = {0};
    assert_int_equal(sm_ckpt_open(&ckpt, path, NULL), SM_OK);
    if (sm_encoder_open(&encoder, ckpt, config, kernels, &err) != SM_OK)
        fail_msg("%s: %s", path, err.text);
    sm_ckpt_close(ckpt);
    return encoder;
}

static float *images(const struct sm_encoder *encoder, int n)
{
    const struct sm_encoder_info *info = sm_encoder_info(encoder);
    size_t count = (size_t)n * 3 * (size_t)info->input_h_px * (size_t)info->input_w_px;
    float *x = malloc(count * sizeof *x);
    assert_non_null(x);
    uint32_t seed = 7;
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) / 4194304.0f - 2;
    }
    return x;
}

static float *forward(const struct sm_encoder *encoder, struct sm_workspace *ws, const float *x,
                      int n, const char *name, size_t *count)
{
    struct sm_tap tap;
    sm_encoder_forward(encoder, ws, x, n);
    assert_int_equal(sm_encoder_tap(&tap, ws, name, NULL), SM_OK);
    *count = (size_t)n * (size_t)tap.rows * (size_t)tap.dim;
    float *out = malloc(*count * sizeof *out);
    assert_non_null(out);
    memcpy(out, tap.data, *count * sizeof *out);
    return out;
}

/* Repeated, on two workspaces planned for other numbers of images and other taps: equal bits. */
static void check_same_bits(const char *path, const struct sm_encoder_config *config,
                            const char *kernels)
{
    struct sm_encoder *encoder = open_file(path, config, kernels);
    const char *const few[] = {"tokens"}, *const many[] = {"block.0", "mean", "tokens", "block.1"};
    struct sm_workspace *a, *b;
    assert_int_equal(sm_workspace_new(&a, encoder, 10, few, 1, NULL), SM_OK);
    assert_int_equal(sm_workspace_new(&b, encoder, SM_VIEWS_CHUNK, many, 4, NULL), SM_OK);
    float *x = images(encoder, 10);
    for (int n = 1; n <= 10; n += 3) {
        size_t count, other;
        float *first = forward(encoder, a, x, n, "tokens", &count);
        float *second = forward(encoder, b, x, n, "tokens", &other);
        float *third = forward(encoder, a, x, n, "tokens", &count);
        assert_int_equal(count, other);
        assert_memory_equal(first, second, count * sizeof *first);
        assert_memory_equal(first, third, count * sizeof *first);
        free(first);
        free(second);
        free(third);
    }
    free(x);
    sm_workspace_free(a);
    sm_workspace_free(b);
    sm_encoder_close(encoder);
}

static void same_bits(void **state)
{
    (void)state;
    check_same_bits(VIT, &four_heads, "blas");
    check_same_bits(RESNET, &(struct sm_encoder_config){.input_h_px = 40, .input_w_px = 24},
                    "blas");
    check_same_bits(VIT, &four_heads, "ref");
}

static void any_side_will_do(void **state)
{
    (void)state;
    const char *const taps[] = {"pooled"};
    for (int32_t px = 1; px <= 70; px += 23) {
        struct sm_encoder *encoder = open_file(
            RESNET, &(struct sm_encoder_config){.input_h_px = px, .input_w_px = 71 - px}, "blas");
        struct sm_workspace *ws;
        size_t count;
        assert_int_equal(sm_workspace_new(&ws, encoder, 2, taps, 1, NULL), SM_OK);
        float *x = images(encoder, 2), *out = forward(encoder, ws, x, 2, "pooled", &count);
        assert_int_equal(count, 2 * sm_encoder_info(encoder)->dim);
        for (size_t i = 0; i < count; i++)
            assert_true(out[i] >= 0 && out[i] < 1e6f);
        free(x);
        free(out);
        sm_workspace_free(ws);
        sm_encoder_close(encoder);
    }
}

static void info_describes(void **state)
{
    (void)state;
    struct sm_encoder *encoder = open_file(BOTTLENECK, NULL, "ref");
    const struct sm_encoder_info *info = sm_encoder_info(encoder);
    assert_int_equal(info->input_h_px, 224);
    assert_int_equal(info->tokens, 49);
    assert_int_equal(info->dim, 64);
    assert_int_equal(info->blocks, 16);
    assert_false(info->has_cls);
    assert_int_equal(info->heads, 0);
    assert_string_equal(info->kernels, "ref");
    sm_encoder_close(encoder);

    encoder = open_file(VIT, &four_heads, "blas");
    info = sm_encoder_info(encoder);
    assert_int_equal(info->input_h_px, 24);
    assert_int_equal(info->input_w_px, 24);
    assert_int_equal(info->tokens, 10);
    assert_int_equal(info->dim, 32);
    assert_true(info->has_cls);
    /* patches 9 * 32 * 192; two blocks of 10 * (32 * 96 + 32 * 32 + 2 * 32 * 128) and 2 * 10 * 10 *
     * 32 */
    assert_int_equal(info->multiply_adds, 55296 + 2 * (10 * 12288 + 6400));
    /* patch 6176, cls 32, positions 320, two blocks of 12704, norm 64 */
    assert_int_equal(info->parameters, 6176 + 32 + 320 + 2 * 12704 + 64);
    sm_encoder_close(encoder);
}

static void graph_lists_every_op(void **state)
{
    (void)state;
    struct sm_encoder *encoder = open_file(VIT, &four_heads, "blas");
    json_t *graph = sm_encoder_graph(encoder);
    json_int_t parameters = 0, multiply_adds = 0;
    size_t i;
    json_t *op;
    assert_int_equal(json_array_size(graph), 3 + 2 * 7 + 3);
    json_array_foreach(graph, i, op)
    {
        parameters += json_integer_value(json_object_get(op, "parameters"));
        multiply_adds += json_integer_value(json_object_get(op, "multiply_adds"));
    }
    assert_int_equal(parameters, sm_encoder_info(encoder)->parameters);
    assert_int_equal(multiply_adds, sm_encoder_info(encoder)->multiply_adds);
    char *text = json_dumps(json_array_get(graph, 1), JSON_COMPACT);
    assert_string_equal(text, "{\"op\":\"conv2d\",\"name\":\"patch_embed.proj\",\"shape\":[3,3,32],"
                              "\"parameters\":6176,\"bytes\":1152,\"multiply_adds\":55296}");
    free(text);
    json_decref(graph);
    sm_encoder_close(encoder);
}

static void taps_are_named(void **state)
{
    (void)state;
    struct sm_encoder *encoder = open_file(RESNET, NULL, "blas");
    const char *const cls[] = {"cls"}, *const mean[] = {"mean"};
    struct sm_workspace *ws;
    struct sm_tap tap;
    struct sm_err err = {0};
    assert_int_equal(sm_workspace_new(&ws, encoder, 1, cls, 1, &err), SM_NOT_FOUND);
    assert_string_equal(
        err.text, "no output \"cls\"; there are: tokens mean pooled stage.0 to stage.3 block.0 to "
                  "block.7");
    assert_null(ws);
    assert_int_equal(sm_encoder_tap_shape(&tap, encoder, "block.8", &err), SM_NOT_FOUND);
    assert_int_equal(sm_workspace_new(&ws, encoder, 17, mean, 1, &err), SM_INVALID);
    assert_int_equal(sm_workspace_new(&ws, encoder, 1, mean, 1, &err), SM_OK);
    assert_int_equal(sm_encoder_tap(&tap, ws, "tokens", &err), SM_NOT_FOUND);
    assert_string_equal(err.text, "output \"tokens\" was not asked for");
    sm_workspace_free(ws);
    sm_encoder_close(encoder);
}

static void missing_and_misshapen_tensors(void **state)
{
    (void)state;
    struct made m = {0};
    add_file(&m, VIT, "");
    drop(&m, "blocks.1.norm1.weight");
    refuses(&m, &four_heads, SM_NOT_FOUND,
            "tensor blocks.1.norm1.weight is missing, expected with shape [32]; nearest is "
            "blocks.1.norm2.weight");
    add_file(&m, VIT, "model.");
    drop(&m, "model.blocks.0.mlp.fc2.bias");
    refuses(&m, &four_heads, SM_NOT_FOUND,
            "tensor model.blocks.0.mlp.fc2.bias is missing, expected with shape [32]; nearest is "
            "model.blocks.1.mlp.fc2.bias");
    add_file(&m, VIT, "");
    drop(&m, "blocks.0.attn.proj.weight");
    add(&m, "blocks.0.attn.proj.weight", 2, (int64_t[]){32, 31});
    refuses(&m, &four_heads, SM_INVALID,
            "tensor blocks.0.attn.proj.weight has shape [32,31], expected [32,32]");
    add_file(&m, VIT, "");
    drop(&m, "pos_embed");
    add(&m, "pos_embed", 3, (int64_t[]){1, 8, 32});
    refuses(&m, &four_heads, SM_UNSUPPORTED,
            "the position table has 7 patches, expected a square number");
    add_file(&m, RESNET, "");
    drop(&m, "layer4.1.bn2.running_var");
    refuses(&m, &plain, SM_NOT_FOUND,
            "tensor layer4.1.bn2.running_var is missing, expected with shape [24]");
    add_file(&m, RESNET, "");
    drop(&m, "layer2.0.downsample.0.weight");
    refuses(
        &m, &plain, SM_NOT_FOUND,
        "tensor layer2.0.downsample.0.weight is missing, expected with shape [6,3,1,1]; nearest is "
        "layer2.0.downsample.1.weight");
    add_file(&m, RESNET, "");
    drop(&m, "conv1.weight");
    add(&m, "conv1.weight", 4, (int64_t[]){3, 1, 7, 7});
    refuses(&m, &plain, SM_INVALID, "tensor conv1.weight has shape [3,1,7,7], expected [*,3,*,*]");
    add_file(&m, BOTTLENECK, "");
    drop(&m, "layer3.2.conv2.weight");
    add(&m, "layer3.2.conv2.weight", 4, (int64_t[]){8, 3, 3, 3});
    refuses(&m, &plain, SM_INVALID,
            "tensor layer3.2.conv2.weight has shape [8,3,3,3], expected [*,8,3,3]");
    add_file(&m, RESNET, "");
    drop(&m, "conv1.weight");
    add(&m, "conv1.weight", 4, (int64_t[]){3, 3, 5, 5});
    refuses(&m, &plain, SM_UNSUPPORTED,
            "tensor conv1.weight is a stem of 5x5; known are 7x7 and 3x3");
}

static void relatives_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *file, *name, *nearest;
    } extra[] = {{VIT, "blocks.1.ls1.gamma", ""},
                 {VIT, "dist_token", "cls_token"},
                 {VIT, "fc_norm.weight", "norm.weight"},
                 {VIT, "blocks.1.attn.q_norm.weight", "blocks.1.attn.proj.weight"},
                 {VIT, "rel_pos_bias", ""},
                 {VIT, "blocks.1.norm3.weight", "blocks.1.norm1.weight"},
                 {RESNET, "layer1.0.se.fc1.weight", "layer1.0.bn1.weight"},
                 {RESNET, "bn3.weight", "bn1.weight"}};
    for (size_t i = 0; i < sizeof extra / sizeof extra[0]; i++) {
        struct made m = {0};
        char text[240], name[64];
        bool vit = !strcmp(extra[i].file, VIT);
        snprintf(name, sizeof name, "net.%s", extra[i].name);
        snprintf(text, sizeof text,
                 "tensor %s belongs to the encoder, but no %s encoder that we know uses it: its "
                 "outputs would be wrong%s%s",
                 name, vit ? "timm" : "torchvision",
                 extra[i].nearest[0] ? "; nearest that is used: net." : "", extra[i].nearest);
        add_file(&m, extra[i].file, "net.");
        add(&m, name, 1, (int64_t[]){32});
        refuses(&m, vit ? &four_heads : &plain, SM_UNSUPPORTED, text);
    }
}

static void strangers_are_left_alone(void **state)
{
    (void)state;
    static const char *const names[] = {
        "net.local_cls_norm.weight", "net.decoder_blocks.0.x", "net.mask_token",
        "projector.0.weight",        "net.blocks.0.total_ops", "optimizer.state.0.exp_avg",
        "blocks.0.somewhere.else",   "net.fc.1.weight"};
    struct made m = {0};
    struct sm_encoder *encoder;
    struct sm_err err = {0};
    add_file(&m, VIT, "net.");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        add(&m, names[i], 1, (int64_t[]){4});
    if (open_made(&encoder, &m, &four_heads, &err) != SM_OK)
        fail_msg("%s", err.text);
    assert_string_equal(sm_encoder_info(encoder)->prefix, "net.");
    sm_encoder_close(encoder);
}

static void opens_as(struct made *m, const char *key, const char *prefix)
{
    struct sm_encoder_config config = {.heads = 2, .has_key = true};
    struct sm_encoder *encoder;
    struct sm_err err = {0};
    snprintf(config.key, sizeof config.key, "%s", key);
    if (open_made(&encoder, m, &config, &err) != SM_OK)
        fail_msg("%s: %s", key, err.text);
    assert_string_equal(sm_encoder_info(encoder)->prefix, prefix);
    sm_encoder_close(encoder);
}

static void key_must_choose(void **state)
{
    (void)state;
    struct made m = {0};
    struct sm_encoder_config config = {.heads = 2};
    add_file(&m, DINO, "");
    refuses(&m, &config, SM_INVALID,
            "2 encoders in one file, \"key\" must choose: \"student.module.backbone.\", "
            "\"teacher.backbone.\"");
    static const struct {
        const char *key, *prefix;
    } chosen[] = {{"teacher", "teacher.backbone."},
                  {"teacher.", "teacher.backbone."},
                  {"teacher.backbone", "teacher.backbone."},
                  {"module.backbone", "student.module.backbone."},
                  {"student", "student.module.backbone."}};
    for (size_t i = 0; i < sizeof chosen / sizeof chosen[0]; i++) {
        add_file(&m, DINO, "");
        opens_as(&m, chosen[i].key, chosen[i].prefix);
    }
    static const struct {
        const char *key, *nearest;
    } none[] = {{"backbone", ""},
                {"", ""},
                {"teach", " (nearest: \"teacher\")"},
                {"studnet", " (nearest: \"student\")"},
                {"each", ""},
                {"teacher.back", ""}};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        char text[240];
        config.has_key = true;
        snprintf(config.key, sizeof config.key, "%s", none[i].key);
        snprintf(text, sizeof text,
                 "\"key\" is \"%s\"%s, which chooses none of: \"student.module.backbone.\", "
                 "\"teacher.backbone.\"",
                 none[i].key, none[i].nearest);
        add_file(&m, DINO, "");
        refuses(&m, &config, SM_NOT_FOUND, text);
    }
    add_file(&m, DINO, "");
    add_file(&m, VIT, "");
    config.heads = 4;
    opens_as(&m, "", "");
}

/* What training code and libraries put before an encoder's names: any of it is a prefix. */
static void wrappers_are_prefixes(void **state)
{
    (void)state;
    static const char *const prefixes[] = {
        "model.",
        "state_dict.module.",
        "state_dict_ema.",
        "student.module.backbone.",
        "state_dict.module.encoder_q.",
        "state_dict.backbone.",
        "net.encoder.",
        "classy_state_dict.base_model.model.trunk._feature_blocks.",
        "visual.trunk.",
    };
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        for (int vit = 0; vit < 2; vit++) {
            struct made m = {0};
            struct sm_encoder *encoder;
            struct sm_err err = {0};
            add_file(&m, vit ? VIT : RESNET, prefixes[i]);
            add(&m, "optimizer.state.0.exp_avg", 1, (int64_t[]){4});
            if (open_made(&encoder, &m, vit ? &four_heads : &plain, &err) != SM_OK)
                fail_msg("%s: %s", prefixes[i], err.text);
            assert_string_equal(sm_encoder_info(encoder)->prefix, prefixes[i]);
            sm_encoder_close(encoder);
        }
    }
}

/* A whole prefix wins over the same components within another. */
static void whole_prefix_wins(void **state)
{
    (void)state;
    struct made m = {0};
    add_file(&m, VIT, "net.");
    add_file(&m, VIT, "ema.net.");
    opens_as(&m, "net", "net.");
    add_file(&m, VIT, "net.");
    add_file(&m, VIT, "ema.net.");
    opens_as(&m, "ema", "ema.net.");
}

static void unknown_files_are_refused(void **state)
{
    (void)state;
    struct made m = {0};
    add(&m, "fc.weight", 2, (int64_t[]){3, 4});
    refuses(&m, &plain, SM_UNSUPPORTED,
            "no ResNet, ViT or ConvNeXt of a known dialect among 1 tensors, the first is "
            "fc.weight");
    add_file(&m, VIT, "");
    rename_tensor(&m, "patch_embed.proj.weight", "patch_embed.weight");
    refuses(&m, &plain, SM_UNSUPPORTED,
            "no ResNet, ViT or ConvNeXt of a known dialect among 32 tensors, the first is "
            "blocks.0.attn.proj.bias");
    add(&m, "model.teacher.backbone._fsdp_wrapped_module._flat_param", 1, (int64_t[]){64});
    refuses(&m, &plain, SM_UNSUPPORTED,
            "tensor model.teacher.backbone._fsdp_wrapped_module._flat_param is a flat shard of "
            "FSDP, which has no layers to read: gather the full state_dict in the training code "
            "and save that");
    add_file(&m, VIT, "");
    add(&m, "blocks.0.1.norm1.weight", 1, (int64_t[]){32});
    refuses(&m, &four_heads, SM_INVALID,
            "tensors blocks.1.norm1.weight and blocks.0.1.norm1.weight stand at the same place");
}

static void configuration_must_fit(void **state)
{
    (void)state;
    struct made m = {0};
    add_file(&m, VIT, "");
    refuses(&m, &plain, SM_INVALID,
            "a ViT of width 32 (timm names under \"\") has no usual head count; set \"heads\"");
    add_file(&m, VIT, "");
    refuses(&m, &(struct sm_encoder_config){.heads = 5}, SM_INVALID,
            "\"heads\" is 5, which does not divide width 32");
    add_file(&m, VIT, "");
    refuses(&m, &(struct sm_encoder_config){.heads = 4, .input_h_px = 32, .input_w_px = 40},
            SM_INVALID,
            "the position table is for 3x3 patches, the input has 4x5, and families resample "
            "differently; set \"pos_resize\"");
    add_file(&m, VIT, "");
    refuses(&m, &(struct sm_encoder_config){.heads = 4, .input_h_px = 7, .input_w_px = 24},
            SM_LIMIT, "input of 7x24 pixels, each side must be from 8 (a patch) to 4096");
    add_file(&m, VIT, "");
    refuses(&m, &(struct sm_encoder_config){.heads = 4, .pool = SM_POOL_MAP}, SM_INVALID,
            "\"pool\" is \"map\", but there is no attn_pool");
    add_file(&m, RESNET, "");
    refuses(&m, &four_heads, SM_INVALID,
            "\"heads\" is set, but the encoder under \"\" is a ResNet");
    add_file(&m, BOTTLENECK, "");
    struct sm_encoder_config wide = {.preset = "dino-resnet50"};
    assert_int_equal(sm_encoder_config_complete(&wide, NULL, NULL), SM_OK);
    refuses(&m, &wide, SM_CONFLICT, "preset dino-resnet50 is of width 2048, the file of width 64");
}

/* What a block adds, what it makes of the stream, and the stream: one arithmetic. */
static void halves_add_up(void **state)
{
    (void)state;
    struct sm_encoder *encoder = open_file(VIT, &four_heads, "blas");
    const char *const taps[] = {"block.0",     "block.1.attn",         "block.1.attn.residual",
                                "block.1.mlp", "block.1.mlp.residual", "block.1"};
    struct sm_workspace *ws;
    float *out[6], *x = images(encoder, 2);
    size_t count = 0;
    assert_int_equal(sm_workspace_new(&ws, encoder, 2, taps, 6, NULL), SM_OK);
    for (size_t i = 0; i < 6; i++)
        out[i] = forward(encoder, ws, x, 2, taps[i], &count);
    for (size_t i = 0; i < count; i++) {
        assert_true(fabsf(out[0][i] + out[1][i] - out[2][i]) < 1e-5f);
        assert_true(fabsf(out[2][i] + out[3][i] - out[4][i]) < 1e-5f);
    }
    assert_memory_equal(out[4], out[5], count * sizeof *out[4]);
    for (size_t i = 0; i < 6; i++)
        free(out[i]);
    free(x);
    sm_workspace_free(ws);
    sm_encoder_close(encoder);
}

/* Loaded, counted, and nothing else: whose weights they are, the caller decides. */
static void nonfinite_weights_are_counted(void **state)
{
    (void)state;
    struct made m = {0};
    struct sm_encoder *encoder;
    add_file(&m, VIT, "");
    float *norm = data_of(&m, "norm.weight");
    norm[3] = NAN;
    norm[5] = -INFINITY;
    assert_int_equal(open_made(&encoder, &m, &four_heads, NULL), SM_OK);
    assert_int_equal(sm_encoder_info(encoder)->nonfinite, 2);
    sm_encoder_close(encoder);
}

static void workspaces_are_bounded(void **state)
{
    (void)state;
    struct sm_encoder *encoder =
        open_file("tests/golden/nn/timm-vit-64/model.safetensors", NULL, "ref");
    assert_int_equal(sm_encoder_info(encoder)->heads, 1);
    sm_encoder_close(encoder);
    struct made m = {0};
    struct sm_err err = {0};
    struct sm_workspace *ws;
    const char *const taps[] = {"tokens"};
    add_file(&m, RESNET, "");
    drop(&m, "conv1.weight");
    add(&m, "conv1.weight", 4, (int64_t[]){3, 3, 3, 3}); /* no stride: maps stay large */
    assert_int_equal(open_made(&encoder, &m,
                               &(struct sm_encoder_config){.input_h_px = 4096, .input_w_px = 4096},
                               &err),
                     SM_OK);
    assert_int_equal(sm_workspace_new(&ws, encoder, 16, taps, 1, &err), SM_LIMIT);
    assert_null(ws);
    assert_string_equal(err.text,
                        "workspace of 16 images needs over 8589934592 bytes, at layer1.0.conv2");
    sm_encoder_close(encoder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits),
        cmocka_unit_test(any_side_will_do),
        cmocka_unit_test(info_describes),
        cmocka_unit_test(graph_lists_every_op),
        cmocka_unit_test(taps_are_named),
        cmocka_unit_test(missing_and_misshapen_tensors),
        cmocka_unit_test(relatives_are_refused),
        cmocka_unit_test(strangers_are_left_alone),
        cmocka_unit_test(key_must_choose),
        cmocka_unit_test(wrappers_are_prefixes),
        cmocka_unit_test(whole_prefix_wins),
        cmocka_unit_test(unknown_files_are_refused),
        cmocka_unit_test(configuration_must_fit),
        cmocka_unit_test(halves_add_up),
        cmocka_unit_test(nonfinite_weights_are_counted),
        cmocka_unit_test(workspaces_are_bounded),
    };
    sm_blas_single_thread();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
