/* `sslmem split`: divides a dataset into cohorts, before anything is trained.
 *
 *     read the dataset: digest, class and name of each image
 *     sm_split_make
 *     make every file of OUT in memory; refuse if OUT holds another split; write
 *
 * Refusing matters: lists that change after a training make every later audit wrong. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/escape.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/sha256.h"
#include "server/cmd/cmd.h"
#include "server/cmd/progress.h"
#include "sslmem/dataset.h"
#include "sslmem/split.h"

/* A class, in a tree (tsearch) that is ordered by the labels. */
struct class
{
    uint32_t number;
    char label[]; /* "" of images without a class */
};

struct run {
    const char *dataset, *out;
    struct sm_dataset_place place;
    struct sm_split_params params;

    /* The images that can be read, in the order of the dataset. */
    struct sm_split_file *files;
    struct class **classes;
    int64_t *indices; /* in the dataset */
    char **names;     /* paths below the dataset's folder; NULL: no manifest is made */
    size_t count;
    void *tree;
    uint32_t classes_count;
    size_t unreadable_count;
    int64_t passed_count;
    struct sm_progress progress; /* of reading; only on a terminal */

    struct sm_split split;
};

/* --- reading the dataset --- */

static int by_label(const void *a, const void *b)
{
    return strcmp(((const struct class *)a)->label, ((const struct class *)b)->label);
}

/* Finds the class with this label, or makes it. Returns NULL when out of memory. */
static struct class *find_class(void **tree, const char *label)
{
    size_t bytes_count = strlen(label) + 1;
    struct class *made = calloc(1, sizeof *made + bytes_count);
    if (!made)
        return NULL;
    memcpy(made->label, label, bytes_count);
    struct class *const *found = tsearch(made, tree, by_label);
    struct class *class = found ? *found : NULL;
    if (class != made)
        free(made);
    return class;
}

/* Numbers the classes in the order of their labels: the order of the images has no influence. */
static void number(const void *node, VISIT visit, void *count)
{
    if (visit == postorder || visit == leaf)
        (*(struct class *const *)node)->number = (*(uint32_t *)count)++;
}

static enum sm_code out_of_memory(const struct run *r, struct sm_err *err)
{
    return sm_err_set(err, SM_NOMEM, "%.80s: out of memory after %zu images", r->dataset, r->count);
}

static enum sm_code take(struct run *r, const struct sm_dataset_item *item, struct sm_err *err)
{
    size_t at = r->count;
    if (item->error.code != SM_OK) {
        if (r->unreadable_count++ == 0) {
            sm_progress_end(&r->progress);
            fprintf(stderr, "sslmem split: image %" PRId64 ", %s, is in no cohort: %s\n",
                    item->index, sm_shown(item->name), item->error.text);
        }
        return SM_OK;
    }
    if (r->names && !sm_utf8_is_text(item->name, strlen(item->name)))
        return sm_err_set(err, SM_INVALID,
                          "%.100s: a manifest is JSON and cannot hold a name that is not UTF-8; "
                          "rename the file",
                          item->name);
    sm_sha256(r->files[at].digest, item->bytes, item->bytes_count);
    r->indices[at] = item->index;
    r->classes[at] = find_class(&r->tree, item->class_label);
    if (r->names)
        r->names[at] = strdup(item->name);
    if (!r->classes[at] || (r->names && !r->names[at]))
        return out_of_memory(r, err);
    r->count++;
    return SM_OK;
}

static enum sm_code prepare(struct run *r, struct sm_dataset *dataset, struct sm_err *err)
{
    size_t count = (size_t)sm_dataset_count(dataset);
    if (count > SM_SPLIT_FILES_MAX)
        return sm_err_set(err, SM_LIMIT, "%.100s has %zu images, the limit is %d; split a part",
                          r->dataset, count, SM_SPLIT_FILES_MAX);
    bool named = strcmp(sm_dataset_format(dataset), "folder") == 0 && r->params.encoders_count == 0;
    r->files = calloc(count + 1, sizeof *r->files);
    r->classes = calloc(count + 1, sizeof *r->classes);
    r->indices = calloc(count + 1, sizeof *r->indices);
    r->names = named ? calloc(count + 1, sizeof *r->names) : NULL;
    r->passed_count = sm_dataset_passed(dataset);
    if (!r->files || !r->classes || !r->indices || (named && !r->names))
        return out_of_memory(r, err);
    return SM_OK;
}

