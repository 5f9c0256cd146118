/* The functions with which a handler reads its request. */
#include "server/http/request.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *sm_request_query(const struct sm_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *sm_request_header(const struct sm_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

static enum MHD_Result add_preference(void *prefer, enum MHD_ValueKind kind, const char *name,
                                      const char *value)
{
    (void)kind;
    if (strcasecmp(name, "Prefer") == 0 && value)
        sm_prefer_parse(prefer, value);
    return MHD_YES;
}

struct sm_prefer sm_request_prefer(const struct sm_request *request)
{
    struct sm_prefer prefer = {0};
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, add_preference, &prefer);
    return prefer;
}

/* Percent-encodes all but the unreserved characters of RFC 3986. */
static void put_encoded(FILE *out, const char *value)
{
    for (; *value != '\0'; value++) {
        unsigned char c = (unsigned char)*value;
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
            strchr("-._~", c))
            fputc(c, out);
        else
            fprintf(out, "%%%02X", c);
    }
}

/* Writes the route's path with the captured text in place of its placeholder. */
static void put_path(FILE *out, const struct sm_request *request)
{
    const char *path = request->route->path, *open = strchr(path, '{');
    if (!open) {
        fputs(path, out);
        return;
    }
    fprintf(out, "%.*s", (int)(open - path), path);
    put_encoded(out, request->capture);
    fputs(strchr(open, '}') + 1, out);
}

char *sm_request_link(const struct sm_request *request, const char *name, const char *value)
{
    char *text = NULL;
    size_t text_bytes;
    char separator = '?';
    FILE *out = open_memstream(&text, &text_bytes);
    if (!out)
        return NULL;
    put_path(out, request);
    for (const char *p = request->route->query; p && *p != '\0'; p += strspn(p, " ")) {
        char parameter[32];
        size_t n = strcspn(p, " ");
        snprintf(parameter, sizeof parameter, "%.*s", (int)n, p);
        p += n;
        const char *now =
            strcmp(parameter, name) == 0 ? value : sm_request_query(request, parameter);
        if (!now)
            continue;
        fprintf(out, "%c%s=", separator, parameter);
        put_encoded(out, now);
        separator = '&';
    }
    bool whole = ferror(out) == 0;
    if (fclose(out) != 0 || !whole) {
        free(text);
        return NULL;
    }
    return text;
}
