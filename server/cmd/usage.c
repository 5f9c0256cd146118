/* Helpers of every subcommand: options and --help from one table, one function to print errors. */
#include "server/cmd/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/edits.h"
#include "core/base/escape.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "server/base/process.h"

#define WORKERS_MAX         1024
#define JSON_FILE_BYTES_MAX (1 << 20)
#define JSON_DEPTH_MAX      16

static void print_help(const struct sm_usage *usage)
{
    printf("usage: sslmem %s [options]%s%s\n\n%s\n\noptions:\n", usage->command,
           *usage->operands ? " " : "", usage->operands, usage->summary);
    for (const struct sm_option *o = usage->options; o->name; o++) {
        char left[64];
        snprintf(left, sizeof left, "--%s %s", o->name, o->value ? o->value : "");
        printf("  %-22s %s%s\n", left, o->help, o->required ? " (required)" : "");
    }
    printf("  %-22s %s\n\nexit codes: 0 done, 1 something failed, 2 wrong usage%s\n", "--help",
           "this text", usage->exit_codes ? usage->exit_codes : "");
}

static int wrong(const struct sm_usage *usage, const char *what, const char *name)
{
    fprintf(stderr, "sslmem %s: %s%s; see sslmem %s --help\n", usage->command, what, sm_shown(name),
            usage->command);
    return SM_EXIT_USAGE;
}

static const struct sm_option *find_option(const struct sm_usage *usage, const char *name,
                                           size_t length)
{
    for (const struct sm_option *o = usage->options; o->name; o++)
        if (strlen(o->name) == length && strncmp(o->name, name, length) == 0)
            return o;
    return NULL;
}

const struct sm_verb *sm_verb_find(const struct sm_verb *verbs, const char *name)
{
    for (; verbs->name; verbs++)
        if (strcmp(name, verbs->name) == 0)
            return verbs;
    return NULL;
}

const char *sm_verb_nearest(const struct sm_verb *verbs, const char *given)
{
    const char *nearest = NULL;
    size_t best = 0;
    for (; verbs->name; verbs++)
        if (verbs->summary && sm_edits_is_nearer(&best, given, verbs->name))
            nearest = verbs->name;
    return nearest;
}

void sm_verbs_print(FILE *out, const struct sm_verb *verbs)
{
    for (; verbs->name; verbs++)
        if (verbs->summary)
            fprintf(out, "  %-10s %s\n", verbs->name, verbs->summary);
}

int sm_verbs_run(const char *command, const char *operands, const char *summary,
                 const struct sm_verb *verbs, int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    const struct sm_verb *verb = sm_verb_find(verbs, name);
    bool help = strcmp(name, "--help") == 0;
    FILE *out = help ? stdout : stderr;
    if (verb)
        return verb->run(argc - 1, argv + 1);
    if (*name && !help) {
        const char *nearest = sm_verb_nearest(verbs, name);
        fprintf(out, "sslmem %s: unknown verb \"%s\"%s%s\n", command, sm_shown(name),
                nearest ? "; the nearest is " : "", nearest ? nearest : "");
    }
    fprintf(out, "usage: sslmem %s VERB %s [options]\n\n%s\n\n", command, operands, summary);
    sm_verbs_print(out, verbs);
    fprintf(out,
            "\nsslmem %s VERB --help tells more. Exit codes: 0 done, 1 something failed, "
            "2 wrong usage.\n",
            command);
    return help ? SM_EXIT_OK : SM_EXIT_USAGE;
}

static int unknown_option(const struct sm_usage *usage, const char *given, size_t length)
{
    char name[SM_EDITS_MAX + 1];
    size_t best = 0;
    const char *nearest = NULL;
    snprintf(name, sizeof name, "%.*s", (int)(length < SM_EDITS_MAX ? length : SM_EDITS_MAX),
             given + 2);
    for (const struct sm_option *o = usage->options; o->name; o++)
        if (sm_edits_is_nearer(&best, name, o->name))
            nearest = o->name;
    fprintf(stderr, "sslmem %s: unknown option %s%s%s; see sslmem %s --help\n", usage->command,
            sm_shown(given), nearest ? "; the nearest is --" : "", nearest ? nearest : "",
            usage->command);
    return SM_EXIT_USAGE;
}

/* Reads the option at argv[*i] and moves *i over a separate value. Returns -1, or the exit code. */
static int read_option(const struct sm_usage *usage, int argc, char **argv, int *i)
{
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const struct sm_option *option = find_option(usage, name, length);
    if (!option)
        return unknown_option(usage, argv[*i], length);
    if (!option->value && equals)
        return wrong(usage, "takes no value: --", option->name);
    const char **into = option->into,
               **last = into + (option->times_max > 1 ? option->times_max : 1);
    if (option->times_max > 1)
        while (into < last && *into)
            into++;
    if (into == last)
        return wrong(usage, "too many: --", option->name);
    if (!option->value)
        *into = "";
    else if (equals)
        *into = equals + 1;
    else if (++*i < argc)
        *into = argv[*i];
    else
        return wrong(usage, "needs a value: --", option->name);
    return -1;
}

