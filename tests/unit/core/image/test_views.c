/* Op lists and views: JSON both ways, errors with pointers, one view per key and nothing else. */
#include <stdlib.h>
#include <string.h>

#include "sslmem/views.h"
#include "tests/unit/core/image/golden.h"

static const uint8_t digest[32] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, other_digest[32] = {2};

static struct sm_image picture(int32_t width, int32_t height)
{
    struct sm_image image;
    assert_int_equal(sm_image_alloc(&image, width, height, NULL), SM_OK);
    for (int32_t i = 0; i < width * height * 3; i++)
        image.rgb[i] = (uint8_t)(i * 7 + (i >> 5) * 13);
    return image;
}

static struct sm_augment parse(const char *text, int32_t size_px)
{
    struct sm_augment augment;
    struct sm_err err = {0};
    json_t *node = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(node);
    if (sm_augment_parse(&augment, node, size_px, "/augment", &err) != SM_OK)
        fail_msg("%s: %s", err.pointer, err.text);
    json_decref(node);
    return augment;
}

static bool same_pixels(const struct sm_image *a, const struct sm_image *b)
{
    return a->width_px == b->width_px && a->height_px == b->height_px &&
           memcmp(a->rgb, b->rgb, (size_t)a->width_px * a->height_px * 3) == 0;
}

static struct sm_image render(const struct sm_image *image, const struct sm_augment *augment,
                              uint64_t seed, const uint8_t *image_digest, uint32_t view)
{
    struct sm_image out;
    struct sm_err err = {0};
    struct sm_stream_key key = {seed, image_digest, view};
    if (sm_view_render(&out, image, augment, &key, NULL, &err) != SM_OK)
        fail_msg("%s", err.text);
    return out;
}

static void test_presets_round_trip(void **state)
{
    (void)state;
    static const int counts[] = {4, 5, 2, 5, 6, 4, 2, 0};
    int i = 0;
    for (const char *const *name = sm_augment_presets(); *name; name++, i++) {
        struct sm_augment first, second;
        struct sm_err err = {0};
        json_t *node = json_string(*name);
        assert_int_equal(sm_augment_parse(&first, node, 48, "", &err), SM_OK);
        assert_int_equal(first.count, counts[i]);
        json_t *list = sm_augment_json(&first);
        if (sm_augment_parse(&second, list, 1, "", &err) != SM_OK)
            fail_msg("%s%s: %s", *name, err.pointer, err.text);
        assert_memory_equal(&first, &second, sizeof first);
        json_t *again = sm_augment_json(&second);
        assert_true(json_equal(list, again));
        json_decref(node);
        json_decref(list);
        json_decref(again);
    }
    assert_int_equal(i, sizeof counts / sizeof counts[0]);
}

static void test_preset_values(void **state)
{
    (void)state;
    struct sm_augment a = parse("\"dino-global\"", 224);
    json_t *list = sm_augment_json(&a);
    json_t *expected = json_loads(
        "[{\"op\":\"random_resized_crop\",\"size\":224,\"scale\":[0.4,1.0],"
        "\"ratio\":[0.75,1.3333333333333333],\"interpolation\":\"bicubic\"},"
        "{\"op\":\"flip\",\"p\":0.5},"
        "{\"op\":\"color_jitter\",\"brightness\":0.4,\"contrast\":0.4,\"saturation\":0.2,"
        "\"hue\":0.1,\"p\":0.8},"
        "{\"op\":\"grayscale\",\"p\":0.2},"
        "{\"op\":\"gaussian_blur\",\"sigma\":[0.1,2.0],\"p\":1.0}]",
        0, NULL);
    assert_true(json_equal(list, expected));
    json_decref(list);
    json_decref(expected);
}

static void test_parse_defaults(void **state)
{
    (void)state;
    struct sm_augment a = parse("[{\"op\":\"random_resized_crop\"},{\"op\":\"flip\"},"
                                "{\"op\":\"solarize\"},{\"op\":\"pad\",\"padding\":4},"
                                "{\"op\":\"resize\",\"size\":7,\"interpolation\":\"bicubic\"}]",
                                32);
    assert_int_equal(a.count, 5);
    assert_int_equal(a.ops[0].size_px, 32);
    assert_true(a.ops[0].scale[0] == 0.08 && a.ops[0].ratio[1] == 4.0 / 3.0);
    assert_true(a.ops[1].p == 0.5);
    assert_int_equal(a.ops[2].threshold, 128);
    assert_int_equal(a.ops[3].padding_px, 4);
    assert_int_equal(a.ops[4].size_px, 7);
    assert_int_equal(a.ops[4].interpolation, SM_BICUBIC);
}

