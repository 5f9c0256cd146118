/* /v1/audits and /v1/audits/{id}: create, list, read, move, delete.
 *
 * Handlers that change the store are calls of the crew `writes`, because they wait for a commit. An
 * audit's ETag is its revision, which the store reads without the rest of the audit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/cost.h"
#include "server/api/cursor.h"
#include "server/api/evaluated.h"
#include "server/api/handlers.h"
#include "server/api/idempotency.h"
#include "server/base/id.h"
#include "server/base/log.h"
#include "server/http/condition.h"
#include "sslmem/score.h"

#define LIST_LIMIT     50
#define LIST_LIMIT_MAX 200

/* --- for the other files --- */

void sm_api_reply_audit_failure(struct sm_request *request, const struct sm_err *err)
{
    if (err->code == SM_NOT_FOUND)
        sm_reply_problem(request, SM_PROBLEM_AUDIT_UNKNOWN, "there is no audit '%s'",
                         request->capture);
    else if (err->code == SM_CONFLICT)
        sm_reply_problem(request, SM_PROBLEM_AUDIT_STATE, "%s", err->text);
    else if (err->code == SM_FULL)
        sm_api_reply_full(request, err);
    else
        sm_reply_failure(request, err);
}

void sm_api_reply_audit_state(struct sm_request *request, const struct sm_audit_head *head,
                              const char *needed)
{
    sm_reply_problem(request, SM_PROBLEM_AUDIT_STATE, "audit %s is %s, %s", head->audit.id,
                     sm_state_name(head->state), needed);
}

struct sm_audit_id sm_api_audit_id(const struct sm_request *request)
{
    struct sm_audit_id audit = {.tenant = request->caller.tenant};
    if (sm_id_valid(request->capture))
        memcpy(audit.id, request->capture, sizeof audit.id);
    return audit;
}

bool sm_api_audit_head(struct sm_audit_head *out, struct sm_request *request)
{
    struct sm_audit_id audit = sm_api_audit_id(request);
    struct sm_err err = {0};
    if (sm_store_audit_head(out, sm_api_of(request)->store, &audit, &err) == SM_OK)
        return true;
    sm_api_reply_audit_failure(request, &err);
    return false;
}

void sm_api_audit_exists(struct sm_request *request)
{
    struct sm_audit_head head;
    sm_api_audit_head(&head, request);
}

bool sm_api_query_cohort(int *out, struct sm_request *request)
{
    const char *name = sm_request_query(request, "cohort");
    enum sm_cohort cohort;
    struct sm_err err;
    *out = -1;
    if (!name)
        return true;
    if (sm_cohort_parse(&cohort, name, &err) != SM_OK) {
        sm_reply_problem(request, SM_PROBLEM_COHORT_INVALID, "%s", err.text);
        return false;
    }
    *out = (int)cohort;
    return true;
}

void sm_api_reply_audit(struct sm_request *request, unsigned status, json_t *audit,
                        int64_t revision)
{
    sm_reply_json(request, status, audit);
    sm_reply_header(request, "ETag", "\"%lld\"", (long long)revision);
}

static void tag_of(char etag[SM_ETAG_BYTES], const struct sm_audit_head *head)
{
    snprintf(etag, SM_ETAG_BYTES, "\"%lld\"", (long long)head->revision);
}

/* --- reads --- */

/* Adds the flags of its report to the document of an audit that has ended. */
struct reading {
    struct sm_call call;
    struct sm_api *api;
    struct sm_audit_head head;
    json_t *document;
};

static void reading_free(struct sm_call *call)
{
    struct reading *r = (struct reading *)call;
    json_decref(r->document);
    free(r);
}

static enum sm_code work_read(struct sm_call *call, struct sm_err *err)
{
    struct reading *r = (struct reading *)call;
    struct sm_evaluated *e;
    enum sm_code code = sm_evaluated_get(&e, r->api, &r->head.audit, err);
    if (code == SM_OK &&
        json_object_set(r->document, "flags",
                        json_object_get(sm_audit_result_json(e->result), "flags")) != 0)
        code = sm_err_set(err, SM_NOMEM, "flags: out of memory");
    return code;
}

static void reply_read(struct sm_request *request, struct sm_call *call)
{
    struct reading *r = (struct reading *)call;
    if (call->code == SM_OK)
        sm_api_reply_audit(request, 200, json_incref(r->document), r->head.revision);
    else
        sm_api_reply_audit_failure(request, &call->err);
}

