/* Stratified draws: the parameters of whole recipes against a second implementation
 * (tests/golden/make_strata.py), and the properties of a Latin hypercube. */
#include <stdlib.h>
#include <string.h>

#include "sslmem/views.h"
#include "tests/unit/core/image/golden.h"

static struct sm_image picture(int32_t width, int32_t height)
{
    struct sm_image image;
    assert_int_equal(sm_image_alloc(&image, width, height, NULL), SM_OK);
    memset(image.rgb, 90, (size_t)width * (size_t)height * 3);
    return image;
}

static struct sm_augment parse(const json_t *ops)
{
    struct sm_augment augment;
    struct sm_err err = {0};
    if (sm_augment_parse(&augment, ops, 8, "/augment", &err) != SM_OK)
        fail_msg("%s: %s", err.pointer, err.text);
    return augment;
}

/* Returns the drawn parameters of one view. */
static json_t *drawn(const struct sm_image *image, const struct sm_augment *augment,
                     const struct sm_stream_key *key)
{
    struct sm_image out;
    struct sm_err err = {0};
    json_t *ops = json_array();
    if (sm_view_render(&out, image, augment, key, ops, &err) != SM_OK)
        fail_msg("%s", err.text);
    sm_image_release(&out);
    return ops;
}

static void vectors_agree(void **state)
{
    (void)state;
    json_t *golden = golden_json(GOLDEN "strata.json");
    size_t index;
    const json_t *row;
    json_array_foreach(json_object_get(golden, "cases"), index, row)
    {
        uint8_t digest[32];
        for (int i = 0; i < 32; i++)
            digest[i] = (uint8_t)strtoul((char[]){golden_text(row, "digest")[2 * i],
                                                  golden_text(row, "digest")[2 * i + 1], 0},
                                         NULL, 16);
        struct sm_image image = picture(golden_int(row, "width"), golden_int(row, "height"));
        struct sm_augment augment = parse(json_object_get(row, "augment"));
        uint32_t views = (uint32_t)golden_int(row, "views");
        const json_t *expected = json_object_get(row, "drawn");
        assert_int_equal(json_array_size(expected), views);
        for (uint32_t view = 0; view < views; view++) {
            struct sm_stream_key key = {.seed = strtoull(golden_text(row, "seed"), NULL, 10),
                                        .image_digest = digest,
                                        .view = view,
                                        .strata = views};
            json_t *ours = drawn(&image, &augment, &key);
            if (!json_equal(ours, json_array_get(expected, view)))
                fail_msg("case %zu, view %u: %s", index, view,
                         json_dumps(ours, JSON_COMPACT | JSON_REAL_PRECISION(17)));
            json_decref(ours);
        }
        sm_image_release(&image);
    }
    json_decref(golden);
}

#define VIEWS 40

/* Every stratum of a blur's sigma has one view, and 2 of 10 views are grey, under any seed. */
static void every_stratum_has_one_view(void **state)
{
    (void)state;
    static const uint8_t digest[32] = {5};
    struct sm_image image = picture(4, 4);
    json_t *ops = json_loads("[{\"op\":\"gaussian_blur\",\"sigma\":[0,1],\"p\":1},"
                             "{\"op\":\"grayscale\",\"p\":0.2}]",
                             0, NULL);
    struct sm_augment augment = parse(ops);
    bool same_order = true;
    int first[VIEWS];
    for (uint64_t seed = 0; seed < 20; seed++) {
        int count[VIEWS] = {0}, grey = 0;
        for (uint32_t view = 0; view < VIEWS; view++) {
            json_t *ours =
                drawn(&image, &augment,
                      &(struct sm_stream_key){
                          .seed = seed, .image_digest = digest, .view = view, .strata = VIEWS});
            const json_t *sigma = json_object_get(json_array_get(ours, 0), "sigma");
            int stratum = (int)(json_real_value(sigma) * VIEWS);
            count[stratum]++;
            if (seed == 0)
                first[view] = stratum;
            same_order = same_order && first[view] == stratum;
            grey += json_is_true(json_object_get(json_array_get(ours, 1), "applied"));
            json_decref(ours);
        }
        for (int i = 0; i < VIEWS; i++)
            assert_int_equal(count[i], 1);
        assert_int_equal(grey, VIEWS / 5);
    }
    assert_false(same_order);
    json_decref(ops);
    sm_image_release(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_agree),
        cmocka_unit_test(every_stratum_has_one_view),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
