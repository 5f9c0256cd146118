/* `sslmem pair create`, first half: recognises the encoders and says what is known of them.
 *
 * A fact that is missing has a pointer into the configuration ("/key", "/heads"). On a terminal the
 * fact is asked for and the encoder is opened again; elsewhere the option that gives it is printed.
 * Both sides are looked at before the command gives up. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/escape.h"
#include "core/base/json.h"
#include "server/cmd/cmd.h"
#include "server/cmd/pair.h"

#define ANSWER_BYTES 128
#define ADVICE_BYTES 320
#define CIFAR_PX_MAX 64 /* inputs up to this side are trained with CIFAR's augmentation */

static const char sides[] = "fg";

/* --- missing facts --- */

/* Writes the option that gives the fact at `pointer` of the configuration. */
static void name_option(char out[64], const char *pointer, int side)
{
    int length = (int)strcspn(pointer + 1, "/");
    bool pixels = strncmp(pointer, "/mean", 5) == 0 || strncmp(pointer, "/std", 4) == 0;
    if (strcmp(pointer, "/key") == 0)
        snprintf(out, 64, "--%c-key NAME", sides[side]);
    else if (strcmp(pointer, "/preset") == 0)
        snprintf(out, 64, "--preset NAME");
    else
        snprintf(out, 64, "--set %.*s=%s", length < 30 ? length : 30, pointer + 1,
                 pixels ? "R,G,B" : "VALUE");
}

/* Asks a question on the terminal. Returns false if there is no answer. */
static bool ask(char out[ANSWER_BYTES], const char *question)
{
    printf("%s: ", question);
    fflush(stdout);
    if (!fgets(out, ANSWER_BYTES, stdin))
        return false;
    out[strcspn(out, "\r\n")] = '\0';
    return true;
}

/* Takes the answer for f on g, too, unless it is a key, which differs from file to file, or was
 * taken already. */
static bool take_from_f(struct sm_pair_new *new, int side, const char *name)
{
    json_t *answered = json_object_get(new->configs[0], name);
    if (side == 0 || !answered || strcmp(name, "key") == 0 ||
        json_object_get(new->configs[1], name))
        return false;
    printf("g: %s as of f\n", name);
    return json_object_set(new->configs[1], name, answered) == 0;
}

static bool ask_for_fact(struct sm_pair_new *new, int side, const struct sm_err *why)
{
    char answer[ANSWER_BYTES], question[64];
    if (take_from_f(new, side, why->pointer + 1))
        return true;
    printf("%c: %s\n", sides[side], why->text);
    snprintf(question, sizeof question, "%.40s of %c", why->pointer + 1, sides[side]);
    return ask(answer, question) && *answer &&
           sm_pair_set_field(new->configs[side], why->pointer + 1, answer);
}

/* --- recognition --- */

static enum sm_code check_file(const char *path, struct sm_err *err)
{
    struct stat about;
    char held[SM_HELD_BYTES];
    if (stat(path, &about) != 0 || !S_ISDIR(about.st_mode))
        return SM_OK;
    sm_folder_held(held, path);
    return sm_err_set(err, SM_INVALID, "%.80s is a folder, not a checkpoint: name a file%s", path,
                      held);
}

static enum sm_code open_once(struct sm_pair_part *part, const json_t *config, const char *path,
                              struct sm_err *err)
{
    enum sm_code code = sm_encoder_config_parse(&part->config, config, "", err);
    if (code == SM_OK)
        code = sm_encoder_config_complete(&part->config, path, err);
    return code == SM_OK ? sm_encoder_open(&part->encoder, part->ckpt, &part->config, "auto", err)
                         : code;
}

/* A key that was given for both sides counts where it chooses something: a file with one encoder
 * needs none. If the file turns out to have several, the first error is the one to tell. */
