/* The registry is an array in name order. A pair that cannot be loaded is listed with the reason,
 * so that clients and operators see what is wrong with which folder.
 *
 * There are two locks. `mutex` guards the array and is held only to read or change it. `loading` is
 * held during a whole load, so that of two loads of one pair the later one wins. */
#include "server/jobs/pairs.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/escape.h"
#include "server/base/log.h"
#include "server/store/pair_use.h"
#include "sslmem/problems.h"

#define NAME_BYTES_MAX 63 /* the longest name of a pair in stored claims and scores */

struct sm_pairs {
    char *dir, *kernels;
    pthread_mutex_t loading;
    int64_t last_number; /* number of the last generation; guarded by `loading` */
    pthread_mutex_t mutex;
    struct sm_pair_state *entries;
    int count, room;
};

static enum sm_code pairs_new(struct sm_pairs **out, const char *dir, const char *kernels,
                              struct sm_err *err)
{
    struct sm_pairs *pairs = calloc(1, sizeof *pairs);
    *out = pairs;
    if (pairs) {
        pthread_mutex_init(&pairs->loading, NULL);
        pthread_mutex_init(&pairs->mutex, NULL);
        pairs->dir = strdup(dir);
        pairs->kernels = strdup(kernels);
        if (pairs->dir && pairs->kernels)
            return SM_OK;
    }
    sm_pairs_free(pairs);
    *out = NULL;
    return sm_err_set(err, SM_NOMEM, "registry of pairs: out of memory");
}

void sm_pairs_free(struct sm_pairs *pairs)
{
    if (!pairs)
        return;
    sm_pairs_list_free(pairs->entries, pairs->count);
    pthread_mutex_destroy(&pairs->mutex);
    pthread_mutex_destroy(&pairs->loading);
    free(pairs->kernels);
    free(pairs->dir);
    free(pairs);
}

/* --- entries; the caller holds the mutex --- */

/* Returns the index of the pair, or the index where a new one belongs. */
static int find_place(const struct sm_pairs *pairs, const char *name)
{
    int i = 0;
    while (i < pairs->count && strcmp(pairs->entries[i].name, name) < 0)
        i++;
    return i;
}

static struct sm_pair_state *find(struct sm_pairs *pairs, const char *name)
{
    int i = find_place(pairs, name);
    bool found = i < pairs->count && strcmp(pairs->entries[i].name, name) == 0;
    return found ? &pairs->entries[i] : NULL;
}

/* Returns the entry of that name, and adds it if it is new; NULL when out of memory. */
static struct sm_pair_state *find_or_add(struct sm_pairs *pairs, const char *name)
{
    struct sm_pair_state *entry = find(pairs, name);
    if (entry)
        return entry;
    if (pairs->count == pairs->room) {
        int room = pairs->room ? 2 * pairs->room : 16;
        struct sm_pair_state *grown = realloc(pairs->entries, (size_t)room * sizeof *grown);
        if (!grown)
            return NULL;
        pairs->entries = grown;
        pairs->room = room;
    }
    entry = &pairs->entries[find_place(pairs, name)];
    memmove(entry + 1, entry, (size_t)(pairs->entries + pairs->count - entry) * sizeof *entry);
    *entry = (struct sm_pair_state){0};
    snprintf(entry->name, sizeof entry->name, "%s", name);
    pairs->count++;
    return entry;
}

/* --- loading --- */

/* Returns "<dir>/<name>", which the caller frees; NULL when out of memory. */
static char *join(const char *dir, const char *name)
{
    size_t bytes = strlen(dir) + strlen(name) + 2;
    char *path = malloc(bytes);
    if (path)
        snprintf(path, bytes, "%s/%s", dir, name);
    return path;
}

static void warn_of_flags(const char *name, const struct sm_pair *pair)
{
    json_t *flags = sm_pair_flags_json(pair), *flag;
    size_t i;
    json_array_foreach(flags, i, flag)
        sm_log("warning", "pair_flag", "{s:s, s:O, s:O}", "pair", name, "flag",
               json_object_get(flag, "code"), "text", json_object_get(flag, "text"));
    json_decref(flags);
}

/* Logs what a user should know before trusting scores: the pair's flags, weights that are not
 * finite, and guesses about the encoders. All encoders of a pair have the same architecture, so the
 * guesses about the first are enough. */
