/* `sslmem audit judge`: judges other gates on the scores of a finished audit. The server judges its
 * own audits. Nothing is scored again, and the audit keeps the gates that it was started with. With
 * --report the reports are written again with both, and say which gates were set afterwards. */
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "server/base/clock.h"
#include "server/base/digest_key.h"
#include "server/cmd/audit.h"
#include "server/cmd/audit_client.h"

struct judging {
    const char *folder, *key_file, *ca_file, *digest_key_path;
    json_t *gates; /* array of texts such as "auc<=0.6" */
    bool writes_report;
};

/* --- here --- */

static const char *text_of(const json_t *node, const char *key)
{
    const char *text = json_string_value(json_object_get(node, key));
    return text ? text : "";
}

/* Makes the new reports name images as OUT/report.json does: with file names only if it has them.
 * Returns SM_CONFLICT if it names images under another digest key. */
static enum sm_code keep_names(struct sm_audit *audit, const char *folder, struct sm_err *err)
{
    json_t *report = NULL;
    char image[65];
    enum sm_code code = sm_cmd_audit_read_report(&report, folder, err);
    const json_t *first = json_array_get(json_object_get(report, "items"), 0);
    if (code == SM_NOT_FOUND)
        return SM_OK;
    audit->with_names = json_object_get(first, "name") != NULL;
    for (size_t i = 0; first && code == SM_OK && i < audit->items_count; i++) {
        if (audit->items[i].index != json_integer_value(json_object_get(first, "index")))
            continue;
        sm_audit_image_name(image, audit, &audit->items[i]);
        if (strcmp(image, text_of(first, "image")) != 0)
            code = sm_err_set(err, SM_CONFLICT,
                              "%.100s/report.json names images under another digest key: give the "
                              "--digest-key of the audit",
                              folder);
    }
    json_decref(report);
    return code;
}

/* Adds the time to the report's `run` object, which holds everything that differs between two
 * reports of the same audit. */
static enum sm_code note_time(const struct sm_audit *audit, struct sm_err *err)
{
    char now[32];
    sm_time_format(now, sm_clock_unix_ms());
    return json_object_set_new((json_t *)(uintptr_t)audit->run, "judged", json_string(now)) == 0
               ? SM_OK
               : sm_err_set(err, SM_NOMEM, "report: out of memory");
}

static enum sm_code write_report(struct sm_cmd_audit_opened *opened, const struct judging *j,
                                 const struct sm_audit_spec *judged, struct sm_err *err)
{
    struct sm_audit *audit = sm_cmd_audit_of(opened);
    struct sm_audit_result *result = NULL;
    struct sm_cmd_audit_places places = {0};
    enum sm_code code = keep_names(audit, j->folder, err);
    if (code == SM_OK)
        code = sm_cmd_audit_places_read(&places, j->folder, err);
    if (places.count > 0) /* 0: an earlier version made the folder */
        audit->places = places.options;
    if (code == SM_OK)
        code = note_time(audit, err);
    audit->judged = judged;
    if (code == SM_OK)
        code = sm_audit_evaluate(&result, audit, err);
    if (code == SM_OK)
        code =
            sm_cmd_audit_write_reports(j->folder, opened->store, &opened->id, audit, result, err);
    sm_audit_result_free(result);
    sm_cmd_audit_places_release(&places);
    audit->judged = NULL;
    audit->places = NULL;
    return code;
}

static enum sm_code judge_opened(json_t **summary, struct sm_cmd_audit_opened *opened,
                                 const struct judging *j, struct sm_err *err)
{
    struct sm_audit *audit = sm_cmd_audit_of(opened);
    struct sm_audit_spec judged = *audit->spec;
    struct sm_audit_result *result = NULL;
    json_t *answer = NULL;
    uint8_t key[32];
    enum sm_code code = sm_audit_gates_parse(&judged, j->gates, err);
    if (code == SM_OK && j->digest_key_path) {
        code = sm_digest_key_read(key, j->digest_key_path, err);
        audit->digest_key = key;
    }
    if (code == SM_OK)
        code = sm_audit_evaluate(&result, audit, err);
    if (code == SM_OK)
        code = sm_audit_judge(&answer, result, &judged, err);
    if (code == SM_OK && j->writes_report)
        code = write_report(opened, j, &judged, err);
    if (code == SM_OK) {
        *summary = json_copy((json_t *)(uintptr_t)sm_audit_result_json(result));
        if (!*summary || json_object_update(*summary, answer) != 0)
            code = sm_err_set(err, SM_NOMEM, "gates: out of memory");
    }
    json_decref(answer);
    sm_audit_result_free(result);
    return code;
}

static enum sm_code judge_here(json_t **summary, json_t **audit, const struct judging *j,
                               struct sm_err *err)
{
    struct sm_cmd_audit_opened *opened = NULL;
    enum sm_code code = sm_cmd_audit_open(&opened, j->folder, err);
    if (code == SM_OK)
        code = judge_opened(summary, opened, j, err);
    if (code == SM_OK)
        *audit = json_incref(opened->document);
    sm_cmd_audit_close(opened);
    return code;
}

/* --- at a server --- */

