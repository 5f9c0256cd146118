/* Costs: the counted steps are those that are taken, in proportion and in order; the limits of the
 * service pass what is sensible and refuse what is not. No clock is looked at. */
#include "fixture.h"

#include <math.h>

#include "sslmem/cost.h"
#include "sslmem/task.h"

static void assert_near(double a, double b, double epsilon)
{
    if (!(fabs(a - b) <= epsilon))
        fail_msg("%.17g is not %.17g", a, b);
}

/* How often a watch is asked. */
static bool count_ask(void *arg)
{
    ++*(int64_t *)arg;
    return true;
}

/* Ends at the ask with that number. */
struct ender {
    int64_t asked, end_at;
};

static bool end_there(void *arg)
{
    struct ender *e = arg;
    return ++e->asked < e->end_at;
}

static struct sm_augment parse(const char *text)
{
    struct sm_augment augment;
    struct sm_err err = {0};
    json_t *node = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(node);
    assert_ok(sm_augment_parse(&augment, node, 32, "", &err));
    json_decref(node);
    return augment;
}

static enum sm_code render(const struct sm_augment *augment, int32_t width_px, int32_t height_px,
                           const struct sm_watch *watch)
{
    static const uint8_t digest[32];
    struct sm_stream_key key = {1, digest, 0, watch};
    struct sm_image image, view;
    struct sm_err err = {0};
    assert_ok(sm_image_alloc(&image, width_px, height_px, &err));
    enum sm_code code = sm_view_render(&view, &image, augment, &key, NULL, &err);
    sm_image_release(&image);
    sm_image_release(&view);
    return code;
}

static void counted(double steps[SM_WORKS], const char *ops, int32_t width_px, int32_t height_px)
{
    struct sm_augment augment = parse(ops);
    memset(steps, 0, SM_WORKS * sizeof *steps);
    sm_augment_count(steps, &augment, width_px, height_px);
}

/* Resizes and blurs ask once per SM_WATCH_BLOCK steps, whatever the sizes: so many asks are as many
 * steps as were predicted, up to whole rows. */
static void steps_are_taken_as_counted(void **state)
{
    (void)state;
    static const struct {
        const char *ops;
        enum sm_work work;
    } cases[] = {
        {"[{\"op\":\"resize\",\"size\":512}]", SM_WORK_RESIZE},
        {"[{\"op\":\"resize\",\"size\":100,\"interpolation\":\"bicubic\"}]", SM_WORK_RESIZE},
        {"[{\"op\":\"random_resized_crop\",\"size\":700,\"scale\":[1,1],\"ratio\":[1,1]}]",
         SM_WORK_RESIZE},
        {"[{\"op\":\"gaussian_blur\",\"sigma\":[2,2]}]", SM_WORK_BLUR},
        {"[{\"op\":\"resize\",\"size\":900},{\"op\":\"gaussian_blur\",\"sigma\":[9,9]}]",
         SM_WORK_BLUR},
    };
    static const int32_t sides[][2] = {{600, 600}, {300, 1200}, {1500, 400}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < sizeof sides / sizeof *sides; k++) {
            double steps[SM_WORKS];
            int64_t asks = 0;
            struct sm_augment augment = parse(cases[i].ops);
            counted(steps, cases[i].ops, sides[k][0], sides[k][1]);
            assert_true(steps[cases[i].work] > 0);
            assert_int_equal(
                render(&augment, sides[k][0], sides[k][1], &(struct sm_watch){count_ask, &asks}),
                SM_OK);
            double blocks = (steps[SM_WORK_RESIZE] + steps[SM_WORK_BLUR]) / SM_WATCH_BLOCK;
            /* A crop of ratio 1 takes the short side only: fewer. */
            bool cropped = augment.ops[0].kind == SM_OP_RANDOM_RESIZED_CROP;
            if ((double)asks > 1.3 * blocks + 6 || (!cropped && (double)asks < .6 * blocks))
                fail_msg("%s of %dx%d: %lld asks, %.1f blocks counted", cases[i].ops,
                         (int)sides[k][0], (int)sides[k][1], (long long)asks, blocks);
        }
}