static void warn_about(const char *name, const struct sm_pair *pair)
{
    const struct sm_encoder *encoder;
    warn_of_flags(name, pair);
    for (const char *side = "fg"; *side; side++) {
        for (int k = 0; (encoder = sm_pair_encoder(pair, *side, k)); k++) {
            json_int_t count = (json_int_t)sm_encoder_info(encoder)->nonfinite;
            if (count)
                sm_log("warning", "pair_weights_nonfinite", "{s:s, s:s%, s:i, s:I}", "pair", name,
                       "side", side, (size_t)1, "encoder", k, "weights", count);
        }
    }
    const struct sm_encoder_info *info = sm_encoder_info(sm_pair_encoder(pair, 'f', 0));
    for (int32_t i = 0; i < info->choices_count; i++) {
        const struct sm_choice *c = &info->choices[i];
        if (c->source == SM_SOURCE_GUESS)
            sm_log("warning", "pair_guess", "{s:s, s:s, s:s, s:s}", "pair", name, "name", c->name,
                   "value", c->value, "why", c->why);
    }
}

/* Opens the pair and lists all its problems; a check that needs more memory than there is lists
 * none. */
static enum sm_code open_checked(struct sm_pair **out, json_t **problems, const char *dir,
                                 const char *kernels, struct sm_err *err)
{
    struct sm_pair_problems *found = calloc(1, sizeof *found);
    enum sm_code code = sm_pair_open_all(out, found, dir, kernels, err);
    *problems = code != SM_OK && found ? sm_pair_problems_json(found) : NULL;
    free(found);
    return code;
}

/* *problems receives all problems of the pair, a new reference; NULL if none are known. */
static enum sm_code open_pair(struct sm_generation **out, json_t **problems, struct sm_pairs *pairs,
                              const char *dir, const char *name, struct sm_err *err)
{
    struct sm_pair *pair = NULL;
    *out = NULL;
    enum sm_code code = open_checked(&pair, problems, dir, pairs->kernels, err);
    if (code != SM_OK)
        return code;
    warn_about(name, pair);
    code = sm_generation_new(out, pair, ++pairs->last_number, err);
    if (code == SM_OK)
        code = sm_canary_start(*out, name, err);
    if (code != SM_OK) {
        sm_generation_give(*out);
        *out = NULL;
    }
    return code;
}

static enum sm_code open_named(struct sm_generation **out, json_t **problems,
                               struct sm_pairs *pairs, const char *name, struct sm_err *err)
{
    *out = NULL;
    if (strlen(name) > NAME_BYTES_MAX)
        return sm_err_set(err, SM_LIMIT, "name has %zu bytes, at most %d", strlen(name),
                          NAME_BYTES_MAX);
    char *path = join(pairs->dir, name);
    enum sm_code code = path ? open_pair(out, problems, pairs, path, name, err)
                             : sm_err_set(err, SM_NOMEM, "pair %.100s: out of memory", name);
    free(path);
    return code;
}

/* What a load gave: a generation, or why there is none. */
struct loaded {
    struct sm_generation *generation;
    struct sm_err why;
    json_t *problems;
};

/* Enters the loaded generation, or the reason for its failure, into the registry. The caller gives
 * back *old: the replaced generation, the loaded one if memory ran out, or NULL. */
static enum sm_code settle(struct sm_generation **old, bool *created, struct sm_pairs *pairs,
                           const char *name, const struct loaded *result)
{
    struct sm_generation *loaded = result->generation;
    *old = loaded;
    pthread_mutex_lock(&pairs->mutex);
    int count = pairs->count;
    struct sm_pair_state *entry = find_or_add(pairs, name);
    if (entry) {
        snprintf(entry->reason, sizeof entry->reason, "%s", loaded ? "" : result->why.text);
        json_decref(entry->problems);
        entry->problems = json_deep_copy(result->problems);
        *old = NULL;
        if (loaded) {
            *old = entry->generation;
            entry->generation = loaded;
        }
    }
    *created = pairs->count > count;
    pthread_mutex_unlock(&pairs->mutex);
    return entry ? SM_OK : SM_NOMEM;
}

static enum sm_code load(struct sm_pairs *pairs, const char *name, bool *created,
                         struct sm_err *err)
{
    struct sm_generation *old;
    struct loaded loaded = {0};
    struct sm_err *why = &loaded.why;
    pthread_mutex_lock(&pairs->loading);
    enum sm_code code = open_named(&loaded.generation, &loaded.problems, pairs, name, why);
    int64_t number = pairs->last_number;
    if (settle(&old, created, pairs, name, &loaded) != SM_OK)
        code = sm_err_set(why, SM_NOMEM, "pair %.100s: out of memory", name);
    pthread_mutex_unlock(&pairs->loading);
    sm_generation_give(old);
    if (code == SM_OK) {
        sm_log("info", "pair_ready", "{s:s, s:I}", "pair", name, "generation", (json_int_t)number);
        return SM_OK;
    }
    sm_log("warning", "pair_failed", "{s:s, s:s, s:o*}", "pair", name, "reason", why->text,
           "problems", loaded.problems);
    return sm_err_set(err, code == SM_NOMEM ? SM_NOMEM : SM_CORRUPT, "%s", why->text);
}