static bool drop_key(struct sm_pair_new *new, int side, struct sm_err *why)
{
    const struct sm_pair_plan *plan = new->plan;
    struct sm_err *unused = &new->unused_key[side];
    bool shared = plan->key && !plan->keys[side];
    if (!shared || strcmp(why->pointer, "/key") != 0)
        return false;
    if (unused->code != SM_OK)
        *why = *unused;
    if (unused->code != SM_OK || why->code != SM_NOT_FOUND)
        return false;
    *unused = *why;
    return json_object_del(new->configs[side], "key") == 0;
}

/* Returns the end of an error about a key that lists the names to choose from, in quotes. */
static const char *names_in(const struct sm_err *why)
{
    const char *colon = strrchr(why->text, ':');
    return strcmp(why->pointer, "/key") == 0 && colon ? colon + 1 : "";
}

/* Writes the option once for each name that the error lists: "--key student or --key teacher". */
static void name_keys(char out[ADVICE_BYTES], const char *option, const struct sm_err *why)
{
    size_t n = 0;
    const char *at = strchr(names_in(why), '"'), *end;
    snprintf(out, ADVICE_BYTES, "%s NAME", option);
    for (; at && (end = strchr(at + 1, '"')) && n < ADVICE_BYTES; at = strchr(end + 1, '"')) {
        int length = (int)(end - at) - 1;
        length -= length > 0 && end[-1] == '.';
        if (length > 0)
            n += (size_t)snprintf(out + n, ADVICE_BYTES - n, "%s%s %.*s", n > 0 ? " or " : "",
                                  option, length, at + 1);
    }
}

/* Prints why an encoder cannot be opened, and the option that helps. key_option: "--key" if it
 * helps both sides, else NULL. */
static void print_why(const char *path, int side, const struct sm_err *why, const char *key_option)
{
    char option[64], advice[ADVICE_BYTES];
    bool named = strncmp(why->text, path, strlen(path)) == 0;
    fprintf(stderr, "%c: %s%s%s\n", sides[side], named ? "" : sm_shown(path), named ? "" : ": ",
            why->text);
    if (why->pointer[0]) {
        name_option(option, why->pointer, side);
        snprintf(advice, sizeof advice, "%s", option);
        option[strcspn(option, " ")] = '\0';
        if (strcmp(why->pointer, "/key") == 0)
            name_keys(advice, key_option ? key_option : option, why);
        fprintf(stderr, "    give %s\n", sm_shown(advice));
    }
}

/* Returns false if --key chooses nothing on both sides. */
static bool check_key(const struct sm_pair_new *new)
{
    const struct sm_err *unused = new->unused_key;
    if (unused[0].code != SM_OK && unused[1].code != SM_OK) {
        for (int s = 0; s < 2; s++)
            print_why(new->plan->files[s][0], s, &unused[s], "--key");
        fputs(
            "sslmem pair create: --key chooses no encoder, and a file with one encoder needs none; "
            "nothing was made\n",
            stderr);
        return false;
    }
    for (int s = 0; s < 2; s++)
        if (unused[s].code != SM_OK)
            fprintf(stderr, "%c: no encoder \"%s\" in its file: taken without --key\n", sides[s],
                    sm_shown(new->plan->key));
    return true;
}

/* Opens encoder `k` of a side, and asks until nothing is missing. */
static bool recognise(struct sm_err *out, struct sm_pair_new *new, int side, int k)
{
    const char *path = new->plan->files[side][k];
    struct sm_pair_part *part = &new->parts[side][k];
    struct sm_err why = {0};
    enum sm_code code = check_file(path, &why);
    if (code == SM_OK)
        code = sm_ckpt_open(&part->ckpt, path, &why);
    while (code == SM_OK && open_once(part, new->configs[side], path, &why) != SM_OK) {
        bool again = drop_key(new, side, &why) ||
                     (why.pointer[0] && new->plan->asks &&ask_for_fact(new, side, &why));
        if (!again)
            code = why.code;
    }
    *out = why;
    out->code = code;
    return code == SM_OK;
}

