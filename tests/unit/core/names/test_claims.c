/* Files of other networks beside a checkpoint: each number that both tell is compared, with real
 * checkpoints of every family and, for names of architectures, with networks of their size. */
#include "config_fixture.h"

#define HF_VIT    "encoders/hf-vit/pytorch_model.bin"
#define HF_CLIP   "encoders/hf-clip/pytorch_model.bin"
#define HF_SWIGLU "encoders/hf-dinov2-swiglu/model.safetensors"
#define HF_DINOV3 "nn/hf-dinov3/model.safetensors"
#define CONVNEXT  "encoders/dinov3-convnext/pretrain.pth"
#define TIMM_VIT  "encoders/timm-vit/model.safetensors"
#define TIMM_REG  "encoders/timm-dinov2-reg/model.safetensors"
#define DINOV3    "encoders/timm-dinov3/model.safetensors"
#define RESNET    "nn/resnet50-narrow/model.safetensors"
#define OPENCLIP  "encoders/openclip-quickgelu/open_clip_model.safetensors"
#define CLIP_RN   "encoders/clip-resnet/model.pt"

#define HF(type, key) "{\"model_type\":\"" type "\",\"num_attention_heads\":2,\"" key "\":%s}"
#define TOWER(key)    "{\"model_type\":\"clip\",\"vision_config\":{\"" key "\":%s}}"
#define RATIO(swiglu)                                                                              \
    "{\"model_type\":\"dinov2\",\"hidden_size\":24,\"use_swiglu_ffn\":" swiglu                     \
    ",\"num_attention_heads\":2,\"mlp_ratio\":%s}"
#define TIMM(key)      "{\"architecture\":\"x\",\"global_pool\":\"avg\",\"" key "\":%s}"
#define TIMM_ARGS(key) TIMM("model_args\":{\"" key) "}"
#define CLIP(more)     "{\"model_cfg\":{\"vision_cfg\":{" more "}}}"
#define SOLO(key)                                                                                  \
    "{\"backbone\":{\"name\":\"x\",\"kwargs\":{\"" key "\":%s}},\"data\":{\"dataset\":\"stl10\"}}"

struct row {
    const char *checkpoint, *file, *text, *right, *wrong;
    const char *error; /* after the file's name, up to the second number */
};

