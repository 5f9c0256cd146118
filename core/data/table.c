/* Tables of image files: JSON Lines and CSV (RFC 4180). Paths are relative to the table's folder.
 * Columns have several names in use: file_name is Hugging Face's, image and label are common. Other
 * columns are ignored. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/data/files.h"

#define DEPTH_MAX   8
#define COLUMNS_MAX 256

enum column { PATH, CLASS, GROUP, COHORT, COLUMNS };

static const struct {
    const char *name;
    enum column column;
} names[] = {{"path", PATH},   {"file_name", PATH}, {"filename", PATH},
             {"image", PATH},  {"file", PATH},      {"class", CLASS},
             {"label", CLASS}, {"group", GROUP},    {"cohort", COHORT}};

/* Returns the column of that name, or -1. */
static int column_of(const char *name, size_t count)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i].name) == count && memcmp(names[i].name, name, count) == 0)
            return (int)names[i].column;
    return -1;
}

static enum sm_code add_row(struct sm_files *files, char *const texts[COLUMNS], int64_t line,
                            struct sm_err *err)
{
    char class_label[SM_DATASET_LABEL_BYTES_MAX + 1] = "";
    char group[SM_DATASET_LABEL_BYTES_MAX + 1] = "";
    if (!texts[PATH] || texts[PATH][0] == '\0')
        return sm_err_set(err, SM_CORRUPT, "line %" PRId64 " has no path", line);
    if (texts[CLASS])
        sm_data_copy_label(class_label, texts[CLASS], strlen(texts[CLASS]));
    if (texts[GROUP])
        sm_data_copy_label(group, texts[GROUP], strlen(texts[GROUP]));
    return sm_files_add(files, texts[PATH], class_label, group, texts[COHORT], err);
}

/* --- JSON Lines --- */

/* Returns the text of a string or whole number, to be freed; NULL for anything else. */
static char *text_of(const json_t *value)
{
    char number[24];
    if (json_is_string(value))
        return strdup(json_string_value(value));
    if (!json_is_integer(value))
        return NULL;
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
    return strdup(number);
}

static enum sm_code take_json(struct sm_files *files, const char *text, size_t count, int64_t line,
                              struct sm_err *err)
{
    char *texts[COLUMNS] = {NULL};
    struct sm_err why = {0};
    json_t *node = NULL;
    enum sm_code code =
        sm_json_parse(&node, text, count, SM_DATASET_LINE_BYTES_MAX, DEPTH_MAX, &why);
    if (code == SM_OK && !json_is_object(node))
        code = sm_err_set(&why, SM_CORRUPT, "not an object");
    if (code != SM_OK)
        code = sm_err_set(err, code, "line %" PRId64 ": %.160s", line, why.text);
    for (size_t i = 0; code == SM_OK && i < sizeof names / sizeof *names; i++)
        if (!texts[names[i].column])
            texts[names[i].column] = text_of(json_object_get(node, names[i].name));
    if (code == SM_OK)
        code = add_row(files, texts, line, err);
    for (int i = 0; i < COLUMNS; i++)
        free(texts[i]);
    json_decref(node);
    return code;
}

static bool is_blank(const char *text, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r')
            return false;
    return true;
}

static enum sm_code read_lines(struct sm_files *files, const char *text, size_t count,
                               struct sm_err *err)
{
    enum sm_code code = SM_OK;
    int64_t line = 1;
    for (size_t at = 0; code == SM_OK && at < count; line++) {
        const char *end = memchr(text + at, '\n', count - at);
        size_t n = end ? (size_t)(end - (text + at)) : count - at;
        if (!is_blank(text + at, n))
            code = take_json(files, text + at, n, line, err);
        at += n + 1;
    }
    return code;
}

/* --- CSV --- */

struct csv {
    const char *at, *end;
    int64_t line;
    char *cell; /* [SM_DATASET_LINE_BYTES_MAX + 1], the cell read last */
};

static enum sm_code put(struct csv *csv, size_t *n, char byte, struct sm_err *err)
{
    if (*n == SM_DATASET_LINE_BYTES_MAX)
        return sm_err_set(err, SM_LIMIT, "line %" PRId64 ": a cell of over %d bytes, the limit",
                          csv->line, SM_DATASET_LINE_BYTES_MAX);
    csv->cell[(*n)++] = byte;
    return SM_OK;
}

/* Reads one cell and the comma or line end behind it; *last: it was the line's last. */
static enum sm_code read_cell(bool *last, struct csv *csv, struct sm_err *err)
{
    size_t n = 0;
    bool quoted = csv->at < csv->end && *csv->at == '"', open = quoted;
    const int64_t begun = csv->line;
    enum sm_code code = SM_OK;
    csv->at += quoted;
    while (code == SM_OK && csv->at < csv->end) {
        char c = *csv->at;
        if (open && c == '"') {
            open = csv->at + 1 < csv->end && csv->at[1] == '"';
            csv->at += open ? 2 : 1;
            if (open)
                code = put(csv, &n, '"', err);
        } else if (!open && (c == ',' || c == '\n')) {
            break;
        } else {
            csv->line += c == '\n';
            csv->at++;
            if (open || c != '\r')
                code = put(csv, &n, c, err);
        }
    }
    if (code == SM_OK && open)
        code = sm_err_set(err, SM_CORRUPT, "line %" PRId64 ": a quote is not closed", begun);
    if (code == SM_OK && memchr(csv->cell, '\0', n))
        code = sm_err_set(err, SM_CORRUPT, "line %" PRId64 ": a cell has a zero byte", begun);
    csv->cell[n] = '\0';
    *last = csv->at == csv->end || *csv->at == '\n';
    csv->at += csv->at < csv->end;
    return code;
}

