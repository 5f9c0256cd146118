/* Runs an audit on a server through its API: creates it, sends the images cohort by cohort as tar
 * archives, starts it, watches it by its ETag, and fetches the reports.
 *
 * OUT/upload.json names the audit while images are being sent. A command that finds this file
 * deletes that audit and begins again, because files may have changed since they were sent. A
 * failed upload is deleted from the server. Once audit.json is written, the server has all images
 * and runs the audit even if this command ends. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "server/cmd/audit.h"
#include "server/cmd/audit_client.h"
#include "server/cmd/audit_data.h"
#include "server/ingest/pack.h"

#define LOOK_MS    500
#define DEPTH_MAX  32
#define PATH_BYTES 256

struct remote {
    const struct sm_cmd_audit_plan *plan;
    struct sm_client *client;
    json_t *recipe; /* from --recipe; NULL: not given */
    json_t *inputs;
    char id[SM_ID_BYTES];
};

static const char *text_of(const json_t *node, const char *key)
{
    const char *text = json_string_value(json_object_get(node, key));
    return text ? text : "";
}

/* Reads the state of a document of the API. */
static enum sm_state state_of(const json_t *audit)
{
    return sm_state_parse(text_of(audit, "state"));
}

/* Writes "/v1/audits/{id}" followed by `tail`; returns `out`. */
static const char *path_of(char out[PATH_BYTES], const struct remote *r, const char *tail)
{
    snprintf(out, PATH_BYTES, "/v1/audits/%s%s", r->id, tail);
    return out;
}

static enum sm_code post(struct remote *r, const char *tail, struct sm_err *err)
{
    char path[PATH_BYTES];
    json_t *answer = NULL;
    enum sm_code code = sm_client_json(
        &answer, r->client,
        &(struct sm_client_call){.method = "POST", .path = path_of(path, r, tail)}, err);
    json_decref(answer);
    return code;
}

/* --- a new audit --- */

/* Deletes the audit of an interrupted upload from the server, then OUT/upload.json. */
static enum sm_code drop_upload(struct remote *r, struct sm_err *err)
{
    char path[PATH_BYTES];
    char *file = sm_cmd_audit_path(r->plan->out, SM_AUDIT_UPLOAD);
    enum sm_code code =
        sm_cmd_audit_state_read(r->id, NULL, r->plan->out, SM_AUDIT_UPLOAD, r->inputs, err);
    if (code == SM_OK && r->id[0] != '\0') {
        code = sm_client_send(
            NULL, r->client,
            &(struct sm_client_call){.method = "DELETE", .path = path_of(path, r, "")}, err);
        if (code == SM_NOT_FOUND)
            code = SM_OK;
    }
    if (code == SM_OK && file)
        unlink(file);
    free(file);
    return code;
}

static enum sm_code create(struct remote *r, struct sm_err *err)
{
    json_t *body = sm_audit_spec_json(&r->plan->spec), *audit = NULL;
    char *text = NULL;
    enum sm_code code = SM_OK;
    if (json_object_set_new(body, "pair", json_string(r->plan->pair)) != 0 ||
        (r->recipe && json_object_set(body, "recipe", r->recipe) != 0) ||
        !(text = sm_json_text(body, JSON_COMPACT)))
        code = sm_err_set(err, SM_INVALID, "the pair's name is not UTF-8");
    if (code == SM_OK)
        code = sm_client_json(
            &audit, r->client,
            &(struct sm_client_call){.method = "POST", .path = "/v1/audits", .text = text}, err);
    if (code == SM_OK) {
        snprintf(r->id, sizeof r->id, "%s", text_of(audit, "id"));
        code = sm_cmd_audit_state_write(r->plan->out, SM_AUDIT_UPLOAD, r->id, r->inputs, NULL, err);
    }
    free(text);
    json_decref(audit);
    json_decref(body);
    return code;
}

/* The upload of one cohort, and the sum of the reports that the server returns for its archives. */
struct sending {
    struct remote *remote;
    const char *tail, *media_type;
    json_t *total;
};

static void add_report(json_t *total, const json_t *report)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)report, key, value)
    {
        json_t *sum = json_object_get(total, key);
        if (json_is_integer(value))
            json_object_set_new(total, key,
                                json_integer(json_integer_value(sum) + json_integer_value(value)));
        else if (json_is_array(value) && sum)
            json_array_extend(sum, value);
        else if (json_is_object(value) && sum)
            add_report(sum, value);
        else
            json_object_set(total, key, value);
    }
}

