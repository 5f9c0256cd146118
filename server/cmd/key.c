/* `sslmem key create|list|revoke|rotate`: edits the API keys in the database of a service, which
 * may be running. A token is printed alone on standard output, so that it can be redirected into a
 * file; messages go to standard error. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/escape.h"
#include "server/base/clock.h"
#include "server/cmd/cmd.h"
#include "server/store/api_keys.h"

#define EXPIRES_DEFAULT "90d"
#define OVERLAP_DEFAULT "1d"
#define DAYS_MAX        36525 /* a hundred years */

/* Reads a whole number from 0 to `max`. */
static enum sm_code read_number(int64_t *out, const char *option, const char *text, int64_t max,
                                struct sm_err *err)
{
    char *end;
    size_t length = strlen(text);
    intmax_t value = strtoimax(text, &end, 10);
    if (length == 0 || length > 18 || strspn(text, "0123456789") != length || value > max)
        return sm_err_set(err, SM_INVALID, "--%s is %.40s, must be a whole number from 0 to %lld",
                          option, length > 0 ? text : "empty", (long long)max);
    *out = (int64_t)value;
    return SM_OK;
}

/* Reads a duration such as "90d", "12h" or "30m" into milliseconds. */
static enum sm_code read_duration(int64_t *out, const char *option, const char *text,
                                  struct sm_err *err)
{
    static const struct {
        char letter;
        int64_t ms;
    } units[] = {{'d', SM_DAY_MS}, {'h', 3600000}, {'m', 60000}, {'s', 1000}};
    size_t digits = strspn(text, "0123456789");

    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (digits < 1 || digits > 9 || text[digits] != units[i].letter || text[digits + 1])
            continue;
        int64_t value = strtoll(text, NULL, 10) * units[i].ms;
        if (value > DAYS_MAX * SM_DAY_MS)
            break;
        *out = value;
        return SM_OK;
    }
    return sm_err_set(err, SM_INVALID,
                      "--%s is %.40s, must be a number and d, h, m or s, such as 90d, up to %dd",
                      option, *text ? text : "empty", DAYS_MAX);
}

/* Reads --expires into the Unix time (ms) at which the key ends; 0 for "never". */
static enum sm_code read_expiry(int64_t *out, const char *text, struct sm_err *err)
{
    int64_t ms;
    *out = 0;
    if (strcmp(text, "never") == 0)
        return SM_OK;
    enum sm_code code = read_duration(&ms, "expires", text, err);
    if (code == SM_OK && ms == 0)
        code = sm_err_set(err, SM_INVALID, "--expires is %.40s: the key would never be good", text);
    if (code == SM_OK)
        *out = sm_clock_unix_ms() + ms;
    return code;
}

static int finish(const char *command, enum sm_code code, const struct sm_err *err)
{
    if (code == SM_OK)
        return SM_EXIT_OK;
    sm_fail(command, err);
    return code == SM_INVALID ? SM_EXIT_USAGE : SM_EXIT_FAILED;
}

/* Opens the API keys of a database; with `create` a missing database is created. */
static enum sm_code open_keys(struct sm_api_keys **out, const char *db, bool create,
                              struct sm_err *err)
{
    struct sm_err why = {0};
    enum sm_code code = sm_check_database(db, &why);
    if (code == SM_OK || (code == SM_NOT_FOUND && create))
        return sm_api_keys_open(out, db, err);
    return sm_err_set(err, code, "%s%s", why.text,
                      code == SM_NOT_FOUND ? "; key create --create makes one" : "");
}

/* --- create --- */

struct create {
    const char *db, *create, *tenant, *scopes, *expires, *budget, *cost, *round;
};

static enum sm_code read_create(struct sm_api_key_in *in, const struct create *given,
                                struct sm_err *err)
{
    *in = (struct sm_api_key_in){.tenant = given->tenant ? given->tenant : "default",
                                 .scopes = given->scopes,
                                 .rounds = given->round != NULL};
    enum sm_code code =
        read_expiry(&in->expires_ms, given->expires ? given->expires : EXPIRES_DEFAULT, err);
    if (code == SM_OK && given->budget)
        code = read_number(&in->scores_per_day, "budget-per-day", given->budget,
                           INT64_C(1000000000000), err);
    if (code == SM_OK && given->budget && in->scores_per_day == 0)
        code = sm_err_set(err, SM_INVALID, "--budget-per-day is 0: leave the scope 'score' out");
    if (code == SM_OK && given->cost)
        code = read_number(&in->cost_ms_per_day, "cost-ms-per-day", given->cost,
                           INT64_C(1000000000000000), err);
    if (code == SM_OK && given->cost && in->cost_ms_per_day == 0)
        code = sm_err_set(err, SM_INVALID, "--cost-ms-per-day is 0: leave the scope 'score' out");
    if (code == SM_OK && given->round)
        code = read_number(&in->decimals, "round", given->round, SM_DECIMALS_MAX, err);
    return code;
}