static enum sm_code read_head(int columns[COLUMNS_MAX], int *count, struct csv *csv,
                              struct sm_err *err)
{
    enum sm_code code = SM_OK;
    bool last = false, has_path = false;
    for (*count = 0; code == SM_OK && !last; ++*count) {
        if (*count == COLUMNS_MAX)
            return sm_err_set(err, SM_LIMIT, "line 1: over %d columns, the limit", COLUMNS_MAX);
        code = read_cell(&last, csv, err);
        int column = code == SM_OK ? column_of(csv->cell, strlen(csv->cell)) : -1;
        for (int i = 0; i < *count; i++)
            if (columns[i] == column)
                column = -1; /* the first column of a kind counts */
        columns[*count] = column;
        has_path = has_path || column == PATH;
    }
    csv->line++;
    if (code == SM_OK && !has_path)
        code = sm_err_set(err, SM_CORRUPT,
                          "line 1 names no column path, file_name, filename, image or file");
    return code;
}

static enum sm_code read_row(struct sm_files *files, const int *columns, int count, struct csv *csv,
                             struct sm_err *err)
{
    char *texts[COLUMNS] = {NULL};
    enum sm_code code = SM_OK;
    bool last = false, any = false;
    const int64_t line = csv->line;
    int cells = 0;
    for (; code == SM_OK && !last; cells++) {
        code = read_cell(&last, csv, err);
        any = any || csv->cell[0] != '\0';
        if (code == SM_OK && cells < count && columns[cells] >= 0 &&
            !(texts[columns[cells]] = strdup(csv->cell)))
            code = sm_err_set(err, SM_NOMEM, "no memory for a cell");
    }
    csv->line++;
    if (code == SM_OK && cells != count && (any || cells > 1))
        code = sm_err_set(err, SM_CORRUPT, "line %" PRId64 " has %d cells, line 1 has %d", line,
                          cells, count);
    else if (code == SM_OK && (any || cells > 1))
        code = add_row(files, texts, line, err);
    for (int i = 0; i < COLUMNS; i++)
        free(texts[i]);
    return code;
}

static enum sm_code read_csv(struct sm_files *files, const char *text, size_t count,
                             struct sm_err *err)
{
    int columns[COLUMNS_MAX], columns_count = 0;
    struct csv csv = {text, text + count, 1, malloc(SM_DATASET_LINE_BYTES_MAX + 1)};
    if (!csv.cell)
        return sm_err_set(err, SM_NOMEM, "no memory for a cell");
    enum sm_code code = read_head(columns, &columns_count, &csv, err);
    while (code == SM_OK && csv.at < csv.end)
        code = read_row(files, columns, columns_count, &csv, err);
    free(csv.cell);
    return code;
}

/* --- both --- */

static enum sm_code
open_table(struct sm_data_reader *out, const struct sm_dataset_place *place, const char *format,
           enum sm_code (*read)(struct sm_files *, const char *, size_t, struct sm_err *),
           struct sm_err *err)
{
    struct sm_files *files = sm_files_new(err);
    struct sm_file file = {0};
    if (!files)
        return SM_NOMEM;
    enum sm_code code = SM_OK;
    if (!sm_data_beside(files->folder, place->path, ""))
        code = sm_err_set(err, SM_LIMIT, "a path of over %d bytes", PATH_MAX - 1);
    else if (place->part[0] != '\0')
        code = sm_err_set(err, SM_INVALID, "a table has no part \"%.60s\"", place->part);
    else
        code = sm_file_map(&file, place->path, SM_DATASET_TABLE_BYTES_MAX, err);
    const char *text = (const char *)file.bytes;
    size_t count = file.bytes_count,
           bom = count >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    if (code == SM_OK && count > bom)
        code = read(files, text + bom, count - bom, err);
    sm_file_release(&file);
    sm_files_serve(out, format, files);
    if (code == SM_OK && files->count == 0)
        code = sm_err_set(err, SM_INVALID, "names no image");
    return code;
}

enum sm_code sm_data_open_lines(struct sm_data_reader *out, const struct sm_dataset_place *place,
                                struct sm_err *err)
{
    return open_table(out, place, "json-lines", read_lines, err);
}

enum sm_code sm_data_open_csv(struct sm_data_reader *out, const struct sm_dataset_place *place,
                              struct sm_err *err)
{
    return open_table(out, place, "csv", read_csv, err);
}
