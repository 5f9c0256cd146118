/* Writes into OUT what is needed to run the audit again: recipe.json, manifest.jsonl, and the
 * options that name the files and folders ("places").
 *
 * manifest.jsonl is the copy of --manifest that the audit read, or else a list of the images in the
 * cohort folders, with paths relative to "/". Images of other datasets are not listed. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "server/cmd/audit.h"

static enum sm_code out_of_memory(struct sm_err *err)
{
    return sm_err_set(err, SM_NOMEM, "places of an audit: out of memory");
}

/* --- the options --- */

/* Returns the absolute path, to be freed. Links are not resolved, because a pair is named after the
 * last part of its path. */
static char *absolute(const char *path)
{
    char here[PATH_MAX];
    if (path[0] == '/')
        return strdup(path);
    return getcwd(here, sizeof here) ? sm_cmd_audit_path(here, path) : NULL;
}

/* Appends an option and its value, which it owns from then on. False: out of memory, or `value` is
 * NULL. */
static bool add(struct sm_cmd_audit_places *places, const char *option, char *value)
{
    char *name = value && places->count + 2 < SM_AUDIT_PLACES_MAX ? strdup(option) : NULL;
    if (!name) {
        free(value);
        return false;
    }
    places->options[places->count++] = name;
    places->options[places->count++] = value;
    return true;
}

static bool add_path(struct sm_cmd_audit_places *places, const char *option, const char *path)
{
    return !path || add(places, option, absolute(path));
}

/* Appends an option with the absolute path of OUT/name. */
static bool add_made(struct sm_cmd_audit_places *places, const char *option, const char *out,
                     const char *name)
{
    char *folder = absolute(out);
    bool whole = folder && add(places, option, sm_cmd_audit_path(folder, name));
    free(folder);
    return whole;
}

/* Appends --out with the new folder "OUT-again": in OUT the command would find a finished audit and
 * only write its reports again. */
static bool add_out(struct sm_cmd_audit_places *places, const char *out)
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

enum sm_code sm_cmd_audit_places_make(struct sm_cmd_audit_places *out,
                                      const struct sm_cmd_audit_plan *plan, struct sm_err *err)
{
    static const char *const cohorts[SM_COHORTS] = {[SM_COHORT_SHARED] = "--shared",
                                                    [SM_COHORT_CANDIDATE] = "--candidate",
                                                    [SM_COHORT_INDEPENDENT] = "--independent",
                                                    [SM_COHORT_EXTERNAL] = "--external"};
    *out = (struct sm_cmd_audit_places){0};
    bool whole = add_path(out, "--pair", plan->pair);
    for (int i = 0; i < SM_COHORTS; i++)
        whole = whole && (!plan->folders[i] ||
                          add(out, cohorts[i], sm_cmd_audit_data_path(plan->folders[i], absolute)));
    if (plan->manifest)
        whole = whole && add_made(out, "--manifest", plan->out, SM_AUDIT_MANIFEST) &&
                add_path(out, "--root", plan->root);
    whole = whole && add_made(out, "--recipe", plan->out, SM_AUDIT_RECIPE) &&
            add_path(out, "--digest-key", plan->digest_key_path) &&
            (!plan->kernels || add(out, "--kernels", strdup(plan->kernels))) &&
            add_out(out, plan->out);
    return whole ? SM_OK : out_of_memory(err);
}

json_t *sm_cmd_audit_places_json(const struct sm_cmd_audit_places *places)
{
    json_t *list = json_array();
    for (int i = 0; i < places->count; i++) {
        if (json_array_append_new(list, json_string(places->options[i])) == 0)
            continue;
        json_decref(list);
        return NULL;
    }
    return list;
}

enum sm_code sm_cmd_audit_places_read(struct sm_cmd_audit_places *out, const char *folder,
                                      struct sm_err *err)
{
    char id[SM_ID_BYTES];
    json_t *state = NULL, *word;
    size_t i;
    enum sm_code code = sm_cmd_audit_state_read(id, &state, folder, SM_AUDIT_STATE, NULL, err);
    *out = (struct sm_cmd_audit_places){0};
    json_array_foreach(json_object_get(state, "again"), i, word)
    {
        if (out->count + 1 >= SM_AUDIT_PLACES_MAX || !json_is_string(word))
            break;
        if (!(out->options[out->count] = strdup(json_string_value(word)))) {
            code = out_of_memory(err);
            break;
        }
        out->count++;
    }
    json_decref(state);
    return code;
}