static enum sm_code read_dataset(struct run *r, struct sm_err *err)
{
    struct sm_dataset *dataset = NULL;
    struct sm_dataset_item item;
    bool found = true;
    enum sm_code code = sm_dataset_place(&r->place, r->dataset, err);
    if (code == SM_OK)
        code = sm_dataset_open(&dataset, r->dataset, err);
    if (code == SM_OK)
        code = prepare(r, dataset, err);
    sm_progress_init(&r->progress, isatty(STDERR_FILENO) != 1);
    while (code == SM_OK && (code = sm_dataset_next(&item, &found, dataset, err)) == SM_OK &&
           found) {
        code = take(r, &item, err);
        sm_progress_count(&r->progress, (int64_t)r->count, (int64_t)r->unreadable_count,
                          sm_dataset_count(dataset));
    }
    sm_progress_end(&r->progress);
    sm_dataset_close(dataset);
    twalk_r(r->tree, number, &r->classes_count);
    for (size_t i = 0; code == SM_OK && i < r->count; i++)
        r->files[i].class_index = r->classes[i]->number;
    return code;
}

/* --- the files of OUT --- */

/* Writers return false when memory runs out; the stream notices its own errors. */
static bool put_list(FILE *file, const struct run *r, int cohort)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->split.cohorts[i] == cohort)
            fprintf(file, "%" PRId64 "\n", r->indices[i]);
    return true;
}

static bool put_cohort(FILE *file, const struct run *r, int cohort)
{
    const char *name = sm_cohort_name((enum sm_cohort)cohort);
    for (size_t i = 0; i < r->count; i++) {
        if (r->split.cohorts[i] != cohort)
            continue;
        const char *label = *r->classes[i]->label ? r->classes[i]->label : NULL;
        json_t *line =
            json_pack("{s:s, s:s, s:s*}", "cohort", name, "path", r->names[i], "class", label);
        char *text = line ? sm_json_text(line, JSON_COMPACT) : NULL;
        bool whole = text && fputs(text, file) != EOF && fputc('\n', file) != EOF;
        free(text);
        json_decref(line);
        if (!whole)
            return false;
    }
    return true;
}

static bool put_manifest(FILE *file, const struct run *r, int unused)
{
    bool whole = true;
    (void)unused;
    for (int k = 0; k < SM_COHORTS && whole; k++)
        whole = put_cohort(file, r, k);
    return whole;
}

static bool put_membership(FILE *file, const struct run *r, int unused)
{
    (void)unused;
    fputs("# index", file);
    for (int e = 0; e < r->params.encoders_count; e++)
        fprintf(file, ",encoder %d", e);
    fputc('\n', file);
    for (size_t i = 0; i < r->count; i++) {
        if (r->split.cohorts[i] == SM_SPLIT_NONE)
            continue;
        fprintf(file, "%" PRId64, r->indices[i]);
        for (int e = 0; e < r->params.encoders_count; e++)
            fputs(r->split.encoders[i] >> e & 1 ? ",1" : ",0", file);
        fputc('\n', file);
    }
    return true;
}

static bool always(const struct run *r)
{
    return r->files;
}

static bool has_manifest(const struct run *r)
{
    return r->names;
}

static bool has_ensemble(const struct run *r)
{
    return r->params.encoders_count > 0;
}

static const struct output {
    const char *name;
    bool (*wanted)(const struct run *r);
    bool (*put)(FILE *file, const struct run *r, int cohort);
    int cohort;
} outputs[] = {
    {"shared.txt", always, put_list, SM_COHORT_SHARED},
    {"candidate.txt", always, put_list, SM_COHORT_CANDIDATE},
    {"independent.txt", always, put_list, SM_COHORT_INDEPENDENT},
    {"external.txt", always, put_list, SM_COHORT_EXTERNAL},
    {"manifest.jsonl", has_manifest, put_manifest, 0},
    {"membership.csv", has_ensemble, put_membership, 0},
};
enum { OUTPUTS_COUNT = sizeof outputs / sizeof *outputs };

struct text {
    char path[PATH_MAX];
    char *bytes; /* NULL: the file is not wanted */
    size_t count;
};

static enum sm_code make_text(struct text *out, const struct run *r, const struct output *output,
                              struct sm_err *err)
{
    int n = snprintf(out->path, sizeof out->path, "%s/%s", r->out, output->name);
    if (n < 0 || (size_t)n >= sizeof out->path)
        return sm_err_set(err, SM_LIMIT, "--out: a path of %d bytes, the limit is %d", n,
                          PATH_MAX - 1);
    if (!output->wanted(r))
        return SM_OK;
    FILE *file = open_memstream(&out->bytes, &out->count);
    bool whole = file && output->put(file, r, output->cohort);
    if (file && (ferror(file) != 0) + (fclose(file) != 0) > 0)
        whole = false;
    return whole ? SM_OK : out_of_memory(r, err);
}

