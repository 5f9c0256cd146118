/* `sslmem pair create`: makes a pair's folder from checkpoints.
 *
 * The pair is built in a folder of its own inside DIR, with links to the checkpoints, and opened
 * there. Only a pair that opens and scores is copied and moved into DIR; pair.json comes last. So a
 * failure leaves nothing behind. That folder is locked while its process lives; the next run
 * removes one without a lock, as a killed process leaves it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/escape.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "server/cmd/cmd.h"
#include "server/cmd/pair.h"
#include "server/jobs/generation.h"

#define COPY_BYTES   (1 << 20)
#define STAGE_PREFIX ".create-"
#define FILES_MAX    (2 * SM_ENCODERS_MAX * 257) /* checkpoints, and 256 shards of each */
#define INDEX_BYTES  (16 << 20)
#define INDEX_DEPTH  16

/* The files of a pair, before they are in its folder. */
struct build {
    const struct sm_pair_plan *plan;
    char stage[PATH_MAX], dir[PATH_MAX]; /* both as realpath gives them */
    char *sources[FILES_MAX];            /* real paths */
    char *names[FILES_MAX];              /* names in the pair's folder */
    int count;
    int lock; /* descriptor of the stage; -1: none */
    bool made_dir;
};

static enum sm_code failed(struct sm_err *err, const char *path)
{
    return sm_err_set(err, errno == ENOENT ? SM_NOT_FOUND : SM_IO, "%.200s: %s", path,
                      strerror(errno));
}

/* --- folders --- */

static enum sm_code check_dir(const char *dir, struct sm_err *err)
{
    char path[PATH_MAX], held[SM_HELD_BYTES];
    struct stat about;
    snprintf(path, sizeof path, "%s/pair.json", dir);
    if (access(path, F_OK) == 0)
        return sm_err_set(err, SM_CONFLICT,
                          "%.100s is a pair already: sslmem pair check looks at it; take another "
                          "name, or remove its pair.json",
                          dir);
    if (stat(dir, &about) != 0)
        return SM_OK;
    if (!S_ISDIR(about.st_mode))
        return sm_err_set(err, SM_INVALID, "%.100s is a file; a pair is a folder", dir);
    sm_folder_held(held, dir);
    if (strstr(held, ", name one: "))
        return sm_err_set(err, SM_CONFLICT,
                          "%.60s is a folder of pairs; name a new folder in it, as %.60s/mine", dir,
                          dir);
    return SM_OK;
}

