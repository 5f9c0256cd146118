/* Reports and selections of an audit. The crew `reports` evaluates the audit and writes the
 * document, one at a time, to a file without a name; the answer is sent from that file. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/api/evaluated.h"
#include "server/api/handlers.h"
#include "server/http/condition.h"
#include "server/http/spool.h"
#include "sslmem/selection.h"

struct export
{
    struct sm_call call;
    struct sm_api *api;
    struct sm_audit_id audit;
    bool names, partial;
    const char *media_type;
    const char *stem, *suffix; /* of the file name in Content-Disposition */
    struct sm_completeness completeness;
    enum sm_code (*write)(FILE * out, const struct export *export, const struct sm_evaluated *e,
                          struct sm_err *err);
    struct sm_selection selection;
    bool has_seed;
    enum sm_list_format format;
    int fd; /* the written document, or -1 */
    char etag[SM_ETAG_BYTES];
};

static void export_free(struct sm_call *call)
{
    struct export *x = (struct export *)call;
    if (x->fd >= 0)
        close(x->fd);
    free(x);
}

/* --- writers --- */

static enum sm_code write_json(FILE *out, const struct export *x, const struct sm_evaluated *e,
                               struct sm_err *err)
{
    (void)x;
    return sm_audit_write_json(out, &e->record.audit, e->result, err);
}

static enum sm_code write_csv(FILE *out, const struct export *x, const struct sm_evaluated *e,
                              struct sm_err *err)
{
    (void)x;
    return sm_audit_write_csv(out, &e->record.audit, e->result, err);
}

static void *read_thumbnail(void *arg, const struct sm_audit_item *item, size_t *bytes_count)
{
    const struct export *x = arg;
    return sm_store_audit_thumbnail(x->api->store, &x->audit, item->index, bytes_count);
}

/* Thumbnails reveal as much as names, so only ?names=true includes them. */
static enum sm_code write_html(FILE *out, const struct export *x, const struct sm_evaluated *e,
                               struct sm_err *err)
{
    return sm_audit_write_html(out, &e->record.audit, e->result, x->names ? read_thumbnail : NULL,
                               (void *)(uintptr_t)x, err);
}

static enum sm_code write_selection(FILE *out, const struct export *x, const struct sm_evaluated *e,
                                    struct sm_err *err)
{
    struct sm_selection selection = x->selection;
    if (!x->has_seed)
        selection.seed = e->record.audit.spec->seed;
    return sm_audit_write_selection(out, &e->record.audit, e->result, &selection, x->format, err);
}

/* --- the call --- */

/* Computes the ETag of the file's bytes. */
static enum sm_code tag(struct export *x, struct sm_err *err)
{
    uint8_t digest[32];
    enum sm_code code = sm_spool_sha256(digest, x->fd, err);
    if (code == SM_OK)
        sm_etag_of(x->etag, digest);
    return code;
}

static enum sm_code work(struct sm_call *call, struct sm_err *err)
{
    struct export *x = (struct export *)call;
    struct sm_evaluated *e;
    FILE *out = NULL;
    enum sm_code code = sm_evaluated_get(&e, x->api, &x->audit, err);
    if (code == SM_OK)
        code = sm_spool_open(&x->fd, x->api->spool, 0, err);
    if (code != SM_OK)
        return code;
    int copy = dup(x->fd);
    if (copy < 0 || !(out = fdopen(copy, "w"))) {
        if (copy >= 0)
            close(copy);
        return sm_err_set(err, SM_IO, "report: %s", strerror(errno));
    }
    e->record.audit.with_names = x->names;
    x->completeness = e->record.audit.completeness;
    code = x->write(out, x, e, err);
    if (fclose(out) != 0 && code == SM_OK)
        code = sm_err_set(err, SM_IO, "report: %s", strerror(errno));
    return code == SM_OK ? tag(x, err) : code;
}

