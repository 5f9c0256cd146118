/* `sslmem audit unlearn`: judges from two finished audits whether an encoder has forgotten the
 * candidates. The server judges its own audits, because only it knows their images; local audits
 * are judged from their databases. Nothing is scored again. */
#include <stdlib.h>
#include <string.h>

#include "core/base/escape.h"
#include "core/base/json.h"
#include "server/base/digest_key.h"
#include "server/base/id.h"
#include "server/cmd/audit.h"
#include "server/cmd/audit_client.h"
#include "sslmem/unlearning.h"

enum { BEFORE, AFTER, SIDES };

struct unlearn {
    const char *of[SIDES]; /* folders, or ids with --server */
    const char *out, *server, *key_file, *ca_file, *digest_key_path;
    bool names, quiet;
    json_t *request; /* "delta" and "gates", as the API takes them */
    json_t *document;
};

/* --- the reports --- */

static enum sm_code write_document(FILE *file, void *arg, struct sm_err *err)
{
    const struct unlearn *u = arg;
    char *text = sm_json_text(u->document, JSON_COMPACT);
    if (!text)
        return sm_err_set(err, SM_NOMEM, "report.json: out of memory");
    fprintf(file, "%s\n", text);
    free(text);
    return SM_OK;
}

static enum sm_code write_page(FILE *file, void *arg, struct sm_err *err)
{
    return sm_unlearning_write_html(file, arg, err);
}

static enum sm_code write_table(FILE *file, void *arg, struct sm_err *err)
{
    return sm_unlearning_write_csv(file, arg, err);
}

/* Claims the folder; refuses one that holds an audit, whose reports would be overwritten. */
static enum sm_code claim_out(const char *out, struct sm_err *err)
{
    struct sm_err unread = {0};
    char id[SM_ID_BYTES] = "";
    enum sm_code code = sm_cmd_audit_claim_out(out, err);
    if (code != SM_OK)
        return code;
    code = sm_cmd_audit_state_read(id, NULL, out, SM_AUDIT_STATE, NULL, &unread);
    if (code != SM_OK || id[0])
        return sm_err_set(err, SM_CONFLICT,
                          "--out %.160s: the audit there has reports of its own; give another "
                          "folder",
                          out);
    return SM_OK;
}

/* --- here --- */

static enum sm_code write_here(struct unlearn *u, struct sm_unlearning *made, struct sm_err *err)
{
    enum sm_code code = claim_out(u->out, err);
    if (code == SM_OK)
        code = sm_cmd_audit_write(u->out, "report.json", write_document, u, err);
    if (code == SM_OK)
        code = sm_cmd_audit_write(u->out, "report.csv", write_table, made, err);
    if (code == SM_OK)
        code = sm_cmd_audit_write(u->out, "report.html", write_page, made, err);
    return code;
}

static enum sm_code unlearn_opened(struct unlearn *u, struct sm_cmd_audit_opened *const *opened,
                                   struct sm_err *err)
{
    struct sm_audit *after = sm_cmd_audit_of(opened[AFTER]);
    struct sm_unlearning_spec spec;
    struct sm_unlearning *made = NULL;
    uint8_t key[32];
    enum sm_code code = sm_unlearning_spec_parse(&spec, u->request, err);
    if (code == SM_OK && u->digest_key_path) {
        code = sm_digest_key_read(key, u->digest_key_path, err);
        after->digest_key = key;
    }
    after->with_names = u->names;
    if (code == SM_OK)
        code = sm_unlearning_make(&made, sm_cmd_audit_of(opened[BEFORE]), after, &spec, err);
    if (code == SM_OK)
        u->document = json_incref((json_t *)(uintptr_t)sm_unlearning_json(made));
    if (code == SM_OK && u->out)
        code = write_here(u, made, err);
    sm_unlearning_free(made);
    return code;
}

static enum sm_code unlearn_here(struct unlearn *u, struct sm_err *err)
{
    struct sm_cmd_audit_opened *opened[SIDES] = {0};
    enum sm_code code = SM_OK;
    for (int i = 0; i < SIDES && code == SM_OK; i++)
        code = sm_cmd_audit_open(&opened[i], u->of[i], err);
    if (code == SM_OK)
        code = unlearn_opened(u, opened, err);
    for (int i = 0; i < SIDES; i++)
        sm_cmd_audit_close(opened[i]);
    return code;
}

/* --- at a server --- */

struct fetch {
    struct sm_client *client;
    const char *format, *text;
    bool names;
};

static enum sm_code fetch(FILE *file, void *arg, struct sm_err *err)
{
    const struct fetch *f = arg;
    char path[80];
    snprintf(path, sizeof path, "/v1/unlearnings?format=%s&names=%s", f->format,
             f->names ? "true" : "false");
    return sm_client_send(NULL, f->client,
                          &(struct sm_client_call){.method = "POST",
                                                   .path = path,
                                                   .media_type = "application/json",
                                                   .text = f->text,
                                                   .into = file},
                          err);
}

