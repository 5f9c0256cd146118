/* Files that hold more than an encoder, or name it otherwise (tests/golden/make_layouts.py): what
 * nobody needs does not refuse a file, wrappers in names make no other encoder, and what is needed
 * and cannot be read is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sslmem/encoder.h"

#define FOLDER "tests/golden/layouts/"
#define SIDE   16
#define FLOATS (3 * SIDE * SIDE)
#define OUT    (5 * 8)

static struct sm_ckpt *open_file(const char *name)
{
    char path[200];
    struct sm_err err = {0};
    struct sm_ckpt *out;
    snprintf(path, sizeof path, FOLDER "%s", name);
    if (sm_ckpt_open(&out, path, &err) != SM_OK)
        fail_msg("%s: %s", path, err.text);
    return out;
}

/* The tokens of one image, or the error. */
static enum sm_code run(float out[OUT], const char *name, struct sm_err *err)
{
    const char *const taps[] = {"tokens"};
    struct sm_encoder_config config = {.heads = 2};
    struct sm_ckpt *ckpt = open_file(name);
    struct sm_encoder *encoder;
    struct sm_workspace *ws;
    struct sm_tap tap;
    float x[FLOATS];
    for (int i = 0; i < FLOATS; i++)
        x[i] = (float)(i % 17) / 8 - 1;
    if (strstr(name, "groupnorm") || strstr(name, "lost"))
        config.heads = 0;
    enum sm_code code = sm_encoder_open(&encoder, ckpt, &config, "ref", err);
    sm_ckpt_close(ckpt);
    if (code != SM_OK)
        return code;
    assert_int_equal(sm_workspace_new(&ws, encoder, 1, taps, 1, NULL), SM_OK);
    sm_encoder_forward(encoder, ws, x, 1);
    assert_int_equal(sm_encoder_tap(&tap, ws, "tokens", NULL), SM_OK);
    assert_int_equal(tap.rows * tap.dim, OUT);
    memcpy(out, tap.data, OUT * sizeof *out);
    sm_workspace_free(ws);
    sm_encoder_close(encoder);
    return SM_OK;
}

/* Exactly the tensors of the list cannot be read, and reading them says why. */
static void check_unread(const char *file, const json_t *expected)
{
    struct sm_ckpt *ckpt = open_file(file);
    size_t unread = 0;
    for (size_t i = 0; i < sm_ckpt_count(ckpt); i++) {
        const struct sm_tensor *t = sm_ckpt_at(ckpt, i);
        struct sm_err err = {0};
        float none[1];
        if (!t->unread)
            continue;
        unread++;
        assert_true(t->unread[0] && t->count == 0 && t->dtype == SM_UNREAD);
        assert_int_equal(sm_ckpt_read(ckpt, t, none, &err), SM_UNSUPPORTED);
        assert_non_null(strstr(err.text, t->name));
        assert_non_null(strstr(err.text, t->unread));
    }
    assert_int_equal(unread, json_array_size(expected));
    for (size_t i = 0; i < json_array_size(expected); i++) {
        const char *name = json_string_value(json_array_get(expected, i));
        const struct sm_tensor *t = sm_ckpt_find(ckpt, name);
        if (!t || !t->unread)
            fail_msg("%s: %s is not among the unread", file, name);
    }
    sm_ckpt_close(ckpt);
}

static void only_what_is_needed_is_needed(void **state)
{
    (void)state;
    json_t *files = json_load_file(FOLDER "layouts.json", 0, NULL), *expected;
    float plain[OUT], tokens[OUT];
    const char *file;
    struct sm_err err = {0};
    assert_true(json_object_size(files) >= 13);
    assert_int_equal(run(plain, "plain.safetensors", &err), SM_OK);
    json_object_foreach(files, file, expected)
    {
        enum sm_code code = run(tokens, file, &err);
        if (json_is_string(expected)) {
            assert_int_not_equal(code, SM_OK);
            assert_string_equal(err.text, json_string_value(expected));
            continue;
        }
        if (code != SM_OK)
            fail_msg("%s: %s", file, err.text);
        if (memcmp(plain, tokens, sizeof plain) != 0)
            fail_msg("%s: another encoder than plain.safetensors", file);
        check_unread(file, expected);
    }
    json_decref(files);
}

/* Whoever wrote down the old name of the place still finds it. */
static void keys_may_name_the_wrapper(void **state)
{
    (void)state;
    static const char *const keys[] = {"", "_orig_mod", "_orig_mod."};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct sm_encoder_config config = {.heads = 2, .has_key = true};
        struct sm_ckpt *ckpt = open_file("wrapped-0.pt");
        struct sm_encoder *encoder;
        struct sm_err err = {0};
        snprintf(config.key, sizeof config.key, "%s", keys[i]);
        if (sm_encoder_open(&encoder, ckpt, &config, "ref", &err) != SM_OK)
            fail_msg("%s: %s", keys[i], err.text);
        assert_string_equal(sm_encoder_info(encoder)->prefix, "");
        sm_encoder_close(encoder);
        sm_ckpt_close(ckpt);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_needed_is_needed),
        cmocka_unit_test(keys_may_name_the_wrapper),
    };
    sm_blas_single_thread();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
