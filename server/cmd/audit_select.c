/* `sslmem audit select`: prints a list of the images to leave out of training. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/escape.h"
#include "server/base/digest_key.h"
#include "server/cmd/audit.h"
#include "server/cmd/audit_client.h"
#include "sslmem/selection.h"

/* Texts of the options; NULL: not given. */
struct given {
    const char *measures[4]; /* indexed by enum sm_selection_kind */
    const char *by, *seed, *format, *names, *digest_key, *key_file, *ca_file;
    FILE *out; /* receives the list */
};

/* Indexed by enum sm_selection_kind; `query` is the API's parameter for the measure. */
static const struct kind {
    const char *name, *query;
} kinds[] = {[SM_SELECT_TOP] = {"top", "n"},
             [SM_SELECT_SHARE] = {"share", "share"},
             [SM_SELECT_FDR] = {"fdr", "q"},
             [SM_SELECT_RANDOM] = {"random", "n"}};
static const char *const orders[] = {"shrunken", "raw"};       /* enum sm_select_by */
static const char *const formats[] = {"text", "csv", "jsonl"}; /* enum sm_list_format */

static int wrong(const char *option, const char *text, const char *expected)
{
    fprintf(stderr, "sslmem audit select: --%s is %s, must be %s\n", option, sm_shown(text),
            expected);
    return SM_EXIT_USAGE;
}

static bool read_count(uint64_t *out, const char *text)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

/* Reads the selection, of which exactly one kind must be given. Returns -1, or the exit code. */
static int read_selection(struct sm_selection *out, const struct given *given)
{
    int kind = -1, given_count = 0;
    uint64_t count;
    char *end;
    for (int i = 0; i < 4; i++)
        if (given->measures[i]) {
            kind = i;
            given_count++;
        }
    if (given_count != 1) {
        fprintf(stderr, "sslmem audit select: one of --top, --share, --fdr and --random, not %d\n",
                given_count);
        return SM_EXIT_USAGE;
    }
    const char *text = given->measures[kind];
    out->kind = (enum sm_selection_kind)kind;
    if (out->kind == SM_SELECT_TOP || out->kind == SM_SELECT_RANDOM) {
        if (!read_count(&count, text) || count < 1 || count > INT32_MAX)
            return wrong(kinds[kind].name, text, "a number from 1 to 2147483647");
        out->count = (int64_t)count;
    } else {
        double value = strspn(text, "0123456789.eE-") == strlen(text) ? strtod(text, &end) : NAN;
        if (!*text || !isfinite(value) || *end != '\0')
            return wrong(kinds[kind].name, text, "a number");
        out->share = out->q = value;
    }
    if (given->by && out->kind == SM_SELECT_RANDOM)
        return wrong("by", given->by, "left out: the control is drawn at random");
    while (given->by && out->by <= SM_BY_RAW && strcmp(given->by, orders[out->by]) != 0)
        out->by++;
    if (out->by > SM_BY_RAW)
        return wrong("by", given->by, "shrunken or raw");
    if (given->seed && !read_count(&out->seed, given->seed))
        return wrong("seed", given->seed, "a number from 0 to 18446744073709551615");
    return -1;
}

/* Prints to standard error if the audit is incomplete: a list of names has no place for a note. */
static void say_incomplete(const char *folder, const struct sm_completeness *completeness)
{
    char whose[256];
    json_t *node = sm_completeness_json(completeness);
    snprintf(whose, sizeof whose, "sslmem audit select: %.200s: ", folder);
    sm_cmd_audit_say_incomplete(stderr, whose, node);
    json_decref(node);
}

static enum sm_code select_here(const char *folder, const struct given *given,
                                struct sm_selection *selection, enum sm_list_format format,
                                struct sm_err *err)
{
    struct sm_cmd_audit_opened *opened = NULL;
    struct sm_audit_result *result = NULL;
    uint8_t key[32];
    enum sm_code code = sm_cmd_audit_open(&opened, folder, err);
    if (code != SM_OK)
        return code;
    struct sm_audit *audit = sm_cmd_audit_of(opened);
    audit->with_names = given->names != NULL;
    if (!given->seed)
        selection->seed = audit->spec->seed;
    if (given->digest_key && (code = sm_digest_key_read(key, given->digest_key, err)) == SM_OK)
        audit->digest_key = key;
    if (code == SM_OK)
        code = sm_audit_evaluate(&result, audit, err);
    if (code == SM_OK)
        code = sm_audit_write_selection(given->out, audit, result, selection, format, err);
    if (code == SM_OK)
        say_incomplete(folder, &audit->completeness);
    sm_audit_result_free(result);
    sm_cmd_audit_close(opened);
    return code;
}

