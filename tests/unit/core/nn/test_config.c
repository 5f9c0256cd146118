/* Encoder configurations: every field at its limits and one past, who wins and who is named as the
 * source, every preset, every kind of file beside a checkpoint, whole and broken. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/nn/config.h"

#define GOLDEN "tests/golden/config"

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        struct sm_err *e_ = &err;                                                                  \
        if ((call) != SM_OK)                                                                       \
            fail_msg("%s: %s (%s)", #call, e_->text, e_->pointer);                                 \
    } while (0)

/* The call fails with this code, exactly this text and pointer. */
#define assert_fails(call, expected_code, expected_text, expected_pointer)                         \
    do {                                                                                           \
        err = (struct sm_err){0};                                                                  \
        assert_int_equal((call), (expected_code));                                                 \
        assert_int_equal(err.code, (expected_code));                                               \
        assert_string_equal(err.text, (expected_text));                                            \
        assert_string_equal(err.pointer, (expected_pointer));                                      \
    } while (0)

static json_t *json(const char *text)
{
    json_error_t error;
    json_t *node = json_loads(text, 0, &error);
    if (!node)
        fail_msg("%s: %s", text, error.text);
    return node;
}

static struct sm_encoder_config parse(const char *text)
{
    struct sm_encoder_config config;
    struct sm_err err = {0};
    json_t *node = json(text);
    assert_ok(sm_encoder_config_parse(&config, node, "", &err));
    json_decref(node);
    return config;
}

/* What is set in the configuration is exactly this. */
static void assert_says(const struct sm_encoder_config *config, const char *expected)
{
    json_t *wanted = json(expected), *said = sm_encoder_config_json(config);
    assert_non_null(said);
    if (!json_equal(wanted, said)) {
        char *text = json_dumps(said, JSON_SORT_KEYS | JSON_COMPACT);
        fail_msg("said %s, must be %s", text, expected);
    }
    json_decref(wanted);
    json_decref(said);
}

static size_t sidecar(const char *file)
{
    size_t i = 0;
    while (sm_sidecar(i) && strcmp(sm_sidecar(i), file) != 0)
        i++;
    assert_non_null(sm_sidecar(i));
    return i;
}

/* A folder with a few files beside a checkpoint, which is never there. */
struct folder {
    char path[64], checkpoint[96];
};

static void folder_write(const struct folder *f, const char *name, const char *text)
{
    char path[128];
    struct sm_err err = {0};
    snprintf(path, sizeof path, "%s/%s", f->path, name);
    assert_ok(sm_file_write(path, text, strlen(text), &err));
}

static void folder_open(struct folder *f)
{
    snprintf(f->path, sizeof f->path, "/tmp/sslmem-config-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    snprintf(f->checkpoint, sizeof f->checkpoint, "%s/model.safetensors.index.json", f->path);
}

static void folder_remove(const struct folder *f)
{
    char path[128];
    for (size_t i = 0; sm_sidecar(i); i++) {
        snprintf(path, sizeof path, "%s/%s", f->path, sm_sidecar(i));
        remove(path);
    }
    assert_int_equal(rmdir(f->path), 0);
}

static void what_is_written_reads_the_same(void **state)
{
    (void)state;
    static const char *const documents[] = {
        "{}",
        "{\"key\":\"\"}",
        "{\"preset\":\"mae-vitb16\",\"key\":\"model.teacher.backbone\",\"input_px\":96,\"heads\":3,"
        "\"norm_eps\":1e-6,\"activation\":\"gelu_tanh\",\"pool\":\"mean\","
        "\"final_norm\":\"after_pool\",\"pos_resize\":\"antialias\",\"stem_pad\":2,"
        "\"stride_at\":\"conv1\",\"mean\":[0.0,0.5,1.0],\"std\":[0.001,0.5,1.0]}",
        "{\"activation\":\"gelu\",\"pool\":\"cls\",\"final_norm\":\"before_pool\","
        "\"pos_resize\":\"plain\",\"stride_at\":\"conv2\",\"mean\":[0.0,0.0,0.0],"
        "\"std\":[1.0,1.0,1.0]}",
        "{\"activation\":\"quick_gelu\",\"pool\":\"map\",\"pos_resize\":\"offset\"}",
    };
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++) {
        struct sm_encoder_config config = parse(documents[i]);
        assert_says(&config, documents[i]);
        for (int k = 0; k < SM_CONFIG_FIELDS; k++)
            assert_int_equal(config.source[k], SM_SOURCE_CONFIG);
    }
    struct sm_encoder_config config = parse(documents[2]);
    assert_string_equal(config.preset, "mae-vitb16");
    assert_string_equal(config.key, "model.teacher.backbone");
    assert_true(config.has_key && config.input_h_px == 96 && config.input_w_px == 96);
    assert_true(config.heads == 3 && config.norm_eps == 1e-6 && config.stem_pad == 2);
    assert_int_equal(config.activation, SM_GELU_TANH);
    assert_int_equal(config.pool, SM_POOL_MEAN);
    assert_int_equal(config.final_norm, SM_FINAL_NORM_AFTER_POOL);
    assert_int_equal(config.pos_resize, SM_POS_RESIZE_ANTIALIAS);
    assert_int_equal(config.stride_at, SM_STRIDE_CONV1);
    assert_true(config.mean[1] == .5 && config.std[0] == 1e-3);
    config = parse("{\"key\":\"\"}");
    assert_true(config.has_key && config.key[0] == '\0');
    config = parse("{}");
    assert_false(config.has_key);
}

static void nothing_says_nothing(void **state)
{
    (void)state;
    struct sm_encoder_config config;
    const struct sm_encoder_config zero = {0};
    struct sm_err err = {0};
    memset(&config, 0xff, sizeof config);
    assert_ok(sm_encoder_config_parse(&config, NULL, "", &err));
    assert_memory_equal(&config, &zero, sizeof zero);
    assert_ok(sm_encoder_config_complete(&config, NULL, &err));
    assert_memory_equal(&config, &zero, sizeof zero);
    assert_int_equal(err.code, SM_OK);
}

#define A10  "aaaaaaaaaa"
#define A120 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10

