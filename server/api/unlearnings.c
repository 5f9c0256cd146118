/* POST /v1/unlearnings: judges from two audits that have ended whether an encoder has forgotten the
 * candidates.
 *
 * The crew `reports` reads both audits and judges the stored scores. Nothing is stored: a repeated
 * request is judged again, because a verdict must not outlive images that were erased since. Both
 * audits are looked up as the caller's tenant's, before the call and again in it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/json.h"
#include "server/api/handlers.h"
#include "server/api/idempotency.h"
#include "server/base/id.h"
#include "server/http/spool.h"
#include "sslmem/unlearning.h"

enum { BEFORE, AFTER, SIDES };
static const char *const sides[] = {"before", "after"};

typedef enum sm_code write_format(FILE *out, const struct sm_unlearning *unlearning,
                                  struct sm_err *err);

/* Formats of the answer; JSON is answered as a document. */
static const struct format {
    const char *name, *media_type, *suffix;
    write_format *write;
} formats[] = {
    {"json", "application/json", "json", NULL},
    {"csv", "text/csv", "csv", sm_unlearning_write_csv},
    {"html", "text/html; charset=utf-8", "html", sm_unlearning_write_html},
};

struct judging {
    struct sm_call call;
    struct sm_api *api;
    int64_t tenant;
    char ids[SIDES][SM_ID_BYTES];
    struct sm_unlearning_spec spec;
    const struct format *format;
    bool names;
    struct sm_store_audit_record records[SIDES];
    size_t records_count;
    struct sm_unlearning *made;
    int fd; /* the written document, or -1 */
};

static void judging_free(struct sm_call *call)
{
    struct judging *j = (struct judging *)call;
    sm_unlearning_free(j->made);
    for (size_t i = 0; i < j->records_count; i++)
        sm_store_audit_record_release(&j->records[i]);
    if (j->fd >= 0)
        close(j->fd);
    free(j);
}

static struct sm_audit_id audit_at(const struct judging *j, int side)
{
    struct sm_audit_id audit = {.tenant = j->tenant};
    memcpy(audit.id, j->ids[side], sizeof audit.id);
    return audit;
}

/* --- the call --- */

static enum sm_code write_file(struct judging *j, struct sm_err *err)
{
    FILE *out = NULL;
    enum sm_code code = sm_spool_open(&j->fd, j->api->spool, 0, err);
    if (code != SM_OK)
        return code;
    int copy = dup(j->fd);
    if (copy < 0 || !(out = fdopen(copy, "w"))) {
        if (copy >= 0)
            close(copy);
        return sm_err_set(err, SM_IO, "unlearning: %s", strerror(errno));
    }
    code = j->format->write(out, j->made, err);
    if (fclose(out) != 0 && code == SM_OK)
        code = sm_err_set(err, SM_IO, "unlearning: %s", strerror(errno));
    return code;
}

static enum sm_code work(struct sm_call *call, struct sm_err *err)
{
    struct judging *j = (struct judging *)call;
    enum sm_code code = SM_OK;
    for (int i = 0; i < SIDES && code == SM_OK; i++) {
        struct sm_audit_id audit = audit_at(j, i);
        code = sm_store_audit_record(&j->records[i], j->api->store, &audit, err);
        j->records_count += code == SM_OK;
    }
    if (code != SM_OK)
        return code;
    j->records[AFTER].audit.with_names = j->names;
    code = sm_unlearning_make(&j->made, &j->records[BEFORE].audit, &j->records[AFTER].audit,
                              &j->spec, err);
    return code == SM_OK && j->format->write ? write_file(j, err) : code;
}

static bool is_complete(const struct judging *j)
{
    return j->records[BEFORE].audit.completeness.state == SM_COMPLETION_COMPLETE &&
           j->records[AFTER].audit.completeness.state == SM_COMPLETION_COMPLETE;
}

static void reply_file(struct sm_request *request, struct judging *j)
{
    sm_reply_file(request, 200, j->format->media_type, j->fd);
    j->fd = -1;
    sm_reply_header(request, "Content-Disposition", "inline; filename=\"unlearning%s.%s\"",
                    is_complete(j) ? "" : "-partial", j->format->suffix);
    if (j->format->write == sm_unlearning_write_html) /* has inline styles, no script */
        sm_reply_header(request, "Content-Security-Policy",
                        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
                        "frame-ancestors 'none'");
}

