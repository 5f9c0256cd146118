/* Splits a body that is whole in memory.
 *
 * A body has a declared and bounded length, so it is collected first and split here without a copy,
 * with one memmem per delimiter, in time linear in the body. libmicrohttpd's post processor is not
 * used: it works on fragments, cannot tell an empty part from a part whose first fragment is empty,
 * and has had vulnerabilities (CVE-2021-3466, CVE-2023-27371). A part is a slice between two
 * delimiters:
 *
 *     [preamble CRLF] {--boundary [spaces] CRLF headers CRLF CRLF bytes CRLF} --boundary-- */
#include "server/http/multipart.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

struct cursor {
    const uint8_t *at, *end;
};

static size_t left(const struct cursor *c)
{
    return (size_t)(c->end - c->at);
}

/* If `text` is at the cursor, moves past it and returns 1; else returns 0. */
static int take(struct cursor *c, const char *text)
{
    size_t n = strlen(text);
    if (left(c) < n || memcmp(c->at, text, n) != 0)
        return 0;
    c->at += n;
    return 1;
}

/* Copies the value of a header line if the header is `name`. Returns 0 if it is another, or if the
 * value does not fit or has a NUL. */
static int header_value(char *out, size_t out_bytes, const char *line, size_t line_bytes,
                        const char *name)
{
    size_t n = strlen(name);
    if (line_bytes <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
        return 0;
    line += n + 1, line_bytes -= n + 1;
    if (line_bytes >= out_bytes || memchr(line, '\0', line_bytes))
        return 0;
    memcpy(out, line, line_bytes);
    out[line_bytes] = '\0';
    return 1;
}

/* Reads the headers of a part and the empty line that ends them. */
static enum sm_code read_headers(struct sm_part *part, struct cursor *c, int index,
                                 struct sm_err *err)
{
    const uint8_t *start = c->at;
    char value[SM_PART_HEADERS_MAX];
    char disposition[SM_MEDIA_TYPE_BYTES];
    while (!take(c, "\r\n")) {
        const uint8_t *eol = memmem(c->at, left(c), "\r\n", 2);
        if (!eol || eol - start > SM_PART_HEADERS_MAX - 2)
            return sm_err_set(err, SM_INVALID, "part %d: its headers do not end within %d bytes",
                              index, SM_PART_HEADERS_MAX);
        const char *line = (const char *)c->at;
        size_t line_bytes = (size_t)(eol - c->at);
        c->at = eol + 2;
        if (header_value(value, sizeof value, line, line_bytes, "Content-Type"))
            sm_media_type(part->media_type, value);
        if (!header_value(value, sizeof value, line, line_bytes, "Content-Disposition"))
            continue;
        sm_media_type(disposition, value);
        if (strcmp(disposition, "form-data") != 0 ||
            !sm_header_param(part->name, sizeof part->name, value, "name"))
            return sm_err_set(err, SM_INVALID,
                              "part %d: Content-Disposition is not form-data with a name of 1 to "
                              "%zu bytes",
                              index, sizeof part->name - 1);
        if (!sm_header_param(part->filename, sizeof part->filename, value, "filename"))
            part->filename[0] = '\0';
    }
    if (part->name[0] == '\0')
        return sm_err_set(err, SM_INVALID, "part %d has no name", index);
    return SM_OK;
}

enum sm_code sm_multipart_split(struct sm_part *parts, int *parts_count, int parts_max,
                                const void *body, size_t body_bytes, const char *boundary,
                                struct sm_err *err)
{
    const uint8_t *from = body_bytes == 0 ? (const uint8_t *)"" : body; /* body may be NULL */
    struct cursor c = {from, from + body_bytes};
    char delimiter[SM_BOUNDARY_BYTES + 4];
    *parts_count = 0;
    int n = snprintf(delimiter, sizeof delimiter, "\r\n--%s", boundary);
    if (n <= 4 || (size_t)n >= sizeof delimiter)
        return sm_err_set(err, SM_INVALID, "boundary has %d characters, 1 to 70 may be", n - 4);
    if (!take(&c, delimiter + 2)) { /* usually there is no preamble */
        const uint8_t *first = memmem(from, body_bytes, delimiter, (size_t)n);
        if (!first)
            return sm_err_set(err, SM_INVALID, "the boundary of Content-Type is not in the body");
        c.at = first + n;
    }
    while (!take(&c, "--")) {
        while (take(&c, " ") || take(&c, "\t"))
            continue;
        if (!take(&c, "\r\n"))
            return sm_err_set(err, SM_INVALID, "a boundary is not followed by the end of its line");
        if (*parts_count == parts_max)
            return sm_err_set(err, SM_LIMIT, "more than %d parts", parts_max);
        struct sm_part *part = &parts[*parts_count];
        *part = (struct sm_part){0};
        if (read_headers(part, &c, *parts_count, err) != SM_OK)
            return SM_INVALID;
        part->bytes = c.at;
        /* In an empty part, the CRLF that ends the headers also begins the next delimiter. */
        c.at -= 2;
        const uint8_t *next = memmem(c.at, left(&c), delimiter, (size_t)n);
        if (!next)
            return sm_err_set(err, SM_INVALID, "part %d has no closing boundary", *parts_count);
        part->bytes_count = next < part->bytes ? 0 : (size_t)(next - part->bytes);
        c.at = next + n;
        ++*parts_count;
    }
    return SM_OK;
}
