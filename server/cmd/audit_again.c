/* What it takes to run an audit again, beside its report: recipe.json, manifest.jsonl, and the
 * options that name the places.
 *
 * manifest.jsonl is the copy of --manifest that was read, or else the list of the images that the
 * folders held, with paths from "/". again.args has the options for reports that are written later:
 * a path may have any byte but 0, so a 0 ends each. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "server/cmd/audit.h"

#define AGAIN_BYTES_MAX ((int64_t)SM_AUDIT_PLACES_MAX * PATH_MAX)

static enum sm_code out_of_memory(struct sm_err *err)
{
    return sm_err_set(err, SM_NOMEM, "places of an audit: out of memory");
}

/* --- the options --- */

/* From "/" on, links left as they are: a pair is called by the last name of its path. */
static char *absolute(const char *path)
{
    char here[PATH_MAX];

    if (path[0] == '/')
        return strdup(path);
    return getcwd(here, sizeof here) ? sm_audit_path(here, path) : NULL;
}

/* Takes the word. */
static bool add_word(struct sm_audit_places *places, char *word)
{
    if (!word || places->count + 1 >= SM_AUDIT_PLACES_MAX) {
        free(word);
        return false;
    }
    places->options[places->count++] = word;
    return true;
}

/* Takes the value. */
static bool add(struct sm_audit_places *places, const char *option, char *value)
{
    bool named = add_word(places, strdup(option));
    return add_word(places, value) && named;
}

static bool add_path(struct sm_audit_places *places, const char *option, const char *path)
{
    return path == NULL || add(places, option, absolute(path));
}

/* OUT/name */
static bool add_made(struct sm_audit_places *places, const char *option, const char *out,
                     const char *name)
{
    char *folder = absolute(out);
    bool whole = folder && add(places, option, sm_audit_path(folder, name));

    free(folder);
    return whole;
}

/* Another folder than OUT, which would only be reported again. */
static bool add_out(struct sm_audit_places *places, const char *out)
{
    char *folder = absolute(out);
    size_t length = folder ? strlen(folder) : 0;

    while (length > 1 && folder[length - 1] == '/')
        length--;
    char *other = folder ? malloc(length + sizeof "-again") : NULL;
    if (other)
        snprintf(other, length + sizeof "-again", "%.*s-again", (int)length, folder);
    free(folder);
    return add(places, "--out", other);
}

enum sm_code sm_audit_places_make(struct sm_audit_places *out, const struct sm_audit_plan *plan,
                                  struct sm_err *err)
{
    static const char *const cohorts[SM_COHORTS] = {[SM_COHORT_SHARED] = "--shared",
                                                    [SM_COHORT_CANDIDATE] = "--candidate",
                                                    [SM_COHORT_INDEPENDENT] = "--independent",
                                                    [SM_COHORT_EXTERNAL] = "--external"};
    *out = (struct sm_audit_places){0};
    bool whole = add_path(out, "--pair", plan->pair);
    for (int i = 0; i < SM_COHORTS; i++)
        whole = whole && add_path(out, cohorts[i], plan->folders[i]);
    if (plan->manifest)
        whole = whole && add_made(out, "--manifest", plan->out, SM_AUDIT_MANIFEST) &&
                add_path(out, "--root", plan->root);
    whole = whole && add_made(out, "--recipe", plan->out, SM_AUDIT_RECIPE) &&
            add_path(out, "--digest-key", plan->digest_key_path) &&
            (!plan->kernels || add(out, "--kernels", strdup(plan->kernels))) &&
            add_out(out, plan->out);
    return whole ? SM_OK : out_of_memory(err);
}

void sm_audit_places_release(struct sm_audit_places *places)
{
    for (int i = 0; i < places->count; i++)
        free((char *)(uintptr_t)places->options[i]);
    *places = (struct sm_audit_places){0};
}

static enum sm_code write_words(FILE *file, void *arg, struct sm_err *err)
{
    const struct sm_audit_places *places = arg;

    for (int i = 0; i < places->count; i++) {
        size_t bytes = strlen(places->options[i]) + 1;
        if (fwrite(places->options[i], 1, bytes, file) != bytes)
            return sm_err_set(err, SM_IO, SM_AUDIT_AGAIN " cannot be written");
    }
    return SM_OK;
}

enum sm_code sm_audit_places_write(const struct sm_audit_places *places, const char *out,
                                   struct sm_err *err)
{
    return sm_audit_write(out, SM_AUDIT_AGAIN, write_words, (void *)(uintptr_t)places, err);
}