static void every_ask_can_end_a_view(void **state)
{
    (void)state;
    struct sm_augment augment =
        parse("[{\"op\":\"resize\",\"size\":300},{\"op\":\"gaussian_blur\",\"sigma\":[3,3]},"
              "{\"op\":\"color_jitter\",\"brightness\":0.4,\"contrast\":0.4,\"saturation\":0.4,"
              "\"hue\":0.1},{\"op\":\"random_resized_crop\",\"size\":64}]");
    int64_t asks = 0;
    assert_int_equal(render(&augment, 200, 200, &(struct sm_watch){count_ask, &asks}), SM_OK);
    assert_true(asks > 12);
    for (int64_t i = 1; i <= asks; i++) {
        struct ender ender = {.end_at = i};
        assert_int_equal(render(&augment, 200, 200, &(struct sm_watch){end_there, &ender}),
                         SM_CANCELLED);
        assert_int_equal(ender.asked, i); /* and is not asked once more */
    }
}

static void sizes_are_followed(void **state)
{
    (void)state;
    double small[SM_WORKS], large[SM_WORKS];
    /* Twice the side is four times the pixels; the long side counts as it is made. */
    counted(small, "[{\"op\":\"resize\",\"size\":512},{\"op\":\"flip\"}]", 64, 64);
    counted(large, "[{\"op\":\"resize\",\"size\":1024},{\"op\":\"flip\"}]", 64, 64);
    assert_near(large[SM_WORK_FLIP], 4 * small[SM_WORK_FLIP], 1e-6);
    counted(large, "[{\"op\":\"resize\",\"size\":512},{\"op\":\"flip\"}]", 16, 64);
    assert_near(large[SM_WORK_FLIP], 4 * small[SM_WORK_FLIP], 1e-6);
    counted(large, "[{\"op\":\"pad\",\"padding\":32},{\"op\":\"flip\"}]", 64, 64);
    assert_near(large[SM_WORK_FLIP], 128 * 128, 1e-6);
    counted(large, "[{\"op\":\"center_crop\",\"size\":96},{\"op\":\"flip\"}]", 64, 640);
    assert_near(large[SM_WORK_FLIP], 96 * 96, 1e-6);
    /* What never happens costs nothing; what may happen costs as if it did. */
    counted(large, "[{\"op\":\"flip\",\"p\":0}]", 64, 64);
    assert_near(large[SM_WORK_FLIP] + large[SM_WORK_COPY], 0, 1e-6);
    counted(large, "[{\"op\":\"flip\",\"p\":0.01}]", 64, 64);
    assert_near(large[SM_WORK_FLIP], 64 * 64, 1e-6);
    /* An op that fails on the size ends the view: nothing behind it is counted. */
    counted(large, "[{\"op\":\"resize\",\"size\":2048},{\"op\":\"flip\"}]", 1, 8000);
    assert_near(large[SM_WORK_FLIP], 0, 1e-6);
}

