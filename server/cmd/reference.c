/* `sslmem reference`: scores a cohort that neither encoder was trained with, stores the scores in
 * the pair's folder and names the file in pair.json, so that later scores are compared with them.
 *
 * Each score goes into the partial file at once, and the same command goes on from there. Images
 * are kept in the order of the operands, so the result does not depend on threads or kills. */
#include <limits.h>
#include <math.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/escape.h"
#include "core/base/sha256.h"
#include "server/cmd/batch.h"
#include "server/cmd/cmd.h"
#include "server/cmd/partial.h"
#include "server/cmd/progress.h"
#include "server/cmd/register.h"
#include "sslmem/reliability.h"

#define REFERENCE_FILE "reference.json"
#define NAMED_MAX      5 /* failed and repeated images that are named, each */
#define IMAGES_MIN     2 /* fewer have no standard deviation */

struct cohort {
    struct sm_partial partial;
    struct sm_progress progress;
    struct sm_reference_image *images; /* in the order of the operands */
    char **names;                      /* of `images` */
    size_t count, room;
    void *seen; /* tree of struct seen */
    size_t failed, repeated, resumed;
    int64_t passed; /* files passed over */
};

/* A node of the tree of images that are in the cohort. */
struct seen {
    char digest[65];
    size_t index;
};

static int by_digest(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;
    return strcmp(x->digest, y->digest);
}

/* --- collecting --- */

static const struct seen *find_seen(const struct cohort *c, const char *digest)
{
    struct seen key;
    snprintf(key.digest, sizeof key.digest, "%s", digest);
    void *const *found = tfind(&key, (void *const *)&c->seen, by_digest);
    return found ? *found : NULL;
}

static bool is_known(void *arg, const char digest[65])
{
    const struct cohort *c = arg;
    return find_seen(c, digest) || sm_partial_find(&c->partial, digest);
}

static enum sm_code grow(struct cohort *c, struct sm_err *err)
{
    if (c->count == SM_REFERENCE_MAX)
        return sm_err_set(err, SM_LIMIT, "more than %d images, which is the limit of a reference",
                          SM_REFERENCE_MAX);
    if (c->count < c->room)
        return SM_OK;
    size_t room = c->room == 0 ? 256 : 2 * c->room;
    struct sm_reference_image *images = realloc(c->images, room * sizeof *images);
    if (images)
        c->images = images;
    char **names = realloc(c->names, room * sizeof *names);
    if (names)
        c->names = names;
    if (!images || !names)
        return sm_err_set(err, SM_NOMEM, "no memory for %zu images", room);
    c->room = room;
    return SM_OK;
}

static enum sm_code keep(struct cohort *c, const char *name, const struct sm_reference_image *image,
                         struct sm_err *err)
{
    enum sm_code code = grow(c, err);
    if (code != SM_OK)
        return code;
    struct seen *entry = malloc(sizeof *entry);
    char *copy = strdup(name);
    if (entry) {
        memcpy(entry->digest, image->digest, sizeof entry->digest);
        entry->index = c->count;
    }
    if (!entry || !copy || !tsearch(entry, &c->seen, by_digest)) {
        free(entry);
        free(copy);
        return sm_err_set(err, SM_NOMEM, "no memory for an image");
    }
    c->images[c->count] = *image;
    c->names[c->count++] = copy;
    return SM_OK;
}

static enum sm_code add(struct cohort *c, const struct sm_batch_image *image, struct sm_err *err)
{
    const struct sm_reference_image *stored = sm_partial_find(&c->partial, image->digest);
    struct sm_reference_image one;
    if (stored) {
        c->resumed++;
        return keep(c, image->name, stored, err);
    }
    memcpy(one.digest, image->digest, sizeof one.digest);
    one.m = image->score->m;
    one.m_se = image->score->m_se;
    enum sm_code code = sm_partial_add(&c->partial, &one, err);
    return code == SM_OK ? keep(c, image->name, &one, err) : code;
}

/* Errors of datasets begin with the path already. */
static void say_failed(const struct sm_batch_image *image)
{
    const char *text = image->error.code != SM_OK ? image->error.text : "m is undefined";
    bool named = strncmp(text, image->name, strlen(image->name)) == 0;
    fprintf(stderr, "sslmem reference: %s%s%s\n", named ? "" : sm_shown(image->name),
            named ? "" : ": ", sm_shown(text));
}

