/* What tensors do not tell: for every row of core/names/facts.c that has a setting, and every family of
 * the row, a checkpoint for which the default is wrong (tests/golden/make_settings.py). The default
 * must be called a guess and give other numbers than PyTorch; the right setting must be noted as the
 * configuration's and give PyTorch's, by every kernel row. A row without such a file fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/kern/kern.h"
#include "core/names/config.h"
#include "core/names/facts.h"

#define FOLDER    "tests/golden/settings"
#define TOLERANCE 2e-5
#define WRONG     1e-4 /* of the largest: what a wrong fact moves at least */
#define ROWS_MAX  64

struct kase {
    const char *name;
    json_t *doc;
    struct sm_ckpt *model, *input, *expected;
    float *x;
    int32_t side;
};

static struct sm_ckpt *open_file(const char *name, const char *file)
{
    char path[512];
    struct sm_err err = {0};
    struct sm_ckpt *out;
    snprintf(path, sizeof path, FOLDER "/%s/%s.safetensors", name, file);
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

static void open_case(struct kase *k, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, FOLDER "/%s/case.json", name);
    *k = (struct kase){.name = name, .doc = json_load_file(path, 0, NULL)};
    assert_non_null(k->doc);
    k->model = open_file(name, "model");
    k->input = open_file(name, "input");
    k->expected = open_file(name, "expected");
    const struct sm_tensor *x = sm_ckpt_find(k->input, "x");
    assert_true(x && x->shape[0] == 1);
    k->x = read_tensor(k->input, x);
    k->side = (int32_t)x->shape[2];
}

static void close_case(struct kase *k)
{
    json_decref(k->doc);
    sm_ckpt_close(k->model);
    sm_ckpt_close(k->input);
    sm_ckpt_close(k->expected);
    free(k->x);
}

/* "base" of the case, with "config" over it if that is asked for. */
static struct sm_encoder_config config_of(const struct kase *k, bool right)
{
    struct sm_encoder_config config;
    struct sm_err err = {0};
    json_t *said = json_deep_copy(json_object_get(k->doc, "base"));
    if (right)
        json_object_update(said, json_object_get(k->doc, "config"));
    if (sm_encoder_config_parse(&config, said, "", &err) != SM_OK)
        fail_msg("%s: %s", k->name, err.text);
    json_decref(said);
    return config;
}

/* The input, normalised as a pair would where the case has pixels. */
static float *input_of(const struct kase *k, const struct sm_encoder_config *config)
{
    size_t area = (size_t)k->side * (size_t)k->side;
    float *x = malloc(3 * area * sizeof *x);
    assert_non_null(x);
    memcpy(x, k->x, 3 * area * sizeof *x);
    for (size_t i = 0; json_is_true(json_object_get(k->doc, "pixels")) && i < 3 * area; i++) {
        bool said = config->std[0] > 0;
        double mean = said ? config->mean[i / area] : .5, std = said ? config->std[i / area] : .5;
        x[i] = (float)(((double)x[i] - mean) / std);
    }
    return x;
}

/* The largest distance from what is expected, over the largest number; infinite where the encoder
 * takes another input or gives another shape. */
static double distance(const struct kase *k, const struct sm_encoder *encoder,
                       const struct sm_encoder_config *config)
{
    struct sm_workspace *ws;
    double worst = 0;
    size_t count = sm_ckpt_count(k->expected);
    if (sm_encoder_info(encoder)->input_h_px != k->side)
        return (double)INFINITY;
    float *x = input_of(k, config);
    for (size_t i = 0; i < count; i++) {
        const struct sm_tensor *t = sm_ckpt_at(k->expected, i);
        struct sm_tap tap;
        double top = 0;
        assert_int_equal(sm_workspace_new(&ws, encoder, 1, &t->name, 1, NULL), SM_OK);
        sm_encoder_forward(encoder, ws, x, 1);
        assert_int_equal(sm_encoder_tap(&tap, ws, t->name, NULL), SM_OK);
        float *want = read_tensor(k->expected, t);
        bool fits = tap.rows == t->shape[1] && tap.dim == t->shape[2];
        for (int64_t j = 0; j < t->count; j++)
            top = fmax(top, fabs((double)want[j]));
        for (int64_t j = 0; fits && j < t->count; j++)
            worst = fmax(worst, fabs((double)tap.data[j] - (double)want[j]) / top);
        worst = fits ? worst : (double)INFINITY;
        free(want);
        sm_workspace_free(ws);
    }
    free(x);
    return worst;
}

static const struct sm_choice *choice_of(const struct sm_encoder *encoder, const char *name)
{
    const struct sm_encoder_info *info = sm_encoder_info(encoder);
    for (int32_t i = 0; i < info->choices_count; i++)
        if (!strcmp(info->choices[i].name, name))
            return &info->choices[i];
    return NULL;
}

