/* Files beside a checkpoint: every kind, whole, of other programs, and broken. */
#include "config_fixture.h"

#define GOLDEN "tests/golden/config"

static size_t sidecar(const char *file)
{
    size_t i = 0;
    while (sm_sidecar(i) && strcmp(sm_sidecar(i), file) != 0)
        i++;
    assert_non_null(sm_sidecar(i));
    return i;
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

#define CLIP_CFG(text) "{\"model_cfg\":{\"vision_cfg\":{" text "}}}"
#define A10            "aaaaaaaaaa"
#define HF_ABSENT      "\"qkv_bias\":true,\"image_size\":[1,2],\"id2label\":{\"0\":\"cat\"}"
#define HALF           "[0.5,0.5,0.5]"
#define CIFAR10        "\"mean\":[0.4914,0.4822,0.4465],\"std\":[0.247,0.2435,0.2616]"
#define CIFAR100       "\"mean\":[0.5071,0.4865,0.4409],\"std\":[0.2673,0.2564,0.2762]"
#define STL10          "\"mean\":[0.4914,0.4823,0.4466],\"std\":[0.247,0.243,0.261]"
#define IMAGENET       "\"mean\":[0.485,0.456,0.406],\"std\":[0.229,0.224,0.225]"

static void files_of_every_kind_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *file, *text, *says;
    } cases[] = {
        /* ours */
        {"encoder.json", "{\"input_px\":96,\"stem_pad\":1}", "{\"input_px\":96,\"stem_pad\":1}"},
        /* Hugging Face: what the class has when the file leaves it out; sizes of others' tables
         * are not used, whatever they are */
        {"config.json", "{\"model_type\":\"vit\"," HF_ABSENT "}",
         "{\"heads\":12,\"norm_eps\":1e-12,\"activation\":\"gelu\",\"pool\":\"cls\"}"},
        {"config.json", "{\"model_type\":\"vit_msn\"}",
         "{\"heads\":12,\"norm_eps\":1e-6,\"activation\":\"gelu\",\"pool\":\"cls\"}"},
        {"config.json", "{\"model_type\":\"ijepa\",\"hidden_act\":null}",
         "{\"heads\":12,\"norm_eps\":1e-12,\"activation\":\"gelu\",\"pool\":\"mean\","
         "\"pos_resize\":\"plain\"}"},
        {"config.json", "{\"model_type\":\"dinov2_with_registers\",\"hidden_act\":\"gelu_new\"}",
         "{\"heads\":12,\"norm_eps\":1e-6,\"activation\":\"gelu_tanh\",\"pool\":\"cls\","
         "\"pos_resize\":\"antialias\"}"},
        {"config.json", "{\"model_type\":\"dinov3_vit\",\"rope_theta\":10.0}",
         "{\"input_px\":224,\"heads\":6,\"norm_eps\":1e-5,\"activation\":\"gelu\","
         "\"pool\":\"cls\",\"rope_base\":10.0}"},
        {"config.json", "{\"model_type\":\"dinov3_vit\",\"rope_theta\":100.0}",
         "{\"input_px\":224,\"heads\":6,\"norm_eps\":1e-5,\"activation\":\"gelu\","
         "\"pool\":\"cls\"}"},
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
        {"open_clip_config.json", CLIP_CFG("\"timm_model_name\":\"a\""), "{\"pool\":\"mean\"}"},
        {"open_clip_config.json", CLIP_CFG("\"timm_model_name\":\"a\",\"timm_pool\":\"\""), "{}"},
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

#define CLIP_AT "/model_cfg/vision_cfg"
#define DEEP16  "[[[[[[[[[[[[[[[["
#define HF_ACTS "gelu, gelu_python, gelu_new, gelu_fast, gelu_pytorch_tanh, quick_gelu, relu, silu"

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
        {"config.json", "{\"model_type\":\"vit\",\"hidden_act\":\"selu\"}",
         "hidden_act is \"selu\", must be one of " HF_ACTS, "/hidden_act", 0},
        {"config.json", "{\"model_type\":\"vit\",\"hidden_act\":\"silu\"}",
         "hidden_act is \"silu\" in an MLP that is not gated", "/hidden_act", 0},
        {"config.json", "{\"model_type\":\"dinov3_vit\",\"use_gated_mlp\":true}",
         "hidden_act of a gated MLP is not \"silu\", which is the only gate that is supported",
         "/hidden_act", 0},
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
        cmocka_unit_test(golden_files_say_what_their_models_have),
        cmocka_unit_test(files_of_every_kind_are_read),
        cmocka_unit_test(files_of_others_are_left_alone),
        cmocka_unit_test(broken_files_are_named),
        cmocka_unit_test(files_have_a_size_limit),
        cmocka_unit_test(a_broken_file_fails_the_whole),
    };
    return cmocka_run_group_tests_name("sidecar", tests, NULL, NULL);
}