void sm_cmd_audit_places_release(struct sm_cmd_audit_places *places)
{
    for (int i = 0; i < places->count; i++)
        free((char *)(uintptr_t)places->options[i]);
    *places = (struct sm_cmd_audit_places){0};
}

/* --- the files --- */

static enum sm_code write_recipe(FILE *file, void *arg, struct sm_err *err)
{
    const json_t *recipe = arg;
    char *text = sm_json_text(recipe, JSON_INDENT(2));
    bool whole = text && fputs(text, file) != EOF && fputc('\n', file) != EOF;
    free(text);
    if (!whole)
        return sm_err_set(err, SM_IO, SM_AUDIT_RECIPE " cannot be written");
    return SM_OK;
}

enum sm_code sm_cmd_audit_write_recipe(const char *out, const json_t *recipe, struct sm_err *err)
{
    return sm_cmd_audit_write(out, SM_AUDIT_RECIPE, write_recipe, (void *)(uintptr_t)recipe, err);
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

/* Copies nothing if --manifest is OUT/manifest.jsonl itself. */
enum sm_code sm_cmd_audit_keep_manifest(const struct sm_cmd_audit_plan *plan, struct sm_err *err)
{
    struct stat given, kept;
    char *path = sm_cmd_audit_path(plan->out, SM_AUDIT_MANIFEST);
    bool same = path && stat(plan->manifest, &given) == 0 && stat(path, &kept) == 0 &&
                given.st_dev == kept.st_dev && given.st_ino == kept.st_ino;
    free(path);
    return same ? SM_OK
                : sm_cmd_audit_write(plan->out, SM_AUDIT_MANIFEST, copy_file,
                                     (void *)(uintptr_t)plan->manifest, err);
}

struct listing {
    const struct sm_audit *audit;
    bool listed[SM_COHORTS];
    char folders[SM_COHORTS][PATH_MAX]; /* relative to "/" */
};

static enum sm_code write_list(FILE *file, void *arg, struct sm_err *err)
{
    const struct listing *l = arg;
    for (size_t i = 0; i < l->audit->items_count; i++) {
        const struct sm_audit_item *item = &l->audit->items[i];
        if (!l->listed[item->cohort])
            continue;
        char *path = sm_cmd_audit_path(l->folders[item->cohort], item->name);
        json_t *line =
            json_pack("{s:s, s:s?, s:s*}", "cohort", sm_cohort_name(item->cohort), "path", path,
                      "class", item->class_label[0] != '\0' ? item->class_label : NULL);
        char *text = line ? sm_json_text(line, JSON_COMPACT) : NULL;
        bool whole = text && fputs(text, file) != EOF && fputc('\n', file) != EOF;
        free(text);
        json_decref(line);
        free(path);
        if (!whole)
            return sm_err_set(err, SM_IO, SM_AUDIT_MANIFEST " cannot be written");
    }
    return SM_OK;
}

enum sm_code sm_cmd_audit_list_images(const struct sm_cmd_audit_plan *plan,
                                      const struct sm_audit *audit, struct sm_err *err)
{
    struct listing *l = calloc(1, sizeof *l);
    char full[PATH_MAX];
    if (!l)
        return out_of_memory(err);
    l->audit = audit;
    for (int i = 0; i < SM_COHORTS; i++)
        if (plan->folders[i] && sm_cmd_audit_is_folder(plan->folders[i]) &&
            realpath(plan->folders[i], full)) {
            l->listed[i] = true;
            memcpy(l->folders[i], full + 1, strlen(full));
        }
    enum sm_code code = sm_cmd_audit_write(plan->out, SM_AUDIT_MANIFEST, write_list, l, err);
    free(l);
    return code;
}
