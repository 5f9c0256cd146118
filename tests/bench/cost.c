/* Measures each kind of work and compares it with the table of coefficients (sslmem/cost.h).
 *
 *     cost                    ops: a line of JSON for each op and size
 *     cost [--kernels ROW] FOLDER
 *                             decoding, forwards, distances and a whole score of the pair
 *
 * `ns` is the time of one step of the work that the line is named after; the time of the op's other
 * work is taken from the table and subtracted. `ratio` is the measured time of the whole op over
 * its time by the table. Times are processor time of one thread, the best of several. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sslmem/cost.h"
#include "sslmem/task.h"

#define REPEATS 5

static void die(const char *what, const struct sm_err *err)
{
    fprintf(stderr, "cost: %s: %s\n", what, err ? err->text : "");
    exit(1);
}

static double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

static void print_line(enum sm_work work, const char *size, const double steps[SM_WORKS], double ns)
{
    double table_ns = 0;
    for (int i = 0; i < SM_WORKS; i++)
        table_ns += steps[i] * sm_work_ns(i);
    double rest = table_ns - steps[work] * sm_work_ns(work);
    printf("{\"work\": \"%s\", \"size\": \"%s\", \"ms\": %.3f, \"table_ms\": %.3f, \"ns\": %.4f, "
           "\"table_ns\": %.4f, \"ratio\": %.3f}\n",
           sm_work_name(work), size, ns / 1e6, table_ns / 1e6, (ns - rest) / steps[work],
           sm_work_ns(work), ns / table_ns);
    fflush(stdout);
}

/* --- ops --- */

static const struct {
    enum sm_work work;
    const char *begin, *end; /* JSON before and after the size; `end` NULL: an op without size */
    int divide;              /* the result's short side is the input's divided by this */
} ops[] = {
    {SM_WORK_COPY, "[{\"op\":\"pad\",\"padding\":1}]", NULL, 1},
    {SM_WORK_RESIZE, "[{\"op\":\"resize\",\"size\":", "}]", 4},
    {SM_WORK_RESIZE, "[{\"op\":\"resize\",\"size\":", ",\"interpolation\":\"bicubic\"}]", 2},
    {SM_WORK_RESIZE, "[{\"op\":\"random_resized_crop\",\"size\":", ",\"scale\":[1,1]}]", 2},
    {SM_WORK_BLUR, "[{\"op\":\"gaussian_blur\",\"sigma\":[2,2]}]", NULL, 1},
    {SM_WORK_BLUR, "[{\"op\":\"gaussian_blur\",\"sigma\":[64,64]}]", NULL, 1},
    {SM_WORK_FLIP, "[{\"op\":\"flip\",\"p\":1}]", NULL, 1},
    {SM_WORK_BRIGHTNESS, "[{\"op\":\"color_jitter\",\"brightness\":0.8}]", NULL, 1},
    {SM_WORK_CONTRAST, "[{\"op\":\"color_jitter\",\"contrast\":0.8}]", NULL, 1},
    {SM_WORK_SATURATION, "[{\"op\":\"color_jitter\",\"saturation\":0.8}]", NULL, 1},
    {SM_WORK_SATURATION, "[{\"op\":\"color_jitter\",\"saturation\":16}]", NULL, 1},
    {SM_WORK_HUE, "[{\"op\":\"color_jitter\",\"hue\":0.5}]", NULL, 1},
    {SM_WORK_GRAYSCALE, "[{\"op\":\"grayscale\",\"p\":1}]", NULL, 1},
    {SM_WORK_SOLARIZE, "[{\"op\":\"solarize\",\"p\":1}]", NULL, 1},
};

static const struct {
    int32_t width_px, height_px;
} sizes[] = {{32, 32}, {224, 224}, {2048, 1024}, {2048, 8000}};

/* Fills an image with noise, so that the branches of an op cannot be predicted. */
static void draw(struct sm_image *image, int32_t width_px, int32_t height_px)
{
    struct sm_err err;
    uint32_t x = 1;
    if (sm_image_alloc(image, width_px, height_px, &err) != SM_OK)
        die("image", &err);
    for (size_t i = 0; i < (size_t)width_px * (size_t)height_px * 3; i++) {
        x = x * 1664525 + 1013904223;
        image->rgb[i] = (uint8_t)(x >> 24);
    }
}

static double time_view(const struct sm_image *image, const struct sm_augment *augment, int rounds)
{
    static const uint8_t digest[32];
    double best = 0;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        double from = cpu_ns();
        for (int i = 0; i < rounds; i++) {
            struct sm_image view;
            struct sm_err err;
            struct sm_stream_key key = {1, digest, (uint32_t)i, NULL};
            if (sm_view_render(&view, image, augment, &key, NULL, &err) != SM_OK)
                die("view", &err);
            sm_image_release(&view);
        }
        double ns = (cpu_ns() - from) / rounds;
        best = repeat == 0 || ns < best ? ns : best;
    }
    return best;
}

static void time_ops(const struct sm_image *image)
{
    int32_t side = image->width_px < image->height_px ? image->width_px : image->height_px;
    int64_t pixels = (int64_t)image->width_px * image->height_px;
    char size[32], text[160];
    snprintf(size, sizeof size, "%dx%d", (int)image->width_px, (int)image->height_px);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        double steps[SM_WORKS] = {0};
        struct sm_augment augment;
        struct sm_err err;
        if (ops[i].end)
            snprintf(text, sizeof text, "%s%d%s", ops[i].begin, (int)side / ops[i].divide,
                     ops[i].end);
        else
            snprintf(text, sizeof text, "%s", ops[i].begin);
        json_t *node = json_loads(text, 0, NULL);
        if (sm_augment_parse(&augment, node, side, "", &err) != SM_OK)
            die(text, &err);
        json_decref(node);
        sm_augment_count(steps, &augment, image->width_px, image->height_px);
        print_line(ops[i].work, size, steps,
                   time_view(image, &augment, 1 + (int)(1000000 / pixels)));
    }
}