/* Refuses to change a file that a training may have read. */
static enum sm_code check_old(const struct text *text, struct sm_err *err)
{
    struct sm_file file;
    enum sm_code code = sm_file_map(&file, text->path, INT64_MAX, err);
    if (code == SM_NOT_FOUND)
        return SM_OK;
    if (code != SM_OK)
        return code;
    bool same = text->bytes && file.bytes_count == text->count &&
                (text->count == 0 || memcmp(file.bytes, text->bytes, text->count) == 0);
    sm_file_release(&file);
    return same ? SM_OK
                : sm_err_set(err, SM_CONFLICT,
                             "%.150s is of another split; choose another --out, or remove "
                             "the file if nothing was trained with it",
                             text->path);
}

/* Locks OUT until the process ends: two runs at once must not mix their lists. */
static enum sm_code claim_out(const char *out, struct sm_err *err)
{
    if (mkdir(out, 0777) != 0 && errno != EEXIST)
        return sm_err_set(err, SM_IO, "--out %.160s: %s", out, strerror(errno));
    int fd = open(out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) != 0)
        return sm_err_set(err, SM_IO, "--out %.160s: %s", out, strerror(errno));
    return SM_OK;
}

static enum sm_code write_outputs(const struct run *r, struct sm_err *err)
{
    struct text *texts = calloc(OUTPUTS_COUNT, sizeof *texts);
    struct sm_err none = {0};
    enum sm_code code = texts ? SM_OK : out_of_memory(r, err);
    for (int i = 0; code == SM_OK && i < OUTPUTS_COUNT; i++)
        code = make_text(&texts[i], r, &outputs[i], err);
    if (code == SM_OK)
        code = claim_out(r->out, err);
    for (int i = 0; code == SM_OK && i < OUTPUTS_COUNT; i++)
        if ((code = check_old(&texts[i], &none)) != SM_OK)
            *err = none;
    for (int i = 0; code == SM_OK && i < OUTPUTS_COUNT; i++)
        if (texts[i].bytes)
            code = sm_file_write(texts[i].path, texts[i].bytes, texts[i].count, err);
    for (int i = 0; texts && i < OUTPUTS_COUNT; i++)
        free(texts[i].bytes);
    free(texts);
    return code;
}

/* --- what it says --- */

static void say_counts(const struct run *r)
{
    const struct sm_split *s = &r->split;
    printf("%zu images in %" PRIu32 " classes", s->images_count, r->classes_count);
    if (r->count > s->images_count)
        printf("; %zu files are copies and go with their image", r->count - s->images_count);
    putchar('\n');
    for (int k = 0; k <= SM_COHORTS; k++) {
        const char *name = k < SM_COHORTS ? sm_cohort_name((enum sm_cohort)k) : "in no cohort";
        printf("%-13s %8zu images", name, s->images[k]);
        if (s->files[k] > s->images[k])
            printf(", %zu files", s->files[k]);
        putchar('\n');
    }
}

/* Prints the command that audits the cohorts once f and g are trained. */
static void say_audit(const struct run *r)
{
    const char *out = sm_shown(r->out), *path = sm_shown(r->place.path);
    const char *part = sm_shown(r->place.part);
    printf("then: sslmem audit --pair PAIR");
    if (has_manifest(r))
        printf(" --manifest %s/manifest.jsonl --root %s", out, path);
    for (int k = 0; k < SM_COHORTS && !has_manifest(r); k++) {
        const char *name = sm_cohort_name((enum sm_cohort)k);
        if (r->split.images[k] > 0)
            printf(" --%s %s%s%s@%s/%s.txt", name, path, *part ? ":" : "", part, out, name);
    }
    printf(" --out REPORT\n");
}

static void say(const struct run *r)
{
    say_counts(r);
    printf("%s:", sm_shown(r->out));
    for (int i = 0; i < OUTPUTS_COUNT; i++)
        if (outputs[i].wanted(r))
            printf(" %s", outputs[i].name);
    putchar('\n');
    if (has_ensemble(r)) {
        printf("encoder e trains with the images whose line of membership.csv has 1 for it\n");
    } else {
        printf(
            "train f with shared.txt and candidate.txt, g with shared.txt and independent.txt\n");
        say_audit(r);
    }
    if (r->passed_count > 0)
        fprintf(stderr,
                "sslmem split: %" PRId64
                " files are links, or neither JPEG nor PNG, and have no index; a "
                "training that counts them as images has other indexes\n",
                r->passed_count);
    if (r->unreadable_count > 0)
        fprintf(stderr, "sslmem split: %zu images cannot be read and are in no cohort\n",
                r->unreadable_count);
}

/* --- options --- */

struct given {
    const char *sizes[SM_COHORTS], *seed, *ensemble;
};

