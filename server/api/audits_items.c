/* GET /v1/audits/{id}/items: pages of an audit's images, by index. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/cursor.h"
#include "server/api/handlers.h"

#define LIMIT 100

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

/* Names the list that a cursor belongs to; the audit's id is in the cursor itself. */
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
    struct sm_store *store = sm_api_of(request)->store;
    struct sm_audit_id audit = sm_api_audit_id(request);
    struct sm_store_audit_items_filter filter = {0};
    struct sm_store_audit_items_page page;
    struct sm_err err = {0};
    int64_t limit = LIMIT;
    char list[64], cursor[SM_CURSOR_BYTES];
    char *next = NULL;
    if (!sm_api_query_int(&limit, request, "limit", 1, SM_API_ITEMS_MAX) ||
        !sm_api_query_cohort(&filter.cohort, request) || !read_state(&filter.state, request) ||
        !read_cursor(&filter, request))
        return;
    filter.limit = (int)limit;
    if ((request->caller.rounds &&
         sm_store_audit_spread(&request->figures_sd, store, &audit, &err) != SM_OK) ||
        sm_store_audit_items(&page, store, &audit, &filter, &err) != SM_OK) {
        sm_api_reply_audit_failure(request, &err);
        return;
    }
    if (page.more) {
        name_list(list, &filter);
        sm_cursor_put(cursor, list, (uint64_t)page.last, audit.id);
        next = sm_request_link(request, "cursor", cursor);
    }
    sm_reply_json(request, 200,
                  json_pack("{s:O, s:s?, s:O*}", "items", page.items, "next", next, "flags",
                            json_array_size(page.flags) > 0 ? page.flags : NULL));
    if (next)
        sm_reply_header(request, "Link", "<%s>; rel=\"next\"", next);
    free(next);
    sm_store_audit_items_page_release(&page);
}