/* Takes the reference to the document. */
static void read_flags(struct sm_request *request, json_t *document,
                       const struct sm_audit_head *head)
{
    struct reading *r = calloc(1, sizeof *r);
    if (!r) {
        json_decref(document);
        sm_reply_no_memory(request);
        return;
    }
    r->call = (struct sm_call){.work = work_read, .reply = reply_read, .release = reading_free};
    r->api = sm_api_of(request);
    r->document = document;
    r->head = *head;
    sm_call_begin(&r->call, request, r->api->reports);
}

/* Reads document and head of the audit at the placeholder; false after a reply. */
static bool read_audit(json_t **document, struct sm_audit_head *head, struct sm_request *request)
{
    struct sm_audit_id audit = sm_api_audit_id(request);
    struct sm_err err = {0};
    if (sm_store_audit(document, head, sm_api_of(request)->store, &audit, &err) == SM_OK)
        return true;
    sm_api_reply_audit_failure(request, &err);
    return false;
}

/* The condition needs the head alone. Flags quote figures, which a key that rounds may not see. */
void sm_api_get_audit(struct sm_request *request)
{
    char etag[SM_ETAG_BYTES];
    struct sm_audit_head head;
    json_t *document;
    if (!sm_api_audit_head(&head, request))
        return;
    tag_of(etag, &head);
    if (sm_condition_ends(request, etag) || !read_audit(&document, &head, request))
        return;
    if (head.finished && !request->caller.rounds)
        read_flags(request, document, &head);
    else
        sm_api_reply_audit(request, 200, document, head.revision);
}

void sm_api_list_audits(struct sm_request *request)
{
    const char *cursor = sm_request_query(request, "cursor");
    char after[SM_ID_BYTES] = "", text[SM_CURSOR_BYTES];
    char list_name[32];
    int64_t limit = LIST_LIMIT;
    uint64_t unused;
    struct sm_store_audit_page page;
    char *next = NULL;
    struct sm_err err = {0};
    if (!sm_api_query_int(&limit, request, "limit", 1, LIST_LIMIT_MAX))
        return;
    snprintf(list_name, sizeof list_name, "audits %lld", (long long)request->caller.tenant);
    if (cursor && !sm_cursor_get(&unused, after, list_name, cursor)) {
        sm_reply_problem(request, SM_PROBLEM_CURSOR_INVALID,
                         "the cursor is damaged or was made for another list");
        return;
    }
    if (sm_store_audits(&page, sm_api_of(request)->store, request->caller.tenant, after, (int)limit,
                        &err) != SM_OK) {
        sm_reply_failure(request, &err);
        return;
    }
    if (page.more) {
        sm_cursor_put(text, list_name, 0, page.heads[page.count - 1].audit.id);
        next = sm_request_link(request, "cursor", text);
    }
    sm_reply_json(request, 200, json_pack("{s:O, s:s?}", "audits", page.audits, "next", next));
    if (next)
        sm_reply_header(request, "Link", "<%s>; rel=\"next\"", next);
    free(next);
    sm_store_audit_page_release(&page);
}

/* --- changes --- */

struct change {
    struct sm_call call;
    struct sm_store *store;
    struct sm_audit_id audit;
    enum sm_store_audit_move move;
    int64_t revision; /* the one to delete; -1: any */
    /* A new audit, whose documents this owns. Every change uses its idempotency claim. */
    struct sm_store_audit_in in;
    struct sm_generation *generation; /* keeps in.pair alive */
    struct sm_caller caller;
};

static void change_free(struct sm_call *call)
{
    struct change *c = (struct change *)call;
    json_decref((json_t *)(uintptr_t)c->in.recipe);
    json_decref((json_t *)(uintptr_t)c->in.pair_document);
    json_decref((json_t *)(uintptr_t)c->in.spec);
    sm_generation_give(c->generation);
    free(c);
}

/* Returns NULL after a reply. */
static struct change *change_new(struct sm_request *request,
                                 enum sm_code (*work)(struct sm_call *call, struct sm_err *err),
                                 void (*reply)(struct sm_request *request, struct sm_call *call))
{
    struct change *c = calloc(1, sizeof *c);
    if (!c) {
        sm_reply_no_memory(request);
        return NULL;
    }
    c->call = (struct sm_call){.work = work, .reply = reply, .release = change_free};
    c->store = sm_api_of(request)->store;
    c->caller = request->caller;
    c->in.idempotency = sm_api_idempotency_claim(request);
    c->in.caller = &c->caller;
    c->audit = sm_api_audit_id(request);
    return c;
}

