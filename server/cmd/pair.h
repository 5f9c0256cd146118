/* `sslmem pair`: what its verbs share. */
#ifndef SERVER_CMD_PAIR_H
#define SERVER_CMD_PAIR_H

#include "sslmem/problems.h"

#define SM_SETS_MAX 24 /* how often --set may be given */

/* What `sslmem pair create` was given. */
struct sm_pair_plan {
    const char *dir, *files[2][SM_ENCODERS_MAX + 1]; /* [side][k], NULL-terminated */
    const char *keys[2];                             /* --f-key, --g-key; NULL: not given */
    const char *key, *preset, *augment, *description;
    const char *sets[SM_SETS_MAX + 1]; /* "NAME=VALUE" */
    bool link, allow_same;
    bool asks; /* there is a terminal to ask */
};

/* An encoder of a new pair, as far as it is known. */
struct sm_pair_part {
    struct sm_ckpt *ckpt;
    struct sm_encoder *encoder;
    struct sm_encoder_config config; /* completed */
    char file[128];                  /* its name in the pair's folder */
};

/* A new pair. */
struct sm_pair_new {
    const struct sm_pair_plan *plan;
    json_t *configs[2]; /* configuration of each side as given */
    struct sm_pair_part parts[2][SM_ENCODERS_MAX];
    struct sm_err unused_key[2];       /* why --key chooses nothing on a side; SM_OK: it does */
    const char *augment, *augment_why; /* why NULL: not a guess */
};

/* Reads --key, --preset and --set into `configs`. Returns false after printing wrong usage. */
bool sm_pair_read_options(struct sm_pair_new *new);
/* Sets a field of a configuration from text. Returns false when out of memory, or if the text is
 * not UTF-8. */
bool sm_pair_set_field(json_t *config, const char *name, const char *text);
/* Returns true if all encoders of each side have the same settings, because pair.json holds one
 * configuration a side. Prints each setting in which two differ. */
bool sm_pair_check_sides(const struct sm_pair_new *new);

/* Opens every encoder, after sm_pair_read_options. Asks for what is missing, or prints all that is
 * missing with the option that gives it. Returns false after printing. */
bool sm_pair_recognise(struct sm_pair_new *new);
/* Chooses the augmentation: the one given, the answer on a terminal, or a guess. */
bool sm_pair_choose_augment(struct sm_pair_new *new);
/* Prints what was recognised, every difference between the encoders and every guess. */
void sm_pair_print(const struct sm_pair_new *new);
void sm_pair_new_release(struct sm_pair_new *new);

/* Writes pair.json and README.md into `folder`. */
enum sm_code sm_pair_write(const struct sm_pair_new *new, const char *folder, struct sm_err *err);

/* Returns true if `other`, which may be NULL, makes the same guess. */
bool sm_pair_guesses_same(const struct sm_encoder_info *other, const struct sm_choice *choice);

/* Returns the last part of a path. */
const char *sm_pair_base_name(const char *path);

/* Prints every problem with its place and what to do about it, to standard error. */
void sm_pair_print_problems(const char *dir, const struct sm_pair_problems *problems,
                            const struct sm_err *err);

int sm_cmd_pair_create(int argc, char **argv);

#endif
