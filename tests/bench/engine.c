/* Times the engine through the public headers. Standard input has one command a line:
 *
 *     engine [--kernels ROW] [--views N] FOLDER
 *
 *     forward WORKERS ROUNDS    every worker runs ROUNDS forwards of N views
 *     score WORKERS ROUNDS      every worker scores ROUNDS images, 5 views against the image itself
 *     peak WORKERS ROUNDS       every worker multiplies 2048 x 2048 matrices ROUNDS times
 *     outputs FILE              writes the tokens of f, then those of g, as plain floats
 *
 * Each command prints a line of JSON. Between commands the process waits, so it can alternate with
 * other programs in one run; peers.py compares them so. networks.py makes the pair in FOLDER.
 * Worker i is a thread on the i-th processor. It runs encoder f if i is even, else g, so two
 * workers run f and g of an image in parallel. Whatever a command needs is opened before its clock
 * starts but not earlier, so that the memory of the process shows what its commands needed. */
#include <cblas.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sslmem/score.h"

#define WORKERS_MAX 64
#define PEAK_SIDE   2048

struct bench {
    const char *folder, *kernels;
    int views;
    struct sm_encoder *encoders[2]; /* f, g */
    struct sm_pair *pair;
    struct sm_recipe anchor;
    float *x; /* [views, 3, S, S] */
    char *image;
    size_t image_bytes;
};

struct worker {
    struct bench *bench;
    int index, rounds;
    void (*once)(struct worker *w);
    pthread_barrier_t *start;
    pthread_t thread;
    struct sm_workspace *workspace;
    struct sm_scorer *scorer;
    float *matrices; /* [3, side, side] */
    struct timespec began, ended;
    double cpu_ms, best_ms;
};

static void die(const char *what, const struct sm_err *err)
{
    fprintf(stderr, "engine: %s: %s\n", what, err ? err->text : strerror(errno));
    exit(1);
}

static void path_of(char out[1024], const struct bench *b, const char *file)
{
    snprintf(out, 1024, "%s/%s", b->folder, file);
}

/* --- inputs of commands --- */

static void read_x(struct bench *b)
{
    char path[1024];
    struct sm_err err = {0};
    struct sm_ckpt *ckpt;
    path_of(path, b, "x.safetensors");
    if (b->x)
        return;
    if (sm_ckpt_open(&ckpt, path, &err) != SM_OK)
        die(path, &err);
    const struct sm_tensor *t = sm_ckpt_at(ckpt, 0);
    if (t->rank != 4 || t->shape[0] < b->views || !(b->x = malloc((size_t)t->count * sizeof *b->x)))
        die("x has too few views", NULL);
    if (sm_ckpt_read(ckpt, t, b->x, &err) != SM_OK)
        die(path, &err);
    sm_ckpt_close(ckpt);
}

static struct sm_encoder *encoder_of(struct bench *b, int side)
{
    char path[1024];
    struct sm_err err = {0};
    struct sm_ckpt *ckpt;
    struct sm_encoder_config config = {0};
    if (b->encoders[side])
        return b->encoders[side];
    path_of(path, b, side == 0 ? "f.safetensors" : "g.safetensors");
    if (sm_encoder_config_complete(&config, path, &err) != SM_OK ||
        sm_ckpt_open(&ckpt, path, &err) != SM_OK)
        die(path, &err);
    if (sm_encoder_open(&b->encoders[side], ckpt, &config, b->kernels, &err) != SM_OK)
        die(path, &err);
    sm_ckpt_close(ckpt);
    return b->encoders[side];
}

static void open_pair(struct bench *b)
{
    char path[1024];
    struct sm_err err = {0};
    if (b->pair)
        return;
    json_t *changes = json_pack("{s:s, s:i}", "compare", "anchor", "views", 5);
    if (sm_pair_open(&b->pair, b->folder, b->kernels, &err) != SM_OK ||
        sm_recipe_parse(&b->anchor, changes, sm_pair_recipe(b->pair), sm_pair_input_px(b->pair), "",
                        &err) != SM_OK)
        die(b->folder, &err);
    json_decref(changes);
    path_of(path, b, "image.png");
    FILE *file = fopen(path, "rb");
    if (!file || !(b->image = malloc(1 << 24)) ||
        (b->image_bytes = fread(b->image, 1, 1 << 24, file)) == 0)
        die(path, NULL);
    fclose(file);
}

