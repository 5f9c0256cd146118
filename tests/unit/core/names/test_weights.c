/* Equal weights are known in every form that one encoder is kept in, and different ones are told
 * apart (tests/golden/make_weights.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/names/weights.h"
#include "sslmem/encoder.h"
#include "tests/unit/asserts.h"

#define PAIR "tests/golden/score/vit/"
#define COPY "tests/golden/weights/"

static struct sm_encoder *open_encoder(const char *path)
{
    struct sm_err err = {0};
    struct sm_ckpt *ckpt;
    struct sm_encoder *encoder;
    const struct sm_encoder_config config = {.heads = 3};
    assert_ok(sm_ckpt_open(&ckpt, path, &err));
    assert_ok(sm_encoder_open(&encoder, ckpt, &config, "blas", &err));
    sm_ckpt_close(ckpt);
    return encoder;
}

static bool same(const char *a_path, const char *b_path)
{
    struct sm_encoder *a = open_encoder(a_path), *b = open_encoder(b_path);
    bool forth = sm_encoder_same_weights(a, b);
    assert_int_equal(sm_encoder_same_weights(b, a), forth);
    assert_true(sm_encoder_same_weights(a, a));
    sm_encoder_close(a);
    sm_encoder_close(b);
    return forth;
}

static void copies_are_the_same_encoder(void **state)
{
    (void)state;
    static const char *const copies[] = {
        PAIR "f0.safetensors", COPY "container.npz", COPY "wrapped.pt",  COPY "with_head.pt",
        COPY "other_names.pt", COPY "float16.pt",    COPY "bfloat16.pt",
    };
    for (size_t i = 0; i < sizeof copies / sizeof *copies; i++)
        if (!same(PAIR "f0.safetensors", copies[i]))
            fail_msg("%s is not known as a copy", copies[i]);
}

static struct sm_weights weights_of(const char *name, const float *x, size_t count)
{
    struct sm_weights out = {0};
    struct sm_err err = {0};
    assert_ok(sm_weights_add(&out, name, x, count, &err));
    return out;
}

/* Neither rounding of the one is the other's. */
static void copies_in_both_halves_are_the_same_encoder(void **state)
{
    (void)state;
    assert_true(same(COPY "float16.pt", COPY "bfloat16.pt"));
}

/* Two trainings that are kept in different halves, and a copy of which one number was changed. */
static void halves_of_others_are_others(void **state)
{
    (void)state;
    const float f16[] = {1.0009765625f, -.25f, .125f, 3.f}, bf16[] = {1.f, -.25f, .125f, 3.f};
    const float other[] = {1.f, -.25f, .125f, 3.015625f}, exact[] = {1.0001f, -.25f, .125f, 3.f};
    struct sm_weights a = weights_of("a", f16, 4), b = weights_of("a", bf16, 4);
    struct sm_weights c = weights_of("a", other, 4), d = weights_of("a", exact, 4);
    assert_true(sm_weights_equal(&a, &b) && sm_weights_equal(&b, &a));
    assert_false(sm_weights_equal(&a, &c));
    assert_false(sm_weights_equal(&b, &c)); /* both in bfloat16: equal or not */
    assert_false(sm_weights_equal(&c, &d));
}

static void other_encoders_are_others(void **state)
{
    (void)state;
    assert_false(same(PAIR "f0.safetensors", PAIR "f1.safetensors"));
    assert_false(same(PAIR "f0.safetensors", PAIR "g0.safetensors"));
    assert_false(same(PAIR "f0.safetensors", COPY "one_number_else.pt"));
}

static float float_at(const json_t *list, size_t i)
{
    uint32_t bits = (uint32_t)json_integer_value(json_array_get(list, i));
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* A number and what PyTorch rounds it to have one digest; either way of rounding is enough. */
static void numbers_round_as_in_pytorch(void **state)
{
    (void)state;
    json_error_t why;
    json_t *cases = json_load_file(COPY "rounding.json", 0, &why);
    const json_t *x = json_object_get(cases, "x");
    assert_true(json_array_size(x) > 600);
    for (size_t i = 0; i < json_array_size(x); i++) {
        float in = float_at(x, i), f16 = float_at(json_object_get(cases, "f16"), i),
              bf16 = float_at(json_object_get(cases, "bf16"), i);
        struct sm_weights a = weights_of("a", &in, 1), b = weights_of("a", &f16, 1),
                          c = weights_of("a", &bf16, 1);
        if (memcmp(a.as_f16, b.as_f16, sizeof a.as_f16) != 0 ||
            memcmp(a.as_bf16, c.as_bf16, sizeof a.as_bf16) != 0)
            fail_msg("%a is %a in float16, %a in bfloat16", (double)in, (double)f16, (double)bf16);
    }
    json_decref(cases);
}

static void names_bounds_and_order_count(void **state)
{
    (void)state;
    const float x[] = {1, 2, 3, 4, 5, 6};
    struct sm_err err = {0};
    struct sm_weights whole = weights_of("a", x, 6), named = weights_of("b", x, 6);
    struct sm_weights parts = weights_of("a", x, 3), turned = weights_of("a", x + 3, 3);
    assert_ok(sm_weights_add(&parts, "a", x + 3, 3, &err));
    assert_ok(sm_weights_add(&turned, "a", x, 3, &err));
    assert_false(sm_weights_equal(&whole, &named));
    assert_false(sm_weights_equal(&whole, &parts));
    assert_false(sm_weights_equal(&parts, &turned));
    struct sm_weights headed = whole;
    assert_ok(sm_weights_add(&headed, "head.weight", x, 6, &err));
    assert_ok(sm_weights_add(&headed, "pooler.bias", x, 2, &err));
    assert_true(sm_weights_equal(&whole, &headed));
    assert_ok(sm_weights_add(&headed, "header.weight", x, 6, &err));
    assert_false(sm_weights_equal(&whole, &headed));
}

int main(void)
{
    sm_blas_single_thread();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_are_the_same_encoder),
        cmocka_unit_test(copies_in_both_halves_are_the_same_encoder),
        cmocka_unit_test(halves_of_others_are_others),
        cmocka_unit_test(other_encoders_are_others),
        cmocka_unit_test(numbers_round_as_in_pytorch),
        cmocka_unit_test(names_bounds_and_order_count),
    };
    return cmocka_run_group_tests_name("weights", tests, NULL, NULL);
}