/* A saved file keeps nothing but its name, so the name of a partial document says so. */
static void name_file(struct sm_request *request, const struct export *x)
{
    const struct sm_completeness *c = &x->completeness;
    char field[SM_COMPLETENESS_BYTES];
    sm_reply_header(request, SM_COMPLETENESS_HEADER, "%s", sm_completeness_field(field, c));
    if (c->state == SM_COMPLETION_COMPLETE)
        sm_reply_header(request, "Content-Disposition", "inline; filename=\"%s.%s\"", x->stem,
                        x->suffix);
    else
        sm_reply_header(
            request, "Content-Disposition", "inline; filename=\"%s-%s-%lld-of-%lld.%s\"", x->stem,
            sm_completion_name(c->state), (long long)c->scored, (long long)c->total, x->suffix);
}

static void reply(struct sm_request *request, struct sm_call *call)
{
    struct export *x = (struct export *)call;
    if (call->code == SM_INVALID) {
        sm_reply_problem(request, SM_PROBLEM_QUERY_INVALID, "%s", call->err.text);
    } else if (call->code != SM_OK) {
        sm_api_reply_audit_failure(request, &call->err);
    } else {
        sm_reply_file(request, 200, x->media_type, x->fd);
        x->fd = -1;
        sm_reply_header(request, "ETag", "%s", x->etag);
        name_file(request, x);
        if (x->write == write_html) /* has inline styles and images, no script */
            sm_reply_header(request, "Content-Security-Policy",
                            "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
                            "frame-ancestors 'none'");
    }
}

/* Returns whether the audit has ended or may be partial; false after a reply. */
static bool check_state(struct sm_request *request, bool partial)
{
    struct sm_audit_head head;
    if (!sm_api_audit_head(&head, request))
        return false;
    if (!partial && !head.finished)
        sm_api_reply_audit_state(request, &head,
                                 "it must have ended; ?partial=true takes what there is");
    return partial || head.finished;
}

/* Returns NULL after a reply. */
static struct export *export_new(struct sm_request *request)
{
    struct export *x = calloc(1, sizeof *x);
    if (!x) {
        sm_reply_no_memory(request);
        return NULL;
    }
    x->call = (struct sm_call){.work = work, .reply = reply, .release = export_free};
    x->api = sm_api_of(request);
    x->fd = -1;
    x->audit = sm_api_audit_id(request);
    if (sm_api_query_bool(&x->names, request, "names") &&
        sm_api_query_bool(&x->partial, request, "partial") && check_state(request, x->partial))
        return x;
    free(x);
    return NULL;
}

static void send_report(struct sm_request *request, const char *media_type, const char *suffix,
                        enum sm_code (*write)(FILE *out, const struct export *x,
                                              const struct sm_evaluated *e, struct sm_err *err))
{
    struct export *x = export_new(request);
    if (!x)
        return;
    x->media_type = media_type;
    x->stem = "report";
    x->suffix = suffix;
    x->write = write;
    sm_call_begin(&x->call, request, x->api->reports);
}

void sm_api_get_report_json(struct sm_request *request)
{
    send_report(request, "application/json", "json", write_json);
}

void sm_api_get_report_csv(struct sm_request *request)
{
    send_report(request, "text/csv", "csv", write_csv);
}

void sm_api_get_report_html(struct sm_request *request)
{
    send_report(request, "text/html; charset=utf-8", "html", write_html);
}

/* --- selections --- */

/* Reads one of `words` as its index. Without the parameter *out stays, unless it is negative: then
 * the parameter is required. False after a reply. */
static bool query_word(int *out, struct sm_request *request, const char *name,
                       const char *const *words, const char *expected)
{
    const char *text = sm_request_query(request, name);
    for (int i = 0; text && words[i]; i++)
        if (strcmp(text, words[i]) == 0) {
            *out = i;
            return true;
        }
    if (!text && *out >= 0)
        return true;
    sm_reply_problem(request, SM_PROBLEM_QUERY_INVALID, "%s is %s%.64s, it must be %s", name,
                     !text ? "missing" : "", !text ? "" : text, expected);
    return false;
}