/* Opens and locks a stage. Returns its descriptor; -1: there is none, or its process lives. */
static int lock_stage(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Removes the stage `name` if its process is dead. A stage holds no folders. */
static bool remove_stale(int dir, const char *name)
{
    int fd = lock_stage(dir, name), copy = fd < 0 ? -1 : dup(fd);
    DIR *stage = copy < 0 ? NULL : fdopendir(copy);
    const struct dirent *entry;
    while (stage && (entry = readdir(stage)))
        unlinkat(fd, entry->d_name, 0);
    if (stage)
        closedir(stage);
    else if (copy >= 0)
        close(copy);
    if (fd >= 0)
        close(fd);
    return stage && unlinkat(dir, name, AT_REMOVEDIR) == 0;
}

/* Removes what killed runs left in the pair's folder. Returns true if it was something. */
static bool remove_stages(const struct build *b)
{
    bool removed = false;
    const struct dirent *entry;
    DIR *dir = opendir(b->dir);
    while (dir && (entry = readdir(dir))) {
        const char *number = entry->d_name + strlen(STAGE_PREFIX);
        if (strncmp(entry->d_name, STAGE_PREFIX, strlen(STAGE_PREFIX)) != 0 || !*number ||
            number[strspn(number, "0123456789")])
            continue;
        if (remove_stale(dirfd(dir), entry->d_name)) {
            removed = true;
            fprintf(stderr, "sslmem pair create: removed %s/%s, which a killed run left\n",
                    sm_shown(b->plan->dir), entry->d_name);
        }
    }
    if (dir)
        closedir(dir);
    return removed;
}

static enum sm_code make_stage(struct build *b, struct sm_err *err)
{
    b->made_dir = mkdir(b->plan->dir, 0777) == 0;
    if ((!b->made_dir && errno != EEXIST) || !realpath(b->plan->dir, b->dir))
        return failed(err, b->plan->dir);
    if (remove_stages(b))
        b->made_dir = true; /* by that run */
    int length =
        snprintf(b->stage, sizeof b->stage, "%s/" STAGE_PREFIX "%ld", b->dir, (long)getpid());
    if (length >= (int)sizeof b->stage || mkdir(b->stage, 0777) != 0)
        return failed(err, b->stage);
    b->lock = lock_stage(AT_FDCWD, b->stage);
    return b->lock >= 0
               ? SM_OK
               : sm_err_set(err, SM_CONFLICT,
                            "%.200s: another sslmem pair create took it: run again", b->stage);
}

static void join(char out[PATH_MAX], const char *folder, const char *name)
{
    if (snprintf(out, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        out[0] = '\0';
}

static void remove_stage(struct build *b)
{
    static const char *const own[] = {"pair.json", "README.md", "copy"};
    char path[PATH_MAX];
    for (int i = 0; i < b->count; i++) {
        join(path, b->stage, b->names[i]);
        unlink(path);
        free(b->names[i]);
        free(b->sources[i]);
    }
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        join(path, b->stage, own[i]);
        unlink(path);
    }
    if (b->stage[0])
        rmdir(b->stage);
    if (b->lock >= 0)
        close(b->lock);
    if (b->made_dir)
        rmdir(b->dir); /* only if nothing was moved there */
}

/* --- files --- */

static bool is_in_dir(const struct build *b, const char *source)
{
    size_t length = strlen(b->dir);
    return strncmp(source, b->dir, length) == 0 && source[length] == '/' &&
           !strchr(source + length + 1, '/');
}

/* Returns the path of a file with its folder resolved, not the file itself: a link in the pair's
 * folder stays a link. The caller frees it; NULL with errno. */
static char *locate(const char *path)
{
    char folder[PATH_MAX], real[PATH_MAX];
    size_t length = (size_t)(sm_pair_base_name(path) - path);
    char *out = NULL;
    if (length >= sizeof folder)
        errno = ENAMETOOLONG;
    else if (snprintf(folder, sizeof folder, "%.*s", (int)length, path) >= 0 &&
             realpath(length ? folder : ".", real) && access(path, R_OK) == 0)
        out = malloc(strlen(real) + strlen(path) + 2);
    if (out)
        snprintf(out, strlen(real) + strlen(path) + 2, "%s/%s", real, sm_pair_base_name(path));
    return out;
}

/* Links a file into the stage and remembers it. */
static enum sm_code add_file(struct build *b, const char *path, const char *name,
                             struct sm_err *err)
{
    char link_path[PATH_MAX], *source = locate(path);
    if (!source)
        return failed(err, path);
    for (int i = 0; i < b->count; i++) {
        if (strcmp(b->names[i], name) != 0)
            continue;
        bool same = strcmp(b->sources[i], source) == 0;
        free(source);
        return same ? SM_OK
                    : sm_err_set(err, SM_CONFLICT,
                                 "f and g both have a shard %.60s, and the pair's folder has room "
                                 "for one: save each side as one file",
                                 name);
    }
    if (b->count == FILES_MAX) {
        free(source);
        return sm_err_set(err, SM_LIMIT, "over %d checkpoints and shards", FILES_MAX);
    }
    join(link_path, b->stage, name);
    b->sources[b->count] = source;
    b->names[b->count] = strdup(name);
    if (!b->names[b->count++])
        return sm_err_set(err, SM_NOMEM, "out of memory for a name");
    return symlink(source, link_path) == 0 ? SM_OK : failed(err, link_path);
}

/* Adds the shards that an index names. sm_ckpt_open has checked their names. */
static enum sm_code add_shards(struct build *b, const char *path, struct sm_err *err)
{
    struct sm_file file;
    json_t *index = NULL, *shard;
    const char *tensor;
    char beside[PATH_MAX];
    enum sm_code code = sm_file_map(&file, path, INDEX_BYTES, err);
    if (code == SM_OK)
        code = sm_json_parse(&index, file.bytes, file.bytes_count, INDEX_BYTES, INDEX_DEPTH, err);
    sm_file_release(&file);
    json_object_foreach(json_object_get(index, "weight_map"), tensor, shard)
    {
        const char *name = json_string_value(shard);
        if (code != SM_OK || !name)
            break;
        snprintf(beside, sizeof beside, "%.*s%s", (int)(sm_pair_base_name(path) - path), path,
                 name);
        code = add_file(b, beside, name, err);
    }
    json_decref(index);
    return code;
}

/* Chooses a file's name in the pair: its own if it is there already, else "f.pt", "f0.pt". */
static void choose_name(char out[128], const struct build *b, const char *path, int side, int k)
{
    const char *base = sm_pair_base_name(path), *dot = strrchr(base, '.');
    char *source = locate(path);
    bool plain = dot && strlen(dot) <= 12 &&
                 strspn(dot + 1, "abcdefghijklmnopqrstuvwxyz0123456789") == strlen(dot + 1);
    bool several = b->plan->files[side][1] != NULL;
    if (source && is_in_dir(b, source) && base[0] != '.' && strlen(base) < 128)
        snprintf(out, 128, "%.127s", base);
    else if (several)
        snprintf(out, 128, "%c%d%s", "fg"[side], k, plain ? dot : "");
    else
        snprintf(out, 128, "%c%s", "fg"[side], plain ? dot : "");
    free(source);
}

static enum sm_code add_files(struct build *b, struct sm_pair_new *new, struct sm_err *err)
{
    enum sm_code code = SM_OK;
    for (int s = 0; s < 2; s++) {
        for (int k = 0; code == SM_OK && b->plan->files[s][k]; k++) {
            struct sm_pair_part *part = &new->parts[s][k];
            const char *path = b->plan->files[s][k];
            choose_name(part->file, b, path, s, k);
            code = add_file(b, path, part->file, err);
            if (code == SM_OK && strcmp(sm_ckpt_format(part->ckpt), "shards") == 0)
                code = add_shards(b, path, err);
        }
    }
    return code;
}

static enum sm_code copy_bytes(int to, int from, const char *path, struct sm_err *err)
{
    char *bytes = malloc(COPY_BYTES);
    enum sm_code code = bytes ? SM_OK : sm_err_set(err, SM_NOMEM, "out of memory for a copy");
    ssize_t n = 1;
    while (code == SM_OK && n > 0) {
        n = sm_file_read(from, bytes, COPY_BYTES);
        for (ssize_t at = 0; at < n && code == SM_OK;) {
            ssize_t put = write(to, bytes + at, (size_t)(n - at));
            if (put < 0 && errno != EINTR)
                code = failed(err, path);
            at += put > 0 ? put : 0;
        }
        if (n < 0)
            code = failed(err, path);
    }
    free(bytes);
    return code;
}

/* Replaces the link at `path` by a copy of the file. */
static enum sm_code copy_file(const struct build *b, const char *source, const char *path,
                              struct sm_err *err)
{
    char draft[PATH_MAX];
    join(draft, b->stage, "copy");
    int from = open(source, O_RDONLY | O_CLOEXEC);
    int to = from < 0 ? -1 : open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    enum sm_code code = from < 0 || to < 0 ? failed(err, from < 0 ? source : draft)
                                           : copy_bytes(to, from, draft, err);
    if (to >= 0 && close(to) != 0 && code == SM_OK)
        code = failed(err, draft);
    if (from >= 0)
        close(from);
    if (code == SM_OK && rename(draft, path) != 0)
        code = failed(err, path);
    return code;
}

static enum sm_code move(const struct build *b, const char *name, struct sm_err *err)
{
    char from[PATH_MAX], to[PATH_MAX];
    join(from, b->stage, name);
    join(to, b->dir, name);
    if (access(to, F_OK) == 0 && strcmp(name, "README.md") != 0)
        return sm_err_set(err, SM_CONFLICT,
                          "%.120s is there already: remove it, or give it as --f or --g", to);
    if (access(to, F_OK) == 0)
        return SM_OK; /* somebody's own README.md stays */
    return rename(from, to) == 0 ? SM_OK : failed(err, to);
}

/* Copies what shall be copied and moves everything into the pair's folder, pair.json last. */
static enum sm_code settle(struct build *b, struct sm_err *err)
{
    char path[PATH_MAX];
    enum sm_code code = SM_OK;
    for (int i = 0; i < b->count && code == SM_OK; i++) {
        join(path, b->stage, b->names[i]);
        if (is_in_dir(b, b->sources[i]))
            continue;
        if (!b->plan->link)
            code = copy_file(b, b->sources[i], path, err);
        if (code == SM_OK)
            code = move(b, b->names[i], err);
    }
    if (code == SM_OK)
        code = move(b, "README.md", err);
    return code == SM_OK ? move(b, "pair.json", err) : code;
}

/* --- the check --- */

/* Replaces advice about pair.json, which is not made yet, by the option that helps. The first row
 * that fits code and place counts. */
static void advise(struct sm_pair_problems *problems)
{
    static const struct advice {
        enum sm_code code; /* SM_OK: every code */
        const char *place, *action;
    } advices[] = {
        {SM_CONFLICT, "/g/",
         "give checkpoints of one architecture; --f-key and --g-key choose an "
         "encoder of a file with several, --set NAME=VALUE sets for both sides "
         "what tensors do not tell"},
        {SM_CONFLICT, "/f/", "give checkpoints of one architecture to --f"},
        {SM_INVALID, "/g/", "give another file to --g, or --allow-same"},
        {SM_OK, "/mean", "give --set mean=R,G,B --set std=R,G,B, for both sides"},
        {SM_OK, "/std", "give --set mean=R,G,B --set std=R,G,B, for both sides"},
        {SM_OK, "/recipe/augment", "give another --augment"},
    };
    for (int i = 0; i < problems->count; i++) {
        struct sm_pair_problem *p = &problems->list[i];
        for (size_t k = 0; k < sizeof advices / sizeof *advices; k++) {
            const struct advice *a = &advices[k];
            if ((a->code != SM_OK && a->code != p->code) || !strstr(p->pointer, a->place))
                continue;
            snprintf(p->action, sizeof p->action, "%s", a->action);
            break;
        }
    }
}

/* Says which checkpoints have numbers that are not finite. Returns false if none has. */
static bool say_nonfinite(const struct build *b, const struct sm_pair *pair)
{
    bool any = false;
    for (int s = 0; s < 2; s++)
        for (int k = 0; b->plan->files[s][k]; k++) {
            const struct sm_encoder *encoder = sm_pair_encoder(pair, "fg"[s], k);
            long long count = encoder ? (long long)sm_encoder_info(encoder)->nonfinite : 0;
            any |= count > 0;
            if (count > 0)
                fprintf(stderr,
                        "%c: %s: %lld of the weights %s NaN or infinite\n    give another "
                        "checkpoint: the training diverged, or the file is damaged\n",
                        "fg"[s], sm_shown(b->plan->files[s][k]), count, count == 1 ? "is" : "are");
        }
    return any;
}

/* Scores a drawn picture. Says why it has no score. */
static bool try_score(double *m, const struct build *b, struct sm_generation *generation)
{
    struct sm_err err = {0};
    enum sm_code code = sm_canary_score(m, generation, &err);
    if (code == SM_OK && isfinite(*m))
        return true;
    if (say_nonfinite(b, sm_generation_pair(generation)))
        return false;
    if (code == SM_OK)
        fprintf(stderr,
                "sslmem pair create: the check scored %g: weights that are very large, or a wrong "
                "mean or std, give such numbers\n",
                *m);
    else
        sm_fail("pair create", &err);
    return false;
}

/* Opens the pair as the service does, and scores a drawn picture. */
static bool check(double *m, const struct build *b)
{
    struct sm_err err = {0};
    struct sm_pair *pair = NULL;
    struct sm_generation *generation = NULL;
    struct sm_pair_problems *problems = calloc(1, sizeof *problems);
    bool good = false;
    if (problems && sm_pair_open_all(&pair, problems, b->stage, "auto", &err) != SM_OK) {
        advise(problems);
        sm_pair_print_problems(b->plan->dir, problems, &err);
    } else if (problems) {
        sm_say_pair_flags(pair);
        if (sm_generation_new(&generation, pair, 1, &err) != SM_OK)
            sm_fail("pair create", &err);
        else
            good = try_score(m, b, generation);
    }
    sm_generation_give(generation);
    free(problems);
    return good;
}

static void say_next(double m, const char *dir)
{
    printf("check: a drawn picture scores m %+.6g%s\n", m,
           m == 0 ? ", exactly 0: both sides may give every view the same output" : "");
    printf("next: sslmem reference --pair %s IMAGE...   images that neither side saw\n",
           sm_shown(dir));
}

static void say_next_alone(double alignment, const char *dir)
{
    printf("check: a drawn picture has alignment %.6g%s\n", alignment,
           alignment == 0 ? ", exactly 0: f may give every view the same output" : "");
    printf("without g: shows what someone with f alone could learn (1 - A_f and norms, in scores\n"
           "and as membership tests in audits); cannot show memorization: m is null, and there\n"
           "are no p-values, no lists, and no gate on them holds\n");
    printf("next: sslmem audit --pair %s --candidate DIR --external DIR --out OUT\n",
           sm_shown(dir));
}

static int create(struct sm_pair_new *new)
{
    struct sm_err err = {0};
    struct build *b = calloc(1, sizeof *b);
    double m = 0;
    bool good = false;
    if (!b) {
        sm_err_set(&err, SM_NOMEM, "out of memory for %zu bytes", sizeof *b);
        return sm_fail("pair create", &err);
    }
    b->plan = new->plan;
    b->lock = -1;
    enum sm_code code = make_stage(b, &err);
    if (code == SM_OK)
        code = add_files(b, new, &err);
    if (code == SM_OK)
        code = sm_pair_write(new, b->stage, &err);
    if (code == SM_OK) {
        sm_pair_new_release(new); /* the check opens the encoders again */
        good = check(&m, b);
    }
    if (code == SM_OK && good)
        code = settle(b, &err);
    remove_stage(b);
    free(b);
    if (code != SM_OK)
        return sm_fail("pair create", &err);
    if (!good) {
        fprintf(stderr, "sslmem pair create: nothing was made\n");
        return SM_EXIT_FAILED;
    }
    const char *dir = new->plan->dir;
    printf("made %s: pair.json, README.md, checkpoints %s\n", sm_shown(dir),
           new->plan->link ? "as links" : "as copies");
    if (new->plan->files[1][0])
        say_next(m, dir);
    else
        say_next_alone(m, dir);
    return SM_EXIT_OK;
}

static int read_plan(struct sm_pair_plan *plan, int argc, char **argv)
{
    const char *link = NULL, *allow_same = NULL;
    const struct sm_option options[] = {
        {"f", "FILE", "a checkpoint trained with the candidates; may be repeated", plan->files[0],
         .required = true, .times_max = SM_ENCODERS_MAX},
        {"g", "FILE", "one trained without them; may be repeated. Without it there is no score m",
         plan->files[1], .times_max = SM_ENCODERS_MAX},
        {"preset", "NAME", "a known encoder; sslmem inspect --presets lists them", &plan->preset},
        {"key", "NAME", "which encoder of a file with several, e.g. teacher", &plan->key},
        {"f-key", "NAME", "the same, of f alone", &plan->keys[0]},
        {"g-key", "NAME", "the same, of g alone", &plan->keys[1]},
        {"set", "NAME=VALUE",
         "a setting of the encoders (core/names/README.md), e.g. heads=6, mean=0.5,0.5,0.5",
         plan->sets, .times_max = SM_SETS_MAX},
        {"augment", "NAME", "the views: simclr-cifar, simclr-imagenet, ... (core/README.md)",
         &plan->augment},
        {"description", "TEXT", "for people", &plan->description},
        {"link", NULL, "link to the checkpoints instead of copying them", &link},
        {"allow-same", NULL, "accept sides with the same weights, which measure nothing",
         &allow_same},
        {0},
    };
    const struct sm_usage usage = {
        "pair create",
        "DIR",
        "Makes the pair DIR from checkpoints: recognises the encoders, shows every difference and\n"
        "every guess, asks on a terminal for what is missing, writes pair.json and a README.md "
        "that\n"
        "comments it, and scores a picture as a check. Without a terminal a missing fact is an\n"
        "error that names its option.",
        options,
        1,
        1};
    char **operands;
    int result = sm_usage_read(&operands, &usage, argc, argv);
    if (result >= 0)
        return result;
    plan->dir = operands[0];
    if (!plan->files[1][0] && (plan->keys[1] || allow_same)) {
        fprintf(stderr, "sslmem pair create: %s needs --g FILE\n",
                plan->keys[1] ? "--g-key" : "--allow-same");
        return SM_EXIT_USAGE;
    }
    plan->link = link != NULL;
    plan->allow_same = allow_same != NULL;
    plan->asks = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    return -1;
}

int sm_cmd_pair_create(int argc, char **argv)
{
    struct sm_pair_plan plan = {0};
    struct sm_err err = {0};
    int result = read_plan(&plan, argc, argv);
    if (result >= 0)
        return result;
    struct sm_pair_new *new = calloc(1, sizeof *new);
    if (!new) {
        sm_err_set(&err, SM_NOMEM, "out of memory for %zu bytes", sizeof *new);
        return sm_fail("pair create", &err);
    }
    new->plan = &plan;
    result = SM_EXIT_FAILED;
    if (!sm_pair_read_options(new)) {
        result = SM_EXIT_USAGE;
    } else if (check_dir(plan.dir, &err) != SM_OK) {
        sm_fail("pair create", &err);
    } else if (sm_pair_recognise(new) && sm_pair_check_sides(new) && sm_pair_choose_augment(new)) {
        sm_pair_print(new);
        fflush(stdout);
        result = create(new);
    }
    sm_pair_new_release(new);
    free(new);
    return result;
}