/* Returns true if `name` may be a pair: a folder whose name is UTF-8 text, as JSON needs. */
static bool is_folder(const char *dir, const char *name)
{
    struct stat status;
    char *path = join(dir, name);
    bool found = path && stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    free(path);
    if (found && !sm_utf8_is_text(name, strlen(name))) {
        sm_log("warning", "pair_ignored", "{s:s, s:s}", "folder", sm_shown(name), "reason",
               "its name is not UTF-8 text");
        return false;
    }
    return found;
}

/* Returns true if the pair is in the registry. After a failed load it is not only if memory ran
 * out. */
static bool is_listed(struct sm_pairs *pairs, const char *name)
{
    pthread_mutex_lock(&pairs->mutex);
    bool listed = find(pairs, name) != NULL;
    pthread_mutex_unlock(&pairs->mutex);
    return listed;
}

static enum sm_code load_folders(struct sm_pairs *pairs, struct sm_err *err)
{
    enum sm_code code = SM_OK;
    const struct dirent *found;
    DIR *folder = opendir(pairs->dir);
    if (!folder)
        return sm_err_set(err, SM_IO, "pairs folder %s: %s", pairs->dir, strerror(errno));
    while (errno = 0, (found = readdir(folder))) {
        bool created;
        if (found->d_name[0] == '.' || !is_folder(pairs->dir, found->d_name))
            continue;
        code = load(pairs, found->d_name, &created, err);
        if (code != SM_OK && !is_listed(pairs, found->d_name))
            break;
        code = SM_OK;
    }
    if (!found && errno)
        code = sm_err_set(err, SM_IO, "pairs folder %s: %s", pairs->dir, strerror(errno));
    closedir(folder);
    return code;
}

enum sm_code sm_pairs_load(struct sm_pairs **out, const char *dir, const char *kernels,
                           struct sm_err *err)
{
    enum sm_code code = pairs_new(out, dir, kernels, err);
    if (code == SM_OK)
        code = load_folders(*out, err);
    if (code != SM_OK) {
        sm_pairs_free(*out);
        *out = NULL;
    }
    return code;
}

enum sm_code sm_pairs_load_one(struct sm_pairs **out, const char *dir, const char *kernels,
                               struct sm_err *err)
{
    struct sm_generation *old = NULL;
    struct loaded loaded = {0};
    bool created;
    enum sm_code code = pairs_new(out, dir, kernels, err);
    if (code == SM_OK)
        code = open_pair(&loaded.generation, &loaded.problems, *out, dir, dir, err);
    if (code == SM_OK)
        code = settle(&old, &created, *out, sm_pair_name(sm_generation_pair(loaded.generation)),
                      &loaded);
    json_decref(loaded.problems);
    if (code == SM_NOMEM && old)
        sm_err_set(err, SM_NOMEM, "registry of pairs: out of memory");
    sm_generation_give(old);
    if (code != SM_OK) {
        sm_pairs_free(*out);
        *out = NULL;
    }
    return code;
}

/* --- while other threads score --- */

enum sm_code sm_pairs_take(struct sm_generation **out, struct sm_pairs *pairs, const char *name,
                           struct sm_err *err)
{
    *out = NULL;
    pthread_mutex_lock(&pairs->mutex);
    struct sm_pair_state *entry = find(pairs, name);
    enum sm_code code = SM_OK;
    if (!entry)
        code = sm_err_set(err, SM_NOT_FOUND, "there is no pair '%.64s'; GET /v1/pairs lists them",
                          name);
    else if (!entry->generation)
        code = sm_err_set(err, SM_CORRUPT, "%s", entry->reason);
    else
        *out = sm_generation_take(entry->generation);
    pthread_mutex_unlock(&pairs->mutex);
    return code;
}

enum sm_code sm_pairs_put(struct sm_pairs *pairs, const char *name, bool *created,
                          struct sm_err *err)
{
    *created = false;
    if (name[0] == '.' || name[0] == '\0' || strchr(name, '/') || !is_folder(pairs->dir, name))
        return sm_err_set(err, SM_NOT_FOUND, "the pairs folder has no folder '%.64s'", name);
    return load(pairs, name, created, err);
}