static enum sm_code send_file(void *arg, FILE *file, struct sm_err *err)
{
    struct sending *s = arg;
    char path[PATH_BYTES];
    json_t *report = NULL;
    enum sm_code code =
        sm_client_json(&report, s->remote->client,
                       &(struct sm_client_call){.method = "POST",
                                                .path = path_of(path, s->remote, s->tail),
                                                .media_type = s->media_type,
                                                .file = file},
                       err);
    add_report(s->total, report);
    json_decref(report);
    return code;
}

/* Counts a file that could not be packed, in the form in which ingestion reports it. */
static void pass(void *arg, const char *name, const char *why)
{
    struct sending *s = arg;
    json_t *report =
        json_pack("{s:i, s:{s:i}, s:[{s:s, s:s, s:s}]}", "skipped_count", 1, "skipped_by_reason",
                  "unreadable", 1, "skipped", "name", name, "reason", "unreadable", "detail", why);
    add_report(s->total, report);
    json_decref(report);
}

static enum sm_code send_manifest(struct sending *s, const char *manifest, struct sm_err *err)
{
    FILE *file = fopen(manifest, "re");
    if (!file)
        return sm_err_set(err, SM_IO, "%.160s: %s", manifest, strerror(errno));
    enum sm_code code = send_file(s, file, err);
    fclose(file);
    return code;
}

/* Sends the dataset of `cohort`, or the manifest if it is -1. */
static enum sm_code send(struct remote *r, int cohort, struct sm_err *err)
{
    const struct sm_cmd_audit_plan *plan = r->plan;
    const char *what = cohort < 0 ? plan->manifest : plan->folders[cohort];
    char tail[64] = "/manifest";
    struct sending s = {.remote = r, .tail = tail, .media_type = "application/jsonl"};
    if (cohort >= 0) {
        snprintf(tail, sizeof tail, "/images?cohort=%s", sm_cohort_name((enum sm_cohort)cohort));
        s.media_type = "application/x-tar";
    }
    s.total = json_object();
    struct sm_pack_params packing = {
        .stop = &sm_stop_asked, .send = send_file, .pass = pass, .arg = &s};
    enum sm_code code =
        cohort < 0
            ? send_manifest(&s, what, err)
            : sm_cmd_audit_pack_data(&packing, what, sm_cohort_name((enum sm_cohort)cohort), err);
    if (code == SM_OK) {
        sm_cmd_audit_say_taken(plan, what, s.total);
        code = sm_cmd_audit_check_taken(what, s.total, err);
    }
    json_decref(s.total);
    return code;
}

static enum sm_code begin(struct remote *r, struct sm_err *err)
{
    struct sm_err ignored;
    enum sm_code code = drop_upload(r, err);
    if (code == SM_OK)
        code = create(r, err);
    if (code != SM_OK)
        return code;
    for (int i = 0; i < SM_COHORTS && code == SM_OK; i++)
        if (r->plan->folders[i])
            code = send(r, i, err);
    if (code == SM_OK && r->plan->manifest)
        code = send(r, -1, err);
    if (code == SM_OK)
        code = sm_cmd_audit_state_write(r->plan->out, SM_AUDIT_STATE, r->id, r->inputs, NULL, err);
    if (code != SM_OK) {
        drop_upload(r, &ignored); /* if that fails too, the next command does it */
        return code;
    }
    char *file = sm_cmd_audit_path(r->plan->out, SM_AUDIT_UPLOAD);
    if (file)
        unlink(file);
    free(file);
    return SM_OK;
}

/* --- to its end --- */

static enum sm_code look(json_t **audit, char etag[64], struct remote *r, struct sm_err *err)
{
    char path[PATH_BYTES];
    struct sm_client_answer answer;
    enum sm_code code =
        sm_client_send(&answer, r->client,
                       &(struct sm_client_call){.path = path_of(path, r, ""), .etag = etag}, err);
    if (code == SM_NOT_FOUND)
        return sm_err_set(err, code, "audit %s is not at %.80s any more: give another --out", r->id,
                          r->plan->server);
    if (code != SM_OK)
        return code;
    if (answer.status != 304) {
        json_decref(*audit);
        code = sm_json_parse(audit, answer.text, strlen(answer.text), strlen(answer.text),
                             DEPTH_MAX, err);
        snprintf(etag, 64, "%s", answer.etag);
    }
    free(answer.text);
    return code;
}

