/* A new field is inserted into the text before the last brace, so that the layout stays. The result
 * is parsed and compared with the document that it must be; if it differs, the document is written
 * again as a whole. */
#include "server/cmd/register.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/json.h"

#define PAIR_BYTES_MAX (1 << 20)
#define PAIR_DEPTH_MAX 16

/* Returns the line end of the text: that of its first line. */
static const char *line_end(const char *text, size_t count)
{
    const char *first = memchr(text, '\n', count);
    return first && first > text && first[-1] == '\r' ? "\r\n" : "\n";
}

/* Returns the text with the member after the last one; NULL if there is no place for it, or out of
 * memory. */
static char *insert(const char *text, size_t count, const char *file)
{
    static const char spaces[] = " \t\r\n";
    const char *end = line_end(text, count);
    char *out = NULL;
    while (count > 0 && strchr(spaces, text[count - 1]))
        count--;
    if (count == 0 || text[count - 1] != '}')
        return NULL;
    for (count--; count > 0 && strchr(spaces, text[count - 1]); count--) {
    }
    bool lines = memchr(text, '\n', count) != NULL;
    if (count < 2 ||
        asprintf(&out, "%.*s,%s%s\"reference\": \"%s\"%s}%s", (int)count, text, lines ? end : "",
                 lines ? "  " : " ", file, lines ? end : "", end) < 0)
        return NULL;
    return out;
}

/* Returns the document as lines with that line end; NULL when out of memory. */
static char *print(const json_t *node, const char *end)
{
    char *text = sm_json_text(node, JSON_INDENT(2)), *out = NULL;
    size_t bytes_count = 0;
    FILE *file = text ? open_memstream(&out, &bytes_count) : NULL;
    for (const char *at = text; file && *at; at++) {
        if (*at == '\n')
            fputs(end, file);
        else
            fputc(*at, file);
    }
    if (file && fclose(file) != 0) {
        free(out);
        out = NULL;
    }
    free(text);
    return out;
}

static bool holds(const char *text, const json_t *wanted)
{
    json_t *node = NULL;
    bool same =
        text &&
        sm_json_parse(&node, text, strlen(text), PAIR_BYTES_MAX, PAIR_DEPTH_MAX, NULL) == SM_OK &&
        json_equal(node, wanted);
    json_decref(node);
    return same;
}

static enum sm_code edit(char **out, const struct sm_file *bytes, const char *file,
                         struct sm_err *err)
{
    json_t *node = NULL;
    char *text = NULL;
    enum sm_code code =
        sm_json_parse(&node, bytes->bytes, bytes->bytes_count, PAIR_BYTES_MAX, PAIR_DEPTH_MAX, err);
    const json_t *old = json_object_get(node, "reference");
    const char *named = json_string_value(old);
    if (code != SM_OK || (named && strcmp(named, file) == 0)) {
        json_decref(node);
        return code;
    }
    if (json_object_set_new(node, "reference", json_string(file)) != 0) {
        code = sm_err_set(err, SM_INVALID, "it holds no object");
    } else {
        if (!old)
            text = insert((const char *)bytes->bytes, bytes->bytes_count, file);
        if (!holds(text, node)) {
            free(text);
            text = print(node, line_end((const char *)bytes->bytes, bytes->bytes_count));
        }
        if (!text)
            code = sm_err_set(err, SM_NOMEM, "out of memory");
    }
    json_decref(node);
    *out = text;
    return code;
}

enum sm_code sm_register_reference(bool *changed, const char *pair_folder, const char *file,
                                   struct sm_err *err)
{
    char path[PATH_MAX], *text = NULL;
    struct sm_err why = {0};
    struct sm_file bytes = {0};
    snprintf(path, sizeof path, "%s/pair.json", pair_folder);
    enum sm_code code = sm_file_map(&bytes, path, PAIR_BYTES_MAX, &why);
    if (code == SM_OK)
        code = edit(&text, &bytes, file, &why);
    sm_file_release(&bytes);
    if (code == SM_OK && text)
        code = sm_file_write(path, text, strlen(text), &why);
    *changed = code == SM_OK && text;
    free(text);
    return code == SM_OK
               ? SM_OK
               : sm_err_set(err, code, "%.200s: \"reference\": \"%s\" was not added: %.200s", path,
                            file, why.text);
}
