/* Every source passes its values as text to `set`, so that one rule per kind checks a number in the
 * file as it checks a flag.
 *
 * The sources are applied in rising precedence; each overwrites the values of the one before. */
#include "server/base/settings.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/edits.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "server/base/settings_value.h"

#define NAME_BYTES     33 /* bytes of a row's name and its NUL */
#define FILE_BYTES_MAX (64 << 10)
#define FILE_DEPTH_MAX 4

/* Flags that are not settings. */
static const struct {
    const char *name, *help;
    enum sm_settings_action action;
} actions[] = {
    {"--help", "this text", SM_SETTINGS_HELP},
    {"-h", NULL, SM_SETTINGS_HELP},
    {"--check-config", "check the settings, and every file and folder that they name, and end",
     SM_SETTINGS_CHECK},
    {"--print-config", "print them as a configuration file, and end", SM_SETTINGS_PRINT},
};
enum { ACTIONS_COUNT = sizeof actions / sizeof *actions };

struct reading {
    void *out;
    struct sm_settings_sources *sources;
    const struct sm_setting *rows;
    const char *file; /* path of the configuration file; NULL: no file */
};

/* --- names --- */

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* Turns "queue-max" into "SSLMEM_QUEUE_MAX". */
static void variable_name(char out[NAME_BYTES + 8], const struct sm_setting *row)
{
    int length = snprintf(out, NAME_BYTES + 8, "SSLMEM_%s", row->name);
    for (int i = 0; i < length; i++)
        out[i] = out[i] == '-' ? '_' : upper(out[i]);
}

/* Turns "queue-max" into "queue_max". */
static void key_name(char out[NAME_BYTES], const struct sm_setting *row)
{
    int length = snprintf(out, NAME_BYTES, "%s", row->name);
    for (int i = 0; i < length; i++)
        if (out[i] == '-')
            out[i] = '_';
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static const struct sm_setting *find_flag(const struct sm_setting *rows, const char *name)
{
    for (const struct sm_setting *row = rows; row->name; row++)
        if (strcmp(row->name, name) == 0)
            return row;
    return NULL;
}

static const struct sm_setting *find_key(const struct sm_setting *rows, const char *key)
{
    char own[NAME_BYTES];
    for (const struct sm_setting *row = rows; row->name; row++) {
        key_name(own, row);
        if (strcmp(own, key) == 0)
            return row;
    }
    return NULL;
}

/* Returns the row whose name is most similar to `name`; NULL if no name is similar. Dashes and
 * underscores are equal. */
static const struct sm_setting *nearest(const struct sm_setting *rows, const char *name)
{
    char own[NAME_BYTES], plain[NAME_BYTES];
    const struct sm_setting *found = NULL;
    key_name(plain, &(struct sm_setting){.name = name});
    size_t best = 0;
    for (const struct sm_setting *row = rows; row->name && strlen(name) < NAME_BYTES; row++) {
        key_name(own, row);
        if (sm_edits_is_nearer(&best, plain, own))
            found = row;
    }
    return found;
}

/* --- sources --- */

static enum sm_code set(struct reading *r, const struct sm_setting *row, const char *source,
                        const char *text, struct sm_err *err)
{
    snprintf(r->sources->names[row - r->rows], sizeof *r->sources->names, "%s", source);
    return sm_setting_set((char *)r->out + row->offset, row, source, text, err);
}

static enum sm_code read_fallbacks(struct reading *r, struct sm_err *err)
{
    enum sm_code code = SM_OK;
    for (const struct sm_setting *row = r->rows; row->name && code == SM_OK; row++) {
        assert(row - r->rows < SM_SETTINGS_MAX && strlen(row->name) < NAME_BYTES);
        code = set(r, row, "default", row->fallback, err);
    }
    return code;
}

static enum sm_code read_variables(struct reading *r, struct sm_err *err)
{
    char variable[NAME_BYTES + 8];
    enum sm_code code = SM_OK;
    for (const struct sm_setting *row = r->rows; row->name && code == SM_OK; row++) {
        variable_name(variable, row);
        const char *text = getenv(variable);
        if (text)
            code = set(r, row, variable, text, err);
    }
    return code;
}

/* Reads "--name=value" or "--name value" at *at and moves *at past it. *value is NULL when no word
 * follows the name. */
static enum sm_code split_flag(char name[SM_EDITS_MAX], const char **value, int argc, char **argv,
                               int *at, struct sm_err *err)
{
    const char *word = argv[(*at)++];
    if (strncmp(word, "--", 2) != 0 || !word[2])
        return sm_err_set(err, SM_INVALID, "%.60s is not an option; options begin with --", word);
    const char *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) - 2 : strlen(word + 2);
    snprintf(name, SM_EDITS_MAX, "%.*s", (int)(length < 200 ? length : 200), word + 2);
    *value = equals ? equals + 1 : *at < argc ? argv[*at] : NULL;
    *at += !equals && *at < argc;
    return SM_OK;
}