static const struct row rows[] = {
    {HF_VIT, "config.json", HF("vit", "hidden_size"), "24", "768",
     "says hidden_size 768, the checkpoint's is 24"},
    {HF_VIT, "config.json", HF("vit_mae", "num_hidden_layers"), "2", "12",
     "says num_hidden_layers 12, the checkpoint's is 2"},
    {HF_VIT, "config.json", HF("vit", "patch_size"), "8", "16",
     "says patch_size 16, the checkpoint's is 8"},
    {HF_VIT, "config.json", HF("vit", "patch_size"), "[8,8]", "[8,16]",
     "says patch_size 8x16, the checkpoint's is 8"},
    {HF_VIT, "config.json", HF("vit", "intermediate_size"), "96", "3072",
     "says intermediate_size 3072, the checkpoint's is 96"},
    {HF_VIT, "config.json", HF("vit", "image_size"), "32", "224",
     "says image_size 224, the checkpoint's is 32"},
    {HF_VIT, "config.json", HF("vit", "image_size"), "39", "40",
     "says image_size 40, the checkpoint's is 32"},
    {HF_VIT, "config.json", HF("dinov2_with_registers", "num_register_tokens"), "0", "4",
     "says num_register_tokens 4, the checkpoint's is 0"},
    {HF_VIT, "config.json", RATIO("false"), "4", "3", "says mlp_ratio 72, the checkpoint's is 96"},
    {HF_SWIGLU, "config.json", RATIO("true"), "4", "2",
     "says mlp_ratio 32, the checkpoint's is 64"},
    {HF_CLIP, "config.json", TOWER("hidden_size"), "24", "1024",
     "says hidden_size 1024, the checkpoint's is 24"},
    {HF_DINOV3, "config.json", HF("dinov3_vit", "num_register_tokens"), "4", "0",
     "says num_register_tokens 0, the checkpoint's is 4"},
    {HF_DINOV3, "config.json", HF("dinov3_vit", "intermediate_size"), "96", "1536",
     "says intermediate_size 1536, the checkpoint's is 96"},
    {HF_DINOV3, "config.json", HF("dinov3_vit", "image_size"), "224", NULL, NULL},
    {CONVNEXT, "config.json", HF("dinov3_convnext", "depths"), "[1,1,2,1]", "[3,3,9,3]",
     "says depths 3, 3, 9, 3, the checkpoint's is 1, 1, 2, 1"},
    {CONVNEXT, "config.json", HF("dinov3_convnext", "hidden_sizes"), "[8,12,16,24]",
     "[96,192,384,768]", "says hidden_sizes 96, 192, 384, 768, the checkpoint's is 8, 12, 16, 24"},
    {CONVNEXT, "config.json", HF("vit", "patch_size"), "null", "16",
     "says patch_size 16, the checkpoint's is 0"},
    {RESNET, "config.json", HF("resnet", "depths"), "[3,4,6,3]", "[2,2,2,2]",
     "says depths 2, 2, 2, 2, the checkpoint's is 3, 4, 6, 3"},
    {RESNET, "config.json", HF("resnet", "hidden_sizes"), "[8,16,32,64]", "[256,512,1024,2048]",
     "says hidden_sizes 256, 512, 1024, 2048, the checkpoint's is 8, 16, 32, 64"},
    {RESNET, "config.json", TIMM("num_features"), "64", "2048",
     "says num_features 2048, the checkpoint's is 64"},
    {RESNET, "config.json", TIMM_ARGS("layers"), "[3,4,6,3]", "[3,4,23,3]",
     "says layers 3, 4, 23, 3, the checkpoint's is 3, 4, 6, 3"},
    {CONVNEXT, "config.json", TIMM_ARGS("depths"), "[1,1,2,1]", "[3,3,9,3]",
     "says depths 3, 3, 9, 3, the checkpoint's is 1, 1, 2, 1"},
    {CONVNEXT, "config.json", TIMM_ARGS("dims"), "[8,12,16,24]", "[8,12,16,32]",
     "says dims 8, 12, 16, 32, the checkpoint's is 8, 12, 16, 24"},
    {TIMM_VIT, "config.json", TIMM_ARGS("embed_dim"), "32", "192",
     "says embed_dim 192, the checkpoint's is 32"},
    {TIMM_VIT, "config.json", TIMM_ARGS("depth"), "2", "12",
     "says depth 12, the checkpoint's is 2"},
    {TIMM_VIT, "config.json", TIMM_ARGS("patch_size"), "8", "16",
     "says patch_size 16, the checkpoint's is 8"},
    {TIMM_VIT, "config.json", TIMM_ARGS("img_size"), "[32,32]", "[224,224]",
     "says img_size 224, the checkpoint's is 32"},
    {TIMM_REG, "config.json", TIMM_ARGS("reg_tokens"), "4", "1",
     "says reg_tokens 1, the checkpoint's is 4"},
    {DINOV3, "config.json", TIMM_ARGS("num_reg_tokens"), "4", "0",
     "says num_reg_tokens 0, the checkpoint's is 4"},
    {OPENCLIP, "open_clip_config.json", CLIP("\"head_width\":12,\"width\":%s"), "24", "768",
     "says width 768, the checkpoint's is 24"},
    {OPENCLIP, "open_clip_config.json", CLIP("\"head_width\":12,\"width\":24,\"layers\":%s"), "2",
     "12", "says layers 12, the checkpoint's is 2"},
    {OPENCLIP, "open_clip_config.json", CLIP("\"head_width\":12,\"width\":24,\"patch_size\":%s"),
     "8", "32", "says patch_size 32, the checkpoint's is 8"},
    {OPENCLIP, "open_clip_config.json", CLIP("\"head_width\":12,\"width\":24,\"mlp_ratio\":%s"),
     "4.0", "4.9", "says mlp_ratio 117, the checkpoint's is 96"},
    {OPENCLIP, "open_clip_config.json", CLIP("\"head_width\":12,\"width\":24,\"image_size\":%s"),
     "32", "224", "says image_size 224, the checkpoint's is 32"},
    {OPENCLIP, "open_clip_config.json", CLIP("\"timm_model_name\":\"x\",\"image_size\":%s"), "32",
     "224", "says image_size 224, the checkpoint's is 32"},
    {CLIP_RN, "open_clip_config.json", CLIP("\"head_width\":16,\"layers\":[1,1,1,1],\"width\":%s"),
     "2", "64", "says width 2048, the checkpoint's is 64"},
    {CLIP_RN, "open_clip_config.json", CLIP("\"head_width\":16,\"width\":2,\"layers\":%s"),
     "[1,1,1,1]", "[3,4,6,3]", "says layers 3, 4, 6, 3, the checkpoint's is 1, 1, 1, 1"},
    {CLIP_RN, "open_clip_config.json",
     CLIP("\"head_width\":16,\"layers\":[1,1,1,1],\"width\":2,\"image_size\":%s"), "64", "224",
     "says image_size 224, the checkpoint's is 64"},
    {TIMM_VIT, "args.json", SOLO("patch_size"), "8", "4",
     "says patch_size 4, the checkpoint's is 8"},
    {TIMM_VIT, "args.json", SOLO("img_size"), "32", "96",
     "says img_size 96, the checkpoint's is 32"},
};