enum sm_code sm_audit_places_read(struct sm_audit_places *out, const char *folder,
                                  struct sm_err *err)
{
    struct sm_file file = {0};
    char *path = sm_audit_path(folder, SM_AUDIT_AGAIN);
    enum sm_code code = path ? sm_file_map(&file, path, AGAIN_BYTES_MAX, err) : out_of_memory(err);

    *out = (struct sm_audit_places){0};
    free(path);
    if (code != SM_OK)
        return code;
    for (size_t at = 0; code == SM_OK && at < file.bytes_count;) {
        size_t left = file.bytes_count - at;
        const char *word = (const char *)file.bytes + at;
        size_t length = strnlen(word, left);
        if (length == left || out->count + 1 >= SM_AUDIT_PLACES_MAX)
            code = sm_err_set(err, SM_CORRUPT, "%.160s/" SM_AUDIT_AGAIN " is damaged", folder);
        else if (!add_word(out, strdup(word)))
            code = out_of_memory(err);
        at += length + 1;
    }
    sm_file_release(&file);
    if (code != SM_OK)
        sm_audit_places_release(out);
    return code;
}

/* --- the files --- */

static enum sm_code write_recipe(FILE *file, void *arg, struct sm_err *err)
{
    const json_t *recipe = arg;

    if (json_dumpf(recipe, file, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) != 0)
        return sm_err_set(err, SM_IO, SM_AUDIT_RECIPE " cannot be written");
    fputc('\n', file);
    return SM_OK;
}

enum sm_code sm_audit_write_recipe(const char *out, const json_t *recipe, struct sm_err *err)
{
    return sm_audit_write(out, SM_AUDIT_RECIPE, write_recipe, (void *)(uintptr_t)recipe, err);
}

static enum sm_code copy_file(FILE *file, void *arg, struct sm_err *err)
{
    struct sm_file source;
    enum sm_code code = sm_file_map(&source, arg, INT64_MAX, err);

    if (code == SM_OK && source.bytes_count > 0 &&
        fwrite(source.bytes, 1, source.bytes_count, file) != source.bytes_count)
        code = sm_err_set(err, SM_IO, SM_AUDIT_MANIFEST " cannot be written");
    if (code == SM_OK)
        sm_file_release(&source);
    return code;
}

/* A manifest that is that file already stays. */
enum sm_code sm_audit_keep_manifest(const struct sm_audit_plan *plan, struct sm_err *err)
{
    struct stat given, kept;
    char *path = sm_audit_path(plan->out, SM_AUDIT_MANIFEST);
    bool same = path && stat(plan->manifest, &given) == 0 && stat(path, &kept) == 0 &&
                given.st_dev == kept.st_dev && given.st_ino == kept.st_ino;

    free(path);
    return same ? SM_OK
                : sm_audit_write(plan->out, SM_AUDIT_MANIFEST, copy_file,
                                 (void *)(uintptr_t)plan->manifest, err);
}

struct listing {
    const struct sm_audit *audit;
    char folders[SM_COHORTS][PATH_MAX]; /* from "/" on, without it; "" for none */
};

static enum sm_code write_list(FILE *file, void *arg, struct sm_err *err)
{
    const struct listing *l = arg;

    for (size_t i = 0; i < l->audit->items_count; i++) {
        const struct sm_audit_item *item = &l->audit->items[i];
        char *path = sm_audit_path(l->folders[item->cohort], item->name);
        json_t *line =
            json_pack("{s:s, s:s?}", "cohort", sm_cohort_name(item->cohort), "path", path);
        bool whole = line && json_dumpf(line, file, JSON_COMPACT) == 0 && fputc('\n', file) != EOF;
        json_decref(line);
        free(path);
        if (!whole)
            return sm_err_set(err, SM_IO, SM_AUDIT_MANIFEST " cannot be written");
    }
    return SM_OK;
}

enum sm_code sm_audit_list_images(const struct sm_audit_plan *plan, const struct sm_audit *audit,
                                  struct sm_err *err)
{
    struct listing *l = calloc(1, sizeof *l);
    char full[PATH_MAX];

    if (!l)
        return out_of_memory(err);
    l->audit = audit;
    for (int i = 0; i < SM_COHORTS; i++)
        if (plan->folders[i] && realpath(plan->folders[i], full))
            memcpy(l->folders[i], full + 1, strlen(full));
    enum sm_code code = sm_audit_write(plan->out, SM_AUDIT_MANIFEST, write_list, l, err);
    free(l);
    return code;
}
