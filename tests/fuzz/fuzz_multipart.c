/* Fuzzes multipart bodies: collects them in pieces, in memory and in a file, then splits them. The
 * first byte chooses the pieces, the rest of the first line is the Content-Type, then comes the
 * body.
 *
 * Properties: the parts do not depend on the pieces; they are in the body in order, and each ends
 * at its delimiter; a body that is one byte short is refused, and so is one part over the limit;
 * parts that are written again read the same. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/http/body.h"
#include "server/http/multipart.h"

#define PARTS_MAX 8
#define FOLDER    "/dev/shm"
/* Larger bodies are collected only in memory: a file would test nothing more. */
#define SPOOLED_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct parts {
    struct sm_part all[PARTS_MAX];
    int count;
    enum sm_code code;
};

static void split(struct parts *out, const uint8_t *body, size_t body_bytes, const char *boundary,
                  int parts_max)
{
    struct sm_err err = {0};
    out->code =
        sm_multipart_split(out->all, &out->count, parts_max, body, body_bytes, boundary, &err);
    assert(out->code == SM_OK || out->code == SM_INVALID || out->code == SM_LIMIT);
    assert(out->count <= parts_max);
    assert((out->code == SM_OK) == (err.text[0] == '\0') && err.code == out->code);
}

static bool same_part(const struct sm_part *a, const struct sm_part *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->filename, b->filename) == 0 &&
           strcmp(a->media_type, b->media_type) == 0 && a->bytes_count == b->bytes_count &&
           (a->bytes_count == 0 || memcmp(a->bytes, b->bytes, a->bytes_count) == 0);
}

static void check_same(const struct parts *a, const struct parts *b)
{
    assert(a->code == b->code);
    if (a->code != SM_OK)
        return;
    assert(a->count == b->count);
    for (int i = 0; i < a->count; i++)
        assert(same_part(&a->all[i], &b->all[i]));
}

/* --- pieces --- */

/* Appends the bytes in pieces, whose sizes follow from `seed`, then one byte too many. */
static void collect(struct sm_body *body, const uint8_t *bytes, size_t bytes_count, unsigned seed)
{
    for (size_t at = 0; at < bytes_count;) {
        seed = seed * 1103515245 + 12345;
        size_t n = 1 + (seed >> 16) % (seed >> 8 & 1 ? 5 : 64);
        n = n < bytes_count - at ? n : bytes_count - at;
        assert(sm_body_append(body, bytes + at, n));
        at += n;
    }
    assert(!sm_body_append(body, "x", 1));
    assert(body->bytes_count == bytes_count);
}

static void check_spooled(const uint8_t *bytes, size_t bytes_count, unsigned seed)
{
    struct sm_body_budget budget = {.max = SPOOLED_MAX};
    struct sm_body body;
    uint8_t back[SPOOLED_MAX + 1];
    struct sm_err err;
    if (sm_body_spool(&body, &budget, FOLDER, bytes_count, &err) != SM_OK)
        abort();
    collect(&body, bytes, bytes_count, seed);
    assert(pread(body.fd, back, sizeof back, 0) == (ssize_t)bytes_count);
    assert(memcmp(back, bytes, bytes_count) == 0);
    sm_body_release(&body, &budget);
    assert(budget.used == 0);
}

static void check_pieces(const struct parts *whole, const uint8_t *bytes, size_t bytes_count,
                         const char *boundary, unsigned seed)
{
    struct sm_body_budget budget = {.max = (int64_t)bytes_count};
    struct sm_body body;
    struct parts parts;
    if (sm_body_reserve(&body, &budget, bytes_count) != SM_OK)
        abort();
    collect(&body, bytes, bytes_count, seed);
    split(&parts, body.bytes, body.bytes_count, boundary, PARTS_MAX);
    check_same(whole, &parts);
    sm_body_release(&body, &budget);
    assert(budget.used == 0);
    if (bytes_count <= SPOOLED_MAX)
        check_spooled(bytes, bytes_count, seed + 1);
}

/* --- parts --- */

/* Returns the delimiter that ends a part. It begins at the part's end, or, for an empty part, with
 * the line end of the part's headers. */