/* Ties a change of an audit to its request and to the client's trace. */
static void log_change(const struct sm_request *request, const char *event, const char *id)
{
    sm_log("info", event, "{s:s, s:s, s:s, s:s*}", "audit", id, "operation",
           request->route->operation, "request", request->id, "trace", sm_api_trace(request));
}

static void reply_changed(struct sm_request *request, struct sm_call *call)
{
    struct sm_audit_head head;
    json_t *document;
    if (call->code == SM_INVALID)
        sm_reply_problem(request, SM_PROBLEM_PAIR_UNKNOWN, "%s", call->err.text);
    else if (call->code != SM_OK && !sm_api_reply_refusal(request, &call->err))
        sm_api_reply_audit_failure(request, &call->err);
    if (call->code != SM_OK)
        return;
    log_change(request, "audit_moved", request->capture);
    if (read_audit(&document, &head, request))
        sm_api_reply_audit(request, 200, document, head.revision);
}

static enum sm_code work_move(struct sm_call *call, struct sm_err *err)
{
    struct change *c = (struct change *)call;
    return sm_store_audit_order(c->store, &c->audit,
                                &(struct sm_store_audit_order){.move = c->move,
                                                               .idempotency = c->in.idempotency,
                                                               .caller = &c->caller},
                                err);
}

/* Without its pair, an audit would only fail its images. */
static bool pair_ready(struct sm_request *request, const char *pair)
{
    struct sm_generation *generation = sm_api_pair(request, pair);
    bool ready = generation != NULL;
    sm_generation_give(generation);
    return ready;
}

static void move(struct sm_request *request, enum sm_store_audit_move move)
{
    bool runs = move == SM_AUDIT_START || move == SM_AUDIT_RESUME;
    struct sm_audit_head head;
    struct change *c;
    if (!sm_api_audit_head(&head, request) ||
        (runs && !(pair_ready(request, head.pair) && sm_api_store_takes(request))) ||
        !(c = change_new(request, work_move, reply_changed)))
        return;
    c->move = move;
    sm_call_begin(&c->call, request, sm_api_of(request)->writes);
}

void sm_api_start_audit(struct sm_request *request)
{
    move(request, SM_AUDIT_START);
}

void sm_api_pause_audit(struct sm_request *request)
{
    move(request, SM_AUDIT_PAUSE);
}

void sm_api_resume_audit(struct sm_request *request)
{
    move(request, SM_AUDIT_RESUME);
}

void sm_api_cancel_audit(struct sm_request *request)
{
    move(request, SM_AUDIT_CANCEL);
}

static enum sm_code work_delete(struct sm_call *call, struct sm_err *err)
{
    struct change *c = (struct change *)call;
    return sm_store_audit_delete(c->store, &c->audit, c->revision, err);
}

static void reply_deleted(struct sm_request *request, struct sm_call *call)
{
    const struct change *c = (const struct change *)call;
    char etag[SM_ETAG_BYTES];
    struct sm_audit_head head;
    if (call->code == SM_CONFLICT && c->revision >= 0 &&
        sm_store_audit_head(&head, c->store, &c->audit, NULL) == SM_OK) {
        tag_of(etag, &head);
        if (sm_condition_ends(request, etag))
            return; /* the audit changed after the first look */
    }
    if (call->code != SM_OK) {
        sm_api_reply_audit_failure(request, &call->err);
        return;
    }
    log_change(request, "audit_deleted", c->audit.id);
    sm_reply_empty(request, 204);
}

void sm_api_delete_audit(struct sm_request *request)
{
    char etag[SM_ETAG_BYTES];
    struct sm_audit_head head;
    struct change *c;
    if (!sm_api_audit_head(&head, request))
        return;
    tag_of(etag, &head);
    if (sm_condition_ends(request, etag) || !(c = change_new(request, work_delete, reply_deleted)))
        return;
    c->revision = sm_condition_pins(request) ? head.revision : -1;
    sm_call_begin(&c->call, request, sm_api_of(request)->writes);
}

/* --- creation --- */

static enum sm_code work_create(struct sm_call *call, struct sm_err *err)
{
    struct change *c = (struct change *)call;
    return sm_store_audit_create(c->store, &c->in, err);
}

