/* Reads pair.json and reports all that is wrong with it. A reader stops at its first error. So an
 * error is reported, what caused it is taken out of the document, and the reader runs again, until
 * it succeeds or meets an error that is known already. Each round reports a new problem, and their
 * number is limited. */
#include "core/score/pair_read.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/json.h"

#define PAIR_JSON_MAX  (256 << 10)
#define PAIR_DEPTH_MAX 8
#define LISTED_BYTES   96 /* room for the names that an error lists */

#define AT(member) offsetof(struct sm_pair_draft, member)
static const struct sm_field fields[] = {
    {"description", SM_FIELD_TEXT, AT(description), 0, PAIR_DESCRIPTION_MAX, NULL, false},
    {"f", SM_FIELD_NODE, AT(sides[SM_SIDE_F]), 0, 0, NULL, true},
    {"g", SM_FIELD_NODE, AT(sides[SM_SIDE_G]), 0, 0, NULL, false},
    {"encoder", SM_FIELD_NODE, AT(encoder), 0, 0, NULL, false},
    {"mean", SM_FIELD_NODE, AT(mean), 0, 0, NULL, false},
    {"std", SM_FIELD_NODE, AT(std), 0, 0, NULL, false},
    {"recipe", SM_FIELD_NODE, AT(recipe), 0, 0, NULL, true},
    {"reference", SM_FIELD_TEXT, AT(reference), 0, PAIR_FILE_MAX, NULL, false},
    {"allow_same", SM_FIELD_BOOL, AT(allow_same), 0, 0, NULL, false},
    {NULL, SM_FIELD_NODE, 0, 0, 0, NULL, false},
};
#undef AT

/* --- the folder --- */

static bool is_pair(const char *dir, const char *name)
{
    bool found = false;
    char *folder = sm_pair_path(dir, name), *path = folder ? sm_pair_path(folder, PAIR_JSON) : NULL;
    if (path)
        found = access(path, F_OK) == 0;
    free(path);
    free(folder);
    return found;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

void sm_folder_held(char out[SM_HELD_BYTES], const char *dir)
{
    struct dirent **entries = NULL;
    char pairs[LISTED_BYTES] = "", files[LISTED_BYTES] = "";
    int pairs_count = 0, files_count = 0, count = scandir(dir, &entries, is_visible, by_name);
    for (int i = 0; i < count; i++) {
        bool pair = is_pair(dir, entries[i]->d_name);
        char *list = pair ? pairs : files;
        size_t used = strlen(list);
        if (used + strlen(entries[i]->d_name) + 3 < LISTED_BYTES)
            snprintf(list + used, LISTED_BYTES - used, "%s%.90s", used ? ", " : "",
                     entries[i]->d_name);
        *(pair ? &pairs_count : &files_count) += 1;
        free(entries[i]);
    }
    free(entries);
    if (pairs_count)
        snprintf(out, SM_HELD_BYTES, "; the folder holds %d pair%s, name one: %s", pairs_count,
                 pairs_count == 1 ? "" : "s", pairs);
    else if (files_count)
        snprintf(out, SM_HELD_BYTES, "; the folder holds %s", files);
    else
        snprintf(out, SM_HELD_BYTES, "; the folder is empty");
}

/* The file of a pair in place of its folder names that folder. */
static enum sm_code fail_with_file(const char *path, struct sm_err *err)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    int length = slash == path ? 1 : (int)(name - path) - (slash != NULL);
    if (strcmp(name, PAIR_JSON) == 0)
        return sm_err_set(err, SM_INVALID, "%.60s is a file of a pair: give the folder: %.*s", path,
                          length ? length : 1, length ? path : ".");
    return sm_err_set(err, SM_INVALID, "%s is a file; a pair is a folder with a %s", path,
                      PAIR_JSON);
}

static enum sm_code fail_without_document(const char *dir, struct sm_err *err)
{
    struct stat about;
    char held[SM_HELD_BYTES];
    if (stat(dir, &about) != 0)
        return sm_err_set(err, errno == ENOENT ? SM_NOT_FOUND : SM_IO, "%s: %s", dir,
                          strerror(errno));
    if (!S_ISDIR(about.st_mode))
        return fail_with_file(dir, err);
    sm_folder_held(held, dir);
    return sm_err_set(err, SM_NOT_FOUND, "%.60s/%s: No such file or directory%s%s", dir, PAIR_JSON,
                      held, strstr(held, "name one:") ? "" : "; sslmem pair create makes it");
}