static enum sm_code write_there(struct unlearn *u, struct fetch *f, struct sm_err *err)
{
    enum sm_code code = claim_out(u->out, err);
    if (code == SM_OK)
        code = sm_cmd_audit_write(u->out, "report.json", write_document, u, err);
    f->format = "csv";
    if (code == SM_OK)
        code = sm_cmd_audit_write(u->out, "report.csv", fetch, f, err);
    f->format = "html";
    if (code == SM_OK)
        code = sm_cmd_audit_write(u->out, "report.html", fetch, f, err);
    return code;
}

static enum sm_code unlearn_there(struct unlearn *u, const char *server, const char *const *ids,
                                  struct sm_err *err)
{
    struct fetch f = {.names = u->names};
    struct sm_client *client = NULL;
    char path[80];
    if (u->digest_key_path)
        return sm_err_set(err, SM_INVALID,
                          "the audits are at %.80s: --digest-key is for audits of this machine",
                          server);
    json_object_set_new(u->request, "before", json_string(ids[BEFORE]));
    json_object_set_new(u->request, "after", json_string(ids[AFTER]));
    char *text = sm_json_text(u->request, JSON_COMPACT);
    enum sm_code code = text ? sm_client_open(&client, server, u->key_file, u->ca_file, err)
                             : sm_err_set(err, SM_NOMEM, "unlearning: out of memory");
    snprintf(path, sizeof path, "/v1/unlearnings?names=%s", u->names ? "true" : "false");
    if (code == SM_OK)
        code = sm_client_json(
            &u->document, client,
            &(struct sm_client_call){
                .method = "POST", .path = path, .media_type = "application/json", .text = text},
            err);
    f.client = client;
    f.text = text;
    if (code == SM_OK && u->out)
        code = write_there(u, &f, err);
    sm_client_close(client);
    free(text);
    return code;
}

/* Judges audits of folders: at the server that made them, or here. */
static enum sm_code unlearn_folders(struct unlearn *u, struct sm_err *err)
{
    char ids[SIDES][SM_ID_BYTES], *servers[SIDES] = {0};
    enum sm_code code = SM_OK;
    for (int i = 0; i < SIDES && code == SM_OK; i++)
        code = sm_cmd_audit_read_server(&servers[i], ids[i], u->of[i], err);
    if (code == SM_OK && strcmp(servers[BEFORE], servers[AFTER]) != 0)
        code = sm_err_set(err, SM_INVALID, "%.80s and %.80s were not made in the same place",
                          u->of[BEFORE], u->of[AFTER]);
    if (code == SM_OK && strcmp(ids[BEFORE], ids[AFTER]) == 0)
        code = sm_err_set(err, SM_INVALID,
                          "%.70s and %.70s are the same audit (%s): give that of f and that of u",
                          u->of[BEFORE], u->of[AFTER], ids[BEFORE]);
    if (code == SM_OK)
        code = servers[BEFORE][0]
                   ? unlearn_there(u, servers[BEFORE],
                                   (const char *const[]){ids[BEFORE], ids[AFTER]}, err)
                   : unlearn_here(u, err);
    free(servers[BEFORE]);
    free(servers[AFTER]);
    return code;
}

/* --- the command --- */

static const json_t *part_of(const json_t *document, const char *part, const char *key)
{
    return json_object_get(json_object_get(document, part), key);
}

static const char *figure(char out[32], const json_t *number, double scale)
{
    if (json_is_number(number))
        snprintf(out, 32, "%.3g", scale * json_number_value(number));
    else
        snprintf(out, 32, "undefined");
    return out;
}

/* Prints "name VALUE UNIT, 95 % interval LOW to HIGH". */
static void say_number(const json_t *document, const char *name, const char *part,
                       const char *value, double scale, const char *unit)
{
    char text[3][32];
    const json_t *low = part_of(document, part, "low"), *high = part_of(document, part, "high");
    printf("%-17s %s%s", name, figure(text[0], part_of(document, part, value), scale), unit);
    if (json_is_number(low))
        printf(", 95 %% interval %s to %s%s", figure(text[1], low, scale),
               figure(text[2], high, scale), unit);
    putchar('\n');
}

static void say_numbers(const json_t *document)
{
    printf("%-17s %lld, and %lld externals\n", "forget images",
           (long long)json_integer_value(part_of(document, "forget", "scored")),
           (long long)json_integer_value(part_of(document, "externals", "scored")));
    say_number(document, "mean before", "before", "mean", 1, "");
    say_number(document, "mean residual", "residual", "mean", 1, "");
    say_number(document, "forgotten share", "forgotten_share", "value", 100, " %");
    say_number(document, "AUC from 0.5 by", "auc_deviation", "value", 1, "");
    printf("%-17s %lld\n", "named images",
           (long long)json_integer_value(part_of(document, "named", "count")));
}

