/* The advice is one table: the first row that fits code, place and text of a problem gives the
 * action. The last row of a place fits everything. */
#include "core/score/problems.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/score/pair.h"

#define ANY SM_OK

static const struct advice {
    enum sm_found_in in;
    enum sm_code code; /* ANY: every code */
    /* part of the pointer or of the text; "": fits everything */
    const char *part, *action;
} advices[] = {
    {SM_IN_DOCUMENT, SM_NOT_FOUND, "name one:", "give one of these folders as the pair"},
    {SM_IN_DOCUMENT, SM_INVALID, "give the folder", "give that folder as the pair"},
    {SM_IN_DOCUMENT, SM_INVALID, "a pair is a folder",
     "give a folder with a pair.json; sslmem pair create makes one"},
    {SM_IN_DOCUMENT, SM_NOT_FOUND, "No such file", "make one: sslmem pair create DIR --f F --g G"},
    {SM_IN_DOCUMENT, SM_CORRUPT, "", "correct the JSON at that line and column"},
    {SM_IN_DOCUMENT, ANY, "is missing",
     "add the field; core/README.md, Pairs, lists all, and sslmem pair create writes them"},
    {SM_IN_DOCUMENT, ANY, "/recipe/augment",
     "take a name or ops that core/README.md, Recipe, lists under augment"},
    {SM_IN_DOCUMENT, ANY, "the pair has no g",
     "remove it, or name in \"g\" what was trained without the candidates"},
    {SM_IN_DOCUMENT, ANY, "no preset",
     "take a name that sslmem inspect --presets lists, or leave it out"},
    {SM_IN_DOCUMENT, ANY, "/encoder",
     "correct or remove it; core/names/README.md, Settings, lists fields and values"},
    {SM_IN_DOCUMENT, ANY, "/recipe",
     "correct or remove it; core/README.md, Recipe, lists fields and values"},
    {SM_IN_DOCUMENT, ANY, "is unknown",
     "correct its name or remove it; core/README.md, Pairs, lists the fields"},
    {SM_IN_DOCUMENT, ANY, "file name",
     "copy or link the file into the pair's folder and write its bare name"},
    {SM_IN_DOCUMENT, ANY, "", "correct it; core/README.md, Pairs, lists fields and values"},
    {SM_IN_CHECKPOINT, SM_NOT_FOUND, "No such file",
     "copy or link the checkpoint into the pair's folder, or correct its name in pair.json"},
    {SM_IN_CHECKPOINT, ANY, "/key",
     "set \"key\" in \"encoder\"; for one side only: \"encoder\": {\"f\": {\"key\": …}, \"g\": "
     "{…}}"},
    {SM_IN_CHECKPOINT, ANY, "/heads",
     "set \"heads\" in \"encoder\" to the number of attention heads of the training code"},
    {SM_IN_CHECKPOINT, ANY, "/pos_resize",
     "set \"pos_resize\" in \"encoder\" to plain, offset or antialias (core/names/README.md)"},
    {SM_IN_CHECKPOINT, SM_CONFLICT, "preset",
     "take the preset of this size, or leave it out and set what it decided in \"encoder\""},
    {SM_IN_CHECKPOINT, SM_CORRUPT, "",
     "copy the file again from where it was written: it is cut or damaged"},
    {SM_IN_CHECKPOINT, SM_UNSUPPORTED, "",
     "save the encoder's state_dict in a format and family that core/names/README.md lists"},
    {SM_IN_CHECKPOINT, ANY, "", "look at it: sslmem inspect FILE"},
    {SM_IN_SIDES, SM_INVALID, "",
     "name another file in g, or set \"allow_same\": true (pair create: --allow-same)"},
    {SM_IN_SIDES, ANY, "",
     "take encoders of one architecture; settings of one side stand in \"encoder\": {\"f\": {…}, "
     "\"g\": {…}}"},
    {SM_IN_REFERENCE, ANY, "",
     "measure it (again): sslmem reference --pair DIR IMAGE…, or remove \"reference\""},
};

static const char *action_for(enum sm_found_in in, const char *pointer, const struct sm_err *why)
{
    for (size_t i = 0; i < sizeof advices / sizeof *advices; i++) {
        const struct advice *a = &advices[i];
        if (a->in == in && (a->code == ANY || a->code == why->code) &&
            (strstr(pointer, a->part) || strstr(why->text, a->part)))
            return a->action;
    }
    return "";
}