static enum sm_code read_flags(struct reading *r, int argc, char **argv, struct sm_err *err)
{
    char name[SM_EDITS_MAX], source[NAME_BYTES + 2];
    const char *value = NULL;
    enum sm_code code = SM_OK;
    for (int at = 0; at < argc && code == SM_OK;) {
        if ((code = split_flag(name, &value, argc, argv, &at, err)) != SM_OK)
            break;
        const struct sm_setting *row = find_flag(r->rows, name);
        if (!row && strcmp(name, "config") == 0) {
            r->file = value;
            code = value && *value ? SM_OK : sm_err_set(err, SM_INVALID, "--config needs a value");
            continue;
        }
        if (!row) {
            const struct sm_setting *near = nearest(r->rows, name);
            return sm_err_set(err, SM_INVALID, "unknown option --%.60s; %s%s", name,
                              near ? "the nearest is --" : "--help lists all",
                              near ? near->name : "");
        }
        snprintf(source, sizeof source, "--%s", row->name);
        code = value ? set(r, row, source, value, err)
                     : sm_err_set(err, SM_INVALID, "%s needs a value", source);
    }
    return code;
}

/* --- the file --- */

static enum sm_code unknown_key(const struct reading *r, const char *section, const char *key,
                                struct sm_err *err)
{
    const struct sm_setting *row = find_key(r->rows, key);
    const char *slash = section ? "/" : "";
    char own[NAME_BYTES];
    if (!section)
        section = "";
    if (row)
        return sm_err_set(err, SM_INVALID, "%.80s: key %s%s%s is unknown there; it belongs %s%s",
                          r->file, section, slash, key, row->section ? "into " : "at the top",
                          row->section ? row->section : "");
    row = nearest(r->rows, key);
    if (row)
        key_name(own, row);
    return sm_err_set(err, SM_INVALID, "%.80s: key %s%s%.40s is unknown; %s%s%s%s", r->file,
                      section, slash, key, row ? "the nearest is " : "--help lists all",
                      row && row->section ? row->section : "", row && row->section ? "/" : "",
                      row ? own : "");
}

/* Joins the items of a list with commas. Returns false for an item that is not text, is empty or
 * has a comma, and when `out` is too small. */
static bool join(char *out, size_t out_bytes, const json_t *list)
{
    size_t used = 0, i;
    const json_t *item;
    out[0] = '\0';
    json_array_foreach(list, i, item)
    {
        const char *text = json_string_value(item);
        if (!text || !*text || strchr(text, ','))
            return false;
        int n = snprintf(out + used, out_bytes - used, "%s%s", i ? "," : "", text);
        if (n < 0 || (used += (size_t)n) >= out_bytes)
            return false;
    }
    return true;
}

static enum sm_code read_value(struct reading *r, const struct sm_setting *row, const char *source,
                               const json_t *value, struct sm_err *err)
{
    char text[SM_TEXTS_MAX * SM_TEXTS_ITEM_BYTES];
    if (row->kind == SM_SETTING_INT && json_is_integer(value)) {
        snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
        return set(r, row, source, text, err);
    }
    if (row->kind == SM_SETTING_TEXTS && json_is_array(value)) {
        if (!join(text, sizeof text, value))
            return sm_err_set(err, SM_INVALID,
                              "%s must be a list of texts, none empty or with a comma", source);
        return set(r, row, source, text, err);
    }
    bool is_text = row->kind != SM_SETTING_INT && row->kind != SM_SETTING_TEXTS;
    if (is_text && json_is_string(value))
        return set(r, row, source, json_string_value(value), err);
    return sm_err_set(err, SM_INVALID, "%s must be a %s", source,
                      is_text                       ? "text"
                      : row->kind == SM_SETTING_INT ? "whole number"
                                                    : "list of texts");
}

