/* `sslmem pair`: makes pairs and checks them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/escape.h"
#include "server/cmd/cmd.h"
#include "server/cmd/pair.h"

void sm_pair_print_problems(const char *dir, const struct sm_pair_problems *problems,
                            const struct sm_err *err)
{
    struct stat about;
    bool is_file = stat(dir, &about) == 0 && !S_ISDIR(about.st_mode);
    for (int i = 0; i < problems->count; i++) {
        const struct sm_pair_problem *p = &problems->list[i];
        if (is_file)
            fprintf(stderr, "%s\n    %s\n", sm_shown(p->text), p->action);
        else
            fprintf(stderr, "%s/%s%s%s: %s\n    %s\n", sm_shown(dir), sm_shown(p->file),
                    *p->pointer ? " " : "", sm_shown(p->pointer), p->text, p->action);
    }
    if (problems->count == 0)
        fprintf(stderr, "sslmem pair: %s\n", err->text);
    else
        fprintf(stderr, "sslmem pair: %d problem%s in %s\n", problems->count,
                problems->count == 1 ? "" : "s", sm_shown(dir));
}

/* Prints the guesses of a side; those that f and g share once, with f's. */
static void print_guesses(const struct sm_pair *pair, char side)
{
    const struct sm_encoder *encoder = sm_pair_encoder(pair, side, 0);
    const struct sm_encoder *beside = sm_pair_encoder(pair, side == 'f' ? 'g' : 'f', 0);
    const struct sm_encoder_info *info = encoder ? sm_encoder_info(encoder) : NULL;
    for (int32_t i = 0; info && i < info->choices_count; i++) {
        const struct sm_choice *c = &info->choices[i];
        bool both = sm_pair_guesses_same(beside ? sm_encoder_info(beside) : NULL, c);
        if (c->source == SM_SOURCE_GUESS && !(side == 'g' && both))
            printf("  guess of %s: %s is %s: %s\n",
                   both          ? "f and g"
                   : side == 'f' ? "f"
                                 : "g",
                   c->name, c->value, c->why);
    }
}

static int check(int argc, char **argv)
{
    const char *kernels = NULL, *as_json = NULL;
    const struct sm_option options[] = {
        {"json", NULL, "one JSON line instead of text", &as_json},
        {"kernels", "NAME", "auto (default), ref, blas, avx2, avx512", &kernels},
        {0},
    };
    const struct sm_usage usage = {
        "pair check",
        "DIR",
        "Checks a pair as the service does when it loads it. Reports all problems at once, each\n"
        "with file, JSON pointer and what to do, and every guess.",
        options,
        1,
        1};
    char **operands;
    int result = sm_usage_read(&operands, &usage, argc, argv);
    if (result >= 0)
        return result;
    struct sm_err err = {0};
    struct sm_pair *pair = NULL;
    struct sm_pair_problems *problems = calloc(1, sizeof *problems);
    if (!problems) {
        sm_err_set(&err, SM_NOMEM, "out of memory for %zu bytes", sizeof *problems);
        return sm_fail("pair check", &err);
    }
    enum sm_code code =
        sm_pair_open_all(&pair, problems, operands[0], kernels ? kernels : "auto", &err);
    if (as_json) {
        sm_print_line(json_pack("{s:o, s:b, s:o, s:o*}", "folder", sm_path_json(operands[0]), "ok",
                                code == SM_OK, "problems", sm_pair_problems_json(problems), "pair",
                                pair ? sm_pair_json(pair) : NULL));
    } else if (code == SM_OK) {
        printf("pair %s is good\n", sm_shown(sm_pair_name(pair)));
        print_guesses(pair, 'f');
        print_guesses(pair, 'g');
        sm_say_pair_flags(pair);
    } else {
        sm_pair_print_problems(operands[0], problems, &err);
    }
    sm_pair_close(pair);
    free(problems);
    return code == SM_OK ? SM_EXIT_OK : SM_EXIT_FAILED;
}

int sm_cmd_pair(int argc, char **argv)
{
    static const struct sm_verb verbs[] = {
        {"create", sm_cmd_pair_create, "make a pair's folder from checkpoints"},
        {"check", check, "say all that is wrong with a pair"},
        {0},
    };
    return sm_verbs_run("pair", "DIR",
                        "Pairs: folders with the encoders f and g and what is known about them.",
                        verbs, argc, argv);
}
