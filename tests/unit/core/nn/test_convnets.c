/* ResNets and ConvNeXts of the kinds that no published file among the goldens has, against PyTorch:
 * tests/golden/make_convnets.py. And what is said when tensors or configuration do not fit. */
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

#include "core/kern/kern.h"
#include "sslmem/encoder.h"

#define TOLERANCE   2e-5
#define TENSORS_MAX 256

struct golden {
    const char *name, *family;
    int32_t h, w, blocks, stages, heads;
    struct sm_encoder_config config;
    const char *choices; /* name=value(source) of those that are noted besides input_px */
};

#define RELU  "norm_eps=1e-05(6) activation=relu(6) "
#define STEM3 "stem_stride=1(6) "
#define STEM7 "stem_stride=2(6) stem_pad=3(6) stem_pool=max(6) "
#define MEAN  "pool=mean(6) "
#define FRONT "channel_order=rgb(6) mean=0.5 0.5 0.5(6) std=0.5 0.5 0.5(6) "

static const struct golden goldens[] = {
    {.name = "option-a",
     .family = "resnet20",
     .h = 19,
     .w = 15,
     .blocks = 9,
     .stages = 3,
     .choices = RELU "shortcut=option A(4) shortcut_pad=both(6) dilate_from=none(6) " STEM3
                     "stem_pad=1(6) stem_pool=none(6) " MEAN FRONT},
    {.name = "option-b",
     .family = "resnet",
     .h = 17,
     .w = 16,
     .blocks = 5,
     .stages = 4,
     .config = {.stem_pad = 1},
     .choices = RELU "dilate_from=none(6) " STEM3 "stem_pad=1(0) stem_pool=none(6) " MEAN FRONT},
    {.name = "stride-v1",
     .family = "resnet",
     .h = 45,
     .w = 52,
     .blocks = 5,
     .stages = 4,
     .config = {.stride_at = SM_STRIDE_CONV1},
     .choices = RELU "stride_at=conv1(0) dilate_from=none(6) " STEM7 MEAN FRONT},
    {.name = "stride-v15",
     .family = "resnet",
     .h = 45,
     .w = 52,
     .blocks = 5,
     .stages = 4,
     .choices = RELU "stride_at=conv2(6) dilate_from=none(6) " STEM7 MEAN FRONT},
    {.name = "groups",
     .family = "resnext",
     .h = 9,
     .w = 11,
     .blocks = 3,
     .stages = 3,
     .config = {.stem_pad = 2},
     .choices = RELU "stride_at=conv2(6) dilate_from=none(6) " STEM3
                     "stem_pad=2(0) stem_pool=none(6) groups=4(4) " MEAN FRONT},
    {.name = "clip",
     .family = "clip-resnet",
     .h = 96,
     .w = 96,
     .blocks = 5,
     .stages = 4,
     .heads = 1,
     .choices = RELU "heads=1(6) " FRONT},
    {.name = "convnext",
     .family = "convnext",
     .h = 75,
     .w = 38,
     .blocks = 5,
     .stages = 4,
     .choices =
         "norm_eps=1e-06(6) activation=gelu(6) stem_stride=4(6) final_norm=after_pool(6) " FRONT},
    {.name = "convnext-plain",
     .family = "convnext",
     .h = 23,
     .w = 33,
     .blocks = 2,
     .stages = 2,
     .config = {.norm_eps = 1e-3},
     .choices =
         "norm_eps=0.001(0) activation=gelu(6) stem_stride=4(6) final_norm=after_pool(6) " FRONT},
};