/* Returns true if f and g lack a key and have the same names to choose from. */
static bool lack_one_key(const struct sm_pair_plan *plan, const struct sm_err *f,
                         const struct sm_err *g)
{
    return f->code != SM_OK && g->code != SM_OK && !plan->keys[0] && !plan->keys[1] &&
           names_in(f)[0] && strcmp(names_in(f), names_in(g)) == 0;
}

bool sm_pair_recognise(struct sm_pair_new *new)
{
    struct sm_err why[2][SM_ENCODERS_MAX] = {0};
    int missing = 0;
    for (int s = 0; s < 2; s++)
        for (int k = 0; new->plan->files[s][k]; k++)
            missing += !recognise(&why[s][k], new, s, k);
    bool one_key = lack_one_key(new->plan, &why[0][0], &why[1][0]);
    for (int s = 0; s < 2; s++)
        for (int k = 0; new->plan->files[s][k]; k++)
            if (why[s][k].code != SM_OK)
                print_why(new->plan->files[s][k], s, &why[s][k], one_key ? "--key" : NULL);
    if (missing)
        fprintf(stderr, "sslmem pair create: %d encoder%s cannot be opened yet; nothing was made\n",
                missing, missing == 1 ? "" : "s");
    return missing == 0 && check_key(new);
}

void sm_pair_new_release(struct sm_pair_new *new)
{
    for (int s = 0; s < 2; s++) {
        for (int k = 0; k < SM_ENCODERS_MAX; k++) {
            sm_encoder_close(new->parts[s][k].encoder);
            sm_ckpt_close(new->parts[s][k].ckpt);
            new->parts[s][k].encoder = NULL;
            new->parts[s][k].ckpt = NULL;
        }
        json_decref(new->configs[s]);
        new->configs[s] = NULL;
    }
}

/* --- the augmentation --- */

bool sm_pair_choose_augment(struct sm_pair_new *new)
{
    static char answer[ANSWER_BYTES];
    char question[240] = "augment, one of";
    const char *const *names = sm_augment_presets();
    bool small = sm_encoder_info(new->parts[0][0].encoder)->input_h_px <= CIFAR_PX_MAX;
    new->augment = new->plan->augment;
    if (new->augment)
        return true;
    new->augment = small ? "simclr-cifar" : "simclr-imagenet";
    new->augment_why = small ? "usual of inputs up to 64 pixels; name the training's own"
                             : "usual of inputs above 64 pixels; name the training's own";
    if (!new->plan->asks)
        return true;
    for (size_t used = strlen(question); *names; names++, used = strlen(question))
        snprintf(question + used, sizeof question - used, " %s", *names);
    size_t used = strlen(question);
    snprintf(question + used, sizeof question - used, " [%s]", new->augment);
    if (!ask(answer, question))
        return false;
    if (*answer) {
        new->augment = answer;
        new->augment_why = NULL;
    }
    return true;
}

const char *sm_pair_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* --- what is known --- */

enum agreement { MAY_DIFFER, MUST_AGREE, F_ALONE };
struct line {
    char name[24], f[56], g[56];
    enum agreement agreement;
};

static void print_line(const struct line *line)
{
    bool differ = strcmp(line->f, line->g) != 0;
    if (line->agreement == F_ALONE)
        printf("  %-14s %s\n", line->name, sm_shown(line->f));
    else
        printf("  %-14s %-30s %-30s %s\n", line->name, sm_shown(line->f), sm_shown(line->g),
               !differ                         ? ""
               : line->agreement == MUST_AGREE ? "differs: must agree"
                                               : "differs");
}

static void print_number(const char *name, double f, double g, enum agreement agreement)
{
    struct line line = {.agreement = agreement};
    snprintf(line.name, sizeof line.name, "%s", name);
    snprintf(line.f, sizeof line.f, "%.9g", f);
    snprintf(line.g, sizeof line.g, "%.9g", g);
    print_line(&line);
}