static enum sm_code load_document(json_t **out, const char *dir, struct sm_err *err)
{
    struct sm_file file = {0};
    char *path = sm_pair_path(dir, PAIR_JSON);
    enum sm_code code = path ? sm_file_map(&file, path, PAIR_JSON_MAX, err)
                             : sm_err_set(err, SM_NOMEM, "out of memory for a path");
    if (code == SM_OK)
        code = sm_json_parse(out, file.bytes, file.bytes_count, PAIR_JSON_MAX, PAIR_DEPTH_MAX, err);
    else if (path && access(path, F_OK) != 0)
        code = fail_without_document(dir, err);
    sm_file_release(&file);
    free(path);
    return code;
}

/* --- the document --- */

struct reader {
    struct sm_pair *pair;
    struct sm_pair_draft *draft;
    json_t *doc;
    int side;
    const json_t *node;
    const char *pointer; /* of `node` */
    int32_t input_px;
};

static enum sm_code read_fields(struct reader *r, struct sm_err *err)
{
    *r->draft = (struct sm_pair_draft){0};
    return sm_fields_read(r->draft, r->doc, fields, "", err);
}

static enum sm_code read_config(struct reader *r, struct sm_err *err)
{
    return sm_encoder_config_parse(&r->pair->configs[r->side], r->node, r->pointer, err);
}

static enum sm_code read_both(struct reader *r, struct sm_err *err)
{
    const json_t *configs[SM_SIDES] = {NULL};
    static const struct sm_field sides[] = {
        {"f", SM_FIELD_NODE, 0, 0, 0, NULL, false},
        {"g", SM_FIELD_NODE, sizeof(const json_t *), 0, 0, NULL, false},
        {NULL, SM_FIELD_NODE, 0, 0, 0, NULL, false},
    };
    return sm_fields_read(configs, r->node, sides, r->pointer, err);
}

static enum sm_code read_recipe(struct reader *r, struct sm_err *err)
{
    return sm_recipe_parse(&r->pair->recipe, r->draft->recipe, NULL, r->input_px, "/recipe", err);
}

/* Runs a reader until it succeeds. Returns false if it cannot. */
static bool read_all(struct reader *r, struct sm_collector *collector,
                     enum sm_code (*read)(struct reader *, struct sm_err *), const char *base)
{
    struct sm_err why = {0};
    while (read(r, &why) != SM_OK) {
        if (!sm_collect(collector, SM_IN_DOCUMENT, PAIR_JSON, why.pointer, &why) ||
            strcmp(why.pointer, base) == 0 || !sm_mend(r->doc, why.pointer))
            return false;
    }
    return true;
}

static bool check_file_name(const char *name, const char *pointer, struct sm_collector *collector)
{
    struct sm_err why = {0};
    size_t length = strlen(name);
    if (length == 0 || length > PAIR_FILE_MAX)
        sm_err_field(&why, pointer, "file name has %zu bytes, must be from 1 to %d", length,
                     PAIR_FILE_MAX);
    else if (strchr(name, '/') || name[0] == '.')
        sm_err_field(&why, pointer,
                     "file name \"%s\" must be of the pair's folder: no separators, no leading dot",
                     name);
    if (why.code != SM_OK)
        sm_collect(collector, SM_IN_DOCUMENT, PAIR_JSON, pointer, &why);
    return why.code == SM_OK;
}

/* Reads a list of file names, or one name. A side with a bad name has no members. */
static void read_side(struct sm_side *out, const json_t *list, const char *side,
                      struct sm_collector *collector)
{
    char at[32];
    struct sm_err why = {0};
    size_t count = json_is_string(list) ? 1 : json_array_size(list);
    snprintf(at, sizeof at, "/%s", side);
    if (count == 0 || count > SM_ENCODERS_MAX) {
        sm_err_field(&why, at, "%s must be a list of 1 to %d file names, has %zu", side,
                     SM_ENCODERS_MAX, count);
        sm_collect(collector, SM_IN_DOCUMENT, PAIR_JSON, at, &why);
        return;
    }
    out->count = (int)count;
    for (size_t i = 0; i < count; i++) {
        const json_t *node = json_is_string(list) ? list : json_array_get(list, i);
        const char *name = json_string_value(node);
        snprintf(at, sizeof at, node == list ? "/%s" : "/%s/%zu", side, i);
        if (!name) {
            sm_err_field(&why, at, "file name must be a string");
            sm_collect(collector, SM_IN_DOCUMENT, PAIR_JSON, at, &why);
        }
        if (name && check_file_name(name, at, collector))
            snprintf(out->members[i].file, sizeof out->members[i].file, "%s", name);
    }
}