static struct sm_ckpt *open_file(const char *name, const char *file)
{
    char path[160];
    struct sm_err err = {0};
    struct sm_ckpt *out;
    snprintf(path, sizeof path, "tests/golden/convnets/%s/%s.safetensors", name, file);
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

/* Every tensor of the file is the output of the tap of its name. */
static void check_taps(const struct golden *golden, struct sm_ckpt *expected,
                       const struct sm_workspace *ws)
{
    for (size_t i = 0; i < sm_ckpt_count(expected); i++) {
        const struct sm_tensor *t = sm_ckpt_at(expected, i);
        struct sm_tap tap;
        assert_int_equal(sm_encoder_tap(&tap, ws, t->name, NULL), SM_OK);
        assert_int_equal(tap.rows, t->shape[1]);
        assert_int_equal(tap.dim, t->shape[2]);
        float *want = read_tensor(expected, t);
        for (int64_t j = 0; j < t->count; j++) {
            double distance = fabs((double)tap.data[j] - (double)want[j]);
            if (!(distance <= TOLERANCE * (1 + fabs((double)want[j]))))
                fail_msg("%s: %s[%lld] is %g, must be %g", golden->name, t->name, (long long)j,
                         (double)tap.data[j], (double)want[j]);
        }
        free(want);
    }
}

static void check_info(const struct golden *golden, const struct sm_encoder_info *info)
{
    char choices[512] = "";
    assert_string_equal(info->family, golden->family);
    assert_int_equal(info->blocks, golden->blocks);
    assert_int_equal(info->stages, golden->stages);
    assert_int_equal(info->heads, golden->heads);
    for (int32_t i = 0; i < info->choices_count; i++) {
        const struct sm_choice *c = &info->choices[i];
        size_t at = strlen(choices);
        if (strcmp(c->name, "input_px") != 0)
            snprintf(choices + at, sizeof choices - at, "%s=%s(%d) ", c->name, c->value,
                     (int)c->source);
    }
    assert_string_equal(choices, golden->choices);
}

static void check_golden(const struct golden *golden, const char *kernels)
{
    struct sm_ckpt *model = open_file(golden->name, "model");
    struct sm_ckpt *input = open_file(golden->name, "input");
    struct sm_ckpt *expected = open_file(golden->name, "expected");
    struct sm_encoder_config config = golden->config;
    const char *taps[64];
    size_t taps_count = sm_ckpt_count(expected);
    const struct sm_tensor *x_tensor = sm_ckpt_find(input, "x");
    struct sm_encoder *encoder;
    struct sm_workspace *ws;
    struct sm_err err = {0};
    config.input_h_px = golden->h;
    config.input_w_px = golden->w;
    if (sm_encoder_open(&encoder, model, &config, kernels, &err) != SM_OK)
        fail_msg("%s: %s", golden->name, err.text);
    check_info(golden, sm_encoder_info(encoder));
    assert_true(taps_count <= 64);
    for (size_t i = 0; i < taps_count; i++)
        taps[i] = sm_ckpt_at(expected, i)->name;
    if (sm_workspace_new(&ws, encoder, 2, taps, taps_count, &err) != SM_OK)
        fail_msg("%s: %s", golden->name, err.text);
    float *x = read_tensor(input, x_tensor);
    sm_encoder_forward(encoder, ws, x, 2);
    check_taps(golden, expected, ws);
    free(x);
    sm_workspace_free(ws);
    sm_encoder_close(encoder);
    sm_ckpt_close(model);
    sm_ckpt_close(input);
    sm_ckpt_close(expected);
}

static void all_kinds_match_pytorch(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++)
        for (size_t r = 0; sm_kern_at(r); r++)
            check_golden(&goldens[i], sm_kern_at(r)->name);
}

/* A change of a golden file: tensors whose name starts with `name` are left out and, with a rank,
 * one of this shape is put in, of zeros. */
struct change {
    const char *golden, *name;
    int rank;
    int64_t shape[4];
    struct sm_encoder_config config;
    enum sm_code code;
    const char *text;
};