static void views_and_encoders_multiply(void **state)
{
    (void)state;
    struct sm_pair *pair;
    struct sm_err err = {0};
    double few[SM_WORKS], many[SM_WORKS];
    assert_ok(sm_pair_open(&pair, GOLDEN "/vit", "blas", &err));
    struct sm_recipe recipe = recipe_of(pair, "{\"views\":4}");
    sm_cost_count(few, pair, &recipe, 64, 48);
    recipe.views = 64;
    sm_cost_count(many, pair, &recipe, 64, 48);
    double adds = 0;
    for (int side = 0; side < 2; side++)
        for (int k = 0; sm_pair_encoder(pair, "fg"[side], k); k++)
            adds += (double)sm_encoder_info(sm_pair_encoder(pair, "fg"[side], k))->multiply_adds;
    assert_near(few[SM_WORK_MULTIPLY_ADD], 4 * adds, 1e-3);
    assert_near(many[SM_WORK_MULTIPLY_ADD], 64 * adds, 1e-3);
    assert_near(many[SM_WORK_RESIZE], 16 * few[SM_WORK_RESIZE], 1e-3);
    assert_near(many[SM_WORK_DISTANCE] / few[SM_WORK_DISTANCE], 2016. / 6, 1e-9);
    assert_near(many[SM_WORK_DECODE], 64 * 48, 1e-9);
    recipe = recipe_of(pair, "{\"views\":4,\"compare\":\"anchor\"}");
    sm_cost_count(many, pair, &recipe, 64, 48);
    assert_near(many[SM_WORK_MULTIPLY_ADD], 5 * adds, 1e-3);
    /* More of anything never costs less. */
    int64_t last = 0;
    for (int32_t side = 1; side <= 4096; side *= 2) {
        int64_t ms = sm_cost_ms(pair, &recipe, side, side);
        assert_true(ms >= last && ms >= 1);
        last = ms;
    }
    recipe.apply_orientation = true;
    assert_int_equal(sm_cost_ms(pair, &recipe, 50, 3000), sm_cost_ms(pair, &recipe, 3000, 50));
    sm_pair_close(pair);
}

/* The default of item_cost_ms_max. */
#define ITEM_COST_MS_MAX 300000

static double ms_of(const double steps[SM_WORKS])
{
    return (double)sm_steps_ms(steps);
}

static void sensible_work_passes_and_the_heavy_recipe_does_not(void **state)
{
    (void)state;
    double steps[SM_WORKS] = {0}, view[SM_WORKS] = {0};
    /* ViT-B/16 at 224, f and g, 64 views: 17.6e9 multiply-adds a forward; ViT-L/16: 61.6e9. */
    steps[SM_WORK_MULTIPLY_ADD] = 2 * 64 * 17.6e9;
    steps[SM_WORK_DISTANCE] = 2 * 2016 * 197. * 768;
    assert_true(ms_of(steps) < .2 * ITEM_COST_MS_MAX);
    steps[SM_WORK_MULTIPLY_ADD] = 2 * 64 * 61.6e9;
    assert_true(ms_of(steps) < .6 * ITEM_COST_MS_MAX);
    /* The most views: ViT-B/16 passes, ViT-L/16 takes a higher limit. */
    steps[SM_WORK_MULTIPLY_ADD] = 2 * 256 * 17.6e9;
    steps[SM_WORK_DISTANCE] = 2 * 32640 * 197. * 768;
    assert_true(ms_of(steps) < .7 * ITEM_COST_MS_MAX);
    steps[SM_WORK_MULTIPLY_ADD] = 2 * 256 * 61.6e9;
    assert_true(ms_of(steps) > 2 * ITEM_COST_MS_MAX);
    /* 64 views of the largest image by a published recipe. */
    memset(steps, 0, sizeof steps);
    counted(view, "\"simclr-imagenet\"", 8192, 4882);
    for (int i = 0; i < SM_WORKS; i++)
        steps[i] = 64 * view[i];
    steps[SM_WORK_DECODE] = SM_IMAGE_PIXELS_MAX;
    assert_true(ms_of(steps) < .2 * ITEM_COST_MS_MAX);
    /* 13 blurs of a picture of 16x64 that was made 2048x8192. */
    struct sm_augment heavy = parse("[{\"op\":\"resize\",\"size\":2048}]");
    for (int i = 0; i < 13; i++)
        heavy.ops[heavy.count++] =
            (struct sm_op){.kind = SM_OP_GAUSSIAN_BLUR, .p = 1, .sigma = {64, 64}};
    memset(view, 0, sizeof view);
    sm_augment_count(view, &heavy, 16, 64);
    for (int i = 0; i < SM_WORKS; i++)
        steps[i] = 64 * view[i];
    assert_true(ms_of(steps) > 2 * ITEM_COST_MS_MAX);
}