static size_t sidecar(const char *file)
{
    size_t i = 0;
    while (strcmp(sm_sidecar(i), file) != 0)
        i++;
    return i;
}

/* The text with what stands for its %s. */
static void put(char *out, size_t out_bytes, const char *text, const char *value)
{
    const char *at = strstr(text, "%s");
    assert_non_null(at);
    int length = snprintf(out, out_bytes, "%.*s%s%s", (int)(at - text), text, value, at + 2);
    assert_true(length > 0 && (size_t)length < out_bytes);
}

static void read_file(struct sm_encoder_config *config, const char *file, const char *text)
{
    struct sm_err err = {0};
    assert_ok(sm_sidecar_read(config, sidecar(file), text, strlen(text), &err));
}

static enum sm_code open_beside(const struct row *row, const char *number,
                                const struct sm_encoder_config *said, struct sm_err *err)
{
    struct sm_encoder_config config = *said;
    struct sm_encoder *encoder = NULL;
    struct sm_ckpt *ckpt;
    char path[128], text[256];
    snprintf(path, sizeof path, "tests/golden/%s", row->checkpoint);
    put(text, sizeof text, row->text, number);
    read_file(&config, row->file, text);
    assert_int_equal(sm_ckpt_open(&ckpt, path, err), SM_OK);
    enum sm_code code = sm_encoder_open(&encoder, ckpt, &config, "ref", err);
    sm_ckpt_close(ckpt);
    sm_encoder_close(encoder);
    return code;
}

static void each_number_is_compared(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        struct sm_err err = {0};
        struct sm_encoder_config config = {.std = {1, 1, 1}};
        bool vit = !strstr(row->text, "model_type") && !strstr(row->text, "head_width");
        bool plain = !strcmp(row->checkpoint, RESNET) || !strcmp(row->checkpoint, CONVNEXT);
        char text[sizeof err.text];
        config.heads = vit && !plain ? 2 : 0;
        /* Something that other files say, too: those that are compared only are not taken. */
        if (strstr(row->text, "\"resnet\"") || !strcmp(row->file, "args.json")) {
            config.std[0] = config.std[1] = config.std[2] = 0;
            read_file(&config, "preprocessor_config.json", "{\"do_normalize\":false}");
        }
        if (open_beside(row, row->right, &config, &err) != SM_OK)
            fail_msg("row %zu: %s", i, err.text);
        if (!row->wrong)
            continue;
        assert_int_equal(open_beside(row, row->wrong, &config, &err), SM_CONFLICT);
        snprintf(text, sizeof text, "%s %s: it is another network's; remove it or give \"",
                 row->file, row->error);
        if (strncmp(err.text, text, strlen(text)) != 0)
            fail_msg("row %zu: %s, expected %s", i, err.text, text);
    }
}