static void reply_created(struct sm_request *request, struct sm_call *call)
{
    struct change *c = (struct change *)call;
    const struct sm_audit_id *audit = &c->in.audit;
    struct sm_audit_head head;
    json_t *document;
    if (call->code != SM_OK ||
        sm_store_audit(&document, &head, c->store, audit, &call->err) != SM_OK) {
        if (!sm_api_reply_refusal(request, &call->err))
            sm_api_reply_audit_failure(request, &call->err);
        return;
    }
    log_change(request, "audit_created", audit->id);
    sm_api_reply_audit(request, 201, document, head.revision);
    sm_reply_header(request, "Location", "/v1/audits/%s", audit->id);
}

static void reply_invalid(struct sm_request *request, enum sm_problem problem,
                          const struct sm_err *err)
{
    if (err->code == SM_NOMEM || err->code == SM_INTERNAL)
        sm_reply_failure(request, err);
    else
        sm_reply_field_problem(request, problem, err);
}

/* Takes the pair that the body names, for the caller to give back; NULL after a reply. */
static struct sm_generation *read_pair(struct sm_request *request, const json_t *body)
{
    const char *name = json_string_value(json_object_get(body, "pair"));
    struct sm_err err;
    if (name && name[0] != '\0')
        return sm_api_pair(request, name);
    sm_err_field(&err, "/pair", "pair is missing, it must be the name of one");
    sm_reply_field_problem(request, SM_PROBLEM_AUDIT_INVALID, &err);
    return NULL;
}

static bool read_recipe(struct sm_store_audit_in *in, struct sm_request *request,
                        const struct sm_pair *pair, const json_t *node)
{
    struct sm_recipe recipe = *sm_pair_recipe(pair);
    struct sm_err err = {0};
    enum sm_code code = SM_OK;
    if (node)
        code = sm_recipe_parse(&recipe, node, sm_pair_recipe(pair), sm_pair_input_px(pair),
                               "/recipe", &err);
    if (code == SM_OK)
        code = sm_pair_check_recipe(pair, &recipe, &err);
    if (code == SM_OK)
        code = sm_recipe_digest(in->recipe_digest, &recipe, &err);
    if (code == SM_OK && !(in->recipe = sm_recipe_json(&recipe)))
        code = sm_err_set(&err, SM_NOMEM, "recipe: out of memory");
    if (code != SM_OK)
        reply_invalid(request, SM_PROBLEM_RECIPE_INVALID, &err);
    return code == SM_OK && sm_api_check_recipe_cost(request, pair, &recipe);
}

/* Reads the body without pair and recipe, which are not part of the specification. */
static bool read_spec(struct sm_store_audit_in *in, struct sm_request *request, const json_t *body)
{
    struct sm_audit_spec spec;
    struct sm_err err = {0};
    json_t *rest = json_copy((json_t *)(uintptr_t)body);
    enum sm_code code = !rest ? sm_err_set(&err, SM_NOMEM, "audit: out of memory") : SM_OK;
    json_object_del(rest, "pair");
    json_object_del(rest, "recipe");
    if (code == SM_OK)
        code = sm_audit_spec_parse(&spec, rest, &err);
    if (code == SM_OK && !(in->spec = sm_audit_spec_json(&spec)))
        code = sm_err_set(&err, SM_NOMEM, "audit: out of memory");
    json_decref(rest);
    if (code != SM_OK)
        reply_invalid(request, SM_PROBLEM_AUDIT_INVALID, &err);
    return code == SM_OK;
}

void sm_api_post_audit(struct sm_request *request)
{
    json_t *body = sm_api_read_object(request);
    struct sm_generation *generation = !body ? NULL : read_pair(request, body);
    struct change *c = !generation ? NULL : change_new(request, work_create, reply_created);
    if (!c) {
        sm_generation_give(generation);
        json_decref(body);
        return;
    }
    const struct sm_pair *pair = sm_generation_pair(generation);
    c->generation = generation;
    sm_id_new(c->in.audit.id);
    c->in.audit.tenant = request->caller.tenant;
    c->in.origin = sm_api_origin(request);
    c->in.pair = sm_pair_name(pair);
    bool good = read_spec(&c->in, request, body) &&
                read_recipe(&c->in, request, pair, json_object_get(body, "recipe")) &&
                sm_api_may_score(request, pair, c->in.recipe_digest);
    json_decref(body);
    if (good && !(c->in.pair_document = sm_pair_json(pair))) {
        sm_reply_no_memory(request);
        good = false;
    }
    if (good)
        sm_call_begin(&c->call, request, sm_api_of(request)->writes);
    else
        change_free(&c->call);
}