/* Reads a number in (0, 1]; false after a reply. */
static bool query_share(double *out, struct sm_request *request, const char *name)
{
    const char *text = sm_request_query(request, name);
    char *end;
    if (!text)
        return true;
    *out = strspn(text, "0123456789.eE-") == strlen(text) ? strtod(text, &end) : NAN;
    if (text[0] != '\0' && *out > 0 && *out <= 1 && *end == '\0')
        return true;
    sm_reply_problem(request, SM_PROBLEM_QUERY_INVALID,
                     "%s is '%.64s', it must be a number above 0 and at most 1", name, text);
    return false;
}

/* Each kind requires its own measure (n, share or q) and refuses the other two. */
static bool check_measure(struct sm_request *request, enum sm_selection_kind kind)
{
    static const char *const needs[] = {[SM_SELECT_TOP] = "n",
                                        [SM_SELECT_SHARE] = "share",
                                        [SM_SELECT_FDR] = "q",
                                        [SM_SELECT_RANDOM] = "n"};
    static const char *const all[] = {"n", "share", "q"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        bool there = sm_request_query(request, all[i]) != NULL;
        if (there == (strcmp(all[i], needs[kind]) == 0))
            continue;
        sm_reply_problem(request, SM_PROBLEM_QUERY_INVALID, "%s is %s: this kind takes %s", all[i],
                         there ? "given" : "missing", needs[kind]);
        return false;
    }
    return true;
}

static bool check_order(struct sm_request *request, enum sm_selection_kind kind)
{
    if (kind != SM_SELECT_RANDOM || !sm_request_query(request, "by"))
        return true;
    sm_reply_problem(request, SM_PROBLEM_QUERY_INVALID,
                     "by is given: this kind draws candidates at random");
    return false;
}

static bool read_selection(struct export *x, struct sm_request *request)
{
    static const char *const kinds[] = {"top", "share", "fdr", "random", NULL};
    static const char *const orders[] = {"shrunken", "raw", NULL}; /* enum sm_select_by */
    static const char *const formats[] = {"text", "csv", "jsonl", NULL};
    static const char *const media_types[] = {[SM_LIST_TEXT] = "text/plain; charset=utf-8",
                                              [SM_LIST_CSV] = "text/csv",
                                              [SM_LIST_JSONL] = "application/jsonl"};
    static const char *const suffixes[] = {"txt", "csv", "jsonl"}; /* enum sm_list_format */
    int kind = -1, by = SM_BY_SHRUNKEN, format = SM_LIST_TEXT;
    int64_t seed = 0;
    if (!query_word(&kind, request, "kind", kinds, "top, share, fdr or random") ||
        !query_word(&format, request, "format", formats, "text, csv or jsonl") ||
        !check_measure(request, (enum sm_selection_kind)kind) ||
        !check_order(request, (enum sm_selection_kind)kind) ||
        !query_word(&by, request, "by", orders, "shrunken or raw") ||
        !sm_api_query_int(&x->selection.count, request, "n", 1, x->api->config->audit_images_max) ||
        !query_share(&x->selection.share, request, "share") ||
        !query_share(&x->selection.q, request, "q") ||
        !sm_api_query_int(&seed, request, "seed", 0, INT64_MAX))
        return false;
    x->selection.kind = (enum sm_selection_kind)kind;
    x->selection.by = (enum sm_select_by)by;
    x->selection.seed = (uint64_t)seed;
    x->has_seed = sm_request_query(request, "seed") != NULL;
    x->format = (enum sm_list_format)format;
    x->media_type = media_types[format];
    x->stem = "selection";
    x->suffix = suffixes[format];
    x->write = write_selection;
    return true;
}

void sm_api_get_selection(struct sm_request *request)
{
    struct export *x = export_new(request);
    if (!x)
        return;
    if (read_selection(x, request))
        sm_call_begin(&x->call, request, x->api->reports);
    else
        free(x);
}