/* --- one round of a worker --- */

static void forward_once(struct worker *w)
{
    sm_encoder_forward(encoder_of(w->bench, w->index % 2), w->workspace, w->bench->x,
                       w->bench->views);
}

static void score_once(struct worker *w)
{
    struct sm_score score;
    struct sm_err err = {0};
    if (sm_score_image(&score, w->scorer, &w->bench->anchor, w->bench->image, w->bench->image_bytes,
                       &err) != SM_OK)
        die("score", &err);
}

static void peak_once(struct worker *w)
{
    const int n = PEAK_SIDE;
    const float *a = w->matrices, *b = a + n * n;
    float *c = w->matrices + 2 * n * n;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, a, n, b, n, 0, c, n);
}

/* --- commands --- */

static void prepare(struct worker *w)
{
    struct sm_err err = {0};
    if (w->once == forward_once) {
        read_x(w->bench);
        if (sm_workspace_new(&w->workspace, encoder_of(w->bench, w->index % 2), w->bench->views,
                             (const char *const[]){"tokens"}, 1, &err) != SM_OK)
            die("workspace", &err);
    } else if (w->once == score_once) {
        open_pair(w->bench);
        if (sm_scorer_new(&w->scorer, w->bench->pair, &err) != SM_OK)
            die("scorer", &err);
    } else {
        size_t count = (size_t)3 * PEAK_SIDE * PEAK_SIDE;
        if (!(w->matrices = aligned_alloc(64, count * sizeof *w->matrices)))
            die("matrices", NULL);
        for (size_t i = 0; i < count; i++)
            w->matrices[i] = (float)(i % 97) / 97 - 0.5f;
    }
}

static double ms_between(const struct timespec *a, const struct timespec *b)
{
    return 1e3 * (double)(b->tv_sec - a->tv_sec) + 1e-6 * (double)(b->tv_nsec - a->tv_nsec);
}

/* Pins the thread to the processor with this index among those that the process may use. */
static void pin(int index)
{
    cpu_set_t all, one;
    if (sched_getaffinity(0, sizeof all, &all) != 0)
        return;
    int skip = index % CPU_COUNT(&all);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all) || skip-- > 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        pthread_setaffinity_np(pthread_self(), sizeof one, &one);
        return;
    }
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct timespec from, to, cpu_from, cpu_to;
    pin(w->index);
    w->once(w); /* touches every page and fills the caches */
    pthread_barrier_wait(w->start);
    clock_gettime(CLOCK_MONOTONIC, &w->began);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu_from);
    from = w->began;
    for (int i = 0; i < w->rounds; i++, from = to) {
        w->once(w);
        clock_gettime(CLOCK_MONOTONIC, &to);
        double ms = ms_between(&from, &to);
        w->best_ms = i == 0 || ms < w->best_ms ? ms : w->best_ms;
    }
    w->ended = from;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu_to);
    w->cpu_ms = ms_between(&cpu_from, &cpu_to);
    return NULL;
}

/* Prints, in ms for one round: wall-clock time from the first start to the last end, and processor
 * time and best round as means over the workers. */
static void report(const struct worker *workers, int count, int rounds)
{
    double wall = 0, cpu = 0, best = 0;
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < count; j++) {
            double ms = ms_between(&workers[i].began, &workers[j].ended);
            wall = ms > wall ? ms : wall;
        }
        cpu += workers[i].cpu_ms / count;
        best += workers[i].best_ms / count;
    }
    printf("{\"ms\": %.6f, \"cpu_ms\": %.6f, \"best_ms\": %.6f}\n", wall / rounds, cpu / rounds,
           best);
}