/* Returns true if `why` is in the list, or is about a member that an earlier problem is in. */
static bool is_listed(const struct sm_pair_problems *problems, const char *file,
                      const char *pointer, const struct sm_err *why)
{
    for (int i = 0; i < problems->count; i++) {
        const struct sm_pair_problem *p = &problems->list[i];
        if (strcmp(p->file, file) != 0)
            continue;
        if (strcmp(p->text, why->text) == 0 || (strcmp(file, PAIR_JSON) == 0 && pointer[0] &&
                                                strncmp(p->pointer, pointer, strlen(pointer)) == 0))
            return true;
    }
    return false;
}

/* Returns true if the text begins with "<file>:" or contains a path that ends in it. */
static bool names_file(const char *text, const char *file)
{
    char in_path[PAIR_FILE_MAX + 3];
    size_t length = strlen(file);
    snprintf(in_path, sizeof in_path, "/%.*s:", PAIR_FILE_MAX, file);
    return strstr(text, in_path) || (strncmp(text, file, length) == 0 && text[length] == ':');
}

enum sm_code sm_err_name_file(struct sm_err *err, enum sm_code code, const char *file)
{
    if (code == SM_OK || !err || names_file(err->text, file))
        return code;
    const struct sm_err inner = *err;
    sm_err_set(err, code, "%s: %s", file, inner.text);
    memcpy(err->pointer, inner.pointer, sizeof err->pointer);
    return code;
}

bool sm_collect(struct sm_collector *collector, enum sm_found_in in, const char *file,
                const char *pointer, const struct sm_err *why)
{
    struct sm_pair_problems *problems = collector->problems;
    if (collector->full || is_listed(problems, file, pointer, why))
        return false;
    if (collector->first == SM_OK || why->code == SM_NOMEM) {
        collector->first = why->code;
        if (collector->err) {
            *collector->err = *why;
            if (in != SM_IN_SIDES || why->code != SM_CONFLICT) /* a difference names two files */
                sm_err_name_file(collector->err, why->code, file);
        }
    }
    if (why->code == SM_NOMEM)
        problems->count = 0;
    collector->full = why->code == SM_NOMEM || problems->count + 1 >= SM_PAIR_PROBLEMS_MAX;
    if (why->code == SM_NOMEM)
        return false;
    struct sm_pair_problem *p = &problems->list[problems->count++];
    *p = (struct sm_pair_problem){.code = why->code};
    snprintf(p->file, sizeof p->file, "%s", file);
    snprintf(p->pointer, sizeof p->pointer, "%s", pointer);
    snprintf(p->text, sizeof p->text, "%s", why->text);
    snprintf(p->action, sizeof p->action, "%s", action_for(in, pointer, why));
    return !collector->full;
}

/* Writes the next component of a JSON pointer (RFC 6901) and returns the rest of the pointer. */
static const char *next_component(char *out, size_t out_bytes, const char *pointer)
{
    size_t at = 0;
    for (pointer += *pointer == '/'; *pointer && *pointer != '/'; pointer++) {
        char c = *pointer;
        if (c == '~' && (pointer[1] == '0' || pointer[1] == '1'))
            c = *++pointer == '0' ? '~' : '/';
        if (at + 1 < out_bytes)
            out[at++] = c;
    }
    out[at] = '\0';
    return pointer;
}

bool sm_mend(json_t *doc, const char *pointer)
{
    char key[80], innermost[80] = "";
    json_t *node = doc, *parent = NULL;
    while (*pointer && node) {
        pointer = next_component(key, sizeof key, pointer);
        if (json_is_object(node)) {
            parent = node;
            memcpy(innermost, key, sizeof innermost);
            node = json_object_get(node, key);
        } else {
            node = json_array_get(node, (size_t)strtoul(key, NULL, 10));
        }
    }
    if (!parent)
        return false;
    return json_object_get(parent, innermost)
               ? json_object_del(parent, innermost) == 0
               : json_object_set_new(parent, innermost, json_null()) == 0;
}

json_t *sm_pair_problems_json(const struct sm_pair_problems *problems)
{
    json_t *list = json_array();
    for (int i = 0; i < problems->count; i++) {
        const struct sm_pair_problem *p = &problems->list[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "file", p->file, "pointer",
                                              p->pointer, "detail", p->text, "action", p->action));
    }
    if (list && json_array_size(list) == (size_t)problems->count)
        return list;
    json_decref(list);
    return NULL;
}