static void check_sources(const struct kase *k, const struct sm_encoder *encoder,
                          enum sm_source source)
{
    const json_t *settings = json_object_get(k->doc, "settings"), *setting;
    size_t i;
    json_array_foreach(settings, i, setting)
    {
        const struct sm_choice *c = choice_of(encoder, json_string_value(setting));
        if (!c || c->source != source)
            fail_msg("%s: %s is by %d, must be by %d", k->name, json_string_value(setting),
                     c ? (int)c->source : -1, (int)source);
    }
}

static void check_case(const struct kase *k, const char *kernels)
{
    for (int right = 0; right < 2; right++) {
        const struct sm_encoder_config config = config_of(k, right);
        struct sm_encoder *encoder;
        struct sm_err err = {0};
        const char *refused = json_string_value(json_object_get(k->doc, "refused"));
        enum sm_code code = sm_encoder_open(&encoder, k->model, &config, kernels, &err);
        if (refused && !right) {
            assert_string_equal(err.text, refused);
            continue;
        }
        if (code != SM_OK)
            fail_msg("%s: %s", k->name, err.text);
        check_sources(k, encoder, right ? SM_SOURCE_CONFIG : SM_SOURCE_GUESS);
        double d = distance(k, encoder, &config);
        if (right ? !(d <= TOLERANCE) : d < WRONG)
            fail_msg("%s, %s: %s setting is off by %g", k->name, kernels,
                     right ? "the right" : "no", d);
        sm_encoder_close(encoder);
    }
}

/* The bit of a case's family. */
static unsigned family_of(const char *family)
{
    static const struct {
        const char *prefix;
        unsigned bit;
    } families[] = {{"clip-resnet", SM_OF_CLIP_RESNET},
                    {"res", SM_OF_RESNET},
                    {"vit", SM_OF_VIT},
                    {"convnext", SM_OF_CONVNEXT}};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (!strncmp(families[i].prefix, family, strlen(families[i].prefix)))
            return families[i].bit;
    return 0;
}

/* Notes which rows the case is for. */
static void cover(unsigned covered[ROWS_MAX], const struct kase *k)
{
    const json_t *settings = json_object_get(k->doc, "settings"), *setting;
    unsigned family = family_of(json_string_value(json_object_get(k->doc, "family")));
    size_t i;
    json_array_foreach(settings, i, setting)
    {
        for (size_t row = 0; sm_fact_at(row); row++)
            if (!strcmp(sm_fact_at(row)->name, json_string_value(setting)))
                covered[row] |= family;
    }
}

static void every_row_has_a_file_for_which_the_default_is_wrong(void **state)
{
    (void)state;
    unsigned covered[ROWS_MAX] = {0};
    DIR *folder = opendir(FOLDER);
    assert_non_null(folder);
    for (const struct dirent *at; (at = readdir(folder));) {
        struct kase k;
        if (at->d_name[0] == '.')
            continue;
        open_case(&k, at->d_name);
        cover(covered, &k);
        for (size_t r = 0; sm_kern_at(r); r++)
            check_case(&k, sm_kern_at(r)->name);
        close_case(&k);
    }
    closedir(folder);
    for (size_t row = 0; sm_fact_at(row); row++) {
        const struct sm_fact *fact = sm_fact_at(row);
        assert_true(row < ROWS_MAX && fact->told[0]);
        if (fact->setting && (covered[row] & fact->families) != fact->families)
            fail_msg("%s: families %x, files for %x", fact->name, fact->families, covered[row]);
    }
}

/* Every field but those that choose is a row, and core/names/README.md has it. */
static void every_setting_is_a_row_and_documented(void **state)
{
    (void)state;
    static char readme[1 << 20];
    FILE *file = fopen("core/names/README.md", "rb");
    assert_non_null(file);
    assert_true(fread(readme, 1, sizeof readme - 1, file) > 0);
    fclose(file);
    const char *from = strstr(readme, "| field of `encoder`"),
               *to = from ? strstr(from, "\n\n") : 0;
    assert_true(from && to);
    for (enum sm_config_field i = 0; i < SM_CONFIG_FIELDS; i++) {
        char quoted[64];
        snprintf(quoted, sizeof quoted, "`%s`", sm_config_name(i));
        const char *at = strstr(from, quoted);
        if (!at || at > to)
            fail_msg("core/names/README.md's table has no %s", quoted);
        const struct sm_fact *fact = sm_fact_find(sm_config_name(i), SM_OF_ALL);
        if (i != SM_CONFIG_PRESET && i != SM_CONFIG_KEY && !(fact && fact->setting))
            fail_msg("%s is no row of the table of facts", quoted);
    }
    for (size_t row = 0; sm_fact_at(row); row++) {
        bool field = false;
        for (enum sm_config_field i = 0; i < SM_CONFIG_FIELDS; i++)
            field |= !strcmp(sm_config_name(i), sm_fact_at(row)->name);
        assert_true(field || !sm_fact_at(row)->setting);
    }
}