void sm_pair_config_pointer(char out[32], const struct sm_pair_draft *draft, int side)
{
    snprintf(out, 32, "/encoder%s%s", draft->per_side ? "/" : "",
             draft->per_side ? sm_side_names[side] : "");
}

/* Completes a side's configuration from the preset and from the sidecars in the pair's folder,
 * which all its checkpoints share. */
static bool complete_config(struct reader *r, struct sm_collector *collector)
{
    struct sm_err why = {0};
    char at[sizeof why.pointer];
    char *path = sm_pair_path(r->pair->dir, PAIR_JSON);
    enum sm_code code = path ? sm_encoder_config_complete(&r->pair->configs[r->side], path, &why)
                             : sm_err_set(&why, SM_NOMEM, "out of memory for a path");
    free(path);
    if (code == SM_OK)
        return true;
    snprintf(at, sizeof at, "%.60s%s", r->pointer, code == SM_NOT_FOUND ? "/preset" : "");
    sm_collect(collector, SM_IN_DOCUMENT, PAIR_JSON, at, &why);
    return false;
}

static void read_configs(struct reader *r, struct sm_collector *collector)
{
    struct sm_pair_draft *draft = r->draft;
    char at[32];
    const json_t *encoder = draft->encoder;
    draft->per_side = json_object_get(encoder, "f") || json_object_get(encoder, "g");
    r->node = encoder;
    r->pointer = "/encoder";
    bool usable = !draft->per_side || read_all(r, collector, read_both, "/encoder");
    for (int s = 0; usable && s < SM_SIDES; s++) {
        sm_pair_config_pointer(at, draft, s);
        r->side = s;
        r->pointer = at;
        r->node = draft->per_side ? json_object_get(encoder, sm_side_names[s]) : encoder;
        if (s == SM_SIDE_G && (!draft->per_side || !draft->sides[s])) {
            r->pair->configs[s] = r->pair->configs[SM_SIDE_F];
            draft->config_read[s] = draft->config_read[SM_SIDE_F];
            draft->mended[s] = draft->mended[SM_SIDE_F];
        } else {
            int before = collector->problems->count;
            draft->config_read[s] =
                read_all(r, collector, read_config, at) && complete_config(r, collector);
            draft->mended[s] = collector->problems->count > before;
        }
    }
}

/* --- the normalisation, which both sides share --- */

static bool read_channels(double out[3], const json_t *list, const char *name, double min,
                          struct sm_collector *collector)
{
    char at[32];
    struct sm_err why = {0};
    snprintf(at, sizeof at, "/%s", name);
    if (json_array_size(list) != 3)
        sm_err_field(&why, at, "%s must be a list of three numbers", name);
    for (size_t c = 0; c < 3 && why.code == SM_OK; c++) {
        const json_t *node = json_array_get(list, c);
        out[c] = json_number_value(node);
        snprintf(at, sizeof at, "/%s/%zu", name, c);
        if (!json_is_number(node) || !(out[c] >= min && out[c] <= 1))
            sm_err_field(&why, at, "%s must be numbers from %g to 1", name, min);
    }
    if (why.code != SM_OK)
        sm_collect(collector, SM_IN_DOCUMENT, PAIR_JSON, why.pointer, &why);
    return why.code == SM_OK;
}

/* Takes the normalisation of pair.json, else that of a side's configuration, else 0.5. Sides that
 * state different ones cannot share their views. */