static int create(int argc, char **argv)
{
    struct create given = {0};
    const struct sm_option options[] = {
        {"db", "FILE", "database of the service", &given.db, .required = true},
        {"create", NULL, "make the database where there is none", &given.create},
        {"scopes", "LIST", "of score, read, audit, admin, metrics; commas between", &given.scopes,
         .required = true},
        {"tenant", "NAME", "whose scores and audits it sees; default: default", &given.tenant},
        {"expires", "TIME", "90d (default), 12h, never", &given.expires},
        {"budget-per-day", "N", "scores that it may ask for in a day (UTC); default: any",
         &given.budget},
        {"cost-ms-per-day", "N",
         "work that it may ask for in a day (UTC), in the unit of --item-cost-ms-max; default: any",
         &given.cost},
        {"round", "DIGITS", "digits of the reference's spread that its figures have; default: all",
         &given.round},
        {0},
    };
    const struct sm_usage usage = {
        "key create", "", "Makes a key and prints its token, once and never again.", options, 0, 0};
    struct sm_api_key_in in;
    struct sm_api_keys *keys = NULL;
    struct sm_token token;
    struct sm_err err = {0};
    char id[SM_ID_BYTES], **operands;
    int done = sm_usage_read(&operands, &usage, argc, argv);
    if (done >= 0)
        return done;
    enum sm_code code = read_create(&in, &given, &err);
    if (code == SM_OK)
        code = open_keys(&keys, given.db, given.create != NULL, &err);
    if (code == SM_OK)
        code = sm_api_keys_create(id, &token, keys, &in, &err);
    sm_api_keys_close(keys);
    if (code == SM_OK) {
        puts(token.text);
        fprintf(stderr, "key %s of tenant %s; the token is shown this once\n", sm_shown(id),
                sm_shown(in.tenant));
        sm_token_forget(&token);
    }
    return finish("key create", code, &err);
}

/* --- list --- */

static int list(int argc, char **argv)
{
    const char *db = NULL;
    const struct sm_option options[] = {
        {"db", "FILE", "database of the service", &db, .required = true},
        {0},
    };
    const struct sm_usage usage = {
        "key list", "", "Prints a JSON line for each key; no secret is in it.", options, 0, 0};
    struct sm_api_keys *keys = NULL;
    struct sm_err err = {0};
    json_t *all = NULL, *key;
    size_t i;
    char **operands;
    int done = sm_usage_read(&operands, &usage, argc, argv);
    if (done >= 0)
        return done;
    enum sm_code code = open_keys(&keys, db, false, &err);
    if (code == SM_OK)
        code = sm_api_keys_list(&all, keys, &err);
    sm_api_keys_close(keys);
    json_array_foreach(all, i, key) sm_print_line(json_incref(key));
    json_decref(all);
    return finish("key list", code, &err);
}

/* --- revoke and rotate --- */

static int revoke(int argc, char **argv)
{
    const char *db = NULL;
    const struct sm_option options[] = {
        {"db", "FILE", "database of the service", &db, .required = true},
        {0},
    };
    const struct sm_usage usage = {"key revoke", "ID", "Ends a key, from the next request on.",
                                   options,      1,    1};
    struct sm_api_keys *keys = NULL;
    struct sm_err err = {0};
    char **operands;
    int done = sm_usage_read(&operands, &usage, argc, argv);
    if (done >= 0)
        return done;
    enum sm_code code = open_keys(&keys, db, false, &err);
    if (code == SM_OK)
        code = sm_api_keys_revoke(keys, operands[0], &err);
    sm_api_keys_close(keys);
    if (code == SM_OK)
        fprintf(stderr, "key %s is revoked\n", sm_shown(operands[0]));
    return finish("key revoke", code, &err);
}

static int rotate(int argc, char **argv)
{
    const char *db = NULL, *overlap = NULL, *expires = NULL;
    const struct sm_option options[] = {
        {"db", "FILE", "database of the service", &db, .required = true},
        {"overlap", "TIME", "how long the old secret stays good; 1d (default), 0s", &overlap},
        {"expires", "TIME", "a new end of the key, from now; default: as it is", &expires},
        {0},
    };
    const struct sm_usage usage = {"key rotate",
                                   "ID",
                                   "Gives a key a new secret and prints its token, once and never "
                                   "again. The old secret\nis good for the overlap; one before it "
                                   "ends now.",
                                   options,
                                   1,
                                   1};
    int64_t overlap_ms = 0, expires_ms = 0;
    struct sm_api_keys *keys = NULL;
    struct sm_token token;
    struct sm_err err = {0};
    char **operands;
    int done = sm_usage_read(&operands, &usage, argc, argv);
    if (done >= 0)
        return done;
    enum sm_code code =
        read_duration(&overlap_ms, "overlap", overlap ? overlap : OVERLAP_DEFAULT, &err);
    if (code == SM_OK && expires)
        code = read_expiry(&expires_ms, expires, &err);
    if (code == SM_OK)
        code = open_keys(&keys, db, false, &err);
    if (code == SM_OK)
        code = sm_api_keys_rotate(&token, keys, operands[0], sm_clock_unix_ms() + overlap_ms,
                                  expires_ms, &err);
    sm_api_keys_close(keys);
    if (code == SM_OK) {
        puts(token.text);
        fprintf(stderr, "key %s has a new secret; the token is shown this once\n",
                sm_shown(operands[0]));
        sm_token_forget(&token);
    }
    return finish("key rotate", code, &err);
}

int sm_cmd_key(int argc, char **argv)
{
    static const struct sm_verb verbs[] = {
        {"create", create, "make a key"},
        {"list", list, "say which there are"},
        {"revoke", revoke, "end a key"},
        {"rotate", rotate, "give a key a new secret"},
        {0},
    };
    return sm_verbs_run("key", "--db FILE",
                        "Keys of clients, in the database of a service, which may run meanwhile.",
                        verbs, argc, argv);
}