static bool read_number(uint64_t *out, const char *text)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

static int wrong(const char *option, const char *value, const char *kind, uint64_t from,
                 uint64_t to)
{
    fprintf(stderr,
            "sslmem split: --%s is %s, must be %s from %" PRIu64 " to %" PRIu64
            "; see sslmem split --help\n",
            option, sm_shown(value), kind, from, to);
    return SM_EXIT_USAGE;
}

/* Returns -1, or the exit code. */
static int read_params(struct sm_split_params *out, const struct given *given)
{
    uint64_t value;
    bool some = given->ensemble;
    for (int k = 0; k < SM_COHORTS; k++) {
        const char *text = given->sizes[k];
        if (!text)
            continue;
        some = true;
        if (strcmp(text, "rest") == 0)
            out->sizes[k] = SM_SPLIT_REST;
        else if (read_number(&value, text) && value <= SM_SPLIT_FILES_MAX)
            out->sizes[k] = (size_t)value;
        else
            return wrong(sm_cohort_name((enum sm_cohort)k), text, "rest or a number of images", 0,
                         SM_SPLIT_FILES_MAX);
    }
    if (given->seed && !read_number(&out->seed, given->seed))
        return wrong("seed", given->seed, "a number", 0, UINT64_MAX);
    if (given->ensemble) {
        if (!read_number(&value, given->ensemble) || value < 2 || value % 2 == 1 ||
            value > SM_SPLIT_ENCODERS_MAX)
            return wrong("ensemble", given->ensemble, "an even number of encoders", 2,
                         SM_SPLIT_ENCODERS_MAX);
        out->encoders_count = (int)value;
        if (!given->sizes[SM_COHORT_CANDIDATE])
            out->sizes[SM_COHORT_CANDIDATE] = SM_SPLIT_REST;
    }
    if (some)
        return -1;
    fprintf(stderr, "sslmem split: say how many images each cohort gets, such as --shared rest "
                    "--candidate 500 --independent 500 --external 500; see sslmem split --help\n");
    return SM_EXIT_USAGE;
}

static void release(struct run *r)
{
    for (char **name = r->names; name && *name; name++)
        free(*name);
    tdestroy(r->tree, free);
    free(r->files);
    free(r->classes);
    free(r->indices);
    free(r->names);
    sm_split_release(&r->split);
}

int sm_cmd_split(int argc, char **argv)
{
    struct run r = {0};
    struct given given = {0};
    const struct sm_option options[] = {
        {"out", "DIR", "folder for the lists; made if it does not exist", &r.out, .required = true},
        {"shared", "N", "images that f and g will be trained with", &given.sizes[SM_COHORT_SHARED]},
        {"candidate", "N", "images that f alone will be trained with",
         &given.sizes[SM_COHORT_CANDIDATE]},
        {"independent", "N", "images that g alone will be trained with",
         &given.sizes[SM_COHORT_INDEPENDENT]},
        {"external", "N", "images that neither will see", &given.sizes[SM_COHORT_EXTERNAL]},
        {"seed", "N", "another seed makes another split; default 0", &given.seed},
        {"ensemble", "E", "an even number of encoders; each trains with half of the candidates",
         &given.ensemble},
        {0},
    };
    const struct sm_usage usage = {
        "split",
        "DATASET",
        "Divides a dataset into cohorts: shared.txt, candidate.txt, independent.txt and\n"
        "external.txt hold an index a line, as torch.utils.data.Subset takes them. Of a folder of\n"
        "images it also writes manifest.jsonl for sslmem audit.\n"
        "\n"
        "DATASET is PATH[:PART][@LIST]: a folder of images (class folders), a tar or zip, JSON\n"
        "Lines, .csv, .npy, .npz, IDX, or a batch or folder of CIFAR. N is a number of images, or\n"
        "for one cohort \"rest\". Each class is divided in the same proportion. Copies of an "
        "image\n"
        "go with it. The same images, sizes and seed give the same lists.\n"
        "\n"
        "--ensemble writes membership.csv: index, then 1 or 0 for each encoder.",
        options,
        1,
        1};
    char **operands;
    int result = sm_usage_read(&operands, &usage, argc, argv);
    if (result < 0)
        result = read_params(&r.params, &given);
    if (result >= 0)
        return result;

    struct sm_err err = {0};
    r.dataset = operands[0];
    enum sm_code code = read_dataset(&r, &err);
    if (code == SM_OK)
        code = sm_split_make(&r.split, r.files, r.count, &r.params, &err);
    if (code == SM_OK)
        code = write_outputs(&r, &err);
    if (code == SM_OK)
        say(&r);
    release(&r);
    return code == SM_OK ? SM_EXIT_OK : sm_fail("split", &err);
}