static enum sm_code tell(void *arg, const struct sm_batch_image *image, struct sm_err *err)
{
    struct cohort *c = arg;
    const struct seen *first = image->digest[0] ? find_seen(c, image->digest) : NULL;
    enum sm_code code = SM_OK;
    c->passed = image->passed;
    if (image->ends_operand) {
        code = sm_err_set(err, image->error.code, "%.220s; nothing was written", image->error.text);
    } else if (image->error.code != SM_OK || (image->score && !isfinite(image->score->m))) {
        if (c->failed++ < NAMED_MAX) {
            sm_progress_end(&c->progress);
            say_failed(image);
        }
    } else if (first) {
        if (c->repeated++ < NAMED_MAX) {
            sm_progress_end(&c->progress);
            fprintf(stderr, "sslmem reference: %s is the image %s again: it counts once\n",
                    sm_shown(image->name), sm_shown(c->names[first->index]));
        }
    } else {
        code = add(c, image, err);
    }
    sm_progress_count(&c->progress, (int64_t)(c->count + c->repeated), (int64_t)c->failed,
                      image->total);
    return code;
}

static void release(struct cohort *c, bool finished)
{
    bool empty = c->partial.count == 0 && c->count == 0;
    sm_partial_close(&c->partial, finished || empty);
    tdestroy(c->seen, free);
    for (size_t i = 0; i < c->count; i++)
        free(c->names[i]);
    free(c->names);
    free(c->images);
}

/* --- the result --- */

/* A cohort of which most images failed is more likely a mistake than a reference. */
static enum sm_code check_enough(const struct cohort *c, struct sm_err *err)
{
    if (c->count >= IMAGES_MIN && c->failed <= c->count + c->repeated)
        return SM_OK;
    return sm_err_set(err, SM_INVALID,
                      "%zu image%s could be scored and %zu failed: a reference needs at least %d "
                      "images, and no more failed ones than others; nothing was written",
                      c->count, c->count == 1 ? "" : "s", c->failed, IMAGES_MIN);
}

static void print_result(const struct cohort *c, const char *cohort, const char *folder)
{
    double *m = calloc(c->count, sizeof *m), *se = calloc(c->count, sizeof *se);
    for (size_t i = 0; m && se && i < c->count; i++) {
        m[i] = c->images[i].m;
        se[i] = c->images[i].m_se;
    }
    if (m && se) {
        struct sm_reliability r;
        printf("%-10s %zu images, mean m %+.5f (sd %.5f)", sm_shown(cohort), c->count,
               sm_mean(m, c->count), sqrt(sm_variance(m, c->count)));
        if (sm_reliability_make(&r, m, se, c->count, 0, 0, NULL) == SM_OK && isfinite(r.value))
            printf(", reliability %.2f", r.value);
        printf("\n");
    }
    free(m);
    free(se);
    if (c->failed + c->repeated > 0)
        printf("left out   %zu failed, %zu repeated\n", c->failed, c->repeated);
    if (c->resumed > 0)
        printf("resumed    %zu scores of an earlier run\n", c->resumed);
    printf("written    %s/" REFERENCE_FILE "\n", sm_shown(folder));
}

/* Names the file in pair.json, or says how to. */
static enum sm_code enter(const char *folder, bool registers, struct sm_err *err)
{
    bool changed = false;
    if (!registers) {
        printf("not registered: pair.json is as before; \"reference\": \"" REFERENCE_FILE
               "\" in it makes scores use the file\n");
        return SM_OK;
    }
    enum sm_code code = sm_register_reference(&changed, folder, REFERENCE_FILE, err);
    if (code == SM_OK)
        printf("registered %s/pair.json%s\n", sm_shown(folder),
               changed ? "" : " names the file already");
    return code;
}

struct options {
    const char *folder, *cohort;
    size_t workers;
    bool quiet, registers;
};