/* A setting that no encoder of the family has is a mistake of whoever wrote it down. */
static void settings_of_other_families_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *file, *config, *text;
    } cases[] = {
        {"vit-scale", "{\"heads\":2,\"stem_pool\":\"max\"}",
         "\"stem_pool\" is set, but the encoder under \"\" is a ViT"},
        {"resnet-bgr", "{\"attn_scale\":1}",
         "\"attn_scale\" is set, but the encoder under \"\" is a ResNet"},
        {"clip-resnet-bgr", "{\"stem_stride\":1}",
         "\"stem_stride\" is set, but the encoder under \"\" is a ResNet"},
        {"convnext-bgr", "{\"dilate_from\":\"layer4\"}",
         "\"dilate_from\" is set, but the encoder under \"\" is a ConvNeXt"},
        {"vit-scale", "{\"heads\":2,\"pool\":\"max\"}",
         "\"pool\" is \"max\", which only a ResNet has"},
        {"resnet-bgr", "{\"pool\":\"cls\"}",
         "\"pool\" of a ResNet is \"mean\", or \"max\" of a square map, not of 8x8 positions"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sm_ckpt *model = open_file(cases[i].file, "model");
        json_t *said = json_loads(cases[i].config, 0, NULL);
        struct sm_encoder_config config;
        struct sm_encoder *encoder;
        struct sm_err err = {0};
        assert_int_equal(sm_encoder_config_parse(&config, said, "", &err), SM_OK);
        assert_int_equal(sm_encoder_open(&encoder, model, &config, "ref", &err), SM_INVALID);
        assert_string_equal(err.text, cases[i].text);
        json_decref(said);
        sm_ckpt_close(model);
    }
}

struct file {
    struct sm_tensor_out tensors[512];
    char names[512][48];
    size_t count;
};

static void add(struct file *file, int rank, int64_t c, int64_t c_in, int64_t k, const char *format,
                ...) __attribute__((format(printf, 6, 7)));

static void add(struct file *file, int rank, int64_t c, int64_t c_in, int64_t k, const char *format,
                ...)
{
    static float zeros[2048 * 2048];
    va_list args;
    assert_true(file->count < 512);
    va_start(args, format);
    vsnprintf(file->names[file->count], sizeof file->names[0], format, args);
    va_end(args);
    file->tensors[file->count] =
        (struct sm_tensor_out){file->names[file->count], rank, {c, c_in, k, k}, zeros};
    file->count++;
}

static void add_conv_bn(struct file *file, int64_t c, int64_t c_in, int64_t k, const char *conv,
                        const char *bn)
{
    static const char *const parts[] = {"weight", "bias", "running_mean", "running_var"};
    add(file, 4, c, c_in, k, "%s.weight", conv);
    for (size_t i = 0; i < 4; i++)
        add(file, 1, c, 0, 0, "%s.%s", bn, parts[i]);
}

/* A ResNet-50 whose channels are one each but for the last stage's, with a stem of k x k. */
static void write_resnet50(const char *path, int64_t k)
{
    static const int counts[] = {3, 4, 6, 3};
    struct file *file = calloc(1, sizeof *file);
    char conv[40], bn[40];
    assert_non_null(file);
    add_conv_bn(file, 1, 3, k, "conv1", "bn1");
    for (int s = 0; s < 4; s++) {
        for (int i = 0; i < counts[s]; i++) {
            int64_t out = s == 3 ? 2048 : 1, in = s == 3 && i ? 2048 : 1;
            for (int n = 1; n <= 3; n++) {
                snprintf(conv, sizeof conv, "layer%d.%d.conv%d", s + 1, i, n);
                snprintf(bn, sizeof bn, "layer%d.%d.bn%d", s + 1, i, n);
                add_conv_bn(file, n == 3 ? out : 1, n == 1 ? in : 1, n == 2 ? 3 : 1, conv, bn);
            }
            snprintf(conv, sizeof conv, "layer%d.0.downsample.0", s + 1);
            snprintf(bn, sizeof bn, "layer%d.0.downsample.1", s + 1);
            if (i == 0)
                add_conv_bn(file, out, in, 1, conv, bn);
        }
    }
    assert_int_equal(sm_safetensors_write(path, file->tensors, file->count, NULL), SM_OK);
    free(file);
}

/* A preset stands for its whole network, so what it leaves unsaid is no guess, unless the file has
 * another stem than the preset; so does solo-learn's args.json. */
