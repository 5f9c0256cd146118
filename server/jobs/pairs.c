/* The registry: an array in name order, filled once. A pair that cannot be loaded keeps its place
 * with the reason, so that clients and operators see what is wrong with which folder. */
#include "server/jobs/pairs.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "server/base/log.h"

#define NAME_BYTES_MAX 63 /* as long as stored claims and scores take a pair's name */

struct entry {
    char *name;
    struct sm_pair *pair; /* NULL: failed */
    char reason[240];
};

struct sm_pairs {
    struct entry *entries;
    int count, room;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static enum sm_code add_name(struct sm_pairs *pairs, const char *name, struct sm_err *err)
{
    if (pairs->count == pairs->room) {
        int room = pairs->room ? 2 * pairs->room : 16;
        struct entry *grown = realloc(pairs->entries, (size_t)room * sizeof *grown);
        if (!grown)
            return sm_err_set(err, SM_NOMEM, "registry of %d pairs: out of memory", room);
        pairs->entries = grown;
        pairs->room = room;
    }
    struct entry *entry = &pairs->entries[pairs->count];
    *entry = (struct entry){.name = strdup(name)};
    if (!entry->name)
        return sm_err_set(err, SM_NOMEM, "pair %s: out of memory", name);
    pairs->count++;
    return SM_OK;
}

/* "<dir>/<name>", allocated; NULL when out of memory. */
static char *join(const char *dir, const char *name)
{
    size_t bytes = strlen(dir) + strlen(name) + 2;
    char *path = malloc(bytes);
    if (path)
        snprintf(path, bytes, "%s/%s", dir, name);
    return path;
}

static enum sm_code list_folders(struct sm_pairs *pairs, const char *dir, struct sm_err *err)
{
    enum sm_code code = SM_OK;
    DIR *folder = opendir(dir);
    if (!folder)
        return sm_err_set(err, SM_IO, "pairs folder %s: %s", dir, strerror(errno));
    while (code == SM_OK) {
        errno = 0;
        const struct dirent *found = readdir(folder);
        if (!found) {
            if (errno)
                code = sm_err_set(err, SM_IO, "pairs folder %s: %s", dir, strerror(errno));
            break;
        }
        if (found->d_name[0] == '.')
            continue;
        char *path = join(dir, found->d_name);
        struct stat status;
        if (!path)
            code = sm_err_set(err, SM_NOMEM, "pairs folder %s: out of memory", dir);
        else if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
            code = add_name(pairs, found->d_name, err);
        free(path);
    }
    closedir(folder);
    return code;
}

/* What a user should know before trusting scores: weights that are no numbers, and what was guessed
 * of an encoder. All encoders of a pair are alike: the guesses of the first are said. */
static void warn_about(const struct entry *entry)
{
    const struct sm_encoder *encoder;
    for (const char *side = "fg"; *side; side++) {
        for (int k = 0; (encoder = sm_pair_encoder(entry->pair, *side, k)); k++) {
            json_int_t count = (json_int_t)sm_encoder_info(encoder)->nonfinite;
            if (count)
                sm_log("warning", "pair_weights_nonfinite", "{s:s, s:s%, s:i, s:I}", "pair",
                       entry->name, "side", side, (size_t)1, "encoder", k, "weights", count);
        }
    }
    const struct sm_encoder_info *info = sm_encoder_info(sm_pair_encoder(entry->pair, 'f', 0));
    for (int32_t i = 0; i < info->choices_count; i++) {
        const struct sm_choice *c = &info->choices[i];
        if (c->source == SM_SOURCE_GUESS)
            sm_log("warning", "pair_guess", "{s:s, s:s, s:s, s:s}", "pair", entry->name, "name",
                   c->name, "value", c->value, "why", c->why);
    }
}

static void load(struct entry *entry, const char *dir, const char *kernels)
{
    struct sm_err why = {0};
    char *path = join(dir, entry->name);
    if (!path)
        sm_err_set(&why, SM_NOMEM, "pair %.100s: out of memory", entry->name);
    else if (strlen(entry->name) > NAME_BYTES_MAX)
        sm_err_set(&why, SM_LIMIT, "name has %zu bytes, at most %d", strlen(entry->name),
                   NAME_BYTES_MAX);
    else
        sm_pair_open(&entry->pair, path, kernels, &why);
    free(path);
    if (entry->pair) {
        sm_log("info", "pair_ready", "{s:s}", "pair", entry->name);
        warn_about(entry);
        return;
    }
    snprintf(entry->reason, sizeof entry->reason, "%s", why.text);
    sm_log("warning", "pair_failed", "{s:s, s:s}", "pair", entry->name, "reason", entry->reason);
}

enum sm_code sm_pairs_load(struct sm_pairs **out, const char *dir, const char *kernels,
                           struct sm_err *err)
{
    *out = NULL;
    struct sm_pairs *pairs = calloc(1, sizeof *pairs);
    if (!pairs)
        return sm_err_set(err, SM_NOMEM, "registry of pairs: out of memory");
    enum sm_code code = list_folders(pairs, dir, err);
    if (code != SM_OK) {
        sm_pairs_free(pairs);
        return code;
    }
    if (pairs->count > 0)
        qsort(pairs->entries, (size_t)pairs->count, sizeof *pairs->entries, by_name);
    for (int i = 0; i < pairs->count; i++)
        load(&pairs->entries[i], dir, kernels);
    *out = pairs;
    return SM_OK;
}

enum sm_code sm_pairs_load_one(struct sm_pairs **out, const char *dir, const char *kernels,
                               struct sm_err *err)
{
    struct sm_pair *pair = NULL;
    struct sm_pairs *pairs = calloc(1, sizeof *pairs);