static enum sm_code select_there(const char *folder, const char *server, const char *id,
                                 const struct given *given, const struct sm_selection *selection,
                                 enum sm_list_format format, struct sm_err *err)
{
    const struct kind *kind = &kinds[selection->kind];
    struct sm_client *client = NULL;
    struct sm_client_answer answer;
    char path[256];
    snprintf(path, sizeof path, "/v1/audits/%s/selection?kind=%s&%s=%s&format=%s%s%s%s%s%s", id,
             kind->name, kind->query, given->measures[selection->kind], formats[format],
             given->by ? "&by=" : "", given->by ? given->by : "", given->names ? "&names=true" : "",
             given->seed ? "&seed=" : "", given->seed ? given->seed : "");
    enum sm_code code = sm_client_open(&client, server, given->key_file, given->ca_file, err);
    if (code == SM_OK)
        code = sm_client_send(&answer, client,
                              &(struct sm_client_call){.path = path, .into = given->out}, err);
    if (code == SM_OK) {
        say_incomplete(folder, &answer.completeness);
        free(answer.text);
    }
    sm_client_close(client);
    return code;
}

static enum sm_code select_images(const char *folder, const struct given *given,
                                  struct sm_selection *selection, enum sm_list_format format,
                                  struct sm_err *err)
{
    char id[SM_ID_BYTES];
    json_t *state = NULL;
    enum sm_code code = sm_cmd_audit_state_read(id, &state, folder, SM_AUDIT_STATE, NULL, err);
    const char *server =
        json_string_value(json_object_get(json_object_get(state, "inputs"), "server"));
    if (code == SM_OK && server && *server)
        code = select_there(folder, server, id, given, selection, format, err);
    else if (code == SM_OK)
        code = select_here(folder, given, selection, format, err);
    if (code == SM_OK && (fflush(given->out) != 0 || ferror(given->out)))
        code = sm_err_set(err, SM_IO, "standard output: %s", strerror(errno));
    json_decref(state);
    return code;
}

/* Prints lines for a terminal, escaped: a name may hold any byte but a line break. */
static void show_lines(char *text)
{
    char *rest;
    for (char *line = strtok_r(text, "\r\n", &rest); line; line = strtok_r(NULL, "\r\n", &rest))
        puts(sm_shown(line));
}

/* Prints the list: escaped on a terminal, unchanged byte for byte into a file or pipe. */
static enum sm_code select_to_stdout(const char *folder, struct given *given,
                                     struct sm_selection *selection, enum sm_list_format format,
                                     struct sm_err *err)
{
    char *text = NULL;
    size_t text_bytes = 0;
    bool terminal = isatty(STDOUT_FILENO);
    given->out = terminal ? open_memstream(&text, &text_bytes) : stdout;
    if (!given->out)
        return sm_err_set(err, SM_NOMEM, "no memory for the list");
    enum sm_code code = select_images(folder, given, selection, format, err);
    if (!terminal)
        return code;
    if (fclose(given->out) != 0 && code == SM_OK)
        code = sm_err_set(err, SM_NOMEM, "no memory for the list");
    if (code == SM_OK)
        show_lines(text);
    free(text);
    return code;
}

int sm_cmd_audit_select(int argc, char **argv)
{
    struct given given = {0};
    struct sm_selection selection = {0};
    const struct sm_option options[] = {
        {"top", "N", "the N highest candidates", &given.measures[SM_SELECT_TOP]},
        {"share", "S", "the highest share of the candidates", &given.measures[SM_SELECT_SHARE]},
        {"fdr", "Q", "those memorized at that false discovery rate",
         &given.measures[SM_SELECT_FDR]},
        {"random", "N", "N candidates at random: the control", &given.measures[SM_SELECT_RANDOM]},
        {"by", "ORDER",
         "shrunken (default): scores drawn to the mean by their noise; raw: as measured",
         &given.by},
        {"seed", "N", "of the control; default: the audit's", &given.seed},
        {"format", "F", "text (default), csv or jsonl", &given.format},
        {"names", NULL, "file names, not the audit's own numbers", &given.names},
        {"digest-key", "FILE", "64 hex digits: as in the audit", &given.digest_key},
        {"key-file", "FILE", "key for its server; default: the variable SSLMEM_KEY, or none",
         &given.key_file},
        SM_CA_OPTION(given.ca_file),
        {0},
    };
    const struct sm_usage usage = {"audit select",
                                   "OUT",
                                   "Lists candidates of a finished audit, to train without them.",
                                   options,
                                   1,
                                   1,
                                   NULL};
    char **folders;
    int format = 0;
    struct sm_err err = {0};
    int result = sm_usage_read(&folders, &usage, argc, argv);
    if (result < 0)
        result = read_selection(&selection, &given);
    if (result >= 0)
        return result;
    while (given.format && format < 3 && strcmp(given.format, formats[format]) != 0)
        format++;
    if (format == 3)
        return wrong("format", given.format, "text, csv or jsonl");
    sm_stop_watch();
    enum sm_code code =
        select_to_stdout(folders[0], &given, &selection, (enum sm_list_format)format, &err);
    if (code == SM_OK)
        return SM_EXIT_OK;
    sm_fail("audit select", &err);
    return code == SM_INVALID ? SM_EXIT_USAGE : SM_EXIT_FAILED; /* measure out of its range */
}