static void presets_decide_what_they_leave_unsaid(void **state)
{
    (void)state;
    static const struct {
        int64_t k;
        const char *preset;
        int32_t args_pad;
        enum sm_source source;
    } cases[] = {{3, "", 0, SM_SOURCE_GUESS},
                 {3, "simclr-cifar-resnet50", 0, SM_SOURCE_PRESET},
                 {3, "dino-resnet50", 0, SM_SOURCE_GUESS},
                 {3, "", 2, SM_SOURCE_SIDECAR},
                 {7, "dino-resnet50", 0, SM_SOURCE_PRESET},
                 {7, "simclr-cifar-resnet50", 0, SM_SOURCE_GUESS}};
    static const char *const names[] = {"stem_pool", "stem_stride", "norm_eps", "dilate_from"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[] = "/tmp/sslmem-test-XXXXXX";
        struct sm_encoder_config config = {.stem_pad = cases[i].args_pad};
        struct sm_ckpt *model;
        struct sm_encoder *encoder;
        struct sm_err err = {0};
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        close(fd);
        write_resnet50(path, cases[i].k);
        config.source[SM_CONFIG_STEM_PAD] = SM_SOURCE_SIDECAR;
        snprintf(config.preset, sizeof config.preset, "%s", cases[i].preset);
        assert_int_equal(sm_encoder_config_complete(&config, NULL, &err), SM_OK);
        assert_int_equal(sm_ckpt_open(&model, path, &err), SM_OK);
        if (sm_encoder_open(&encoder, model, &config, "ref", &err) != SM_OK)
            fail_msg("%s", err.text);
        for (size_t n = 0; n < sizeof names / sizeof *names; n++)
            assert_int_equal(choice_of(encoder, names[n])->source, cases[i].source);
        sm_encoder_close(encoder);
        sm_ckpt_close(model);
        unlink(path);
    }
}

/* A file of timm's that says the pooling says nothing else: who wrote it has many encoders. Neither
 * does a name on the way to the encoder, or a position table that is not there. */
static void what_names_and_files_leave_open_is_a_guess(void **state)
{
    (void)state;
    static const struct {
        const char *path, *row;
        enum sm_pool said;
    } cases[] = {{FOLDER "/vit-post-norm/model.safetensors", "norm_order", SM_POOL_CLS},
                 {FOLDER "/vit-eps/model.safetensors", "norm_eps", SM_POOL_CLS},
                 {FOLDER "/vit-rope-base/model.safetensors", "rope", 0},
                 {"tests/golden/layouts/guessed.safetensors", "heads", 0},
                 {"tests/golden/layouts/guessed.safetensors", "gate", SM_POOL_CLS}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sm_encoder_config config = {.pool = cases[i].said};
        struct sm_ckpt *model;
        struct sm_encoder *encoder;
        struct sm_err err = {0};
        config.source[SM_CONFIG_POOL] = SM_SOURCE_SIDECAR;
        config.heads = strcmp(cases[i].row, "heads") != 0 ? 2 : 0;
        assert_int_equal(sm_ckpt_open(&model, cases[i].path, &err), SM_OK);
        if (sm_encoder_open(&encoder, model, &config, "ref", &err) != SM_OK)
            fail_msg("%s: %s", cases[i].path, err.text);
        const struct sm_choice *c = choice_of(encoder, cases[i].row);
        if (!c || c->source != SM_SOURCE_GUESS)
            fail_msg("%s: %s is by %d", cases[i].path, cases[i].row, c ? (int)c->source : -1);
        sm_encoder_close(encoder);
        sm_ckpt_close(model);
    }
}

/* A gate has one form here, so another one that is asked for is not left out. */
static void an_activation_of_gated_blocks_is_refused(void **state)
{
    (void)state;
    struct sm_encoder_config config = {.heads = 2, .activation = SM_ACTIVATION_GELU};
    struct sm_ckpt *model;
    struct sm_encoder *encoder;
    struct sm_err err = {0};
    assert_int_equal(sm_ckpt_open(&model, "tests/golden/layouts/guessed.safetensors", &err), SM_OK);
    assert_int_equal(sm_encoder_open(&encoder, model, &config, "ref", &err), SM_INVALID);
    assert_non_null(strstr(err.text, "\"activation\" is set"));
    config.source[SM_CONFIG_ACTIVATION] = SM_SOURCE_PRESET; /* of its blocks that are not gated */
    assert_int_equal(sm_encoder_open(&encoder, model, &config, "ref", &err), SM_OK);
    sm_encoder_close(encoder);
    sm_ckpt_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_has_a_file_for_which_the_default_is_wrong),
        cmocka_unit_test(every_setting_is_a_row_and_documented),
        cmocka_unit_test(settings_of_other_families_are_refused),
        cmocka_unit_test(presets_decide_what_they_leave_unsaid),
        cmocka_unit_test(what_names_and_files_leave_open_is_a_guess),
        cmocka_unit_test(an_activation_of_gated_blocks_is_refused),
    };
    sm_blas_single_thread();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
