/* Authorization by API key, on the headers of every request whose route has a scope.
 *
 * Only failures are limited per address; a good key is served whatever its address sent before.
 * Secrets cannot be guessed, so the limit is only against noise, and one client behind a proxy must
 * not lock out the others. Unknown, wrong, revoked and expired keys get the same answer; metrics
 * and log tell the operator which case it was. */
#include <string.h>

#include "server/api/handlers.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/metrics.h"
#include "server/store/access.h"
#include "server/store/api_keys.h"
#include "server/store/budget.h"

#define REALM "Bearer realm=\"sslmem\""

/* Returns the token of "Authorization: Bearer TOKEN"; NULL without the header, "" for another
 * scheme. */
static const char *bearer(const struct sm_request *request)
{
    static const char scheme[] = "Bearer ";
    const char *text = sm_request_header(request, "Authorization");
    if (!text)
        return NULL;
    if (strncasecmp(text, scheme, sizeof scheme - 1) != 0)
        return "";
    text += sizeof scheme - 1;
    return text + strspn(text, " ");
}

static void reply_limited(struct sm_request *request, int64_t retry_s)
{
    sm_metric_add(SM_METRIC_AUTH_FAILURES, 1, "limited");
    sm_reply_problem(request, SM_PROBLEM_AUTH_LIMITED,
                     "this address may send %lld requests without a good key in a minute",
                     (long long)sm_api_of(request)->config->auth_failures_max);
    sm_reply_header(request, "Retry-After", "%lld", (long long)retry_s);
}

static void refuse(struct sm_request *request, enum sm_api_key_verdict verdict)
{
    const char *reason = sm_api_key_verdict_name(verdict);
    int64_t retry_s;
    if (!sm_buckets_take(sm_api_of(request)->auth_failures, &request->client, request->started_ms,
                         &retry_s)) {
        reply_limited(request, retry_s);
        return;
    }
    sm_metric_add(SM_METRIC_AUTH_FAILURES, 1, reason);
    sm_log("warning", "auth_failed", "{s:s, s:s}", "request", request->id, "reason", reason);
    if (verdict == SM_API_KEY_MISSING) {
        sm_reply_problem(request, SM_PROBLEM_KEY_MISSING,
                         "send a key: Authorization: Bearer sslmem_...");
        sm_reply_header(request, "WWW-Authenticate", REALM);
    } else {
        sm_reply_problem(request, SM_PROBLEM_KEY_INVALID,
                         "the key is unknown, revoked or has expired");
        sm_reply_header(request, "WWW-Authenticate", REALM ", error=\"invalid_token\"");
    }
}

static bool has_scope(const struct sm_request *request)
{
    for (const char *at = request->caller.scopes; *at != '\0';) {
        size_t n = strcspn(at, " ");
        if (sm_word_in(request->route->scope, at, n))
            return true;
        at += n + strspn(at + n, " ");
    }
    return false;
}

bool sm_api_reply_refusal(struct sm_request *request, const struct sm_err *err)
{
    int64_t of_day_ms = sm_clock_unix_ms() % SM_DAY_MS;
    if (err->code == SM_CANCELLED) {
        refuse(request,
               request->caller.api_key_id[0] == '\0' ? SM_API_KEY_MISSING : SM_API_KEY_REVOKED);
    } else if (err->code == SM_LIMIT) {
        sm_reply_problem(request, SM_PROBLEM_BUDGET_SPENT, "%s", err->text);
        sm_reply_header(request, "Retry-After", "%lld",
                        (long long)(SM_DAY_MS - of_day_ms) / 1000 + 1);
    }
    return err->code == SM_CANCELLED || err->code == SM_LIMIT;
}

bool sm_api_has_budget(struct sm_request *request)
{
    struct sm_err err = {0};
    enum sm_code code = sm_store_has_budget(sm_api_of(request)->store, &request->caller, &err);
    if (code != SM_OK && !sm_api_reply_refusal(request, &err))
        sm_reply_failure(request, &err);
    return code == SM_OK;
}

/* Replies with the reason, because the client can only pass it on to the operator. */
static void reply_unavailable(struct sm_request *request, enum sm_problem problem,
                              const struct sm_err *err)
{
    sm_reply_problem(request, problem, "%s", err->text);
    sm_reply_header(request, "Retry-After", "5");
}

void sm_api_reply_full(struct sm_request *request, const struct sm_err *err)
{
    reply_unavailable(request, SM_PROBLEM_DISK_FULL, err);
}

bool sm_api_store_takes(struct sm_request *request)
{
    struct sm_err err;
    if (sm_jobs_check_results(sm_api_of(request)->jobs, &err) == SM_OK)
        return true;
    reply_unavailable(
        request, err.code == SM_FULL ? SM_PROBLEM_DISK_FULL : SM_PROBLEM_STORE_UNAVAILABLE, &err);
    return false;
}

/* Refuses exact figures to a key whose figures are rounded, and everything while the log of reads
 * is full. */
static void check_caller(struct sm_request *request)
{
    if (request->caller.rounds && request->route->exact) {
        sm_reply_problem(request, SM_PROBLEM_FIGURES_ROUNDED,
                         "the figures of this key are rounded: reports, selections and comparisons "
                         "are not for it");
    } else if (request->caller.api_key_id[0] != '\0' &&
               sm_store_access_full(sm_api_of(request)->store)) {
        sm_reply_problem(request, SM_PROBLEM_BUSY, "the log of reads does not keep up");
        sm_reply_header(request, "Retry-After", "1");
    }
}

bool sm_api_still_authorized(struct sm_request *request)
{
    enum sm_api_key_verdict verdict;
    struct sm_caller caller;
    struct sm_err err;
    return sm_store_api_key_check(&caller, &verdict, sm_api_of(request)->store, bearer(request),
                                  &err) == SM_OK &&
           verdict == SM_API_KEY_GOOD;
}

void sm_api_authorize(struct sm_request *request)
{
    enum sm_api_key_verdict verdict;
    struct sm_err err = {0};
    const char *scope = request->route->scope;
    if (sm_store_api_key_check(&request->caller, &verdict, sm_api_of(request)->store,
                               bearer(request), &err) != SM_OK) {
        struct sm_err why;
        if (sm_store_check_files(sm_api_of(request)->store, &why) != SM_OK)
            reply_unavailable(request, SM_PROBLEM_STORE_UNAVAILABLE, &why);
        else
            sm_reply_failure(request, &err);
    } else if (verdict != SM_API_KEY_GOOD) {
        refuse(request, verdict);
    } else if (!has_scope(request)) {
        sm_metric_add(SM_METRIC_AUTH_FAILURES, 1, "scope");
        sm_reply_problem(request, SM_PROBLEM_SCOPE_MISSING,
                         "this needs a key with one of the scopes: %s; this key has: %s", scope,
                         request->caller.scopes);
        sm_reply_header(request, "WWW-Authenticate",
                        REALM ", error=\"insufficient_scope\", scope=\"%s\"", scope);
    } else {
        check_caller(request);
    }
}