static void names_of_architectures_are_compared(void **state)
{
    (void)state;
    static const struct sm_encoder_info
        vit_b16 = {.dim = 768, .blocks = 12, .patch = 16},
        vit_s14_reg = {.dim = 384, .blocks = 12, .patch = 14, .registers = 4},
        dinov2_g = {.dim = 1536, .blocks = 40, .patch = 14},
        resnet34 = {.dim = 512, .blocks = 16, .block_convs = 2, .stage_blocks = {3, 4, 6, 3}},
        convnext_t = {.dim = 768, .blocks = 18, .stage_blocks = {3, 3, 9, 3}};
    static const struct {
        const struct sm_encoder_info *info;
        const char *name, *error; /* NULL: it is the one */
    } cases[] = {
        {&vit_b16, "vit_base_patch16_224.augreg_in21k", NULL},
        {&vit_b16, "vit_base_patch16_224", NULL},
        {&vit_b16, "vit_base", NULL},
        {&vit_b16, "some_network", NULL},
        {&vit_b16, "vit_large_patch16_224", "of width 1024, the checkpoint's is 768"},
        {&vit_b16, "vit_base_patch8_224", "of patch size 8, the checkpoint's is 16"},
        {&vit_b16, "vit_base_patch16_18x2_224", "of depth 18, the checkpoint's is 12"},
        {&vit_b16, "vit_base_patch16_plus_240", "of width 896, the checkpoint's is 768"},
        {&vit_b16, "vit_base_patch16_dinov3", "of register tokens 4, the checkpoint's is 0"},
        {&vit_b16, "resnet50", "of depths 3, 4, 6, 3, the checkpoint's is 0"},
        {&vit_s14_reg, "vit_small_patch14_reg4_dinov2", NULL},
        {&vit_s14_reg, "vit_small_patch14_reg1_dinov2",
         "of register tokens 1, the checkpoint's is 4"},
        {&dinov2_g, "vit_giant_patch14_dinov2", NULL},
        {&dinov2_g, "vit_giant_patch14_clip_224", "of width 1408, the checkpoint's is 1536"},
        {&resnet34, "resnet34", NULL},
        {&resnet34, "resnet50_gn", "of convolutions a block 3, the checkpoint's is 2"},
        {&resnet34, "resnet18", "of depths 2, 2, 2, 2, the checkpoint's is 3, 4, 6, 3"},
        {&resnet34, "resnet50x4_clip", NULL},
        {&resnet34, "vit_base_patch16_224", "of patch size 16, the checkpoint's is 0"},
        {&convnext_t, "convnext_tiny", NULL},
        {&convnext_t, "convnext_small.dinov3",
         "of depths 3, 3, 27, 3, the checkpoint's is 3, 3, 9, 3"},
    };
    static const struct {
        const char *file, *text, *key;
    } files[] = {
        {"config.json", "{\"architecture\":\"%s\",\"global_pool\":\"avg\"}", "architecture"},
        {"open_clip_config.json", CLIP("\"timm_model_name\":\"%s\""), "timm_model_name"},
        {"args.json", "{\"backbone\":{\"name\":\"%s\"},\"dataset\":\"stl10\"}", "backbone"},
        {"args.json", "{\"encoder\":\"%s\",\"dataset\":\"stl10\"}", "backbone"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t k = 0; k < sizeof files / sizeof *files; k++) {
            struct sm_encoder_config config = {0};
            struct sm_err err = {0};
            char text[256], expected[sizeof err.text];
            put(text, sizeof text, files[k].text, cases[i].name);
            read_file(&config, files[k].file, text);
            enum sm_code code = sm_claims_check(&config, cases[i].info, &err);
            if (code != (cases[i].error ? SM_CONFLICT : SM_OK))
                fail_msg("%s: %s", text, err.text);
            snprintf(expected, sizeof expected, "%s says %s %s: ", files[k].file, files[k].key,
                     cases[i].error ? cases[i].error : "");
            if (cases[i].error && strncmp(err.text, expected, strlen(expected)) != 0)
                fail_msg("%s, expected %s", err.text, expected);
        }
    }
}

/* model_args and their kin say more than the name, which has been changed by them. */
static void arguments_come_before_names(void **state)
{
    (void)state;
    const struct sm_encoder_info info = {.dim = 48, .blocks = 12, .patch = 4};
    struct sm_encoder_config config = {0};
    struct sm_err err = {0};
    read_file(&config, "config.json",
              "{\"architecture\":\"vit_base_patch16_224\",\"global_pool\":\"avg\","
              "\"model_args\":{\"embed_dim\":48,\"patch_size\":4}}");
    assert_ok(sm_claims_check(&config, &info, &err));
    assert_int_equal(config.claims_count, 3);
}