static enum sm_code watch(json_t **audit, struct remote *r, struct sm_err *err)
{
    struct sm_progress progress;
    char etag[64] = "";
    enum sm_code code = SM_OK;
    sm_progress_init(&progress, r->plan->quiet);
    while (code == SM_OK) {
        code = look(audit, etag, r, err);
        if (code == SM_OK)
            sm_progress_show(&progress, *audit);
        if (code == SM_OK && state_of(*audit) != SM_STATE_RUNNING)
            break;
        if (code == SM_OK)
            code = sm_stop_wait(LOOK_MS, err);
    }
    sm_progress_end(&progress);
    if (code == SM_OK && state_of(*audit) == SM_STATE_PAUSED)
        code = sm_err_set(err, SM_IO, "the server has paused audit %s%s%.140s", r->id,
                          *text_of(*audit, "reason") ? ": " : "", text_of(*audit, "reason"));
    return code;
}

/* Starts or resumes the audit, then watches it. SM_CONFLICT is no failure: an earlier start arrived
 * although its answer was lost. */
static enum sm_code run(json_t **audit, struct remote *r, struct sm_err *err)
{
    char etag[64] = "";
    enum sm_code code = look(audit, etag, r, err);
    if (code == SM_OK && state_of(*audit) == SM_STATE_OPEN)
        code = post(r, "/start", err);
    else if (code == SM_OK && state_of(*audit) == SM_STATE_PAUSED)
        code = post(r, "/resume", err);
    if (code == SM_CONFLICT)
        code = SM_OK;
    return code == SM_OK ? watch(audit, r, err) : code;
}

/* --- reports --- */

struct fetching {
    struct remote *remote;
    const char *name;
};

static enum sm_code fetch(FILE *file, void *arg, struct sm_err *err)
{
    const struct fetching *f = arg;
    char path[PATH_BYTES], tail[64];
    snprintf(tail, sizeof tail, "/%s?names=%s", f->name, f->remote->plan->names ? "true" : "false");
    return sm_client_send(
        NULL, f->remote->client,
        &(struct sm_client_call){.path = path_of(path, f->remote, tail), .into = file}, err);
}

/* Reads the summary out of OUT/report.json and, as a local audit does, writes OUT/recipe.json. */
static enum sm_code read_summary(json_t **summary, const char *out, struct sm_err *err)
{
    json_t *report = NULL;
    enum sm_code code = sm_cmd_audit_read_report(&report, out, err);
    if (code == SM_OK)
        code = sm_cmd_audit_write_recipe(out, json_object_get(report, "recipe"), err);
    if (code == SM_OK)
        *summary = json_incref(json_object_get(report, "summary"));
    json_decref(report);
    return code;
}

static enum sm_code report(json_t **summary, struct remote *r, struct sm_err *err)
{
    static const char *const names[] = {"report.json", "report.csv", "report.html"};
    enum sm_code code = SM_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names && code == SM_OK; i++)
        code =
            sm_cmd_audit_write(r->plan->out, names[i], fetch, &(struct fetching){r, names[i]}, err);
    return code == SM_OK ? read_summary(summary, r->plan->out, err) : code;
}

static enum sm_code add_inputs(struct remote *r, struct sm_err *err)
{
    enum sm_code code =
        r->plan->recipe_path ? sm_json_read_file(&r->recipe, r->plan->recipe_path, err) : SM_OK;
    if (code == SM_OK)
        code = sm_cmd_audit_inputs(&r->inputs, r->plan, err);
    if (code == SM_OK &&
        (json_object_set_new(r->inputs, "pair", json_string(r->plan->pair)) != 0 ||
         json_object_set_new(r->inputs, "recipe",
                             r->recipe ? json_incref(r->recipe) : json_null()) != 0))
        code = sm_err_set(err, SM_INVALID, "the pair's name is not UTF-8");
    return code;
}

enum sm_code sm_cmd_audit_remote(json_t **summary, json_t **audit,
                                 const struct sm_cmd_audit_plan *plan, struct sm_err *err)
{
    struct remote r = {.plan = plan};
    enum sm_code code = sm_cmd_audit_claim_out(plan->out, err);
    if (code == SM_OK)
        code = add_inputs(&r, err);
    if (code == SM_OK)
        code = sm_cmd_audit_state_read(r.id, NULL, plan->out, SM_AUDIT_STATE, r.inputs, err);
    if (code == SM_OK)
        code = sm_client_open(&r.client, plan->server, plan->key_file, plan->ca_file, err);
    if (code == SM_OK && r.id[0] == '\0')
        code = begin(&r, err);
    if (code == SM_OK)
        code = run(audit, &r, err);
    if (code == SM_OK)
        code = report(summary, &r, err);
    sm_client_close(r.client);
    json_decref(r.inputs);
    json_decref(r.recipe);
    return code;
}