static void run(struct bench *b, void (*once)(struct worker *w), int count, int rounds)
{
    struct worker workers[WORKERS_MAX];
    pthread_barrier_t start;
    if (count < 1 || count > WORKERS_MAX || rounds < 1)
        die("workers or rounds", NULL);
    pthread_barrier_init(&start, NULL, (unsigned)count);
    for (int i = 0; i < count; i++) {
        workers[i] = (struct worker){
            .bench = b, .index = i, .rounds = rounds, .once = once, .start = &start};
        prepare(&workers[i]);
    }
    for (int i = 0; i < count; i++)
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            die("thread", NULL);
    for (int i = 0; i < count; i++)
        pthread_join(workers[i].thread, NULL);
    report(workers, count, rounds);
    for (int i = 0; i < count; i++) {
        sm_workspace_free(workers[i].workspace);
        sm_scorer_free(workers[i].scorer);
        free(workers[i].matrices);
    }
    pthread_barrier_destroy(&start);
}

static void write_outputs(struct bench *b, const char *path)
{
    struct sm_err err = {0};
    FILE *file = fopen(path, "wb");
    if (!file)
        die(path, NULL);
    read_x(b);
    for (int side = 0; side < 2; side++) {
        struct sm_workspace *workspace;
        struct sm_tap tap;
        const struct sm_encoder *encoder = encoder_of(b, side);
        if (sm_workspace_new(&workspace, encoder, b->views, (const char *const[]){"tokens"}, 1,
                             &err) != SM_OK)
            die("workspace", &err);
        sm_encoder_forward(encoder, workspace, b->x, b->views);
        if (sm_encoder_tap(&tap, workspace, "tokens", &err) != SM_OK)
            die("tokens", &err);
        fwrite(tap.data, sizeof(float), (size_t)b->views * (size_t)tap.rows * (size_t)tap.dim,
               file);
        sm_workspace_free(workspace);
    }
    if (fclose(file) != 0)
        die(path, NULL);
    printf("{}\n");
}

static void print_facts(struct bench *b)
{
    const struct sm_encoder_info *info = sm_encoder_info(encoder_of(b, 0));
    printf("{\"family\": \"%s\", \"kernels\": \"%s\", \"blas\": \"%s\", \"multiply_adds\": %lld, "
           "\"parameters\": %lld}\n",
           info->family, info->kernels, sm_blas_version(), (long long)info->multiply_adds,
           (long long)info->parameters);
}

int main(int argc, char **argv)
{
    struct bench b = {.kernels = "auto", .views = 10};
    char line[1200], word[16], rest[1100];
    for (; argc > 3; argc -= 2, argv += 2) {
        if (strcmp(argv[1], "--kernels") == 0)
            b.kernels = argv[2];
        else if (strcmp(argv[1], "--views") == 0)
            b.views = (int)strtol(argv[2], NULL, 10);
        else
            break;
    }
    if (argc != 2 || b.views < 1 || b.views > SM_VIEWS_CHUNK) {
        fprintf(stderr, "usage: engine [--kernels ROW] [--views N] FOLDER\n");
        return 2;
    }
    b.folder = argv[1];
    sm_blas_single_thread();
    setvbuf(stdout, NULL, _IOLBF, 0);
    print_facts(&b);
    while (fgets(line, sizeof line, stdin)) {
        int workers = 0, rounds = 0;
        if (sscanf(line, "%15s %1099[^\n]", word, rest) != 2)
            die("a command is a word and its arguments", NULL);
        sscanf(rest, "%d %d", &workers, &rounds);
        if (strcmp(word, "forward") == 0)
            run(&b, forward_once, workers, rounds);
        else if (strcmp(word, "score") == 0)
            run(&b, score_once, workers, rounds);
        else if (strcmp(word, "peak") == 0)
            run(&b, peak_once, workers, rounds);
        else if (strcmp(word, "outputs") == 0)
            write_outputs(&b, rest);
        else
            die(word, NULL);
    }
    return 0;
}
