/* GET /v1/audits/{id}/items: the images of an audit in their order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/cursor.h"
#include "server/api/handlers.h"
#include "server/base/id.h"
#include "server/store/state.h"

#define LIMIT 100

static bool read_cohort(int *out, struct sm_request *request)
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

static bool read_state(const char **out, struct sm_request *request)
{
    *out = sm_request_query(request, "state");
    if (!*out || sm_state_parse(*out) < SM_STATE_OPEN)
        return true;
    sm_reply_problem(request, SM_PROBLEM_QUERY_INVALID,
                     "state is '%.64s', it must be queued, running, succeeded, failed or cancelled",
                     *out);
    return false;
}

/* What a cursor of this list is bound to, beside the audit. */
static void name_list(char out[64], const struct sm_store_audit_items_filter *filter)
{
    snprintf(out, 64, "items %d %s", filter->cohort, !filter->state ? "" : filter->state);
}

static bool read_cursor(struct sm_store_audit_items_filter *filter, struct sm_request *request)
{
    const char *cursor = sm_request_query(request, "cursor");
    char list[64], id[SM_ID_BYTES];
    uint64_t after;
    filter->after = -1;
    if (!cursor)
        return true;
    name_list(list, filter);
    if (sm_cursor_get(&after, id, list, cursor) && strcmp(id, request->capture) == 0 &&
        after <= INT64_MAX) {
        filter->after = (int64_t)after;
        return true;
    }
    sm_reply_problem(request, SM_PROBLEM_CURSOR_INVALID,
                     "the cursor is damaged or was made for another audit or other filters");
    return false;
}

void sm_api_list_items(struct sm_request *request)
{
    struct sm_store_audit_items_filter filter = {0};
    struct sm_err err = {.code = SM_NOT_FOUND};
    int64_t limit = LIMIT;
    char list[64], cursor[SM_CURSOR_BYTES];
    char *next = NULL;
    json_t *page;
    if (!sm_api_query_int(&limit, request, "limit", 1, SM_API_ITEMS_MAX) ||
        !read_cohort(&filter.cohort, request) || !read_state(&filter.state, request) ||
        !read_cursor(&filter, request))
        return;
    filter.limit = (int)limit;
    if (request->caller.rounds && sm_id_valid(request->capture) &&
        sm_store_audit_spread(&request->figures_sd, sm_api_of(request)->store, request->capture,
                              &err) != SM_OK) {
        sm_reply_failure(request, &err);
        return;
    }
    if (!sm_id_valid(request->capture) ||
        sm_store_audit_items(&page, sm_api_of(request)->store, request->capture, &filter, &err) !=
            SM_OK) {
        sm_api_reply_audit_failure(request, &err);
        return;
    }
    json_t *items = json_object_get(page, "items");
    if (json_is_true(json_object_get(page, "more"))) {
        const json_t *last = json_array_get(items, json_array_size(items) - 1);
        name_list(list, &filter);
        sm_cursor_put(cursor, list, (uint64_t)json_integer_value(json_object_get(last, "index")),
                      request->capture);
        next = sm_request_link(request, "cursor", cursor);
    }
    json_t *flags = json_object_get(page, "flags");
    sm_reply_json(request, 200,
                  json_pack("{s:O, s:s?, s:O*}", "items", items, "next", next, "flags",
                            json_array_size(flags) > 0 ? flags : NULL));
    if (next)
        sm_reply_header(request, "Link", "<%s>; rel=\"next\"", next);
    free(next);
    json_decref(page);
}
