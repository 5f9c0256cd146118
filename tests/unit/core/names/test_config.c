/* Encoder configurations: every field at its limits and one past, who wins and who is named as the
 * source, every preset and what it must find. */
#include "config_fixture.h"

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
    assert_int_equal(config.activation, SM_ACTIVATION_GELU_TANH);
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
        "{\"stem_pad\":3}",
        "{\"stem_pool\":\"max_ceil\",\"stem_stride\":1}",
        "{\"stem_pool\":\"none\",\"stem_stride\":4}",
        "{\"dilate_from\":\"layer2\",\"shortcut_pad\":\"after\"}",
        "{\"norm_order\":\"post\",\"attn_scale\":1e-4,\"rope_base\":1}",
        "{\"attn_scale\":100,\"rope_base\":1e9,\"patch_stride\":1}",
        "{\"patch_stride\":4096,\"channel_order\":\"bgr\",\"stem_norm_eps\":1}",
        "{\"activation\":\"relu\",\"pool\":\"max\"}",
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
        {"{\"activation\":\"silu\"}",
         "activation is \"silu\", must be one of gelu, gelu_tanh, quick_gelu, relu",
         "/e/activation"},
        {"{\"pool\":\"gem\"}", "pool is \"gem\", must be one of cls, mean, map, max", "/e/pool"},
        {"{\"final_norm\":\"\"}", "final_norm is \"\", must be one of before_pool, after_pool",
         "/e/final_norm"},
        {"{\"pos_resize\":\"bilinear\"}",
         "pos_resize is \"bilinear\", must be one of plain, offset, antialias", "/e/pos_resize"},
        {"{\"stem_pad\":0}", "stem_pad is 0, must be from 1 to 3", "/e/stem_pad"},
        {"{\"stem_pad\":4}", "stem_pad is 4, must be from 1 to 3", "/e/stem_pad"},
        {"{\"stem_pool\":\"avg\"}", "stem_pool is \"avg\", must be one of max, max_ceil, none",
         "/e/stem_pool"},
        {"{\"stem_stride\":0}", "stem_stride is 0, must be from 1 to 4", "/e/stem_stride"},
        {"{\"stem_stride\":5}", "stem_stride is 5, must be from 1 to 4", "/e/stem_stride"},
        {"{\"stem_norm_eps\":0}", "stem_norm_eps is 0, must be from 1e-12 to 1",
         "/e/stem_norm_eps"},
        {"{\"dilate_from\":\"layer1\"}",
         "dilate_from is \"layer1\", must be one of none, layer2, layer3, layer4",
         "/e/dilate_from"},
        {"{\"shortcut_pad\":\"before\"}", "shortcut_pad is \"before\", must be one of both, after",
         "/e/shortcut_pad"},
        {"{\"norm_order\":\"res\"}", "norm_order is \"res\", must be one of pre, post",
         "/e/norm_order"},
        {"{\"attn_scale\":9e-5}", "attn_scale is 9e-05, must be from 0.0001 to 100",
         "/e/attn_scale"},
        {"{\"attn_scale\":101}", "attn_scale is 101, must be from 0.0001 to 100", "/e/attn_scale"},
        {"{\"rope_base\":0.5}", "rope_base is 0.5, must be from 1 to 1e+09", "/e/rope_base"},
        {"{\"rope_base\":2e9}", "rope_base is 2e+09, must be from 1 to 1e+09", "/e/rope_base"},
        {"{\"patch_stride\":0}", "patch_stride is 0, must be from 1 to 4096", "/e/patch_stride"},
        {"{\"patch_stride\":4097}", "patch_stride is 4097, must be from 1 to 4096",
         "/e/patch_stride"},
        {"{\"channel_order\":\"gbr\"}", "channel_order is \"gbr\", must be one of rgb, bgr",
         "/e/channel_order"},
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
        {{.activation = (enum sm_activation_kind)5}, "activation is 5, must be from 1 to 4"},
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
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