static void forwards_and_distances_ask(void **state)
{
    (void)state;
    struct sm_pair *pair;
    struct sm_scorer *scorer;
    struct sm_task *task;
    struct sm_file file;
    struct sm_err err = {0};
    size_t units;
    int64_t views_asks = 0, forward_asks = 0;
    const struct sm_watch views = {count_ask, &views_asks}, forwards = {count_ask, &forward_asks};
    assert_ok(sm_pair_open(&pair, GOLDEN "/vit", "blas", &err));
    assert_ok(sm_scorer_new(&scorer, pair, &err));
    map_golden(&file, "wide.png");
    assert_ok(sm_task_open(&task, pair, sm_pair_recipe(pair), file.bytes, file.bytes_count, &err));
    sm_file_release(&file);
    sm_task_watch(task, &views);
    sm_scorer_watch(scorer, &forwards);
    assert_ok(sm_task_round(&units, task, &err));
    assert_true(views_asks >= sm_pair_recipe(pair)->views);
    assert_ok(sm_task_run(task, 0, scorer, &err));
    json_t *graph = sm_encoder_graph(sm_pair_encoder(pair, 'f', 0));
    assert_true(forward_asks > (int64_t)json_array_size(graph) / 2);
    json_decref(graph);
    /* Each op can be the last one. */
    for (int64_t i = 1; i <= forward_asks; i += 7) {
        struct ender ender = {.end_at = i};
        const struct sm_watch ending = {end_there, &ender};
        sm_scorer_watch(scorer, &ending);
        assert_int_equal(sm_task_run(task, 0, scorer, &err), SM_CANCELLED);
    }
    sm_scorer_watch(scorer, NULL);
    for (size_t i = 0; i < units; i++)
        assert_ok(sm_task_run(task, i, scorer, &err));
    struct ender ender = {.end_at = 1};
    const struct sm_watch ending = {end_there, &ender};
    sm_task_watch(task, &ending);
    assert_int_equal(sm_task_round(&units, task, &err), SM_CANCELLED);
    sm_task_free(task);
    sm_scorer_free(scorer);
    sm_pair_close(pair);
}

static void declared_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t count;
        int32_t width, height;
    } cases[] = {
#define BYTES(text) text, sizeof text - 1
        {BYTES("\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\1\2\0\0\0\x10"), 258, 16},
        {BYTES("\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\1\2\0\0\0"), 0, 0},
        {BYTES("\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x40\0\0\0\0\1"), 0, 0}, /* over the limit */
        {BYTES("\xff\xd8\xff\xe0\0\4ab\xff\xff\xc2\0\x0b\x08\0\x20\0\x40\3"), 64, 32},
        {BYTES("\xff\xd8\xff\xe0\0\4ab\xff\xc4\0\2\xff\xd9"), 0, 0},
        {BYTES("\xff\xd8\xff\xe0\xff\xff"
               "ab"),
         0, 0},
        {BYTES("GIF89a"), 0, 0},
        {BYTES(""), 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t width, height;
        /* On the heap, so that a sanitizer sees a read past the end. */
        char *copy = malloc(cases[i].count + 1);
        memcpy(copy, cases[i].bytes, cases[i].count);
        char *exact = realloc(copy, cases[i].count ? cases[i].count : 1);
        assert_int_equal(sm_image_declared_size(&width, &height, exact, cases[i].count),
                         cases[i].width > 0);
        assert_int_equal(width, cases[i].width);
        assert_int_equal(height, cases[i].height);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_taken_as_counted),
        cmocka_unit_test(every_ask_can_end_a_view),
        cmocka_unit_test(sizes_are_followed),
        cmocka_unit_test(views_and_encoders_multiply),
        cmocka_unit_test(sensible_work_passes_and_the_heavy_recipe_does_not),
        cmocka_unit_test(forwards_and_distances_ask),
        cmocka_unit_test(declared_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