static bool is_section(const struct sm_setting *rows, const char *name)
{
    for (const struct sm_setting *row = rows; row->name; row++)
        if (same(row->section, name))
            return true;
    return false;
}

static enum sm_code read_section(struct reading *r, const char *section, json_t *node,
                                 struct sm_err *err)
{
    char source[160];
    enum sm_code code = SM_OK;
    for (void *at = json_object_iter(node); at && code == SM_OK;
         at = json_object_iter_next(node, at)) {
        const char *key = json_object_iter_key(at);
        json_t *value = json_object_iter_value(at);
        const struct sm_setting *row = find_key(r->rows, key);
        if (!section && is_section(r->rows, key)) {
            code = json_is_object(value)
                       ? read_section(r, key, value, err)
                       : sm_err_set(err, SM_INVALID, "%.80s: %s must be a section", r->file, key);
        } else if (row && same(row->section, section)) {
            snprintf(source, sizeof source, "%.80s: %s%s%s", r->file, section ? section : "",
                     section ? "/" : "", key);
            code = read_value(r, row, source, value, err);
        } else {
            code = unknown_key(r, section, key, err);
        }
    }
    return code;
}

static enum sm_code read_file(struct reading *r, struct sm_err *err)
{
    struct sm_file file = {0};
    struct sm_err why = {0};
    json_t *node = NULL;
    bool is_text = r->file[strspn(r->file, " \t\r\n")] == '{'; /* the JSON itself, not its path */
    enum sm_code code = is_text ? SM_OK : sm_file_map(&file, r->file, FILE_BYTES_MAX, err);
    if (code != SM_OK)
        return code;
    code = sm_json_parse(&node, is_text ? (const void *)r->file : file.bytes,
                         is_text ? strlen(r->file) : file.bytes_count, FILE_BYTES_MAX,
                         FILE_DEPTH_MAX, &why);
    if (code != SM_OK)
        sm_err_set(err, code, "%.80s: %s", r->file, why.text);
    else if (!json_is_object(node))
        code = sm_err_set(err, SM_INVALID, "%.80s must hold a JSON object", r->file);
    else
        code = read_section(r, NULL, node, err);
    json_decref(node);
    sm_file_release(&file);
    return code;
}

/* --- the whole --- */

/* Removes the flags of actions from argv; returns the number of words that remain. --help takes
 * precedence over other actions. */
static int take_actions(enum sm_settings_action *action, int argc, char **argv)
{
    int kept = 0;
    *action = SM_SETTINGS_RUN;
    for (int i = 0; i < argc; i++) {
        int a = 0;
        while (a < ACTIONS_COUNT && strcmp(argv[i], actions[a].name) != 0)
            a++;
        if (a == ACTIONS_COUNT)
            argv[kept++] = argv[i];
        else if (*action != SM_SETTINGS_HELP)
            *action = actions[a].action;
    }
    return kept;
}

enum sm_code sm_settings_read(void *out, struct sm_settings_sources *sources,
                              enum sm_settings_action *action, const struct sm_setting *rows,
                              int argc, char **argv, struct sm_err *err)
{
    struct reading r = {.out = out, .sources = sources, .rows = rows};
    argc = take_actions(action, argc, argv);
    if (*action == SM_SETTINGS_HELP)
        return SM_OK;
    r.file = getenv("SSLMEM_CONFIG");
    enum sm_code code = read_fallbacks(&r, err);
    if (code == SM_OK) /* finds --config; the values are set again below */
        code = read_flags(&r, argc, argv, err);
    if (code == SM_OK && r.file)
        code = read_file(&r, err);
    if (code == SM_OK)
        code = read_variables(&r, err);
    if (code == SM_OK)
        code = read_flags(&r, argc, argv, err);
    return code;
}

