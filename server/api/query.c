/* Reads of a request that several handlers need: JSON bodies, query parameters, the origin. */
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "server/api/handlers.h"

json_t *sm_api_read_object(struct sm_request *request)
{
    const struct sm_body *body = &request->body;
    struct sm_err err = {0};
    json_t *node = NULL;
    if (body->bytes_count == 0) {
        sm_reply_problem(request, SM_PROBLEM_BODY_EMPTY, "the body has 0 bytes");
        return NULL;
    }
    enum sm_code code = sm_json_parse(&node, body->bytes, body->bytes_count, SM_API_JSON_BYTES_MAX,
                                      SM_API_JSON_DEPTH_MAX, &err);
    if (code == SM_OK && json_is_object(node))
        return node;
    if (code == SM_NOMEM)
        sm_reply_failure(request, &err);
    else
        sm_reply_problem(request, SM_PROBLEM_JSON_INVALID, "%s",
                         code == SM_OK ? "the body must be an object" : err.text);
    json_decref(node);
    return NULL;
}

bool sm_api_read_member(void *out, struct sm_request *request, const char *name,
                        enum sm_problem problem, sm_api_parse *parse)
{
    const struct sm_field fields[] = {{name, SM_FIELD_NODE, 0, .required = true}, {0}};
    const json_t *member = NULL;
    struct sm_err err = {0};
    json_t *body = sm_api_read_object(request);
    if (!body)
        return false;
    enum sm_code code = sm_fields_read(&member, body, fields, "", &err);
    if (code == SM_OK)
        code = parse(out, member, &err);
    json_decref(body);
    if (code != SM_OK)
        sm_reply_field_problem(request, problem, &err);
    return code == SM_OK;
}

struct sm_origin sm_api_origin(const struct sm_request *request)
{
    struct sm_origin origin;
    memcpy(origin.request, request->id, sizeof origin.request);
    memcpy(origin.trace, request->trace, sizeof origin.trace);
    return origin;
}

bool sm_api_query_bool(bool *out, struct sm_request *request, const char *name)
{
    const char *text = sm_request_query(request, name);
    if (!text)
        return true;
    *out = strcmp(text, "true") == 0;
    if (*out || strcmp(text, "false") == 0)
        return true;
    sm_reply_problem(request, SM_PROBLEM_QUERY_INVALID, "%s is '%.64s', it must be true or false",
                     name, text);
    return false;
}

bool sm_api_query_int(int64_t *out, struct sm_request *request, const char *name, int64_t min,
                      int64_t max)
{
    const char *text = sm_request_query(request, name);
    int64_t value;
    if (!text)
        return true;
    if (sm_digits(&value, text) && value >= min && value <= max) {
        *out = value;
        return true;
    }
    sm_reply_problem(request, SM_PROBLEM_QUERY_INVALID,
                     "%s is '%.64s', it must be a whole number from %lld to %lld", name, text,
                     (long long)min, (long long)max);
    return false;
}