static void limits_are_held(void **state)
{
    (void)state;
    static const char *const allowed[] = {
        "{\"preset\":\"" A10 A10 A10 "a\"}",
        "{\"key\":\"" A120 "aaaaaaa\"}",
        "{\"input_px\":1}",
        "{\"input_px\":4096}",
        "{\"heads\":1}",
        "{\"heads\":1024}",
        "{\"norm_eps\":1e-12}",
        "{\"norm_eps\":1}",
        "{\"stem_pad\":1}",
        "{\"stem_pad\":2}",
        "{\"mean\":[0,1,0],\"std\":[1e-3,1,1]}",
    };
    static const struct {
        const char *text, *error, *pointer;
    } refused[] = {
        {"{\"preset\":\"" A10 A10 A10 "aa\"}", "preset has 32 bytes, limit is 31 without NUL",
         "/e/preset"},
        {"{\"preset\":7}", "preset is of type integer, must be string", "/e/preset"},
        {"{\"key\":\"" A120 "aaaaaaaa\"}", "key has 128 bytes, limit is 127 without NUL", "/e/key"},
        {"{\"key\":null}", "key is of type null, must be string", "/e/key"},
        {"{\"input_px\":0}", "input_px is 0, must be from 1 to 4096", "/e/input_px"},
        {"{\"input_px\":4097}", "input_px is 4097, must be from 1 to 4096", "/e/input_px"},
        {"{\"input_px\":[32,32]}", "input_px is of type array, must be integer", "/e/input_px"},
        {"{\"heads\":0}", "heads is 0, must be from 1 to 1024", "/e/heads"},
        {"{\"heads\":1025}", "heads is 1025, must be from 1 to 1024", "/e/heads"},
        {"{\"heads\":3.0}", "heads is of type number, must be integer", "/e/heads"},
        {"{\"norm_eps\":9e-13}", "norm_eps is 9e-13, must be from 1e-12 to 1", "/e/norm_eps"},
        {"{\"norm_eps\":1.001}", "norm_eps is 1.001, must be from 1e-12 to 1", "/e/norm_eps"},
        {"{\"activation\":\"relu\"}",
         "activation is \"relu\", must be one of gelu, gelu_tanh, quick_gelu", "/e/activation"},
        {"{\"pool\":\"max\"}", "pool is \"max\", must be one of cls, mean, map", "/e/pool"},
        {"{\"final_norm\":\"\"}", "final_norm is \"\", must be one of before_pool, after_pool",
         "/e/final_norm"},
        {"{\"pos_resize\":\"bilinear\"}",
         "pos_resize is \"bilinear\", must be one of plain, offset, antialias", "/e/pos_resize"},
        {"{\"stem_pad\":0}", "stem_pad is 0, must be from 1 to 2", "/e/stem_pad"},
        {"{\"stem_pad\":3}", "stem_pad is 3, must be from 1 to 2", "/e/stem_pad"},
        {"{\"stride_at\":\"conv3\"}", "stride_at is \"conv3\", must be one of conv1, conv2",
         "/e/stride_at"},
        {"{\"mean\":[0,0,0]}", "field \"std\" is missing beside \"mean\"", "/e/std"},
        {"{\"std\":[1,1,1]}", "field \"mean\" is missing beside \"std\"", "/e/mean"},
        {"{\"mean\":[0,0],\"std\":[1,1,1]}", "mean must be an array of three numbers", "/e/mean"},
        {"{\"mean\":[0,0,0,0],\"std\":[1,1,1]}", "mean must be an array of three numbers",
         "/e/mean"},
        {"{\"mean\":null,\"std\":null}", "mean must be an array of three numbers", "/e/mean"},
        {"{\"mean\":[0,\"0\",0],\"std\":[1,1,1]}", "mean must be an array of three numbers",
         "/e/mean/1"},
        {"{\"mean\":[0,0,-0.1],\"std\":[1,1,1]}", "mean is -0.1, must be from 0 to 1", "/e/mean/2"},
        {"{\"mean\":[1.1,0,0],\"std\":[1,1,1]}", "mean is 1.1, must be from 0 to 1", "/e/mean/0"},
        {"{\"mean\":[0,0,0],\"std\":[1,9e-4,1]}", "std is 0.0009, must be from 0.001 to 1",
         "/e/std/1"},
        {"{\"mean\":[0,0,0],\"std\":[1,1,1.5]}", "std is 1.5, must be from 0.001 to 1", "/e/std/2"},
        {"{\"prefix\":\"\"}", "field \"prefix\" is unknown", "/e/prefix"},
        {"[]", "value is of type array, must be object", "/e"},
    };
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        parse(allowed[i]);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct sm_encoder_config config;
        const struct sm_encoder_config zero = {0};
        struct sm_err err;
        json_t *node = json(refused[i].text);
        assert_fails(sm_encoder_config_parse(&config, node, "/e", &err), SM_INVALID,
                     refused[i].error, refused[i].pointer);
        assert_memory_equal(&config, &zero, sizeof zero);
        json_decref(node);
    }
}

static void what_is_set_by_hand_is_checked(void **state)
{
    (void)state;
    static const struct {
        struct sm_encoder_config config;
        const char *error;
    } cases[] = {
        {{.heads = -1}, "heads is -1, must be from 1 to 1024"},
        {{.input_h_px = 32}, "input_px is 0, must be from 1 to 4096"},
        {{.input_h_px = 32, .input_w_px = 4097}, "input_px is 4097, must be from 1 to 4096"},
        {{.norm_eps = -1}, "norm_eps is -1, must be from 1e-12 to 1"},
        {{.norm_eps = (double)INFINITY}, "norm_eps is inf, must be from 1e-12 to 1"},
        {{.norm_eps = (double)NAN}, "norm_eps is nan, must be from 1e-12 to 1"},
        {{.activation = (enum sm_gelu)4}, "activation is 4, must be from 1 to 3"},
        {{.stride_at = (enum sm_stride_at)3}, "stride_at is 3, must be from 1 to 2"},
        {{.mean = {2}, .std = {1, 1, 1}}, "mean is 2, must be from 0 to 1"},
        {{.std = {1, 0, 1}}, "std is 0, must be from 0.001 to 1"},
    };
    struct sm_encoder_config uneven = {.input_h_px = 48, .input_w_px = 40};
    struct sm_err err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sm_encoder_config config = cases[i].config;
        assert_fails(sm_encoder_config_complete(&config, NULL, &err), SM_INVALID, cases[i].error,
                     "");
        assert_memory_equal(&config, &cases[i].config, sizeof config);
        assert_null(sm_encoder_config_json(&config));
    }
    assert_ok(sm_encoder_config_complete(&uneven, NULL, &err));
    assert_true(uneven.input_h_px == 48 && uneven.input_w_px == 40);
}