static void choose_pixels(struct sm_pair *pair, const struct sm_pair_draft *draft,
                          struct sm_collector *collector)
{
    const struct sm_encoder_config *f = &pair->configs[SM_SIDE_F], *g = &pair->configs[SM_SIDE_G];
    const struct sm_encoder_config *said = f->std[0] > 0 ? f : g->std[0] > 0 ? g : NULL;
    struct sm_err why = {0};
    for (size_t c = 0; c < 3; c++) {
        pair->mean[c] = said ? said->mean[c] : .5;
        pair->std[c] = said ? said->std[c] : .5;
    }
    pair->mean_source = said ? (enum sm_source)said->source[SM_CONFIG_MEAN] : SM_SOURCE_GUESS;
    pair->std_source = said ? (enum sm_source)said->source[SM_CONFIG_STD] : SM_SOURCE_GUESS;
    bool differ =
        said && g->std[0] > 0 &&
        (memcmp(f->mean, g->mean, sizeof f->mean) || memcmp(f->std, g->std, sizeof f->std));
    if (f->std[0] > 0 && differ && (!draft->mean || !draft->std)) {
        sm_err_set(&why, SM_CONFLICT,
                   "f has mean %.4g %.4g %.4g, std %.4g %.4g %.4g, g has mean %.4g %.4g %.4g, std "
                   "%.4g %.4g %.4g: set \"mean\" and \"std\" beside \"encoder\"",
                   f->mean[0], f->mean[1], f->mean[2], f->std[0], f->std[1], f->std[2], g->mean[0],
                   g->mean[1], g->mean[2], g->std[0], g->std[1], g->std[2]);
        sm_collect(collector, SM_IN_DOCUMENT, PAIR_JSON, "/mean", &why);
    }
    if (draft->mean && read_channels(pair->mean, draft->mean, "mean", 0, collector))
        pair->mean_source = SM_SOURCE_CONFIG;
    if (draft->std && read_channels(pair->std, draft->std, "std", 1e-3, collector))
        pair->std_source = SM_SOURCE_CONFIG;
    for (size_t c = 0; c < 3; c++) {
        pair->mean_f32[c] = (float)pair->mean[c];
        pair->std_f32[c] = (float)pair->std[c];
    }
}

/* Reports the fields that only a pair with g can use. */
static void check_without_g(struct sm_pair_draft *draft, struct sm_collector *collector)
{
    const struct {
        bool given;
        const char *pointer, *what;
    } fields_of_g[] = {
        {draft->reference[0] != '\0', "/reference", "\"reference\" holds scores m of images"},
        {draft->allow_same, "/allow_same", "\"allow_same\" is about equal sides"},
        {json_object_get(draft->encoder, "g") != NULL, "/encoder/g", "\"encoder\" has \"g\""},
    };
    for (size_t i = 0; i < sizeof fields_of_g / sizeof *fields_of_g; i++) {
        struct sm_err why = {0};
        if (!fields_of_g[i].given)
            continue;
        sm_err_field(&why, fields_of_g[i].pointer, "%s, and the pair has no g",
                     fields_of_g[i].what);
        sm_collect(collector, SM_IN_DOCUMENT, PAIR_JSON, fields_of_g[i].pointer, &why);
    }
    draft->reference[0] = '\0';
}

void sm_pair_read(json_t **doc, struct sm_pair_draft *draft, struct sm_pair *pair,
                  struct sm_collector *collector)
{
    struct sm_err why = {0};
    struct reader r = {.pair = pair, .draft = draft};
    *doc = NULL;
    if (load_document(doc, pair->dir, &why) != SM_OK) {
        sm_collect(collector, SM_IN_DOCUMENT, PAIR_JSON, "", &why);
        return;
    }
    r.doc = *doc;
    if (!read_all(&r, collector, read_fields, "")) {
        json_decref(*doc);
        *doc = NULL;
        return;
    }
    for (int s = 0; s < SM_SIDES; s++)
        if (draft->sides[s] || s == SM_SIDE_F)
            read_side(&pair->sides[s], draft->sides[s], sm_side_names[s], collector);
    if (!draft->sides[SM_SIDE_G])
        check_without_g(draft, collector);
    if (draft->reference[0] && !check_file_name(draft->reference, "/reference", collector))
        draft->reference[0] = '\0';
    memcpy(pair->description, draft->description, sizeof pair->description);
    pair->allow_same = draft->allow_same;
    read_configs(&r, collector);
    choose_pixels(pair, draft, collector);
}

bool sm_pair_read_recipe(struct sm_pair *pair, json_t *doc, const struct sm_pair_draft *draft,
                         int32_t input_px, struct sm_collector *collector)
{
    struct sm_pair_draft copy = *draft;
    struct reader r = {.pair = pair, .draft = &copy, .doc = doc, .input_px = input_px};
    enum sm_code first = collector->first;
    int before = collector->problems->count;
    return read_all(&r, collector, read_recipe, "/recipe") && first == collector->first &&
           before == collector->problems->count;
}