/* --- a pair --- */

static void *read_file(const char *folder, const char *name, size_t *bytes_count)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    char *bytes = malloc(SM_IMAGE_BYTES_MAX);
    if (!file || !bytes || (*bytes_count = fread(bytes, 1, SM_IMAGE_BYTES_MAX, file)) == 0)
        die(path, NULL);
    fclose(file);
    return bytes;
}

static void time_decode(const void *bytes, size_t bytes_count)
{
    double steps[SM_WORKS] = {0}, best = 0;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        struct sm_image image;
        struct sm_err err;
        double from = cpu_ns();
        if (sm_image_decode(&image, bytes, bytes_count, false, NULL, &err) != SM_OK)
            die("image.png", &err);
        double ns = cpu_ns() - from;
        best = repeat == 0 || ns < best ? ns : best;
        steps[SM_WORK_DECODE] = (double)image.width_px * image.height_px;
        sm_image_release(&image);
    }
    print_line(SM_WORK_DECODE, "image.png", steps, best);
}

struct score_times {
    double views_ns, forwards_ns, all_ns;
};

/* Runs the loop of sm_score_image with a clock in it. */
static void time_score(struct score_times *out, const struct sm_pair *pair,
                       const struct sm_recipe *recipe, const void *bytes, size_t bytes_count)
{
    struct sm_scorer *scorer;
    struct sm_task *task;
    struct sm_err err = {0};
    size_t units;
    *out = (struct score_times){0};
    if (sm_scorer_new(&scorer, pair, &err) != SM_OK)
        die("scorer", &err);
    for (int warm = 0; warm < 2; warm++) {
        double begin = cpu_ns(), from = begin;
        *out = (struct score_times){0};
        if (sm_task_open(&task, pair, recipe, bytes, bytes_count, &err) != SM_OK)
            die("task", &err);
        while (sm_task_round(&units, task, &err) == SM_OK && units > 0) {
            out->views_ns += cpu_ns() - from;
            from = cpu_ns();
            for (size_t i = 0; i < units; i++)
                if (sm_task_run(task, i, scorer, &err) != SM_OK)
                    die("unit", &err);
            out->forwards_ns += cpu_ns() - from;
            from = cpu_ns();
        }
        out->all_ns = cpu_ns() - begin;
        sm_task_free(task);
    }
    sm_scorer_free(scorer);
}

static void time_pair(const char *folder, const char *kernels)
{
    struct sm_pair *pair;
    struct sm_err err = {0};
    struct score_times times;
    size_t bytes_count;
    double steps[SM_WORKS], some[SM_WORKS] = {0};
    if (sm_pair_open(&pair, folder, kernels, &err) != SM_OK)
        die(folder, &err);
    void *bytes = read_file(folder, "image.png", &bytes_count);
    const struct sm_recipe *recipe = sm_pair_recipe(pair);
    struct sm_image image;
    if (sm_image_decode(&image, bytes, bytes_count, false, NULL, &err) != SM_OK)
        die("image.png", &err);
    time_decode(bytes, bytes_count);
    time_score(&times, pair, recipe, bytes, bytes_count);
    sm_cost_count(steps, pair, recipe, image.width_px, image.height_px);
    some[SM_WORK_MULTIPLY_ADD] = steps[SM_WORK_MULTIPLY_ADD];
    print_line(SM_WORK_MULTIPLY_ADD, sm_pair_name(pair), some, times.forwards_ns);
    printf("{\"work\": \"score\", \"size\": \"%s\", \"ms\": %.1f, \"table_ms\": %lld, \"ratio\": "
           "%.3f, \"gflops\": %.1f}\n",
           sm_pair_name(pair), times.all_ns / 1e6,
           (long long)sm_cost_ms(pair, recipe, image.width_px, image.height_px),
           times.all_ns / 1e6 / (double)sm_cost_ms(pair, recipe, image.width_px, image.height_px),
           2 * steps[SM_WORK_MULTIPLY_ADD] / times.forwards_ns);
    /* With many views, the work outside the forwards is mostly distances. */
    struct sm_recipe many = *recipe;
    many.views = 64;
    time_score(&times, pair, &many, bytes, bytes_count);
    sm_cost_count(steps, pair, &many, image.width_px, image.height_px);
    steps[SM_WORK_MULTIPLY_ADD] = 0;
    print_line(SM_WORK_DISTANCE, sm_pair_name(pair), steps, times.all_ns - times.forwards_ns);
    sm_image_release(&image);
    free(bytes);
    sm_pair_close(pair);
}

int main(int argc, char **argv)
{
    const char *kernels = "auto";
    for (; argc > 3 && strcmp(argv[1], "--kernels") == 0; argc -= 2, argv += 2)
        kernels = argv[2];
    if (argc > 2) {
        fprintf(stderr, "usage: cost [--kernels ROW] [FOLDER]\n");
        return 2;
    }
    sm_blas_single_thread();
    if (argc == 2) {
        time_pair(argv[1], kernels);
        return 0;
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct sm_image image;
        draw(&image, sizes[i].width_px, sizes[i].height_px);
        time_ops(&image);
        sm_image_release(&image);
    }
    return 0;
}