static void the_surest_source_wins(void **state)
{
    (void)state;
    struct folder f;
    struct sm_err err = {0};
    struct sm_encoder_config config = parse("{\"heads\":2,\"key\":\"teacher\"}");
    folder_open(&f);
    folder_write(&f, "encoder.json",
                 "{\"preset\":\"dino-vits16\",\"heads\":4,\"norm_eps\":0.5,\"key\":\"student\"}");
    folder_write(&f, "config.json",
                 "{\"model_type\":\"siglip_vision_model\",\"num_attention_heads\":8}");
    folder_write(&f, "preprocessor_config.json",
                 "{\"image_mean\":[0.5,0.5,0.5],\"image_std\":[0.5,0.5,0.5]}");
    folder_write(&f, "args.json", "{\"backbone\":\"resnet18\",\"dataset\":\"cifar10\"}");
    assert_ok(sm_encoder_config_complete(&config, f.checkpoint, &err));
    assert_int_equal(err.code, SM_OK);
    assert_says(&config,
                "{\"preset\":\"dino-vits16\",\"key\":\"teacher\",\"heads\":2,\"norm_eps\":0.5,"
                "\"input_px\":224,\"activation\":\"gelu\",\"pool\":\"cls\","
                "\"final_norm\":\"before_pool\",\"pos_resize\":\"offset\","
                "\"mean\":[0.485,0.456,0.406],\"std\":[0.229,0.224,0.225],\"stem_pad\":2}");
    static const enum sm_source sources[SM_CONFIG_FIELDS] = {
        [SM_CONFIG_PRESET] = SM_SOURCE_FILE,       [SM_CONFIG_KEY] = SM_SOURCE_CONFIG,
        [SM_CONFIG_INPUT_PX] = SM_SOURCE_PRESET,   [SM_CONFIG_HEADS] = SM_SOURCE_CONFIG,
        [SM_CONFIG_NORM_EPS] = SM_SOURCE_FILE,     [SM_CONFIG_ACTIVATION] = SM_SOURCE_PRESET,
        [SM_CONFIG_POOL] = SM_SOURCE_PRESET,       [SM_CONFIG_FINAL_NORM] = SM_SOURCE_PRESET,
        [SM_CONFIG_POS_RESIZE] = SM_SOURCE_PRESET, [SM_CONFIG_STEM_PAD] = SM_SOURCE_SIDECAR,
        [SM_CONFIG_STRIDE_AT] = SM_SOURCE_CONFIG,  [SM_CONFIG_MEAN] = SM_SOURCE_PRESET,
        [SM_CONFIG_STD] = SM_SOURCE_PRESET,
    };
    for (int i = 0; i < SM_CONFIG_FIELDS; i++)
        assert_int_equal(config.source[i], sources[i]);

    /* Again changes nothing; without a path the files say nothing. */
    struct sm_encoder_config again = config;
    assert_ok(sm_encoder_config_complete(&again, f.checkpoint, &err));
    assert_memory_equal(&again, &config, sizeof config);
    config = (struct sm_encoder_config){0};
    assert_ok(sm_encoder_config_complete(&config, NULL, &err));
    assert_says(&config, "{}");

    /* Our own preset before that of the file. */
    config = parse("{\"preset\":\"mocov3-vits16\"}");
    assert_ok(sm_encoder_config_complete(&config, f.checkpoint, &err));
    assert_string_equal(config.preset, "mocov3-vits16");
    assert_true(config.heads == 4 && config.source[SM_CONFIG_HEADS] == SM_SOURCE_FILE);
    assert_int_equal(config.source[SM_CONFIG_POS_RESIZE], SM_SOURCE_SIDECAR);
    folder_remove(&f);
}

static void files_are_looked_for_in_the_folder_of_the_checkpoint(void **state)
{
    (void)state;
    struct folder f;
    struct sm_err err = {0};
    struct sm_encoder_config config = {0};
    char here[512];
    folder_open(&f);
    folder_write(&f, "encoder.json", "{\"heads\":7}");
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(f.path), 0);
    enum sm_code code = sm_encoder_config_complete(&config, "dino.pth", &err);
    assert_int_equal(chdir(here), 0);
    assert_int_equal(code, SM_OK);
    assert_int_equal(config.heads, 7);
    config = (struct sm_encoder_config){0};
    assert_ok(sm_encoder_config_complete(&config, "/nonexistent/dino.pth", &err));
    assert_says(&config, "{}");
    folder_remove(&f);
}

static void presets_say_what_they_must(void **state)
{
    (void)state;
    size_t count = 0;
    for (; sm_encoder_preset(count); count++) {
        const char *name = sm_encoder_preset(count);
        char text[80];
        struct sm_err err = {0};
        struct sm_encoder_info info = {.dim = -1};
        for (size_t i = 0; i < count; i++)
            assert_string_not_equal(sm_encoder_preset(i), name);
        snprintf(text, sizeof text, "{\"preset\":\"%s\"}", name);
        struct sm_encoder_config config = parse(text);
        assert_ok(sm_encoder_config_complete(&config, NULL, &err));
        assert_ok(sm_encoder_config_check(&config, &err));
        assert_int_equal(config.source[SM_CONFIG_PRESET], SM_SOURCE_CONFIG);
        bool resnet = config.stride_at != SM_STRIDE_UNSET || strncmp(name, "clip-rn", 7) == 0;
        if (!resnet) {
            assert_true(config.norm_eps > 0 && config.activation);
            assert_int_equal(config.source[SM_CONFIG_NORM_EPS], SM_SOURCE_PRESET);
        }
        if (!resnet && !strstr(name, "convnext"))
            assert_true(config.heads > 0 && config.pool && config.final_norm);
        if (strcmp(name, "openclip-vitl14") != 0)
            assert_true(config.std[0] > 0);
        assert_int_equal(sm_preset_check(&config, &info, &err), SM_CONFLICT);
    }
    assert_true(count >= 45);
    assert_null(sm_encoder_preset(count + 1));
}