bool sm_pairs_there(void *arg, const char *name)
{
    struct sm_pairs *pairs = arg;
    pthread_mutex_lock(&pairs->mutex);
    const struct sm_pair_state *entry = find(pairs, name);
    bool there = entry && entry->generation;
    pthread_mutex_unlock(&pairs->mutex);
    return there;
}

struct removal {
    struct sm_pairs *pairs;
    const char *name;
    struct sm_generation *old; /* the removed generation, which the caller gives back */
    bool removed;
};

/* Removes the entry. It may run on the writer thread, so it does not free the generation. */
static enum sm_code remove_entry(void *arg, struct sm_err *err)
{
    struct removal *r = arg;
    struct sm_pairs *pairs = r->pairs;
    pthread_mutex_lock(&pairs->mutex);
    struct sm_pair_state *entry = find(pairs, r->name);
    if (entry) {
        r->old = entry->generation;
        r->removed = true;
        json_decref(entry->problems);
        pairs->count--;
        memmove(entry, entry + 1, (size_t)(pairs->entries + pairs->count - entry) * sizeof *entry);
    }
    pthread_mutex_unlock(&pairs->mutex);
    return r->removed ? SM_OK : sm_err_set(err, SM_NOT_FOUND, "there is no pair '%.64s'", r->name);
}

static void end_removal(struct removal *r)
{
    sm_generation_give(r->old);
    if (r->removed)
        sm_log("info", "pair_unloaded", "{s:s}", "pair", r->name);
}

enum sm_code sm_pairs_remove(struct sm_pairs *pairs, const char *name, struct sm_err *err)
{
    struct removal r = {.pairs = pairs, .name = name};
    pthread_mutex_lock(&pairs->loading);
    enum sm_code code = remove_entry(&r, err);
    pthread_mutex_unlock(&pairs->loading);
    end_removal(&r);
    return code;
}

enum sm_code sm_pairs_unload(int64_t *waiting, struct sm_pairs *pairs, struct sm_store *store,
                             const char *name, struct sm_err *err)
{
    struct removal r = {.pairs = pairs, .name = name};
    pthread_mutex_lock(&pairs->loading);
    enum sm_code code = sm_store_unless_waiting(waiting, store, name, remove_entry, &r, err);
    pthread_mutex_unlock(&pairs->loading);
    end_removal(&r);
    return code;
}

/* --- states --- */

enum sm_code sm_pairs_list(struct sm_pair_state **out, int *count, struct sm_pairs *pairs,
                           const char *name, struct sm_err *err)
{
    *count = 0;
    pthread_mutex_lock(&pairs->mutex);
    int total = name ? 1 : pairs->count;
    const struct sm_pair_state *first = name ? find(pairs, name) : pairs->entries;
    *out = calloc((size_t)total + 1, sizeof **out);
    if (*out && first) {
        memcpy(*out, first, (size_t)total * sizeof **out);
        *count = total;
    }
    for (int i = 0; i < *count; i++) {
        /* a copy, because threads must not share the count of references */
        (*out)[i].problems = json_deep_copy((*out)[i].problems);
        if ((*out)[i].generation)
            sm_generation_take((*out)[i].generation);
    }
    pthread_mutex_unlock(&pairs->mutex);
    return *out ? SM_OK : sm_err_set(err, SM_NOMEM, "list of %d pairs: out of memory", total);
}

void sm_pairs_list_free(struct sm_pair_state *states, int count)
{
    for (int i = 0; i < count; i++) {
        json_decref(states[i].problems);
        sm_generation_give(states[i].generation);
    }
    free(states);
}

json_t *sm_pair_state_json(const struct sm_pair_state *state)
{
    const struct sm_generation *generation = state->generation;
    if (!generation)
        return json_pack("{s:s, s:s, s:s, s:o*}", "name", state->name, "state", "failed", "reason",
                         state->reason, "problems", json_deep_copy(state->problems));
    json_t *document =
        json_pack("{s:s, s:s, s:I, s:s*, s:o*}", "name", state->name, "state", "ready",
                  "generation", (json_int_t)sm_generation_number(generation), "reload_reason",
                  state->reason[0] ? state->reason : NULL, "reload_problems",
                  json_deep_copy(state->problems));
    json_t *rest = sm_pair_json(sm_generation_pair(generation));
    if (!document || !rest || json_object_update_missing(document, rest) != 0) {
        json_decref(document);
        document = NULL;
    }
    json_decref(rest);
    return document;
}
