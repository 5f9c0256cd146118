/* /v1/pairs, /v1/pairs/{name}: lists the loaded pairs, and the errors of the others; loads and
 * unloads pairs.
 *
 * A load takes as long as reading a checkpoint, so it is a call of a crew of one thread. A client
 * names an existing folder in the pairs folder; it cannot upload a pair.
 *
 * An unload is refused while images wait for the pair: their 202 was a promise, which an unload by
 * mistake would break for all of them. With force=true they fail, each with the reason. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/handlers.h"

struct sm_generation *sm_api_pair(struct sm_request *request, const char *name)
{
    struct sm_generation *generation;
    struct sm_err err = {0};
    enum sm_code code = sm_pairs_take(&generation, sm_api_of(request)->pairs, name, &err);
    if (code == SM_NOT_FOUND)
        sm_reply_problem(request, SM_PROBLEM_PAIR_UNKNOWN, "%s", err.text);
    else if (code != SM_OK)
        sm_reply_problem(request, SM_PROBLEM_PAIR_FAILED, "pair '%s': %s", name, err.text);
    return generation;
}

bool sm_api_may_score(struct sm_request *request, const struct sm_pair *pair,
                      const char *recipe_digest)
{
    char own[65];
    struct sm_err err = {0};
    if (!request->caller.rounds)
        return true;
    if (sm_pair_reference_sd(pair) <= 0) {
        sm_reply_problem(request, SM_PROBLEM_FIGURES_ROUNDED,
                         "the figures of this key are rounded to the spread of a reference, and "
                         "pair '%s' has none for its own recipe",
                         sm_pair_name(pair));
        return false;
    }
    if (!recipe_digest)
        return true;
    if (sm_recipe_digest(own, sm_pair_recipe(pair), &err) != SM_OK) {
        sm_reply_failure(request, &err);
        return false;
    }
    if (strcmp(own, recipe_digest) != 0)
        sm_reply_problem(request, SM_PROBLEM_FIGURES_ROUNDED,
                         "the figures of this key are rounded: it asks with the pair's own recipe "
                         "only, leave yours out");
    return strcmp(own, recipe_digest) == 0;
}

void sm_api_list_pairs(struct sm_request *request)
{
    struct sm_pair_state *states;
    struct sm_err err = {0};
    int count;
    json_t *list = json_array();
    if (sm_pairs_list(&states, &count, sm_api_of(request)->pairs, NULL, &err) != SM_OK) {
        json_decref(list);
        sm_reply_failure(request, &err);
        return;
    }
    for (int i = 0; i < count && list; i++)
        if (json_array_append_new(list, sm_pair_state_json(&states[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    sm_pairs_list_free(states, count);
    sm_reply_json(request, 200, !list ? NULL : json_pack("{s:o}", "pairs", list));
}

/* Returns the pair's current document (new reference). NULL if there is no such pair (*found is
 * false then) or after a reply. */
static json_t *read_pair(bool *found, struct sm_request *request, const char *name)
{
    struct sm_pair_state *states;
    struct sm_err err = {0};
    int count;
    *found = true;
    if (sm_pairs_list(&states, &count, sm_api_of(request)->pairs, name, &err) != SM_OK) {
        sm_reply_failure(request, &err);
        return NULL;
    }
    *found = count > 0;
    json_t *document = *found ? sm_pair_state_json(states) : NULL;
    if (*found && !document)
        sm_reply_no_memory(request);
    sm_pairs_list_free(states, count);
    return document;
}

static void reply_pair(struct sm_request *request, unsigned status, const char *name)
{
    bool found;
    json_t *document = read_pair(&found, request, name);
    if (!found)
        sm_reply_problem(request, SM_PROBLEM_PAIR_UNKNOWN,
                         "there is no pair '%s'; GET /v1/pairs lists them", name);
    else if (document)
        sm_reply_json(request, status, document);
}

void sm_api_get_pair(struct sm_request *request)
{
    reply_pair(request, 200, request->capture);
}

/* --- loading and unloading --- */

struct change {
    struct sm_call call;
    struct sm_api *api;
    char name[SM_CAPTURE_BYTES];
    bool created, force;
    int64_t waiting_count; /* images that wait for the pair; above 0 the unload is refused */
};

static void change_free(struct sm_call *call)
{
    free(call);
}

static void begin_change(struct sm_request *request, bool force,
                         enum sm_code (*work)(struct sm_call *call, struct sm_err *err),
                         void (*reply)(struct sm_request *request, struct sm_call *call))
{
    struct change *c = calloc(1, sizeof *c);
    if (!c) {
        sm_reply_no_memory(request);
        return;
    }
    c->call = (struct sm_call){.work = work, .reply = reply, .release = change_free};
    c->api = sm_api_of(request);
    c->force = force;
    memcpy(c->name, request->capture, sizeof c->name);
    sm_call_begin(&c->call, request, c->api->loads);
}

static enum sm_code work_put(struct sm_call *call, struct sm_err *err)
{
    struct change *c = (struct change *)call;
    return sm_pairs_put(c->api->pairs, c->name, &c->created, err);
}

static void reply_put(struct sm_request *request, struct sm_call *call)
{
    const struct change *c = (const struct change *)call;
    if (call->code == SM_OK)
        reply_pair(request, c->created ? 201 : 200, c->name);
    else if (call->code == SM_NOT_FOUND)
        sm_reply_problem(request, SM_PROBLEM_PAIR_UNKNOWN, "%s", call->err.text);
    else if (call->code == SM_CORRUPT)
        sm_reply_problem(request, SM_PROBLEM_PAIR_INVALID, "pair '%s': %s", c->name,
                         call->err.text);
    else
        sm_reply_failure(request, &call->err);
}

void sm_api_put_pair(struct sm_request *request)
{
    begin_change(request, false, work_put, reply_put);
}

static enum sm_code work_delete(struct sm_call *call, struct sm_err *err)
{
    struct change *c = (struct change *)call;
    return c->force
               ? sm_pairs_remove(c->api->pairs, c->name, err)
               : sm_pairs_unload(&c->waiting_count, c->api->pairs, c->api->store, c->name, err);
}

static void reply_delete(struct sm_request *request, struct sm_call *call)
{
    const struct change *c = (const struct change *)call;
    if (call->code == SM_NOT_FOUND)
        sm_reply_problem(request, SM_PROBLEM_PAIR_UNKNOWN, "%s", call->err.text);
    else if (call->code != SM_OK)
        sm_reply_failure(request, &call->err);
    else if (c->waiting_count > 0)
        sm_reply_problem(request, SM_PROBLEM_PAIR_BUSY,
                         "%lld images wait for pair '%s'; with force=true they fail",
                         (long long)c->waiting_count, c->name);
    else
        sm_reply_empty(request, 204);
}

void sm_api_delete_pair(struct sm_request *request)
{
    bool force = false;
    if (sm_api_query_bool(&force, request, "force"))
        begin_change(request, force, work_delete, reply_delete);
}
