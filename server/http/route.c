/* Route lookup: a linear walk over a table of some 35 rows, at most one placeholder per template.
 *
 * The walk goes on after a match, because Allow needs every method of the path. */
#include "server/http/route.h"

#include <stdio.h>
#include <string.h>

#include "server/base/caller.h"
#include "server/http/header.h"

bool sm_word_in(const char *list, const char *word, size_t word_bytes)
{
    while (list && *list != '\0') {
        list += strspn(list, " ,");
        size_t n = strcspn(list, " ,");
        if (n > 0 && n == word_bytes && memcmp(list, word, n) == 0)
            return true;
        list += n;
    }
    return false;
}

bool sm_media_type_in(const char *list, const char *media_type)
{
    char kind[SM_MEDIA_TYPE_BYTES];
    const char *slash = strchr(media_type, '/');
    if (sm_word_in(list, media_type, strlen(media_type)))
        return true;
    if (!slash || slash[1] == '\0')
        return false;
    int n = snprintf(kind, sizeof kind, "%.*s/*", (int)(slash - media_type), media_type);
    return sm_word_in(list, kind, (size_t)n);
}

bool sm_route_is_public(const struct sm_route *route)
{
    return route->scope && strcmp(route->scope, SM_PUBLIC) == 0;
}

/* Returns whether `scope` is a list of one or more scopes that keys can have. */
static bool scope_is_known(const char *scope)
{
    size_t words = 0;
    for (const char *at = scope; at && *at != '\0'; at += strspn(at, " ")) {
        size_t n = strcspn(at, " ");
        if (!sm_word_in(SM_SCOPES, at, n))
            return false;
        at += n;
        words++;
    }
    return words > 0;
}

enum sm_code sm_routes_check(const struct sm_route *routes, struct sm_err *err)
{
    for (const struct sm_route *row = routes; row->method; row++)
        if (!sm_route_is_public(row) && !scope_is_known(row->scope))
            return sm_err_set(err, SM_INVALID,
                              "route %s %s has the scope '%s', it must be SM_PUBLIC or some of: %s",
                              row->method, row->path, !row->scope ? "" : row->scope, SM_SCOPES);
    return SM_OK;
}

/* Returns whether `path` fits the template; copies the segment at the placeholder to `capture`. */
static bool path_fits(const char *template, const char *path, char capture[SM_CAPTURE_BYTES])
{
    const char *open = strchr(template, '{');
    if (!open)
        return strcmp(template, path) == 0;
    size_t head = (size_t)(open - template);
    if (strncmp(template, path, head) != 0)
        return false;
    const char *tail = strchr(open, '}') + 1;
    const char *segment = path + head;
    size_t n = strcspn(segment, "/");
    if (n == 0 || n >= SM_CAPTURE_BYTES || strcmp(segment + n, tail) != 0)
        return false;
    memcpy(capture, segment, n);
    capture[n] = '\0';
    return true;
}

static void allow_add(char allow[SM_ALLOW_BYTES], const char *method)
{
    if (sm_word_in(allow, method, strlen(method)))
        return;
    if (allow[0] != '\0')
        strncat(allow, ", ", SM_ALLOW_BYTES - 1 - strlen(allow));
    strncat(allow, method, SM_ALLOW_BYTES - 1 - strlen(allow));
}

enum sm_match sm_route_find(const struct sm_route **out, const struct sm_route *routes,
                            const char *method, const char *path, char capture[SM_CAPTURE_BYTES],
                            char allow[SM_ALLOW_BYTES])
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    bool all = strcmp(method, "OPTIONS") == 0 && strcmp(path, "*") == 0;
    *out = NULL;
    capture[0] = '\0';
    allow[0] = '\0';
    for (const struct sm_route *row = routes; row->method; row++) {
        if (!all && !path_fits(row->path, path, capture))
            continue;
        if (strcmp(row->method, wanted) == 0)
            *out = row;
        allow_add(allow, row->method);
        if (strcmp(row->method, "GET") == 0)
            allow_add(allow, "HEAD");
    }
    if (allow[0] == '\0')
        return SM_MATCH_NONE;
    allow_add(allow, "OPTIONS");
    if (strcmp(method, "OPTIONS") == 0)
        return SM_MATCH_OPTIONS;
    return *out ? SM_MATCH_OK : SM_MATCH_METHOD;
}