    *out = NULL;
    enum sm_code code = pairs ? sm_pair_open(&pair, dir, kernels, err)
                              : sm_err_set(err, SM_NOMEM, "registry of pairs: out of memory");
    if (code == SM_OK)
        code = add_name(pairs, sm_pair_name(pair), err);
    if (code != SM_OK) {
        sm_pair_close(pair);
        sm_pairs_free(pairs);
        return code;
    }
    pairs->entries[0].pair = pair;
    warn_about(&pairs->entries[0]);
    *out = pairs;
    return SM_OK;
}

void sm_pairs_free(struct sm_pairs *pairs)
{
    if (!pairs)
        return;
    for (int i = 0; i < pairs->count; i++) {
        sm_pair_close(pairs->entries[i].pair);
        free(pairs->entries[i].name);
    }
    free(pairs->entries);
    free(pairs);
}

int sm_pairs_count(const struct sm_pairs *pairs)
{
    return pairs->count;
}

const char *sm_pairs_name(const struct sm_pairs *pairs, int index)
{
    return pairs->entries[index].name;
}

const struct sm_pair *sm_pairs_at(const struct sm_pairs *pairs, int index, const char **reason)
{
    const struct entry *entry = &pairs->entries[index];
    if (reason)
        *reason = entry->pair ? NULL : entry->reason;
    return entry->pair;
}

int sm_pairs_find(const struct sm_pairs *pairs, const char *name)
{
    for (int i = 0; i < pairs->count; i++)
        if (strcmp(pairs->entries[i].name, name) == 0)
            return i;
    return -1;
}

json_t *sm_pairs_json(const struct sm_pairs *pairs, int index)
{
    const struct entry *entry = &pairs->entries[index];
    if (!entry->pair)
        return json_pack("{s:s, s:s, s:s}", "name", entry->name, "state", "failed", "reason",
                         entry->reason);
    json_t *document = json_pack("{s:s, s:s}", "name", entry->name, "state", "ready");
    json_t *rest = sm_pair_json(entry->pair);
    if (!document || !rest || json_object_update_missing(document, rest) != 0) {
        json_decref(document);
        document = NULL;
    }
    json_decref(rest);
    return document;
}
