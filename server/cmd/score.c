/* `sslmem score`: computes what POST /v1/scores computes, without a server and with the same bits.
 *
 * The threads form a team (server/jobs/team.h), and the main thread is one of them. Each takes the
 * next image; when no image is left, it helps with unfinished ones. Lines are printed in the order
 * of the paths, so the output does not depend on the number of threads. */
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/base/file.h"
#include "server/cmd/cmd.h"
#include "server/jobs/team.h"
#include "sslmem/cost.h"

#define IDLE_MS 1000

struct batch {
    struct sm_generation *generation; /* the loaded pair */
    const struct sm_recipe *recipe;
    char **paths;
    size_t count;
    struct sm_team *team;
    pthread_mutex_t mutex; /* guards all below */
    size_t next;           /* index of the next image to take */
    size_t printed;        /* number of lines printed */
    json_t **lines;        /* [count]; NULL until the score is ready, and again once printed */
    size_t failed;
};

struct hand {
    struct batch *batch;
    struct sm_team_worker *worker;
    pthread_t thread;
};

/* Announces an image that takes long before it is scored. The command line has no limit of cost. */
static void say_cost(const struct batch *b, const char *path, const struct sm_file *file)
{
    int32_t width_px, height_px;
    sm_image_declared_size(&width_px, &height_px, file->bytes, file->bytes_count);
    int64_t cost_ms = sm_cost_ms(sm_generation_pair(b->generation), b->recipe, width_px, height_px);
    if (cost_ms >= SM_COST_SAID_MS)
        fprintf(stderr,
                "sslmem score: %s costs about %lld minutes of a reference core with this recipe\n",
                path, (long long)(cost_ms / 60000));
}

/* Scores one image and returns its line, never NULL. A failed image gives a line with its error. */
static json_t *score_line(int *result, struct hand *hand, const char *path)
{
    const struct batch *b = hand->batch;
    struct sm_err err = {0};
    struct sm_score score;
    struct sm_file file;
    json_t *line = json_pack("{s:o}", "file", sm_path_json(path));
    enum sm_code code = sm_file_map(&file, path, SM_IMAGE_BYTES_MAX, &err);
    if (code == SM_OK)
        say_cost(b, path, &file);
    if (code == SM_OK)
        code = sm_team_score(&score, hand->worker,
                             &(struct sm_team_order){.generation = b->generation,
                                                     .recipe = b->recipe,
                                                     .bytes = {file.bytes, file.bytes_count}},
                             &err);
    sm_file_release(&file);
    *result = SM_EXIT_OK;
    if (code == SM_OK) {
        if (json_object_update_new(line,
                                   sm_score_json(&score, sm_generation_pair(b->generation))) != 0)
            *result = SM_EXIT_FAILED; /* out of memory: the line has no score */
    } else {
        json_object_set_new(
            line, "error",
            json_pack("{s:s, s:s}", "code", sm_code_name(err.code), "detail", err.text));
        *result = SM_EXIT_FAILED;
    }
    return line ? line : json_null(); /* NULL would mean "not ready yet" */
}

/* Stores the line of image `index`, then prints all lines up to the first that is not ready. */
static void add_line(struct batch *b, size_t index, json_t *line, int result)
{
    pthread_mutex_lock(&b->mutex);
    b->lines[index] = line;
    b->failed += result != SM_EXIT_OK;
    while (b->printed < b->count && b->lines[b->printed]) {
        json_t *ready = b->lines[b->printed];
        b->lines[b->printed++] = NULL;
        sm_print_line(json_is_null(ready) ? NULL : ready);
    }
    pthread_mutex_unlock(&b->mutex);
    sm_team_tell(b->team); /* waiting threads end after the last line */
}

/* Returns the index of the next image to score, or `count` if none is left. */
static size_t take_image(bool *all_printed, struct batch *b)
{
    pthread_mutex_lock(&b->mutex);
    size_t index = b->next < b->count ? b->next++ : b->count;
    *all_printed = b->printed == b->count;
    pthread_mutex_unlock(&b->mutex);
    return index;
}