int sm_usage_read(char ***operands, const struct sm_usage *usage, int argc, char **argv)
{
    int kept = 1;
    bool options_ended = false;
    for (int i = 1; i < argc; i++) {
        if (!options_ended && argv[i][0] == '-' && argv[i][1] != '-' &&
            find_option(usage, argv[i] + 1, strlen(argv[i] + 1))) {
            fprintf(stderr,
                    "sslmem %s: unknown option %s; the nearest is -%s; see sslmem %s --help\n",
                    usage->command, argv[i], argv[i], usage->command);
            return SM_EXIT_USAGE;
        }
        if (options_ended || strncmp(argv[i], "--", 2) != 0) {
            argv[kept++] = argv[i];
        } else if (strcmp(argv[i], "--") == 0) {
            options_ended = true;
        } else if (strcmp(argv[i], "--help") == 0) {
            print_help(usage);
            return SM_EXIT_OK;
        } else {
            int done = read_option(usage, argc, argv, &i);
            if (done >= 0)
                return done;
        }
    }
    argv[kept] = NULL;
    *operands = argv + 1;
    for (const struct sm_option *o = usage->options; o->name; o++)
        if (o->required && !*o->into)
            return wrong(usage, "missing option --", o->name);
    if (kept - 1 < usage->operands_min)
        return wrong(usage, "missing ", usage->operands);
    if (kept - 1 > usage->operands_max)
        return wrong(usage,
                     "too many operands, first superfluous: ", argv[usage->operands_max + 1]);
    return -1;
}

enum sm_code sm_read_workers(size_t *out, const char *text, struct sm_err *err)
{
    char *end = NULL;
    errno = 0;
    long value = text ? strtol(text, &end, 10) : 0;
    if (text && (errno || end == text || *end || value < 0 || value > WORKERS_MAX))
        return sm_err_set(err, SM_INVALID, "--workers is %.40s, must be a number from 0 to %d",
                          text, WORKERS_MAX);
    if (value == 0)
        value = sm_process_cores();
    *out = value > WORKERS_MAX ? WORKERS_MAX : (size_t)value;
    return SM_OK;
}

enum sm_code sm_read_choice(int *out, const char *option, const char *text,
                            const char *const *names, struct sm_err *err)
{
    char all[160] = "";
    for (*out = 0; names[*out]; ++*out) {
        if (!text || strcmp(text, names[*out]) == 0)
            return SM_OK;
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", used > 0 ? ", " : "", names[*out]);
    }
    return sm_err_set(err, SM_INVALID, "--%s is %.40s, must be one of %s", option, sm_shown(text),
                      all);
}

int sm_fail(const char *command, const struct sm_err *err)
{
    fprintf(stderr, "sslmem %s: %s%s%s\n", command, err->pointer, *err->pointer ? ": " : "",
            err->text);
    return SM_EXIT_FAILED;
}

void sm_print_line(json_t *node)
{
    char *text = node ? sm_json_text(node, JSON_COMPACT) : NULL;
    char *safe = text ? sm_escape_json(text) : NULL;
    json_decref(node);
    puts(safe ? safe : "{\"error\":{\"code\":\"no_memory\"}}");
    fflush(stdout);
    free(text);
    free(safe);
}

json_t *sm_path_json(const char *path)
{
    json_t *out = json_string(path);
    return out ? out : json_string(sm_shown(path));
}

enum sm_code sm_json_read_file(json_t **out, const char *path, struct sm_err *err)
{
    struct sm_file file = {0};
    struct sm_err why = {0};
    *out = NULL;
    if (path[strspn(path, " \t\r\n")] == '{')
        return sm_json_parse(out, path, strlen(path), JSON_FILE_BYTES_MAX, JSON_DEPTH_MAX, err);
    enum sm_code code = sm_file_map(&file, path, JSON_FILE_BYTES_MAX, err);
    if (code != SM_OK)
        return code;
    code =
        sm_json_parse(out, file.bytes, file.bytes_count, JSON_FILE_BYTES_MAX, JSON_DEPTH_MAX, &why);
    sm_file_release(&file);
    return code == SM_OK ? code : sm_err_set(err, code, "%.90s: %.148s", path, why.text);
}

enum sm_code sm_read_encoder_config(struct sm_encoder_config *out, const char *config_path,
                                    const char *key, const char *preset, const char *ckpt_path,
                                    struct sm_err *err)
{
    json_t *node = NULL;
    enum sm_code code = config_path ? sm_json_read_file(&node, config_path, err) : SM_OK;
    if (code == SM_OK && !node)
        node = json_object();
    if (code == SM_OK && key)
        json_object_set_new(node, "key", json_string(key));
    if (code == SM_OK && preset)
        json_object_set_new(node, "preset", json_string(preset));
    if (code == SM_OK)
        code = sm_encoder_config_parse(out, node, "", err);
    if (code == SM_OK)
        code = sm_encoder_config_complete(out, ckpt_path, err);
    json_decref(node);
    return code;
}

void sm_say_pair_flags(const struct sm_pair *pair)
{
    json_t *flags = sm_pair_flags_json(pair), *flag;
    size_t i;
    json_array_foreach(flags, i, flag)
        fprintf(stderr, "sslmem: pair %s: %s: %s\n", sm_pair_name(pair),
                json_string_value(json_object_get(flag, "code")),
                sm_shown(json_string_value(json_object_get(flag, "text"))));
    json_decref(flags);
}

enum sm_code sm_open_pair(struct sm_pair **out, struct sm_recipe *recipe, const char *dir,
                          const char *recipe_path, const char *kernels, struct sm_err *err)
{
    json_t *node = NULL;
    enum sm_code code = sm_pair_open(out, dir, kernels ? kernels : "auto", err);
    if (code == SM_OK && recipe_path)
        code = sm_json_read_file(&node, recipe_path, err);
    if (code == SM_OK)
        code = sm_recipe_parse(recipe, node, sm_pair_recipe(*out), sm_pair_input_px(*out), "", err);
    if (code == SM_OK)
        code = sm_pair_check_recipe(*out, recipe, err);
    json_decref(node);
    if (code == SM_OK) {
        sm_say_pair_flags(*out);
    } else {
        sm_pair_close(*out);
        *out = NULL;
    }
    return code;
}