static const uint8_t *delimiter_of(const struct sm_part *part, const uint8_t *end,
                                   const char *delimiter, size_t n)
{
    const uint8_t *at = part->bytes + part->bytes_count;
    if (part->bytes_count == 0 && memcmp(at - 2, delimiter, n) == 0)
        at -= 2;
    assert((size_t)(end - at) >= n && memcmp(at, delimiter, n) == 0);
    return at;
}

static void check_parts(const struct parts *parts, const uint8_t *body, size_t body_bytes,
                        const char *boundary)
{
    const uint8_t *at = body, *end = body + body_bytes;
    char delimiter[SM_BOUNDARY_BYTES + 4];
    size_t n = (size_t)snprintf(delimiter, sizeof delimiter, "\r\n--%s", boundary);
    struct parts cut;
    for (int i = 0; i < parts->count; i++) {
        const struct sm_part *part = &parts->all[i];
        assert(part->name[0] != '\0' && part->bytes >= at + 2 && part->bytes <= end);
        assert(part->bytes_count <= (size_t)(end - part->bytes));
        assert(part->bytes_count == 0 || !memmem(part->bytes, part->bytes_count, delimiter, n));
        at = delimiter_of(part, end, delimiter, n) + n;
    }
    if (parts->count == 0)
        return;
    /* "--" after the last delimiter ends the parts; the bytes behind it are ignored. */
    size_t whole = (size_t)(at - body) + 2;
    assert(whole <= body_bytes && memcmp(at, "--", 2) == 0);
    split(&cut, body, whole, boundary, PARTS_MAX);
    check_same(parts, &cut);
    split(&cut, body, whole - 1, boundary, PARTS_MAX);
    assert(cut.code == SM_INVALID);
    split(&cut, body, body_bytes, boundary, parts->count - 1);
    assert(cut.code == SM_LIMIT);
}

/* Writes a parameter as a quoted string in which every character is escaped. */
static void put_quoted(FILE *out, const char *name, const char *value)
{
    fprintf(out, "; %s=\"", name);
    for (; *value != '\0'; value++)
        fprintf(out, "\\%c", *value);
    fputc('"', out);
}

static void check_again(const struct parts *parts, const char *boundary)
{
    char *text = NULL;
    size_t text_bytes;
    struct parts again;
    FILE *out = open_memstream(&text, &text_bytes);
    if (!out)
        return;
    for (int i = 0; i < parts->count; i++) {
        const struct sm_part *part = &parts->all[i];
        fprintf(out, "--%s\r\nContent-Disposition: form-data", boundary);
        put_quoted(out, "name", part->name);
        if (part->filename[0] != '\0')
            put_quoted(out, "filename", part->filename);
        if (part->media_type[0] != '\0')
            fprintf(out, "\r\nContent-Type: %s", part->media_type);
        fputs("\r\n\r\n", out);
        fwrite(part->bytes, 1, part->bytes_count, out);
        fputs("\r\n", out);
    }
    fprintf(out, "--%s--", boundary);
    if (fclose(out) != 0)
        abort();
    split(&again, (const uint8_t *)text, text_bytes, boundary, PARTS_MAX);
    check_same(parts, &again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line_end = size < 2 ? NULL : memchr(data + 1, '\n', size - 1);
    char boundary[SM_BOUNDARY_BYTES];
    struct parts parts;
    if (!line_end)
        return 0;
    char *type = strndup((const char *)data + 1, (size_t)(line_end - data - 1));
    size_t body_bytes = size - (size_t)(line_end + 1 - data);
    uint8_t *body = malloc(body_bytes > 0 ? body_bytes : 1); /* exact size: see driver.c */
    if (!type || !body)
        abort();
    memcpy(body, line_end + 1, body_bytes);
    if (sm_header_param(boundary, sizeof boundary, type, "boundary")) {
        split(&parts, body, body_bytes, boundary, PARTS_MAX);
        check_pieces(&parts, body, body_bytes, boundary, data[0]);
        if (parts.code == SM_OK) {
            check_parts(&parts, body, body_bytes, boundary);
            check_again(&parts, boundary);
        }
    }
    free(body);
    free(type);
    return 0;
}