const char *sm_settings_variable(const char *name)
{
    return getenv(name);
}

const char *sm_settings_source(const struct sm_settings_sources *sources,
                               const struct sm_setting *rows, size_t offset)
{
    size_t i = 0;
    while (rows[i].offset != offset)
        i++;
    return sources->names[i];
}

static json_t *value_json(const struct sm_setting *row, const char *field)
{
    if (row->kind == SM_SETTING_INT)
        return json_integer(*(const sm_setting_int *)(const void *)field);
    if (row->kind != SM_SETTING_TEXTS) /* a struct sm_secret begins with its path */
        return json_string(field);
    const struct sm_texts *texts = (const struct sm_texts *)(const void *)field;
    json_t *list = json_array();
    for (int i = 0; i < texts->count; i++)
        if (json_array_append_new(list, json_string(texts->items[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

json_t *sm_settings_json(const void *values, const struct sm_setting *rows)
{
    char key[NAME_BYTES];
    json_t *top = json_object();
    for (const struct sm_setting *row = rows; row->name; row++) {
        json_t *into = top;
        if (row->section && !(into = json_object_get(top, row->section))) {
            json_object_set_new(top, row->section, json_object());
            into = json_object_get(top, row->section);
        }
        key_name(key, row);
        if (json_object_set_new(into, key, value_json(row, (const char *)values + row->offset))) {
            json_decref(top);
            return NULL;
        }
    }
    return top;
}

/* Compares one row of two structs. If the values differ, copies the new one (a row with `reloads`)
 * or lists the row for a restart. Returns false when out of memory. */
static bool apply_row(const struct sm_setting *row, char *field, const char *next, json_t *changed,
                      json_t *restart)
{
    json_t *from = value_json(row, field), *to = value_json(row, next);
    int rc = from && to ? 0 : -1;
    if (rc == 0 && !json_equal(from, to)) {
        rc = row->reloads
                 ? json_array_append_new(changed, json_pack("{s:s, s:O, s:O}", "setting", row->name,
                                                            "from", from, "to", to))
                 : json_array_append_new(restart, json_string(row->name));
        if (rc == 0 && row->reloads)
            *(sm_setting_int *)(void *)field = json_integer_value(to);
    }
    json_decref(from);
    json_decref(to);
    return rc == 0;
}

enum sm_code sm_settings_apply(void *values, const void *next, const struct sm_setting *rows,
                               json_t *changed, json_t *restart, struct sm_err *err)
{
    for (const struct sm_setting *row = rows; row->name; row++) {
        assert(!row->reloads || row->kind == SM_SETTING_INT);
        if (!apply_row(row, (char *)values + row->offset, (const char *)next + row->offset, changed,
                       restart))
            return sm_err_set(err, SM_NOMEM, "no memory to compare %s", row->name);
    }
    return SM_OK;
}

static void help_row(FILE *out, const struct sm_setting *row)
{
    char variable[NAME_BYTES + 8], key[NAME_BYTES];
    variable_name(variable, row);
    key_name(key, row);
    fprintf(out, "  --%s VALUE\n      %s\n      default %s", row->name, row->help,
            *row->fallback ? row->fallback : "none");
    if (row->kind == SM_SETTING_INT)
        fprintf(out, "; %" PRId64 " to %" PRId64, row->min, row->max);
    if (row->kind == SM_SETTING_CHOICE)
        fprintf(out, "; one of %s", row->choices);
    if (row->reloads)
        fputs("; SIGHUP reloads it", out);
    fprintf(out, "\n      environment %s; in the file %s%s%s\n", variable,
            row->section ? row->section : "", row->section ? "/" : "", key);
}

void sm_settings_help(FILE *out, const struct sm_setting *rows)
{
    fputs("  --config FILE\n      read the settings in this JSON file\n"
          "      environment SSLMEM_CONFIG\n",
          out);
    for (int i = 0; i < ACTIONS_COUNT; i++)
        if (actions[i].help)
            fprintf(out, "  %s\n      %s\n", actions[i].name, actions[i].help);
    for (const struct sm_setting *row = rows; row->name; row++)
        help_row(out, row);
}