static enum sm_code measure(struct sm_generation *generation, const struct options *o,
                            char **operands, struct sm_err *err)
{
    const struct sm_pair *pair = sm_generation_pair(generation);
    const struct sm_recipe *recipe = sm_pair_recipe(pair);
    struct cohort c = {.partial.fd = -1};
    struct sm_batch_params params = {.generation = generation,
                                     .recipe = recipe,
                                     .operands = operands,
                                     .workers = o->workers,
                                     .command = "reference",
                                     .known = is_known,
                                     .tell = tell,
                                     .arg = &c};
    char digest[65];
    sm_progress_init(&c.progress, o->quiet);
    enum sm_code code = sm_recipe_digest(digest, recipe, err);
    if (code == SM_OK)
        code = sm_partial_open(&c.partial, pair, o->folder, digest, err);
    if (code == SM_OK && c.partial.replaced && !o->quiet)
        fprintf(stderr,
                "sslmem reference: %s was of another pair, recipe or kernels: begun again\n",
                sm_shown(c.partial.path));
    if (code == SM_OK)
        code = sm_batch_run(&params, err);
    sm_progress_end(&c.progress);
    sm_batch_say_passed("reference", c.passed);
    if (code == SM_OK)
        code = check_enough(&c, err);
    if (code == SM_OK)
        code = sm_reference_write(pair, o->cohort, digest, c.images, c.count, err);
    bool written = code == SM_OK;
    if (written) {
        print_result(&c, o->cohort, o->folder);
        code = enter(o->folder, o->registers, err);
    }
    release(&c, written);
    return code;
}

int sm_cmd_reference(int argc, char **argv)
{
    static const char *const cohorts[] = {"external", "independent", NULL};
    const char *cohort = NULL, *kernels = NULL, *workers = NULL, *quiet = NULL, *leave = NULL;
    struct options o = {.workers = 1};
    const struct sm_option options[] = {
        {"pair", "DIR", "folder of the pair", &o.folder, .required = true},
        {"cohort", "NAME",
         "what the images are: external (default), which neither side saw, or "
         "independent, which g alone saw",
         &cohort},
        {"no-register", NULL, "leave pair.json as it is", &leave},
        {"quiet", NULL, "no progress", &quiet},
        {"workers", "N", "threads that compute; 0 (default): one per core that it may use",
         &workers},
        {"kernels", "NAME", "auto (default), ref, blas, avx2, avx512", &kernels},
        {0},
    };
    const struct sm_usage usage = {
        "reference",
        "IMAGES...",
        "Scores a reference cohort with the pair's own recipe, writes reference.json into the\n"
        "pair's folder and names it in pair.json (\"reference\"), so that scores are compared "
        "with\n"
        "it. IMAGES is an image, a folder, or another dataset, as of sslmem score. Neither "
        "encoder\n"
        "was trained with external images, g alone with independent ones. Images that fail are\n"
        "counted and left out; an IMAGES that cannot be opened ends the command. The same command\n"
        "goes on after a kill, from DIR/reference.partial.jsonl.",
        options,
        1,
        INT_MAX};
    char **operands;
    int chosen, result = sm_usage_read(&operands, &usage, argc, argv);
    if (result >= 0)
        return result;

    struct sm_err err = {0};
    struct sm_pair *pair = NULL;
    struct sm_generation *generation = NULL;
    o.quiet = quiet;
    o.registers = !leave;
    if (sm_read_workers(&o.workers, workers, &err) != SM_OK ||
        sm_read_choice(&chosen, "cohort", cohort, cohorts, &err) != SM_OK) {
        sm_fail("reference", &err);
        return SM_EXIT_USAGE;
    }
    o.cohort = cohorts[chosen];
    enum sm_code code = sm_pair_open(&pair, o.folder, kernels ? kernels : "auto", &err);
    if (code == SM_OK && !sm_pair_has_g(pair))
        code =
            sm_err_set(&err, SM_INVALID,
                       "%s has no g: a reference holds scores m, and this pair has none", o.folder);
    if (code == SM_OK) {
        sm_say_pair_flags(pair);
        code = sm_generation_new(&generation, pair, 1, &err);
    }
    if (code == SM_OK)
        code = measure(generation, &o, operands, &err);
    if (code != SM_OK)
        sm_fail("reference", &err);
    sm_generation_give(generation);
    return code == SM_OK ? SM_EXIT_OK : SM_EXIT_FAILED;
}
