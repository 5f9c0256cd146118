/* Splitting walks the document and keeps the JSON pointer of the current node; joining copies the
 * text between holes.
 *
 * To find the numbers, the holes of the shape are filled with 0, 1, 2 ... and the text is parsed:
 * the number at "/m_se" is then the index of that own value. */
#include "server/db/document.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"

#define HOLE_OWN    '\1'
#define HOLE_IMAGE  '\2'
#define HOLE_KEY    '\3'
#define HOLES       "\1\2\3"
#define DIGEST_HEX  64
#define POINTER_MAX 256

/* JSON pointers of the own values, with everything below them. */
static const char *const own_fields[] = {
    "/image",
    "/m",
    "/m_se",
    "/m_low",
    "/m_high",
    "/ratio",
    "/f",
    "/g",
    "/outsider",
    "/views_used",
    "/reference/n",
    "/reference/in_reference",
    "/reference/centered",
    "/reference/percentile",
    "/reference/p_value",
    "/provenance/key",
};

static const char *const numbers[SM_NUMBERS] = {
    [SM_NUMBER_M] = "/m",
    [SM_NUMBER_M_SE] = "/m_se",
    [SM_NUMBER_RATIO] = "/ratio",
    [SM_NUMBER_F] = "/f/alignment",
    [SM_NUMBER_F_SE] = "/f/se",
    [SM_NUMBER_G] = "/g/alignment",
    [SM_NUMBER_G_SE] = "/g/se",
    [SM_NUMBER_DECODER_WARNINGS] = "/image/decoder_warnings",
    [SM_NUMBER_NORM_1] = "/outsider/norm_1",
    [SM_NUMBER_NORM_2] = "/outsider/norm_2",
    [SM_NUMBER_NORM_MAX] = "/outsider/norm_max",
};

/* --- split --- */

struct split {
    char *(*text_of)(const json_t *scalar); /* the caller frees its result */
    FILE *shape, *own;
    const char *image, *score_key;
    bool failed;
};

static bool is_own(const char *pointer)
{
    for (size_t i = 0; i < sizeof own_fields / sizeof *own_fields; i++) {
        size_t length = strlen(own_fields[i]);
        if (strncmp(pointer, own_fields[i], length) == 0 &&
            (pointer[length] == '\0' || pointer[length] == '/'))
            return true;
    }
    return false;
}

static void put_scalar(struct split *s, FILE *file, const json_t *node)
{
    char *text = node ? s->text_of(node) : NULL;
    if (!text || fputs(text, file) == EOF)
        s->failed = true;
    free(text);
}

static void split_scalar(struct split *s, const json_t *node, const char *pointer)
{
    const char *text = json_string_value(node);
    if (!is_own(pointer)) {
        put_scalar(s, s->shape, node);
    } else if (text && strlen(text) == DIGEST_HEX && strcmp(text, s->image) == 0) {
        fprintf(s->shape, "\"%c\"", HOLE_IMAGE);
    } else if (text && strlen(text) == DIGEST_HEX && strcmp(text, s->score_key) == 0) {
        fprintf(s->shape, "\"%c\"", HOLE_KEY);
    } else {
        fputc(HOLE_OWN, s->shape);
        put_scalar(s, s->own, node);
        fputc('\n', s->own);
    }
}

static void split_node(struct split *s, const json_t *node, const char *pointer)
{
    char below[POINTER_MAX];
    const char *name, *comma = "";
    json_t *child;
    size_t i;
    if (json_is_object(node)) {
        fputc('{', s->shape);
        json_object_foreach((json_t *)(uintptr_t)node, name, child)
        {
            json_t *text = json_string(name);
            fputs(comma, s->shape);
            put_scalar(s, s->shape, text);
            json_decref(text);
            fputc(':', s->shape);
            snprintf(below, sizeof below, "%s/%s", pointer, name);
            split_node(s, child, below);
            comma = ",";
        }
        fputc('}', s->shape);
    } else if (json_is_array(node)) {
        fputc('[', s->shape);
        json_array_foreach(node, i, child)
        {
            fputs(comma, s->shape);
            snprintf(below, sizeof below, "%s/%zu", pointer, i);
            split_node(s, child, below);
            comma = ",";
        }
        fputc(']', s->shape);
    } else {
        split_scalar(s, node, pointer);
    }
}

/* Closes the file; false if some text was not written because memory ran out. */
static bool close_text(FILE *file)
{
    bool whole = file && !ferror(file);
    return file && fclose(file) == 0 && whole;
}

static enum sm_code split(struct sm_document *out, const json_t *score, struct split s,
                          struct sm_err *err)
{
    size_t shape_bytes, own_bytes;
    *out = (struct sm_document){0};
    s.shape = open_memstream(&out->shape, &shape_bytes);
    s.own = open_memstream(&out->own, &own_bytes);
    if (s.shape && s.own)
        split_node(&s, score, "");
    bool shape_whole = close_text(s.shape), own_whole = close_text(s.own);
    if (shape_whole && own_whole && !s.failed)
        return SM_OK;
    sm_document_release(out);
    return sm_err_set(err, SM_NOMEM, "score document: out of memory");
}

static char *short_text(const json_t *scalar)
{
    return sm_json_text(scalar, JSON_COMPACT);
}