/* The text names all that would be taken; with it said, the file says nothing and may stay. */
static void what_is_said_otherwise_is_not_compared(void **state)
{
    (void)state;
    static const struct row row = {
        HF_VIT,
        "config.json",
        "{\"model_type\":\"vit\",\"hidden_size\":%s,\"num_hidden_layers\":12,"
        "\"num_attention_heads\":12,\"patch_size\":16}",
        NULL,
        "768",
        NULL};
    struct sm_encoder_config config = {0};
    struct sm_err err = {0};
    assert_fails(open_beside(&row, row.wrong, &config, &err), SM_CONFLICT,
                 "config.json says hidden_size 768, the checkpoint's is 24: it is another "
                 "network's; remove it or give \"heads\", \"norm_eps\", \"activation\", \"pool\"",
                 "");
    /* Before a head count of the other network is said not to fit. */
    static const struct row seven = {
        HF_VIT,
        "config.json",
        "{\"model_type\":\"vit\",\"hidden_size\":%s,\"num_attention_heads\":7}",
        NULL,
        NULL,
        NULL};
    assert_int_equal(open_beside(&seven, "21", &config, &err), SM_CONFLICT);
    config = parse("{\"heads\":2,\"norm_eps\":1e-12,\"activation\":\"gelu\"}");
    assert_int_equal(open_beside(&row, row.wrong, &config, &err), SM_CONFLICT);
    config = parse("{\"heads\":2,\"norm_eps\":1e-12,\"activation\":\"gelu\",\"pool\":\"cls\"}");
    assert_ok(open_beside(&row, row.wrong, &config, &err));
}

static void numbers_that_are_none_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error, *pointer;
    } cases[] = {
        {"{\"model_type\":\"vit\",\"hidden_size\":\"768\"}",
         "config.json: hidden_size must be a number, from 1 to 65536", "/hidden_size"},
        {"{\"model_type\":\"vit\",\"hidden_size\":9223372036854775807}",
         "config.json: hidden_size must be a number, from 1 to 65536", "/hidden_size"},
        {"{\"model_type\":\"vit\",\"image_size\":[1,\"x\"]}",
         "config.json: image_size must be one side or two, from 1 to 65536", "/image_size"},
        {"{\"model_type\":\"vit\",\"patch_size\":[1,2,3]}",
         "config.json: patch_size must be one side or two, from 1 to 65536", "/patch_size"},
        {"{\"model_type\":\"dinov2\",\"hidden_size\":24,\"mlp_ratio\":-1}",
         "config.json: mlp_ratio must be a number, from 1 to 65536", "/mlp_ratio"},
        {"{\"model_type\":\"clip\",\"vision_config\":{\"num_hidden_layers\":0}}",
         "config.json: num_hidden_layers must be a number, from 1 to 65536",
         "/vision_config/num_hidden_layers"},
        {"{\"model_type\":\"resnet\",\"depths\":[1,1,1,1,1]}",
         "config.json: depths must be a list of stages, from 1 to 65536", "/depths"},
        {"{\"architecture\":\"a\",\"model_args\":{\"depth\":true}}",
         "config.json: depth must be a number, from 1 to 65536", "/model_args/depth"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sm_encoder_config config = {0};
        struct sm_err err;
        assert_fails(sm_sidecar_read(&config, sidecar("config.json"), cases[i].text,
                                     strlen(cases[i].text), &err),
                     SM_INVALID, cases[i].error, cases[i].pointer);
    }
}

/* Without heads a file means those of its program, which belong to one width. */
static void heads_that_are_left_out_belong_to_a_width(void **state)
{
    (void)state;
    static const struct row left_out[] = {
        {HF_VIT, "config.json", "{\"model_type\":\"vit\",\"num_hidden_layers\":%s}", "2", NULL,
         "config.json says hidden_size 768, the checkpoint's is 24"},
        {OPENCLIP, "open_clip_config.json", CLIP("\"head_width\":64,\"layers\":%s"), "2", NULL,
         "open_clip_config.json says width 768, the checkpoint's is"},
    };
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++) {
        const struct row *row = &left_out[i];
        struct sm_encoder_config config = {.std = {1, 1, 1}};
        struct sm_err err = {0};
        assert_int_equal(open_beside(row, row->right, &config, &err), SM_CONFLICT);
        if (strncmp(err.text, row->error, strlen(row->error)) != 0)
            fail_msg("row %zu: %s", i, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_number_is_compared),
        cmocka_unit_test(names_of_architectures_are_compared),
        cmocka_unit_test(arguments_come_before_names),
        cmocka_unit_test(what_is_said_otherwise_is_not_compared),
        cmocka_unit_test(numbers_that_are_none_are_named),
        cmocka_unit_test(heads_that_are_left_out_belong_to_a_width),
    };
    return cmocka_run_group_tests_name("claims", tests, NULL, NULL);
}