static enum sm_code open_changed(const struct change *change, struct sm_err *err)
{
    char path[] = "/tmp/sslmem-test-XXXXXX";
    struct sm_tensor_out tensors[TENSORS_MAX];
    float *data[TENSORS_MAX], *zeros = calloc(1 << 16, sizeof *zeros);
    struct sm_ckpt *from = open_file(change->golden, "model"), *to;
    struct sm_encoder *encoder;
    size_t count = 0;
    int fd = mkstemp(path);
    assert_true(fd >= 0 && zeros && sm_ckpt_count(from) < TENSORS_MAX);
    close(fd);
    for (size_t i = 0; i < sm_ckpt_count(from); i++) {
        const struct sm_tensor *t = sm_ckpt_at(from, i);
        if (change->name && !strncmp(t->name, change->name, strlen(change->name)))
            continue;
        data[count] = read_tensor(from, t);
        tensors[count] = (struct sm_tensor_out){t->name, t->rank, {0}, data[count]};
        memcpy(tensors[count++].shape, t->shape, sizeof t->shape);
    }
    size_t kept = count;
    if (change->rank) {
        tensors[count] = (struct sm_tensor_out){change->name, change->rank, {0}, zeros};
        memcpy(tensors[count++].shape, change->shape, sizeof change->shape);
    }
    assert_int_equal(sm_safetensors_write(path, tensors, count, NULL), SM_OK);
    assert_int_equal(sm_ckpt_open(&to, path, NULL), SM_OK);
    enum sm_code code = sm_encoder_open(&encoder, to, &change->config, "ref", err);
    sm_encoder_close(encoder);
    sm_ckpt_close(to);
    sm_ckpt_close(from);
    unlink(path);
    for (size_t i = 0; i < kept; i++)
        free(data[i]);
    free(zeros);
    return code;
}