enum sm_code sm_document_split(struct sm_document *out, const json_t *score, const char *image,
                               const char *score_key, struct sm_err *err)
{
    struct split s = {.text_of = short_text, .image = image, .score_key = score_key};
    return split(out, score, s, err);
}

enum sm_code sm_document_split_old(struct sm_document *out, const json_t *score, const char *image,
                                   const char *score_key, struct sm_err *err)
{
    struct split s = {.text_of = sm_json_canonical, .image = image, .score_key = score_key};
    return split(out, score, s, err);
}

void sm_document_release(struct sm_document *document)
{
    free(document->shape);
    free(document->own);
    *document = (struct sm_document){0};
}

/* --- join --- */

static char *put(char *to, const char *text, size_t bytes_count)
{
    memcpy(to, text, bytes_count);
    return to + bytes_count;
}

/* Fills one hole and returns the end of the text; NULL if no own value is left. */
static char *fill(char *to, char hole, const char **own, const struct sm_document_parts *parts)
{
    if (hole == HOLE_IMAGE)
        return put(to, parts->image, DIGEST_HEX);
    if (hole == HOLE_KEY)
        return put(to, parts->score_key, DIGEST_HEX);
    const char *end = strchr(*own, '\n');
    if (!end)
        return NULL;
    to = put(to, *own, (size_t)(end - *own));
    *own = end + 1;
    return to;
}

static size_t bytes_max(const struct sm_document_parts *parts)
{
    size_t digests = 0;
    for (const char *at = strpbrk(parts->shape, "\2\3"); at; at = strpbrk(at + 1, "\2\3"))
        digests++;
    return strlen(parts->shape) + strlen(parts->own) + digests * DIGEST_HEX + strlen(parts->id) +
           strlen(parts->created) + sizeof "{'id':'','created':'',\n";
}

enum sm_code sm_document_join(char **out, const struct sm_document_parts *parts, struct sm_err *err)
{
    const char *own = parts->own, *from = parts->shape;
    *out = NULL;
    if (from[0] != '{')
        return sm_err_set(err, SM_CORRUPT, "score %s: stored document is no object", parts->id);
    char *line = malloc(bytes_max(parts));
    if (!line)
        return sm_err_set(err, SM_NOMEM, "score %s: out of memory", parts->id);
    char *to = line;
    to = put(to, "{\"id\":\"", 7);
    to = put(to, parts->id, strlen(parts->id));
    to = put(to, "\",\"created\":\"", 13);
    to = put(to, parts->created, strlen(parts->created));
    to = put(to, "\",", 2);
    from++; /* the brace of the shape; the line has its own */
    for (;;) {
        size_t count = strcspn(from, HOLES);
        to = put(to, from, count);
        from += count;
        if (*from == '\0')
            break;
        to = fill(to, *from++, &own, parts);
        if (!to) {
            free(line);
            return sm_err_set(err, SM_CORRUPT, "score %s: its document lacks values", parts->id);
        }
    }
    memcpy(to, "\n", 2);
    *out = line;
    return SM_OK;
}

/* --- numbers --- */

static const json_t *at_pointer(const json_t *node, const char *pointer)
{
    char name[32];
    while (node && *pointer == '/') {
        size_t length = strcspn(pointer + 1, "/");
        snprintf(name, sizeof name, "%.*s", (int)length, pointer + 1);
        node = json_object_get(node, name);
        pointer += length + 1;
    }
    return node;
}

static char *numbered(const char *shape)
{
    char *text = NULL;
    size_t bytes_count;
    int index = 0;
    FILE *file = open_memstream(&text, &bytes_count);
    for (const char *c = shape; file && *c; c++) {
        if (*c == HOLE_OWN)
            fprintf(file, "%d", index++);
        else if (*c != HOLE_IMAGE && *c != HOLE_KEY)
            fputc(*c, file);
    }
    if (close_text(file))
        return text;
    free(text);
    return NULL;
}

enum sm_code sm_document_locate(struct sm_document_numbers *out, json_t **common, const char *shape,
                                struct sm_err *err)
{
    json_error_t why;
    char *text = numbered(shape);
    json_t *document = text ? json_loads(text, 0, &why) : NULL;
    enum sm_code code = SM_OK;
    if (!text)
        code = sm_err_set(err, SM_NOMEM, "shape of a score: out of memory");
    else if (!document)
        code = sm_err_set(err, SM_CORRUPT, "shape of a score: %s", why.text);
    for (int i = 0; i < SM_NUMBERS && code == SM_OK; i++) {
        const json_t *index = at_pointer(document, numbers[i]);
        out->at[i] = json_is_integer(index) ? (int)json_integer_value(index) : -1;
    }
    free(text);
    if (code == SM_OK && common)
        *common = document;
    else
        json_decref(document);
    return code;
}

void sm_document_read(double out[SM_NUMBERS], const struct sm_document_numbers *where,
                      const char *own)
{
    for (int i = 0; i < SM_NUMBERS; i++)
        out[i] = NAN;
    for (int index = 0; *own; index++) {
        char *end;
        for (int i = 0; i < SM_NUMBERS; i++)
            if (where->at[i] == index) {
                double value = strtod(own, &end);
                out[i] = end == own ? NAN : value;
            }
        own += strcspn(own, "\n");
        own += *own == '\n';
    }
}