static void facts_that_tensors_hide(void **state)
{
    (void)state;
    static const struct {
        const char *name, *says;
    } cases[] = {
        {"mocov3-vits16", "{\"preset\":\"mocov3-vits16\",\"input_px\":224,\"heads\":12,"
                          "\"norm_eps\":1e-6,\"activation\":\"gelu\",\"pool\":\"cls\","
                          "\"final_norm\":\"before_pool\",\"mean\":[0.485,0.456,0.406],"
                          "\"std\":[0.229,0.224,0.225]}"},
        {"dinov2-vitb14-reg", "{\"preset\":\"dinov2-vitb14-reg\",\"input_px\":224,\"heads\":12,"
                              "\"norm_eps\":1e-6,\"activation\":\"gelu\",\"pool\":\"cls\","
                              "\"final_norm\":\"before_pool\",\"pos_resize\":\"antialias\","
                              "\"mean\":[0.485,0.456,0.406],\"std\":[0.229,0.224,0.225]}"},
        {"dinov3-vith16plus", "{\"preset\":\"dinov3-vith16plus\",\"input_px\":224,\"heads\":20,"
                              "\"norm_eps\":1e-5,\"activation\":\"gelu\",\"pool\":\"cls\","
                              "\"final_norm\":\"before_pool\",\"mean\":[0.485,0.456,0.406],"
                              "\"std\":[0.229,0.224,0.225]}"},
        {"clip-vitl14-336", "{\"preset\":\"clip-vitl14-336\",\"input_px\":336,\"heads\":16,"
                            "\"norm_eps\":1e-5,\"activation\":\"quick_gelu\",\"pool\":\"cls\","
                            "\"final_norm\":\"before_pool\","
                            "\"mean\":[0.48145466,0.4578275,0.40821073],"
                            "\"std\":[0.26862954,0.26130258,0.27577711]}"},
        {"swav-resnet50", "{\"preset\":\"swav-resnet50\",\"input_px\":224,\"stride_at\":\"conv2\","
                          "\"mean\":[0.485,0.456,0.406],\"std\":[0.228,0.224,0.225]}"},
        {"simclr-cifar-resnet50", "{\"preset\":\"simclr-cifar-resnet50\",\"input_px\":32,"
                                  "\"stem_pad\":1,\"stride_at\":\"conv2\","
                                  "\"mean\":[0.4914,0.4822,0.4465],"
                                  "\"std\":[0.2023,0.1994,0.201]}"},
        {"sololearn-cifar-resnet18", "{\"preset\":\"sololearn-cifar-resnet18\",\"input_px\":32,"
                                     "\"stem_pad\":2,\"stride_at\":\"conv2\","
                                     "\"mean\":[0.4914,0.4822,0.4465],"
                                     "\"std\":[0.247,0.2435,0.2616]}"},
        {"memssl-mae-vittiny", "{\"preset\":\"memssl-mae-vittiny\",\"input_px\":32,\"heads\":3,"
                               "\"norm_eps\":1e-5,\"activation\":\"gelu\",\"pool\":\"cls\","
                               "\"final_norm\":\"before_pool\",\"mean\":[0.5,0.5,0.5],"
                               "\"std\":[0.5,0.5,0.5]}"},
        {"memssl-vicreg-resnet50", "{\"preset\":\"memssl-vicreg-resnet50\","
                                   "\"stride_at\":\"conv2\",\"mean\":[0.5,0.5,0.5],"
                                   "\"std\":[0.5,0.5,0.5]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sm_encoder_config config = {0};
        struct sm_err err = {0};
        snprintf(config.preset, sizeof config.preset, "%s", cases[i].name);
        assert_ok(sm_encoder_config_complete(&config, NULL, &err));
        assert_says(&config, cases[i].says);
    }
}

static void unknown_presets_get_the_nearest_names(void **state)
{
    (void)state;
    struct folder f;
    struct sm_err err;
    struct sm_encoder_config config = {.preset = "dino-vits15"};
    const struct sm_encoder_info info = {0};
    static const char text[] =
        "no preset \"dino-vits15\"; nearest: dino-vits16, dino-vits8, dino-vitb16";
    assert_fails(sm_encoder_config_complete(&config, NULL, &err), SM_NOT_FOUND, text, "");
    assert_fails(sm_preset_check(&config, &info, &err), SM_NOT_FOUND, text, "");
    memset(config.preset, 'z', sizeof config.preset - 1);
    assert_int_equal(sm_encoder_config_complete(&config, NULL, NULL), SM_NOT_FOUND);

    folder_open(&f);
    folder_write(&f, "encoder.json", "{\"preset\":\"swav-resnet5\"}");
    config = (struct sm_encoder_config){0};
    assert_fails(sm_encoder_config_complete(&config, f.checkpoint, &err), SM_NOT_FOUND,
                 "encoder.json: no preset \"swav-resnet5\"; nearest: swav-resnet50, "
                 "dino-resnet50, byol-resnet50",
                 "");
    assert_says(&config, "{}");
    folder_remove(&f);
}

static void presets_must_fit_the_file(void **state)
{
    (void)state;
    static const struct {
        const char *preset;
        struct sm_encoder_info info;
        const char *error;
    } cases[] = {
        {"", {.dim = 5}, NULL},
        {"dino-vits16",
         {.dim = 384,
          .blocks = 12,
          .tokens = 197,
          .has_cls = true,
          .input_h_px = 224,
          .input_w_px = 224},
         NULL},
        {"dino-vits16",
         {.dim = 384,
          .blocks = 12,
          .tokens = 7,
          .has_cls = true,
          .input_h_px = 48,
          .input_w_px = 32},
         NULL},
        {"dino-vits16",
         {.dim = 768, .blocks = 12},
         "preset dino-vits16 is of width 384, the file of width 768"},
        {"dino-vits16",
         {.dim = 384, .blocks = 24},
         "preset dino-vits16 is of 12 blocks, the file of 24"},
        {"dino-vits16",
         {.dim = 384,
          .blocks = 12,
          .tokens = 785,
          .has_cls = true,
          .input_h_px = 224,
          .input_w_px = 224},
         "preset dino-vits16 has patches of 16, so 196 of 224x224 pixels, the file 784"},
        {"dinov3-vitb16",
         {.dim = 768,
          .blocks = 12,
          .tokens = 201,
          .has_cls = true,
          .registers = 4,
          .input_h_px = 224,
          .input_w_px = 224},
         NULL},
        {"siglip-so400m14-384",
         {.dim = 1152, .blocks = 27, .tokens = 729, .input_h_px = 384, .input_w_px = 384},
         NULL},
        {"clip-rn50x64", {.dim = 4096, .blocks = 64, .tokens = 196}, NULL},
        {"dinov3-convnext-base", {.dim = 1024, .blocks = 36, .tokens = 49}, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sm_encoder_config config = {0};
        struct sm_err err = {0};
        snprintf(config.preset, sizeof config.preset, "%s", cases[i].preset);
        if (cases[i].error)
            assert_fails(sm_preset_check(&config, &cases[i].info, &err), SM_CONFLICT,
                         cases[i].error, "");
        else
            assert_ok(sm_preset_check(&config, &cases[i].info, &err));
    }
}

static void golden_files_say_what_their_models_have(void **state)
{
    (void)state;
    static const struct {
        const char *golden, *file, *says;
    } cases[] = {
        {"hf-vit.json", "config.json",
         "{\"heads\":2,\"norm_eps\":1e-12,\"activation\":\"gelu\",\"pool\":\"cls\"}"},
        {"hf-vitmae.json", "config.json",
         "{\"heads\":3,\"norm_eps\":1e-12,\"activation\":\"gelu\",\"pool\":\"cls\","
         "\"pos_resize\":\"plain\"}"},
        {"hf-dinov2.json", "config.json",
         "{\"heads\":3,\"norm_eps\":1e-6,\"activation\":\"gelu\",\"pool\":\"cls\","
         "\"pos_resize\":\"offset\"}"},
        {"hf-dinov2-swiglu.json", "config.json",
         "{\"heads\":2,\"norm_eps\":1e-6,\"activation\":\"gelu\",\"pool\":\"cls\","
         "\"pos_resize\":\"offset\"}"},
        {"hf-clip.json", "config.json",
         "{\"heads\":3,\"norm_eps\":1e-5,\"activation\":\"quick_gelu\",\"pool\":\"cls\"}"},
        {"hf-siglip.json", "config.json",
         "{\"heads\":3,\"norm_eps\":1e-6,\"activation\":\"gelu_tanh\",\"pool\":\"map\","
         "\"pos_resize\":\"plain\"}"},
        {"openclip-quickgelu.json", "open_clip_config.json",
         "{\"heads\":2,\"norm_eps\":1e-5,\"activation\":\"quick_gelu\",\"pool\":\"cls\","
         "\"final_norm\":\"before_pool\",\"mean\":[0.48145466,0.4578275,0.40821073],"
         "\"std\":[0.26862954,0.26130258,0.27577711]}"},
        {"openclip-variants.json", "open_clip_config.json",
         "{\"heads\":3,\"norm_eps\":1e-5,\"activation\":\"gelu\",\"pool\":\"mean\","
         "\"final_norm\":\"after_pool\",\"mean\":[0.48145466,0.4578275,0.40821073],"
         "\"std\":[0.26862954,0.26130258,0.27577711]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sm_encoder_config config = {0};
        struct sm_file file;
        struct sm_err err = {0};
        char path[128];
        snprintf(path, sizeof path, "%s/%s", GOLDEN, cases[i].golden);
        assert_ok(sm_file_map(&file, path, SM_SIDECAR_BYTES_MAX, &err));
        assert_ok(
            sm_sidecar_read(&config, sidecar(cases[i].file), file.bytes, file.bytes_count, &err));
        assert_says(&config, cases[i].says);
        assert_int_equal(config.source[SM_CONFIG_HEADS], SM_SOURCE_SIDECAR);
        sm_file_release(&file);
    }
}

#define HF_ABSENT "\"qkv_bias\":true,\"image_size\":[1,\"x\"],\"id2label\":{\"0\":\"cat\"}"
#define HALF      "[0.5,0.5,0.5]"
#define CIFAR10   "\"mean\":[0.4914,0.4822,0.4465],\"std\":[0.247,0.2435,0.2616]"
#define CIFAR100  "\"mean\":[0.5071,0.4865,0.4409],\"std\":[0.2673,0.2564,0.2762]"
#define STL10     "\"mean\":[0.4914,0.4823,0.4466],\"std\":[0.247,0.243,0.261]"
#define IMAGENET  "\"mean\":[0.485,0.456,0.406],\"std\":[0.229,0.224,0.225]"

static void files_of_every_kind_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *file, *text, *says;
    } cases[] = {
        /* ours */
        {"encoder.json", "{\"input_px\":96,\"stem_pad\":1}", "{\"input_px\":96,\"stem_pad\":1}"},
        /* Hugging Face: what the class has when the file leaves it out; sizes of others' tables
         * are not read, whatever they are */
        {"config.json", "{\"model_type\":\"vit\"," HF_ABSENT "}",
         "{\"heads\":12,\"norm_eps\":1e-12,\"activation\":\"gelu\",\"pool\":\"cls\"}"},
        {"config.json", "{\"model_type\":\"ijepa\",\"hidden_act\":null}",
         "{\"heads\":12,\"norm_eps\":1e-12,\"activation\":\"gelu\",\"pool\":\"mean\","
         "\"pos_resize\":\"plain\"}"},
        {"config.json", "{\"model_type\":\"dinov2_with_registers\",\"hidden_act\":\"gelu_new\"}",
         "{\"heads\":12,\"norm_eps\":1e-6,\"activation\":\"gelu_tanh\",\"pool\":\"cls\","
         "\"pos_resize\":\"antialias\"}"},
        {"config.json", "{\"model_type\":\"dinov3_vit\"}",
         "{\"heads\":6,\"norm_eps\":1e-5,\"activation\":\"gelu\",\"pool\":\"cls\","
         "\"input_px\":224}"},
        {"config.json",
         "{\"model_type\":\"dinov3_vit\",\"hidden_act\":\"silu\",\"use_gated_mlp\":true,"
         "\"image_size\":[512,512]}",
         "{\"heads\":6,\"norm_eps\":1e-5,\"pool\":\"cls\",\"input_px\":512}"},
        {"config.json", "{\"model_type\":\"dinov3_convnext\",\"image_size\":4096}",
         "{\"norm_eps\":1e-6,\"activation\":\"gelu\",\"input_px\":4096}"},
        {"config.json", "{\"model_type\":\"clip\"}",
         "{\"heads\":12,\"norm_eps\":1e-5,\"activation\":\"quick_gelu\",\"pool\":\"cls\"}"},
        {"config.json",
         "{\"model_type\":\"clip\",\"num_attention_heads\":\"text\","
         "\"vision_config\":{\"num_attention_heads\":16,\"hidden_act\":\"gelu\"}}",
         "{\"heads\":16,\"norm_eps\":1e-5,\"activation\":\"gelu\",\"pool\":\"cls\"}"},
        {"config.json", "{\"model_type\":\"clip_vision_model\",\"layer_norm_eps\":1}",
         "{\"heads\":12,\"norm_eps\":1.0,\"activation\":\"quick_gelu\",\"pool\":\"cls\"}"},
        {"config.json", "{\"model_type\":\"siglip\",\"vision_config\":{\"vision_use_head\":false}}",
         "{\"heads\":12,\"norm_eps\":1e-6,\"activation\":\"gelu_tanh\",\"pos_resize\":\"plain\"}"},
        {"config.json", "{\"model_type\":\"siglip2_vision_model\"}",
         "{\"heads\":12,\"norm_eps\":1e-6,\"activation\":\"gelu_tanh\",\"pool\":\"map\"}"},
        /* timm */
        {"config.json",
         "{\"architecture\":\"vit_base_patch16_siglip_224\",\"global_pool\":\"map\","
         "\"pretrained_cfg\":{\"input_size\":[3,224,224],\"mean\":" HALF ",\"std\":" HALF "}}",
         "{\"pool\":\"map\",\"mean\":" HALF ",\"std\":" HALF "}"},
        {"config.json",
         "{\"architecture\":\"vit_base_patch32_clip_quickgelu_224\",\"global_pool\":\"token\"}",
         "{\"pool\":\"cls\",\"activation\":\"quick_gelu\"}"},
        {"config.json",
         "{\"architecture\":\"vit_small_patch16_dinov3\",\"global_pool\":\"avg\","
         "\"pretrained_cfg\":{\"input_size\":[3,256,256]}}",
         "{\"pool\":\"mean\",\"input_px\":256}"},
        {"config.json",
         "{\"architecture\":\"resnet50\",\"global_pool\":\"\",\"mean\":" HALF ",\"std\":" HALF "}",
         "{\"mean\":" HALF ",\"std\":" HALF "}"},
        {"config.json",
         "{\"model_type\":\"timm_wrapper\",\"architecture\":\"resnet18\","
         "\"global_pool\":\"avg\"}",
         "{\"pool\":\"mean\"}"},
        /* processors */
        {"preprocessor_config.json",
         "{\"image_mean\":[0.25,0.5,1],\"image_std\":" HALF ",\"size\":{\"height\":224}}",
         "{\"mean\":[0.25,0.5,1.0],\"std\":" HALF "}"},
        {"preprocessor_config.json", "{\"do_normalize\":false,\"image_mean\":null}",
         "{\"mean\":[0.0,0.0,0.0],\"std\":[1.0,1.0,1.0]}"},
        {"preprocessor_config.json", "{}", "{}"},
        /* open_clip */
        {"open_clip_config.json", "{\"model_cfg\":{\"vision_cfg\":{}}}",
         "{\"heads\":12,\"norm_eps\":1e-5,\"activation\":\"gelu\",\"pool\":\"cls\","
         "\"final_norm\":\"before_pool\"}"},
        {"open_clip_config.json",
         "{\"model_cfg\":{\"vision_cfg\":{\"width\":1280,\"head_width\":80,\"layers\":32,"
         "\"act_kwargs\":{\"approximate\":\"tanh\"},\"norm_kwargs\":{\"eps\":1e-6}}}}",
         "{\"heads\":16,\"norm_eps\":1e-6,\"activation\":\"gelu_tanh\",\"pool\":\"cls\","
         "\"final_norm\":\"before_pool\"}"},
        {"open_clip_config.json",
         "{\"model_cfg\":{\"vision_cfg\":{\"attentional_pool\":true,\"pool_type\":\"tok\"}}}",
         "{\"heads\":12,\"norm_eps\":1e-5,\"activation\":\"gelu\"}"},
        {"open_clip_config.json",
         "{\"model_cfg\":{\"vision_cfg\":{\"layers\":[4,6,10,6],\"width\":80}}}", "{\"heads\":40}"},
        {"open_clip_config.json",
         "{\"model_cfg\":{\"vision_cfg\":{\"timm_model_name\":\"vit_base_patch16_siglip_224\","
         "\"timm_pool\":\"map\"}},\"preprocess_cfg\":{\"mean\":" HALF ",\"std\":" HALF "}}",
         "{\"pool\":\"map\",\"mean\":" HALF ",\"std\":" HALF "}"},
        /* solo-learn, before and after its sections */
        {"args.json", "{\"encoder\":\"resnet18\",\"dataset\":\"cifar10\"}",
         "{\"stem_pad\":2," CIFAR10 "}"},
        {"args.json",
         "{\"backbone\":{\"name\":\"resnet50\",\"kwargs\":{}},\"data\":{\"dataset\":\"cifar100\"}}",
         "{\"stem_pad\":2," CIFAR100 "}"},
        {"args.json", "{\"backbone\":\"vit_tiny\",\"dataset\":\"cifar10\"}", "{" CIFAR10 "}"},
        {"args.json", "{\"backbone\":\"wide_resnet28w2\",\"dataset\":\"cifar10\"}",
         "{" CIFAR10 "}"},
        {"args.json", "{\"backbone\":\"resnet18\",\"dataset\":\"stl10\"}", "{" STL10 "}"},
        {"args.json", "{\"backbone\":\"resnet18\",\"dataset\":\"imagenet100\"}", "{" IMAGENET "}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sm_encoder_config config = {0};
        struct sm_err err = {0};
        assert_ok(sm_sidecar_read(&config, sidecar(cases[i].file), cases[i].text,
                                  strlen(cases[i].text), &err));
        assert_says(&config, cases[i].says);
        assert_int_equal(err.code, SM_OK);
    }
}

static void files_of_others_are_left_alone(void **state)
{
    (void)state;
    static const struct {
        const char *file, *text;
    } cases[] = {
        {"config.json", "{}"},
        {"config.json", "[1,2]"},
        {"config.json", "{\"family\":\"dino\",\"heads\":\"many\"}"},
        {"config.json", "{\"model_type\":\"bert\",\"num_attention_heads\":12}"},
        {"config.json", "{\"model_type\":[\"vit\"],\"architecture\":{\"name\":\"vit\"}}"},
        {"config.json", "{\"model_type\":\"vi\",\"layer_norm_eps\":-1}"},
        {"args.json", "{}"},
        {"args.json", "[]"},
        {"args.json", "{\"backbone\":7}"},
        {"args.json", "{\"dataset\":7,\"arch\":\"vit_small\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sm_encoder_config config = {0};
        struct sm_err err = {0};
        assert_ok(sm_sidecar_read(&config, sidecar(cases[i].file), cases[i].text,
                                  strlen(cases[i].text), &err));
        assert_says(&config, "{}");
    }
}

#define CLIP_CFG(text) "{\"model_cfg\":{\"vision_cfg\":{" text "}}}"
#define CLIP_AT        "/model_cfg/vision_cfg"
#define DEEP16         "[[[[[[[[[[[[[[[["
#define HF_ACTS        "gelu, gelu_python, gelu_new, gelu_fast, gelu_pytorch_tanh, quick_gelu, silu"

static void broken_files_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *file, *text, *error, *pointer;
        enum sm_code code;
    } cases[] = {
        {"encoder.json", "{\"heads\":0}", "heads is 0, must be from 1 to 1024", "/heads", 0},
        {"encoder.json", "{\"head\":1}", "field \"head\" is unknown", "/head", 0},
        {"encoder.json", "[]", "value is of type array, must be object", "", 0},
        {"encoder.json", "", "JSON at line 1 column 0: '[' or '{' expected near end of file", "",
         0},
        {"encoder.json", "{\"heads\":1,\"heads\":2}",
         "JSON at line 1 column 18: duplicate object key near '\"heads\"'", "", 0},
        {"config.json", "{\"model_type\":\"vit\",",
         "JSON at line 1 column 20: string or '}' expected near end of file", "", 0},
        {"config.json", DEEP16 DEEP16 "[", "JSON is 33 levels deep, limit is 32", "", SM_LIMIT},
        {"config.json", "{\"model_type\":\"vit\",\"num_attention_heads\":0}",
         "num_attention_heads is 0, must be from 1 to 1024", "/num_attention_heads", 0},
        {"config.json", "{\"model_type\":\"vit\",\"num_attention_heads\":1e9}",
         "num_attention_heads is of type number, must be integer", "/num_attention_heads", 0},
        {"config.json", "{\"model_type\":\"vit\",\"layer_norm_eps\":\"1e-6\"}",
         "layer_norm_eps is of type string, must be number", "/layer_norm_eps", 0},
        {"config.json", "{\"model_type\":\"vit\",\"layer_norm_eps\":0}",
         "layer_norm_eps is 0, must be from 1e-12 to 1", "/layer_norm_eps", 0},
        {"config.json", "{\"model_type\":\"vit\",\"hidden_act\":\"relu\"}",
         "hidden_act is \"relu\", must be one of " HF_ACTS, "/hidden_act", 0},
        {"config.json", "{\"model_type\":\"vit\",\"hidden_act\":\"silu\"}",
         "hidden_act is \"silu\" in an MLP that is not gated", "/hidden_act", 0},
        {"config.json", "{\"model_type\":\"siglip\",\"vision_config\":{\"hidden_act\":\"silu\"}}",
         "hidden_act is \"silu\" in an MLP that is not gated", "/vision_config/hidden_act", 0},
        {"config.json", "{\"model_type\":\"clip\",\"vision_config\":[]}",
         "value is of type array, must be object", "/vision_config", 0},
        {"config.json", "{\"model_type\":\"clip\",\"vision_config\":{\"layer_norm_eps\":2}}",
         "layer_norm_eps is 2, must be from 1e-12 to 1", "/vision_config/layer_norm_eps", 0},
        {"config.json", "{\"model_type\":\"dinov3_vit\",\"image_size\":0}",
         "image_size must be sides from 1 to 4096", "/image_size", 0},
        {"config.json", "{\"model_type\":\"dinov3_vit\",\"image_size\":4097}",
         "image_size must be sides from 1 to 4096", "/image_size", 0},
        {"config.json", "{\"model_type\":\"dinov3_vit\",\"image_size\":[224]}",
         "image_size must be sides from 1 to 4096", "/image_size", 0},
        {"config.json", "{\"architecture\":\"x\",\"global_pool\":\"max\"}",
         "global_pool is \"max\", must be one of token, avg, map", "/global_pool", 0},
        {"config.json", "{\"architecture\":\"x\",\"pretrained_cfg\":3}",
         "pretrained_cfg must be an object", "/pretrained_cfg", 0},
        {"config.json", "{\"architecture\":\"x\",\"pretrained_cfg\":{\"mean\":[0,0,0]}}",
         "field \"std\" is missing beside \"mean\"", "/pretrained_cfg/std", 0},
        {"config.json", "{\"architecture\":\"a_dinov3\",\"input_size\":[]}",
         "input_size must be sides from 1 to 4096", "/input_size", 0},
        {"preprocessor_config.json", "{\"image_mean\":[0,0,3],\"image_std\":[1,1,1]}",
         "image_mean is 3, must be from 0 to 1", "/image_mean/2", 0},
        {"preprocessor_config.json", "{\"image_std\":[1,1,1]}",
         "field \"image_mean\" is missing beside \"image_std\"", "/image_mean", 0},
        {"preprocessor_config.json", "{\"do_normalize\":1}",
         "do_normalize is of type integer, must be boolean", "/do_normalize", 0},
        {"preprocessor_config.json", "[]", "value is of type array, must be object", "", 0},
        {"open_clip_config.json", "{}", "field \"model_cfg\" is missing", "/model_cfg", 0},
        {"open_clip_config.json", "{\"model_cfg\":{}}", "field \"vision_cfg\" is missing",
         "/model_cfg/vision_cfg", 0},
        {"open_clip_config.json", "{\"model_cfg\":{\"vision_cfg\":[]}}",
         "value is of type array, must be object", CLIP_AT, 0},
        {"open_clip_config.json", CLIP_CFG("\"width\":0"), "width is 0, must be from 1 to 65536",
         CLIP_AT "/width", 0},
        {"open_clip_config.json", CLIP_CFG("\"width\":65536,\"layers\":[1],\"head_width\":1"),
         "width 65536 in heads of width 1 makes 2097152 heads, must be from 1 to 1024",
         CLIP_AT "/head_width", 0},
        {"open_clip_config.json", CLIP_CFG("\"width\":32"),
         "width 32 in heads of width 64 makes 0 heads, must be from 1 to 1024",
         CLIP_AT "/head_width", 0},
        {"open_clip_config.json", CLIP_CFG("\"pool_type\":\"none\""),
         "pool_type is \"none\", must be one of tok, avg", CLIP_AT "/pool_type", 0},
        {"open_clip_config.json", CLIP_CFG("\"timm_pool\":\"abs_attn\""),
         "timm_pool is \"abs_attn\", must be one of token, avg, map", CLIP_AT "/timm_pool", 0},
        {"open_clip_config.json", CLIP_CFG("\"norm_kwargs\":{\"eps\":-1}"),
         "eps is -1, must be from 1e-12 to 1", CLIP_AT "/norm_kwargs/eps", 0},
        {"open_clip_config.json", CLIP_CFG("\"act_kwargs\":7"),
         "value is of type integer, must be object", CLIP_AT "/act_kwargs", 0},
        {"open_clip_config.json",
         "{\"model_cfg\":{\"vision_cfg\":{}},\"preprocess_cfg\":{\"mean\":0.5,\"std\":0.5}}",
         "mean must be an array of three numbers", "/preprocess_cfg/mean", 0},
        {"open_clip_config.json", "{\"model_cfg\":{\"vision_cfg\":{}},\"preprocess_cfg\":7}",
         "preprocess_cfg must be an object", "/preprocess_cfg", 0},
        {"args.json", "{\"backbone\":7,\"dataset\":\"cifar10\"}",
         "backbone is of type integer, must be string", "/backbone", 0},
        {"args.json", "{\"backbone\":{},\"dataset\":\"cifar10\"}", "field \"name\" is missing",
         "/backbone/name", 0},
        {"args.json", "{\"encoder\":\"resnet18\",\"data\":{\"dataset\":[]}}",
         "dataset is of type array, must be string", "/data/dataset", 0},
        {"args.json", "{\"encoder\":\"resnet18\",\"data\":7}", "field \"dataset\" is missing",
         "/dataset", 0},
        {"args.json", "{\"encoder\":\"" A10 A10 A10 A10 A10 A10 "aaaa\",\"dataset\":\"x\"}",
         "encoder has 64 bytes, limit is 63 without NUL", "/encoder", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sm_encoder_config config = {.stem_pad = 1}, before = config;
        struct sm_err err;
        char text[sizeof err.text];
        snprintf(text, sizeof text, "%s: %s", cases[i].file, cases[i].error);
        assert_fails(sm_sidecar_read(&config, sidecar(cases[i].file), cases[i].text,
                                     strlen(cases[i].text), &err),
                     cases[i].code ? cases[i].code : SM_INVALID, text, cases[i].pointer);
        assert_memory_equal(&config, &before, sizeof config);
    }
}

static void files_have_a_size_limit(void **state)
{
    (void)state;
    struct sm_encoder_config config = {0};
    struct sm_err err = {0};
    size_t size = SM_SIDECAR_BYTES_MAX + 1;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, ' ', size);
    memcpy(text, "{}", 2);
    assert_ok(sm_sidecar_read(&config, sidecar("config.json"), text, size - 1, &err));
    assert_fails(sm_sidecar_read(&config, sidecar("config.json"), text, size, &err), SM_LIMIT,
                 "config.json: JSON has 4194305 bytes, limit is 4194304", "");
    free(text);
}

/* What is wrong with a file fails the whole, and nothing of the others is taken over. */
static void a_broken_file_fails_the_whole(void **state)
{
    (void)state;
    struct folder f;
    struct sm_err err;
    struct sm_encoder_config config = {.heads = 3}, before = config;
    char path[128], text[sizeof err.text];
    folder_open(&f);
    folder_write(&f, "encoder.json", "{\"norm_eps\":0.5}");
    folder_write(&f, "args.json", "{\"backbone\":\"resnet18\",\"dataset\":1}");
    assert_fails(sm_encoder_config_complete(&config, f.checkpoint, &err), SM_INVALID,
                 "args.json: dataset is of type integer, must be string", "/dataset");
    assert_memory_equal(&config, &before, sizeof config);
    assert_int_equal(sm_encoder_config_complete(&config, f.checkpoint, NULL), SM_INVALID);
    folder_remove(&f);

    folder_open(&f);
    snprintf(path, sizeof path, "%s/config.json", f.path);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(text, sizeof text, "%s: not a regular file", path);
    assert_fails(sm_encoder_config_complete(&config, f.checkpoint, &err), SM_IO, text, "");
    folder_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_the_same),
        cmocka_unit_test(nothing_says_nothing),
        cmocka_unit_test(limits_are_held),
        cmocka_unit_test(what_is_set_by_hand_is_checked),
        cmocka_unit_test(the_surest_source_wins),
        cmocka_unit_test(files_are_looked_for_in_the_folder_of_the_checkpoint),
        cmocka_unit_test(presets_say_what_they_must),
        cmocka_unit_test(facts_that_tensors_hide),
        cmocka_unit_test(unknown_presets_get_the_nearest_names),
        cmocka_unit_test(presets_must_fit_the_file),
        cmocka_unit_test(golden_files_say_what_their_models_have),
        cmocka_unit_test(files_of_every_kind_are_read),
        cmocka_unit_test(files_of_others_are_left_alone),
        cmocka_unit_test(broken_files_are_named),
        cmocka_unit_test(files_have_a_size_limit),
        cmocka_unit_test(a_broken_file_fails_the_whole),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