static const struct change changes[] = {
    {.golden = "option-a",
     .name = "layer3.2.bn2.running_var",
     .code = SM_NOT_FOUND,
     .text = "tensor layer3.2.bn2.running_var is missing, expected with shape [16]"},
    {.golden = "option-a",
     .name = "layer2.0.conv2.weight",
     .rank = 4,
     .shape = {7, 8, 3, 3},
     .code = SM_INVALID,
     .text = "layer2.0.shortcut leads from 4 to 7 channels, and there are no projections"},
    {.golden = "option-a",
     .name = "layer2.0.conv2.weight",
     .rank = 4,
     .shape = {4098, 1, 3, 3},
     .code = SM_LIMIT,
     .text = "layer2.0.shortcut pads to 4098 channels, most is 4096"},
    {.golden = "option-b",
     .name = "layer3.0.shortcut.0.weight",
     .rank = 4,
     .shape = {15, 8, 1, 1},
     .code = SM_INVALID,
     .text = "tensor layer3.0.shortcut.0.weight has shape [15,8,1,1], expected [16,8,1,1]"},
    {.golden = "groups",
     .name = "layer2.0.conv2.weight",
     .rank = 4,
     .shape = {16, 3, 3, 3},
     .code = SM_INVALID,
     .text = "tensor layer2.0.conv2.weight has shape [16,3,3,3], expected [*,16,3,3]"},
    {.golden = "groups",
     .name = "layer2.0.conv2.weight",
     .rank = 4,
     .shape = {18, 4, 3, 3},
     .code = SM_INVALID,
     .text = "tensor layer2.0.conv2.weight has 18 channels, in 4 groups"},
    {.golden = "groups",
     .name = "layer2.0.conv1.weight",
     .rank = 4,
     .shape = {16, 16, 3, 3},
     .code = SM_INVALID,
     .text = "tensor layer2.0.conv1.weight has shape [16,16,3,3], expected [*,16,1,1]"},
    {.golden = "stride-v15",
     .name = "layer4.",
     .code = SM_NOT_FOUND,
     .text = "tensor layer4.0.conv3.weight is missing, expected with shape [*,*,*,*]"},
    {.golden = "stride-v15",
     .name = "conv1.weight",
     .rank = 4,
     .shape = {2, 3, 7, 5},
     .code = SM_UNSUPPORTED,
     .text = "tensor conv1.weight is a stem of 7x5; known are 7x7 and 3x3"},
    {.golden = "stride-v15",
     .config = {.heads = 2},
     .code = SM_INVALID,
     .text = "\"heads\" is set, but the encoder under \"\" is a ResNet"},
    {.golden = "clip",
     .config = {.input_h_px = 96, .input_w_px = 128},
     .code = SM_INVALID,
     .text =
         "\"input_px\" is 96x128, but tensor attnpool.positional_embedding is for 96x96 pixels"},
    {.golden = "clip",
     .name = "attnpool.positional_embedding",
     .rank = 2,
     .shape = {11, 64},
     .code = SM_UNSUPPORTED,
     .text = "tensor attnpool.positional_embedding has 11 rows, expected one more than a square "
             "number"},
    {.golden = "clip",
     .name = "attnpool.positional_embedding",
     .rank = 2,
     .shape = {1, 64},
     .code = SM_UNSUPPORTED,
     .text =
         "tensor attnpool.positional_embedding has 1 rows, expected one more than a square number"},
    {.golden = "clip",
     .name = "attnpool.positional_embedding",
     .rank = 2,
     .shape = {10, 32},
     .code = SM_INVALID,
     .text = "tensor attnpool.positional_embedding has shape [10,32], expected [10,64]"},
    {.golden = "clip",
     .name = "attnpool.positional_embedding",
     .rank = 2,
     .shape = {129 * 129 + 1, 1},
     .code = SM_LIMIT,
     .text = "tensor attnpool.positional_embedding is for 4128 pixels a side, most is 4096"},
    {.golden = "clip",
     .config = {.heads = 3},
     .code = SM_INVALID,
     .text = "\"heads\" is 3, which does not divide width 64"},
    {.golden = "convnext",
     .config = {.heads = 3},
     .code = SM_INVALID,
     .text = "\"heads\" is set, but the encoder under \"\" is a ConvNeXt"},
    {.golden = "convnext",
     .config = {.input_h_px = 31, .input_w_px = 40},
     .code = SM_INVALID,
     .text = "layer downsample_layers.3.1 has a window of 2x2, its input 1x2"},
    {.golden = "convnext",
     .name = "stages.1.0.dwconv.weight",
     .rank = 4,
     .shape = {8, 2, 7, 7},
     .code = SM_INVALID,
     .text = "tensor stages.1.0.dwconv.weight has shape [8,2,7,7], expected [*,1,7,7]"},
    {.golden = "convnext",
     .name = "stages.1.1.pwconv2.weight",
     .rank = 2,
     .shape = {9, 24},
     .code = SM_INVALID,
     .text = "tensor stages.1.1.pwconv2.weight has shape [9,24], expected [8,24]"},
    {.golden = "convnext",
     .name = "stages.1.1.grn.gamma",
     .rank = 1,
     .shape = {24},
     .code = SM_UNSUPPORTED,
     .text =
         "tensor stages.1.1.grn.gamma belongs to the encoder, but no convnext encoder that we know "
         "uses it: its outputs would be wrong; nearest that is used: stages.1.1.gamma"},
};

static void what_does_not_fit_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct sm_err err = {0};
        enum sm_code code = open_changed(&changes[i], &err);
        if (code != changes[i].code || (changes[i].text && strcmp(err.text, changes[i].text) != 0))
            fail_msg("%s changed at %s: %d \"%s\", must be %d \"%s\"", changes[i].golden,
                     changes[i].name ? changes[i].name : "nothing", (int)code, err.text,
                     (int)changes[i].code, changes[i].text ? changes[i].text : "anything");
    }
}

/* What somebody else's file or a preset says besides is no mistake of this one. */
static void hearsay_is_ignored(void **state)
{
    (void)state;
    struct change change = {.golden = "stride-v15", .config = {.heads = 2}};
    struct sm_err err = {0};
    change.config.source[SM_CONFIG_HEADS] = SM_SOURCE_SIDECAR;
    change.config.pool = SM_POOL_CLS;
    change.config.source[SM_CONFIG_POOL] = SM_SOURCE_SIDECAR;
    assert_int_equal(open_changed(&change, &err), SM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_kinds_match_pytorch),
        cmocka_unit_test(what_does_not_fit_is_named),
        cmocka_unit_test(hearsay_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
