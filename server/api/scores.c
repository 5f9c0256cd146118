/* GET /v1/scores and /v1/scores/{id}: stored scores.
 *
 * Each query parameter is a row of a table: its name, and a function that reads its text into the
 * filter. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "server/api/cursor.h"
#include "server/api/handlers.h"
#include "server/base/clock.h"
#include "server/base/id.h"

#define LIMIT_DEFAULT 50

static bool read_pair(struct sm_score_filter *filter, const char *text)
{
    filter->pair = text;
    return text[0] != '\0' && strlen(text) < 64;
}

static bool read_image(struct sm_score_filter *filter, const char *text)
{
    filter->image_digest = text;
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

/* Reads an RFC 3339 time. The '+' of its offset may be a space, because a '+' that a client did not
 * percent-encode arrives as one. */
static bool read_time(int64_t *out, const char *text)
{
    char copy[64];
    size_t n = strlen(text);
    if (n >= sizeof copy)
        return false;
    memcpy(copy, text, n + 1);
    if (n > 6 && copy[n - 6] == ' ')
        copy[n - 6] = '+';
    return sm_time_parse(out, copy);
}

static bool read_since(struct sm_score_filter *filter, const char *text)
{
    return filter->has_since = read_time(&filter->since_ms, text);
}

static bool read_until(struct sm_score_filter *filter, const char *text)
{
    return filter->has_until = read_time(&filter->until_ms, text);
}

static bool read_number(double *out, const char *text)
{
    char *end;
    if (strspn(text, "0123456789+-.eE") != strlen(text))
        return false; /* strtod would also take spaces, hexadecimal and infinities */
    *out = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*out);
}

static bool read_min(struct sm_score_filter *filter, const char *text)
{
    return filter->has_min = read_number(&filter->min, text);
}

static bool read_max(struct sm_score_filter *filter, const char *text)
{
    return filter->has_max = read_number(&filter->max, text);
}

static bool read_order(struct sm_score_filter *filter, const char *text)
{
    static const char *const names[] = {[SM_ORDER_NEWEST] = "newest",
                                        [SM_ORDER_OLDEST] = "oldest",
                                        [SM_ORDER_HIGHEST] = "highest",
                                        [SM_ORDER_LOWEST] = "lowest"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], text) == 0) {
            filter->order = (enum sm_order)i;
            return true;
        }
    return false;
}

static bool read_limit(struct sm_score_filter *filter, const char *text)
{
    int64_t limit;
    if (!sm_digits(&limit, text) || limit < 1 || limit > SM_SCORES_LIMIT_MAX)
        return false;
    filter->limit = (int)limit;
    return true;
}

static const struct {
    const char *name;
    bool (*read)(struct sm_score_filter *filter, const char *text);
    const char *expected;
} parameters[] = {
    {"pair", read_pair, "a pair's name of 1 to 63 bytes"},
    {"image", read_image, "a SHA-256 of 64 lower-case hex digits"},
    {"since", read_since, "an RFC 3339 time"},
    {"until", read_until, "an RFC 3339 time"},
    {"min", read_min, "a finite decimal number"},
    {"max", read_max, "a finite decimal number"},
    {"order", read_order, "newest, oldest, highest or lowest"},
    {"limit", read_limit, "a whole number from 1 to 200"},
};

/* Reads every parameter; replies and returns false at the first bad one. */
static bool read_filter(struct sm_score_filter *filter, struct sm_request *request)
{
    *filter = (struct sm_score_filter){.tenant = request->caller.tenant, .limit = LIMIT_DEFAULT};
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++) {
        const char *text = sm_request_query(request, parameters[i].name);
        if (!text || parameters[i].read(filter, text))
            continue;
        sm_reply_problem(request, SM_PROBLEM_QUERY_INVALID, "%s is '%.64s', it must be %s",
                         parameters[i].name, text, parameters[i].expected);
        return false;
    }
    /* Bounds on m, and orders by it, would reveal the hidden digits one by one. */
    if (request->caller.rounds &&
        (filter->has_min || filter->has_max || filter->order == SM_ORDER_HIGHEST ||
         filter->order == SM_ORDER_LOWEST)) {
        sm_reply_problem(request, SM_PROBLEM_FIGURES_ROUNDED,
                         "the figures of this key are rounded: min, max and the orders highest and "
                         "lowest are not for it");
        return false;
    }
    const char *cursor = sm_request_query(request, "cursor");
    if (!cursor || sm_cursor_decode(filter, cursor))
        return true;
    sm_reply_problem(request, SM_PROBLEM_CURSOR_INVALID,
                     "the cursor is damaged or was made for other filters or another order");
    return false;
}

/* Returns {"scores": [...], "next": ...} with a line end, to be freed; NULL when out of memory.
 * Frees `scores`. */
static char *page_text(char *scores, const char *next)
{
    char *text = NULL;
    json_t *link = !next ? json_null() : json_string(next);
    char *quoted = sm_json_text(link, 0);
    if (quoted && asprintf(&text, "{\"scores\":%s,\"next\":%s}\n", scores, quoted) < 0)
        text = NULL;
    free(quoted);
    json_decref(link);
    free(scores);
    return text;
}

void sm_api_list_scores(struct sm_request *request)
{
    struct sm_score_filter filter;
    struct sm_score_page page;
    struct sm_err err = {0};
    char cursor[SM_CURSOR_BYTES];
    char *next = NULL;
    if (!read_filter(&filter, request))
        return;
    if (sm_store_scores(&page, sm_api_of(request)->store, &filter, &err) != SM_OK) {
        sm_reply_failure(request, &err);
        return;
    }
    if (page.more) {
        sm_cursor_encode(cursor, &filter, page.last_value, page.ids[page.count - 1]);
        if (!(next = sm_request_link(request, "cursor", cursor))) {
            free(page.scores);
            sm_reply_no_memory(request);
            return;
        }
    }
    sm_api_log_reads(request, page.ids, (size_t)page.count);
    sm_reply_text(request, 200, "application/json", page_text(page.scores, next));
    if (next)
        sm_reply_header(request, "Link", "<%s>; rel=\"next\"", next);
    free(next);
}

void sm_api_get_score(struct sm_request *request)
{
    struct sm_err err = {0};
    char *line;
    if (sm_id_valid(request->capture) &&
        sm_store_score_line(&line, sm_api_of(request)->store, request->caller.tenant,
                            request->capture, &err) == SM_OK)
        sm_reply_text(request, 200, "application/json", line);
    else if (err.code == SM_OK || err.code == SM_NOT_FOUND)
        sm_reply_problem(request, SM_PROBLEM_SCORE_UNKNOWN, "there is no score '%s'",
                         request->capture);
    else
        sm_reply_failure(request, &err);
}