static void test_parse_errors(void **state)
{
    (void)state;
    static const struct {
        const char *json, *pointer, *text;
    } rows[] = {
        {"3", "/r/augment", "augment must be the name of a preset or a list of ops"},
        {"\"simcrl\"", "/r/augment",
         "no preset is called \"simcrl\"; there are simclr-cifar, simclr-imagenet, mae, "
         "dino-global, vicreg, sslmem-script, eval, identity"},
        {"[{\"op\":\"flip\"},{\"op\":\"flop\"}]", "/r/augment/1/op",
         "op must be one of random_resized_crop, flip, color_jitter, grayscale, gaussian_blur, "
         "solarize, resize, center_crop, pad"},
        {"[7]", "/r/augment/0/op",
         "op must be one of random_resized_crop, flip, color_jitter, grayscale, gaussian_blur, "
         "solarize, resize, center_crop, pad"},
        {"[{\"op\":\"flip\",\"q\":1}]", "/r/augment/0/q", "field \"q\" is unknown"},
        {"[{\"op\":\"flip\",\"size\":1}]", "/r/augment/0/size", "field \"size\" is unknown"},
        {"[{\"op\":\"flip\",\"p\":1.5}]", "/r/augment/0/p", "p is 1.5, must be from 0 to 1"},
        {"[{\"op\":\"pad\"}]", "/r/augment/0/padding", "field \"padding\" is missing"},
        {"[{\"op\":\"resize\",\"size\":2049}]", "/r/augment/0/size",
         "size is 2049, must be from 1 to 2048"},
        {"[{\"op\":\"random_resized_crop\",\"scale\":[0.5,0.2]}]", "/r/augment/0/scale",
         "scale is [0.5, 0.2], must ascend"},
        {"[{\"op\":\"color_jitter\",\"hue\":0.6}]", "/r/augment/0/hue",
         "hue is 0.6, must be from 0 to 0.5"},
        {"[{\"op\":\"gaussian_blur\",\"sigma\":[0,65]}]", "/r/augment/0/sigma",
         "sigma is 65, must be from 0 to 64"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sm_augment augment;
        struct sm_err err = {0};
        json_t *node = json_loads(rows[i].json, JSON_DECODE_ANY, NULL);
        assert_int_equal(sm_augment_parse(&augment, node, 32, "/r/augment", &err), SM_INVALID);
        assert_string_equal(err.pointer, rows[i].pointer);
        assert_string_equal(err.text, rows[i].text);
        assert_int_equal(augment.count, 0);
        json_decref(node);
    }
    json_t *list = json_array();
    struct sm_augment augment;
    struct sm_err err = {0};
    for (int i = 0; i < SM_OPS_MAX; i++)
        json_array_append_new(list, json_pack("{s:s}", "op", "flip"));
    assert_int_equal(sm_augment_parse(&augment, list, 32, "", &err), SM_OK);
    json_array_append_new(list, json_pack("{s:s}", "op", "flip"));
    assert_int_equal(sm_augment_parse(&augment, list, 32, "/a", &err), SM_INVALID);
    assert_string_equal(err.text, "augment has 17 ops, the limit is 16");
    json_decref(list);
}

static void test_view_depends_on_its_key_only(void **state)
{
    (void)state;
    struct sm_image image = picture(40, 30);
    struct sm_augment augment = parse("\"simclr-imagenet\"", 24);
    struct sm_image views[4];
    for (uint32_t v = 0; v < 4; v++)
        views[v] = render(&image, &augment, 7, digest, v);
    for (uint32_t v = 4; v-- > 0;) { /* backwards, alone: the same bits */
        struct sm_image again = render(&image, &augment, 7, digest, v);
        assert_int_equal(again.width_px, 24);
        assert_true(same_pixels(&again, &views[v]));
        sm_image_release(&again);
        for (uint32_t u = 0; u < v; u++)
            assert_false(same_pixels(&views[u], &views[v]));
    }
    struct sm_image seed = render(&image, &augment, 8, digest, 0);
    struct sm_image high = render(&image, &augment, 7 | UINT64_C(1) << 63, digest, 0);
    struct sm_image file = render(&image, &augment, 7, other_digest, 0);
    assert_false(same_pixels(&seed, &views[0]));
    assert_false(same_pixels(&high, &views[0]));
    assert_false(same_pixels(&file, &views[0]));
    sm_image_release(&seed);
    sm_image_release(&high);
    sm_image_release(&file);
    for (int v = 0; v < 4; v++)
        sm_image_release(&views[v]);
    sm_image_release(&image);
}

/* Drawn numbers are part of the contract: stored scores name them. SHA-256 and Philox by another
 * program. */
static void test_drawn_numbers_are_fixed(void **state)
{
    (void)state;
    struct sm_image image = picture(128, 96), out;
    struct sm_augment augment = parse("\"simclr-imagenet\"", 32);
    json_t *drawn = json_array(), *fixed = golden_json(GOLDEN "drawn.json");
    struct sm_stream_key key = {UINT64_C(0x0123456789abcdef), digest, 3};
    assert_int_equal(sm_view_render(&out, &image, &augment, &key, drawn, NULL), SM_OK);
    json_t *expected = json_object_get(fixed, "drawn");
    if (!json_equal(drawn, expected))
        fail_msg("drawn %s", json_dumps(drawn, JSON_COMPACT | JSON_REAL_PRECISION(17)));
    json_decref(drawn);
    json_decref(fixed);
    sm_image_release(&out);
    sm_image_release(&image);
}

static void test_identity_and_eval(void **state)
{
    (void)state;
    struct sm_image image = picture(32, 32), wide = picture(50, 32);
    struct sm_augment identity = parse("\"identity\"", 32), eval = parse("\"eval\"", 32);
    struct sm_image a = render(&image, &identity, 0, digest, 0);
    struct sm_image b = render(&image, &eval, 0, digest, 0);
    struct sm_image c = render(&wide, &eval, 0, digest, 0);
    assert_true(same_pixels(&a, &image));
    assert_true(same_pixels(&b, &image));
    assert_int_equal(c.width_px, 32);
    assert_int_equal(c.height_px, 32);
    assert_memory_equal(c.rgb, wide.rgb + 9 * 3, 32 * 3);
    sm_image_release(&a);
    sm_image_release(&b);
    sm_image_release(&c);
    sm_image_release(&image);
    sm_image_release(&wide);
}

/* The rectangle of view 0 for one crop op on an image. */
static void crop_of(int rectangle[4], const struct sm_image *image, const char *ops)
{
    struct sm_augment augment = parse(ops, 4);
    struct sm_stream_key key = {0, digest, 0};
    struct sm_image out;
    json_t *drawn = json_array();
    assert_int_equal(sm_view_render(&out, image, &augment, &key, drawn, NULL), SM_OK);
    const json_t *row = json_array_get(drawn, 0);
    rectangle[0] = golden_int(row, "top");
    rectangle[1] = golden_int(row, "left");
    rectangle[2] = golden_int(row, "height");
    rectangle[3] = golden_int(row, "width");
    json_decref(drawn);
    sm_image_release(&out);
}

/* Where no attempt fits, torchvision takes the largest central crop of an allowed ratio. */
static void test_crop_fallback(void **state)
{
    (void)state;
    static const struct {
        int32_t width, height;
        const char *ops;
        int rectangle[4];
    } rows[] = {
        {200, 4, "[{\"op\":\"random_resized_crop\",\"scale\":[0.5,1.0]}]", {0, 97, 4, 5}},
        {4, 200, "[{\"op\":\"random_resized_crop\",\"scale\":[0.5,1.0]}]", {97, 0, 5, 4}},
        {64,
         1,
         "[{\"op\":\"random_resized_crop\",\"scale\":[1,1],\"ratio\":[0.01,0.02]}]",
         {0, 31, 1, 1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sm_image image = picture(rows[i].width, rows[i].height);
        int rectangle[4];
        crop_of(rectangle, &image, rows[i].ops);
        assert_memory_equal(rectangle, rows[i].rectangle, sizeof rectangle);
        sm_image_release(&image);
    }
}

static void test_one_pixel_through_every_preset(void **state)
{
    (void)state;
    struct sm_image pixel = picture(1, 1);
    for (const char *const *name = sm_augment_presets(); *name; name++) {
        struct sm_augment augment;
        json_t *node = json_string(*name);
        assert_int_equal(sm_augment_parse(&augment, node, 32, "", NULL), SM_OK);
        struct sm_image out = render(&pixel, &augment, 1, digest, 0);
        assert_int_equal(out.width_px, augment.count ? 32 : 1);
        sm_image_release(&out);
        json_decref(node);
    }
    sm_image_release(&pixel);
}

static void test_too_large_result(void **state)
{
    (void)state;
    struct sm_image line = picture(1, 5000), out;
    struct sm_augment augment =
        parse("[{\"op\":\"flip\",\"p\":1},{\"op\":\"resize\",\"size\":2}]", 4);
    struct sm_stream_key key = {0, digest, 0};
    struct sm_err err = {0};
    assert_int_equal(sm_view_render(&out, &line, &augment, &key, NULL, &err), SM_LIMIT);
    assert_string_equal(err.text, "resize to 2x10000 pixels, sides may be 1 to 8192");
    assert_null(out.rgb);
    sm_image_release(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_presets_round_trip),
        cmocka_unit_test(test_preset_values),
        cmocka_unit_test(test_parse_defaults),
        cmocka_unit_test(test_parse_errors),
        cmocka_unit_test(test_view_depends_on_its_key_only),
        cmocka_unit_test(test_drawn_numbers_are_fixed),
        cmocka_unit_test(test_identity_and_eval),
        cmocka_unit_test(test_crop_fallback),
        cmocka_unit_test(test_one_pixel_through_every_preset),
        cmocka_unit_test(test_too_large_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