static const struct sm_choice *find_choice(const struct sm_encoder_info *info, const char *name)
{
    for (int32_t i = 0; i < info->choices_count; i++)
        if (strcmp(info->choices[i].name, name) == 0)
            return &info->choices[i];
    return NULL;
}

/* Returns the value of a setting, to be shown: the one stated, else the one chosen; "none". */
static const char *shown_value(char out[80], const struct sm_pair_part *part, const json_t *stated,
                               const char *name)
{
    const struct sm_choice *choice = find_choice(sm_encoder_info(part->encoder), name);
    json_t *value = json_object_get(stated, name);
    char *text = value ? sm_json_text(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    snprintf(out, 80, "%s", text ? text : choice ? choice->value : "none");
    free(text);
    return out;
}

/* Prints the settings in which two encoders of a side differ; returns how many do. */
static int compare_parts(const struct sm_pair_new *new, int side, int k)
{
    const struct sm_pair_part *a = &new->parts[side][0], *b = &new->parts[side][k];
    json_t *of_a = sm_encoder_config_json(&a->config), *of_b = sm_encoder_config_json(&b->config);
    char text_a[80], text_b[80], option[64], pointer[64];
    const char *name;
    int differing = 0;
    for (size_t i = 0; (name = sm_encoder_setting(i)); i++) {
        const struct sm_choice *of_first = find_choice(sm_encoder_info(a->encoder), name);
        const struct sm_choice *of_other = find_choice(sm_encoder_info(b->encoder), name);
        const json_t *x = json_object_get(of_a, name), *y = json_object_get(of_b, name);
        bool stated = x && y ? !json_equal(x, y) : strcmp(name, "key") == 0 && (x || y);
        bool chosen = of_first && of_other && strcmp(of_first->value, of_other->value) != 0;
        if (!stated && !chosen)
            continue;
        differing++;
        snprintf(pointer, sizeof pointer, "/%s", name);
        name_option(option, pointer, side);
        fprintf(stderr, "%c: %s has %s %s, %s has %s\n    give %s, or files that agree\n",
                sides[side], sm_shown(new->plan->files[side][0]), name,
                sm_shown(shown_value(text_a, a, of_a, name)), sm_shown(new->plan->files[side][k]),
                sm_shown(shown_value(text_b, b, of_b, name)), option);
    }
    json_decref(of_a);
    json_decref(of_b);
    return differing;
}

bool sm_pair_check_sides(const struct sm_pair_new *new)
{
    int differing = 0;
    for (int s = 0; s < 2; s++)
        for (int k = 1; new->plan->files[s][k]; k++)
            differing += compare_parts(new, s, k);
    if (differing > 0)
        fputs("sslmem pair create: the encoders of a side must have the same settings; nothing was "
              "made\n",
              stderr);
    return differing == 0;
}

/* Prints the choices in which two encoders differ. */
static void print_choices(const struct sm_encoder_info *f, const struct sm_encoder_info *g)
{
    for (int32_t i = 0; i < f->choices_count; i++) {
        const struct sm_choice *of_f = &f->choices[i], *of_g = find_choice(g, of_f->name);
        struct line line = {0};
        if (of_g && strcmp(of_f->value, of_g->value) == 0)
            continue;
        if (strcmp(of_f->name, "heads") == 0 || strcmp(of_f->name, "input_px") == 0 ||
            strcmp(of_f->name, "norm_eps") == 0)
            continue;
        snprintf(line.name, sizeof line.name, "%s", of_f->name);
        snprintf(line.f, sizeof line.f, "%s", of_f->value);
        snprintf(line.g, sizeof line.g, "%s", of_g ? of_g->value : "-");
        print_line(&line);
    }
}

static void print_texts(const char *name, const char *f, const char *g, enum agreement agreement)
{
    struct line line = {.agreement = agreement};
    snprintf(line.name, sizeof line.name, "%s", name);
    snprintf(line.f, sizeof line.f, "%.55s", f);
    snprintf(line.g, sizeof line.g, "%.55s", g);
    print_line(&line);
}

/* Prints encoder i of f beside encoder k of g; f alone if the pair has no g. */
static void print_pair_of(const struct sm_pair_new *new, int i, int k)
{
    bool alone = !new->plan->files[1][0];
    int s = alone ? 0 : 1, n = alone ? i : k;
    enum agreement may = alone ? F_ALONE : MAY_DIFFER, must = alone ? F_ALONE : MUST_AGREE;
    const struct sm_pair_part *f = &new->parts[0][i], *g = &new->parts[s][n];
    const struct sm_encoder_info *a = sm_encoder_info(f->encoder), *b = sm_encoder_info(g->encoder);
    if (!alone)
        printf("  %-14s %-30s %s\n", "", "f", "g");
    print_texts("file", sm_pair_base_name(new->plan->files[0][i]),
                sm_pair_base_name(new->plan->files[s][n]), may);
    print_texts("format", sm_ckpt_format(f->ckpt), sm_ckpt_format(g->ckpt), may);
    print_texts("family", a->family, b->family, must);
    print_texts("names", a->dialect, b->dialect, may);
    print_texts("key", *a->prefix ? a->prefix : "(top level)",
                *b->prefix ? b->prefix : "(top level)", may);
    print_number("input_px", a->input_h_px, b->input_h_px, must);
    print_number("tokens", a->tokens, b->tokens, must);
    print_number("dim", a->dim, b->dim, must);
    print_number("blocks", a->blocks, b->blocks, must);
    print_number("heads", a->heads, b->heads, must);
    print_number("norm_eps", a->norm_eps, b->norm_eps, must);
    print_number("parameters", (double)a->parameters, (double)b->parameters, may);
    print_choices(a, b);
    if (a->nonfinite || b->nonfinite)
        print_number("NaN, infinite", (double)a->nonfinite, (double)b->nonfinite, may);
}

bool sm_pair_guesses_same(const struct sm_encoder_info *other, const struct sm_choice *choice)
{
    const struct sm_choice *same = other ? find_choice(other, choice->name) : NULL;
    return same && same->source == SM_SOURCE_GUESS && strcmp(same->value, choice->value) == 0;
}

/* g may be NULL. */
static void print_guesses(const struct sm_encoder_info *f, const struct sm_encoder_info *g)
{
    for (int s = 0; s < (g ? 2 : 1); s++) {
        const struct sm_encoder_info *own = s ? g : f, *other = s ? f : g;
        for (int32_t i = 0; i < own->choices_count; i++) {
            const struct sm_choice *c = &own->choices[i];
            bool both = sm_pair_guesses_same(other, c);
            if (c->source == SM_SOURCE_GUESS && !(s == 1 && both))
                printf("  %-14s %-12s %-4s %s\n", c->name, c->value,
                       both     ? "f, g"
                       : s == 0 ? "f"
                                : "g",
                       c->why);
        }
    }
}

void sm_pair_print(const struct sm_pair_new *new)
{
    const struct sm_encoder_info *f = sm_encoder_info(new->parts[0][0].encoder);
    const struct sm_encoder *of_g = new->parts[1][0].encoder;
    const struct sm_encoder_info *g = of_g ? sm_encoder_info(of_g) : NULL;
    puts("recognised:");
    print_pair_of(new, 0, 0);
    for (int k = 1; new->parts[0][k].encoder || new->parts[1][k].encoder; k++)
        print_pair_of(new, new->parts[0][k].encoder ? k : 0, new->parts[1][k].encoder ? k : 0);
    puts("\nguessed (--set NAME=VALUE, or \"encoder\" in pair.json, settles one):");
    print_guesses(f, g);
    if (new->augment_why)
        printf("  %-14s %-12s %-4s %s (--augment)\n", "augment", new->augment, g ? "f, g" : "f",
               new->augment_why);
    putchar('\n');
}