static enum sm_code post_gates(json_t **answer, struct sm_client *client, const char *id,
                               const struct judging *j, struct sm_err *err)
{
    char path[128];
    json_t *body = json_pack("{s:O}", "gates", j->gates);
    char *text = sm_json_text(body, JSON_COMPACT);
    snprintf(path, sizeof path, "/v1/audits/%s/gates", id);
    enum sm_code code =
        text
            ? sm_client_json(answer, client,
                             &(struct sm_client_call){.method = "POST", .path = path, .text = text},
                             err)
            : sm_err_set(err, SM_NOMEM, "gates: out of memory");
    free(text);
    json_decref(body);
    return code;
}

/* Lets the server judge the gates. The other numbers of the summary come from OUT/report.json,
 * which was fetched when the audit ended. */
static enum sm_code judge_there(json_t **summary, json_t **audit, const char *server,
                                const char *id, const struct judging *j, struct sm_err *err)
{
    struct sm_client *client = NULL;
    struct sm_err unread = {0};
    json_t *report = NULL, *answer = NULL;
    char path[128];
    if (j->writes_report || j->digest_key_path)
        return sm_err_set(
            err, SM_INVALID,
            "the audit of %.80s is at %.80s: --report and --digest-key are for audits "
            "of this machine",
            j->folder, server);
    snprintf(path, sizeof path, "/v1/audits/%s", id);
    enum sm_code code = sm_client_open(&client, server, j->key_file, j->ca_file, err);
    if (code == SM_OK)
        code = sm_client_json(audit, client, &(struct sm_client_call){.path = path}, err);
    if (code == SM_OK)
        code = post_gates(&answer, client, id, j, err);
    if (code == SM_OK) {
        sm_cmd_audit_read_report(&report, j->folder, &unread);
        json_t *fetched = json_object_get(report, "summary");
        *summary = fetched ? json_copy(fetched) : json_object();
        if (!*summary || json_object_update(*summary, answer) != 0)
            code = sm_err_set(err, SM_NOMEM, "gates: out of memory");
    }
    sm_client_close(client);
    json_decref(report);
    json_decref(answer);
    return code;
}

/* --- the command --- */

/* Checks the gates before anything is opened, with the error texts of `sslmem audit`. */
static enum sm_code read_gates(json_t **out, const char *const *gates, struct sm_err *err)
{
    struct sm_audit_spec parsed;
    *out = json_array();
    for (int i = 0; i < SM_AUDIT_GATES_MAX && gates[i]; i++)
        if (json_array_append_new(*out, json_string(gates[i])) != 0)
            return sm_err_set(err, SM_INVALID, "a gate is not UTF-8");
    return sm_audit_gates_parse(&parsed, *out, err);
}

static int judge(const struct judging *j, bool quiet)
{
    struct sm_cmd_audit_plan said = {.quiet = quiet, .out = j->writes_report ? j->folder : NULL};
    struct sm_err err = {0};
    char id[SM_ID_BYTES], *server = NULL;
    json_t *summary = NULL, *audit = NULL;
    enum sm_code code = sm_cmd_audit_read_server(&server, id, j->folder, &err);
    sm_stop_watch();
    if (code == SM_OK && *server)
        code = judge_there(&summary, &audit, server, id, j, &err);
    else if (code == SM_OK)
        code = judge_here(&summary, &audit, j, &err);
    int result = code == SM_OK ? sm_cmd_audit_say_result(&said, summary, audit)
                               : sm_fail("audit judge", &err);
    free(server);
    json_decref(summary);
    json_decref(audit);
    return result;
}

int sm_cmd_audit_judge(int argc, char **argv)
{
    const char *gates[SM_AUDIT_GATES_MAX] = {0}, *report = NULL, *quiet = NULL;
    struct judging j = {0};
    const struct sm_option options[] = {
        {"gate", "'auc<=0.6'", "a number of the result and its limit; may be repeated", gates,
         .required = true, .times_max = SM_AUDIT_GATES_MAX},
        {"report", NULL, "write the reports again: these gates beside the audit's own", &report},
        {"digest-key", "FILE", "64 hex digits: as in the audit", &j.digest_key_path},
        {"key-file", "FILE", "key for its server; default: the variable SSLMEM_KEY, or none",
         &j.key_file},
        SM_CA_OPTION(j.ca_file),
        {"quiet", NULL, "only flags and gates that fail", &quiet},
        {0},
    };
    const struct sm_usage usage = {"audit judge",
                                   "OUT",
                                   "Judges gates on the stored scores of a finished audit. The "
                                   "gates that the audit was started\n"
                                   "with stay, and so does their verdict.",
                                   options,
                                   1,
                                   1,
                                   ", 3 a gate fails, 4 partial or cancelled: none is judged"};
    char **folders;
    struct sm_err err = {0};
    int result = sm_usage_read(&folders, &usage, argc, argv);
    if (result >= 0)
        return result;
    j.folder = folders[0];
    j.writes_report = report != NULL;
    if (read_gates(&j.gates, gates, &err) == SM_OK) {
        result = judge(&j, quiet != NULL);
    } else {
        sm_fail("audit judge", &err);
        result = SM_EXIT_USAGE;
    }
    json_decref(j.gates);
    return result;
}