/* Prints the verdict first, then what it rests on. Returns the exit code. */
static int say(const struct unlearn *u)
{
    const json_t *document = u->document, *reason;
    const json_t *gates = json_object_get(document, "gates");
    bool complete = true;
    size_t i;
    if (!u->quiet)
        puts(sm_shown(json_string_value(json_object_get(document, "words"))));
    for (int k = 0; k < SIDES; k++)
        complete &= sm_cmd_audit_say_incomplete(
            stdout, k == BEFORE ? "BEFORE: " : "AFTER: ",
            json_object_get(part_of(document, "audits", k == BEFORE ? "before" : "after"),
                            "completeness"));
    json_array_foreach(json_object_get(document, "reasons"), i, reason)
    {
        if (!u->quiet)
            printf("- %s\n", sm_shown(json_string_value(json_object_get(reason, "text"))));
    }
    if (!u->quiet)
        say_numbers(document);
    sm_cmd_audit_say_gates(document, u->quiet);
    if (!u->quiet && u->out)
        printf("report: %s/report.html, report.json, report.csv\n", sm_shown(u->out));
    if (!complete)
        return SM_EXIT_INCOMPLETE;
    return json_array_size(gates) == 0 || json_is_true(json_object_get(document, "passed"))
               ? SM_EXIT_OK
               : SM_EXIT_GATE;
}

/* Reads --delta and --gate as the API does, before anything is opened. */
static enum sm_code read_request(struct unlearn *u, const char *delta, const char *const *gates,
                                 struct sm_err *err)
{
    struct sm_unlearning_spec parsed;
    json_t *list = json_array();
    char *end = NULL;
    for (int i = 0; i < SM_AUDIT_GATES_MAX && gates[i]; i++)
        if (json_array_append_new(list, json_string(gates[i])) != 0)
            return sm_err_set(err, SM_INVALID, "a gate is not UTF-8");
    u->request = json_pack("{s:o}", "gates", list);
    double value = delta ? strtod(delta, &end) : 0;
    if (delta &&
        (*delta == '\0' || *end || json_object_set_new(u->request, "delta", json_real(value)) != 0))
        return sm_err_set(err, SM_INVALID,
                          "--delta %.40s is no number; it is in the unit of m, as 0.002", delta);
    return sm_unlearning_spec_parse(&parsed, u->request, err);
}

static int run(struct unlearn *u)
{
    struct sm_err err = {0};
    sm_stop_watch();
    enum sm_code code =
        u->server ? unlearn_there(u, u->server, u->of, &err) : unlearn_folders(u, &err);
    return code == SM_OK ? say(u) : sm_fail("audit unlearn", &err);
}

static const char summary[] =
    "Judges whether u, made from f to forget the candidates, has forgotten them: forgotten, not\n"
    "shown, still memorized or overshot. BEFORE and AFTER are finished audits of the pairs (f, g)\n"
    "and (u, g): the same images, recipe and g. They are folders; ids with --server.";

int sm_cmd_audit_unlearn(int argc, char **argv)
{
    const char *gates[SM_AUDIT_GATES_MAX] = {0}, *delta = NULL, *names = NULL, *quiet = NULL;
    struct unlearn u = {0};
    const struct sm_option options[] = {
        {"out", "DIR", "folder for report.html, report.json and report.csv", &u.out},
        {"delta", "D", "mean residual that counts as none (default: 10 % of the mean before)",
         &delta},
        {"gate", "'equivalent>=1'", "or 'residual_auc_dev<=0.1'; may be repeated", gates,
         .times_max = SM_AUDIT_GATES_MAX},
        {"names", NULL, "file names in the reports", &names},
        {"digest-key", "FILE", "64 hex digits, for reports to agree on images; default: AFTER's",
         &u.digest_key_path},
        {"server", "URL", "the audits are there, by their ids", &u.server},
        {"key-file", "FILE", "key for their server; default: the variable SSLMEM_KEY, or none",
         &u.key_file},
        SM_CA_OPTION(u.ca_file),
        {"quiet", NULL, "only gates that fail", &quiet},
        {0},
    };
    const struct sm_usage usage = {"audit unlearn",
                                   "BEFORE AFTER",
                                   summary,
                                   options,
                                   SIDES,
                                   SIDES,
                                   ", 3 a gate fails, 4 an audit is partial: none is judged"};
    char **operands;
    struct sm_err err = {0};
    int result = sm_usage_read(&operands, &usage, argc, argv);
    if (result >= 0)
        return result;
    u.of[BEFORE] = operands[BEFORE];
    u.of[AFTER] = operands[AFTER];
    u.names = names != NULL;
    u.quiet = quiet != NULL;
    if (read_request(&u, delta, gates, &err) == SM_OK) {
        result = run(&u);
    } else {
        sm_fail("audit unlearn", &err);
        result = SM_EXIT_USAGE;
    }
    json_decref(u.request);
    json_decref(u.document);
    return result;
}