static void reply_gone(struct sm_request *request, const char *id)
{
    sm_reply_problem(request, SM_PROBLEM_AUDIT_UNKNOWN, "there is no audit '%s'", id);
}

static void reply(struct sm_request *request, struct sm_call *call)
{
    struct judging *j = (struct judging *)call;
    if (call->code == SM_NOT_FOUND) {
        reply_gone(request, j->ids[j->records_count > 0]);
    } else if (call->code == SM_INVALID) {
        sm_reply_problem(request, SM_PROBLEM_UNLEARNING_INVALID, "%s", call->err.text);
    } else if (call->code != SM_OK) {
        sm_api_reply_audit_failure(request, &call->err);
    } else {
        sm_api_log_reads(request, j->ids, SIDES);
        if (j->format->write)
            reply_file(request, j);
        else
            sm_reply_json(request, 200,
                          json_incref((json_t *)(uintptr_t)sm_unlearning_json(j->made)));
    }
}

/* --- the request --- */

static bool read_format(struct judging *j, struct sm_request *request)
{
    const char *name = sm_request_query(request, "format");
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(name ? name : "json", formats[i].name) == 0) {
            j->format = &formats[i];
            return true;
        }
    sm_reply_problem(request, SM_PROBLEM_QUERY_INVALID,
                     "format is '%.64s', it must be json, csv or html", name);
    return false;
}

static enum sm_code read_id(char id[SM_ID_BYTES], const json_t *body, const char *side,
                            struct sm_err *err)
{
    const json_t *node = json_object_get(body, side);
    const char *text = json_string_value(node);
    char pointer[16];
    snprintf(pointer, sizeof pointer, "/%s", side);
    if (!text || json_string_length(node) != SM_ID_BYTES - 1 || !sm_id_valid(text))
        return sm_err_field(err, pointer, "%s must be the id of an audit", side);
    memcpy(id, text, SM_ID_BYTES);
    return SM_OK;
}

/* Reads the ids, and the rest of the body as a specification. False after a reply. */
static bool read_body(struct judging *j, struct sm_request *request)
{
    struct sm_err err = {0};
    enum sm_code code = SM_OK;
    json_t *body = sm_api_read_object(request);
    if (!body)
        return false;
    for (int i = 0; i < SIDES && code == SM_OK; i++) {
        code = read_id(j->ids[i], body, sides[i], &err);
        json_object_del(body, sides[i]);
    }
    if (code == SM_OK)
        code = sm_unlearning_spec_parse(&j->spec, body, &err);
    if (code == SM_OK && strcmp(j->ids[BEFORE], j->ids[AFTER]) == 0)
        code = sm_err_field(&err, "/after",
                            "before and after are the same audit (%s): give that of f and that "
                            "of u",
                            j->ids[AFTER]);
    json_decref(body);
    if (code != SM_OK)
        sm_reply_field_problem(request, SM_PROBLEM_UNLEARNING_INVALID, &err);
    return code == SM_OK;
}

/* Returns true if the caller's tenant has both audits and they have ended; false after a reply. */
static bool check_audits(const struct judging *j, struct sm_request *request)
{
    for (int i = 0; i < SIDES; i++) {
        struct sm_err err = {0};
        struct sm_audit_id audit = audit_at(j, i);
        struct sm_audit_head head;
        enum sm_code code = sm_store_audit_head(&head, j->api->store, &audit, &err);
        if (code == SM_NOT_FOUND)
            reply_gone(request, audit.id);
        else if (code != SM_OK)
            sm_reply_failure(request, &err);
        else if (!head.finished)
            sm_api_reply_audit_state(request, &head, "it must have ended for a verdict");
        if (code != SM_OK || !head.finished)
            return false;
    }
    return true;
}

void sm_api_post_unlearning(struct sm_request *request)
{
    struct judging *j = calloc(1, sizeof *j);
    if (!j) {
        sm_reply_no_memory(request);
        return;
    }
    j->call = (struct sm_call){.work = work, .reply = reply, .release = judging_free};
    j->api = sm_api_of(request);
    j->tenant = request->caller.tenant;
    j->fd = -1;
    sm_api_idempotency_skip(request);
    if (read_format(j, request) && sm_api_query_bool(&j->names, request, "names") &&
        read_body(j, request) && check_audits(j, request))
        sm_call_begin(&j->call, request, j->api->reports);
    else
        free(j);
}