static void *work(void *arg)
{
    struct hand *hand = arg;
    struct batch *b = hand->batch;
    for (bool all_printed = false; !all_printed;) {
        uint64_t seen = sm_team_news(b->team);
        size_t index = take_image(&all_printed, b);
        if (index < b->count) {
            int result;
            json_t *line = score_line(&result, hand, b->paths[index]);
            add_line(b, index, line, result);
        } else if (!all_printed && !sm_team_help(hand->worker)) {
            sm_team_wait(b->team, seen, IDLE_MS);
        }
    }
    return NULL;
}

/* Runs the batch on `hands_count` threads, or on fewer if a thread cannot be started. */
static enum sm_code run(struct batch *b, struct hand *hands, size_t hands_count, struct sm_err *err)
{
    size_t ready = 0, running = 1;
    enum sm_code code = SM_OK;
    for (; code == SM_OK && ready < hands_count; ready += code == SM_OK) {
        hands[ready].batch = b;
        code = sm_team_join(&hands[ready].worker, b->team, err);
    }
    if (code == SM_OK) {
        while (running < hands_count &&
               pthread_create(&hands[running].thread, NULL, work, &hands[running]) == 0)
            running++;
        work(&hands[0]);
        while (running > 1)
            pthread_join(hands[--running].thread, NULL);
    }
    while (ready > 0)
        sm_team_leave(hands[--ready].worker);
    return code;
}

static int score_files(struct sm_generation *generation, const struct sm_recipe *recipe,
                       char **paths, size_t workers)
{
    struct sm_err err = {0};
    struct batch b = {.generation = generation, .recipe = recipe, .paths = paths};
    while (paths[b.count])
        b.count++;
    struct hand *hands = calloc(workers, sizeof *hands);
    b.lines = calloc(b.count, sizeof *b.lines);
    pthread_mutex_init(&b.mutex, NULL);
    enum sm_code code = hands && b.lines ? sm_team_new(&b.team, NULL, &err)
                                         : sm_err_set(&err, SM_NOMEM, "out of memory");
    if (code == SM_OK)
        code = run(&b, hands, workers, &err);
    sm_team_free(b.team);
    pthread_mutex_destroy(&b.mutex);
    free(b.lines);
    free(hands);
    if (code != SM_OK)
        return sm_fail("score", &err);
    if (b.failed > 0) /* said again, because the lines may have gone into a file */
        fprintf(stderr,
                "sslmem score: %zu of %zu image%s could not be scored; \"error\" in their "
                "lines says why\n",
                b.failed, b.count, b.count == 1 ? "" : "s");
    return b.failed > 0 ? SM_EXIT_FAILED : SM_EXIT_OK;
}

int sm_cmd_score(int argc, char **argv)
{
    const char *dir = NULL, *recipe_path = NULL, *kernels = NULL, *workers_text = NULL;
    const struct sm_option options[] = {
        {"pair", "DIR", "folder of the pair", &dir, .required = true},
        {"recipe", "FILE", "JSON or its file, read over the pair's own recipe", &recipe_path},
        {"workers", "N", "threads that compute; 0 (default): one per core that it may use",
         &workers_text},
        {"kernels", "NAME", "auto (default), ref, blas, avx2, avx512", &kernels},
        {0},
    };
    const struct sm_usage usage = {
        "score", "IMAGE...", "Scores images and prints one JSON line each.", options, 1, INT_MAX};
    char **paths;
    int result = sm_usage_read(&paths, &usage, argc, argv);
    if (result >= 0)
        return result;

    struct sm_err err = {0};
    struct sm_pair *pair = NULL;
    struct sm_generation *generation = NULL;
    struct sm_recipe recipe;
    size_t workers = 1;
    if (sm_read_workers(&workers, workers_text, &err) != SM_OK) {
        sm_fail("score", &err);
        return SM_EXIT_USAGE;
    }
    if (sm_open_pair(&pair, &recipe, dir, recipe_path, kernels, &err) != SM_OK ||
        sm_generation_new(&generation, pair, 1, &err) != SM_OK)
        result = sm_fail("score", &err);
    else
        result = score_files(generation, &recipe, paths, workers);
    sm_generation_give(generation);
    return result;
}
