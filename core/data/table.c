/* Tables of image files: JSON Lines and CSV (RFC 4180). Paths are relative to the table's folder.
 * Columns that core/data/members.c does not name are ignored. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/data/files.h"
#include "core/data/members.h"

#define DEPTH_MAX   8
#define COLUMNS_MAX 256
#define CR_ALONE                                                                                   \
    "a carriage return without a line feed: lines end in LF or CR LF; convert old Mac line ends"

static enum sm_code add_row(struct sm_files *files, char *const texts[SM_MEMBERS], int64_t line,
                            struct sm_err *err)
{
    char class_label[SM_DATASET_LABEL_BYTES_MAX + 1] = "";
    char group[SM_DATASET_LABEL_BYTES_MAX + 1] = "";
    const char *path = texts[SM_MEMBER_PATH];
    if (!path || path[0] == '\0')
        return sm_err_set(err, SM_CORRUPT, "line %" PRId64 " has no path", line);
    if (texts[SM_MEMBER_CLASS])
        sm_data_copy_label(class_label, texts[SM_MEMBER_CLASS], strlen(texts[SM_MEMBER_CLASS]));
    if (texts[SM_MEMBER_GROUP])
        sm_data_copy_label(group, texts[SM_MEMBER_GROUP], strlen(texts[SM_MEMBER_GROUP]));
    return sm_files_add(files, path, class_label, group, texts[SM_MEMBER_COHORT], err);
}

static void release(char *texts[SM_MEMBERS])
{
    for (int i = 0; i < SM_MEMBERS; i++)
        free(texts[i]);
}

/* --- JSON Lines --- */

static enum sm_code take_json(struct sm_files *files, const char *text, size_t count, int64_t line,
                              struct sm_err *err)
{
    char *texts[SM_MEMBERS] = {NULL};
    struct sm_err why = {0};
    json_t *node = NULL;
    enum sm_code code =
        sm_json_parse(&node, text, count, SM_DATASET_LINE_BYTES_MAX, DEPTH_MAX, &why);
    const char *cr = code == SM_OK ? NULL : memchr(text, '\r', count);
    if (cr && cr + 1 < text + count && code != SM_NOMEM)
        code = sm_err_set(&why, SM_CORRUPT, "column %td: " CR_ALONE, cr - text + 1);
    else if (code == SM_OK && !json_is_object(node))
        code = sm_err_set(&why, SM_CORRUPT, "not an object");
    for (int i = 0; code == SM_OK && i < SM_MEMBERS; i++)
        code = sm_member_read(&texts[i], node, (enum sm_member)i, &why);
    if (code != SM_OK)
        sm_err_set(err, code, "line %" PRId64 ": %.180s", line, why.text);
    else
        code = add_row(files, texts, line, err);
    release(texts);
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
    const char *at, *end, *line_at; /* line_at: the first byte of the line */
    int64_t line;
    char *cell; /* [SM_DATASET_LINE_BYTES_MAX + 1], the cell read last */
};

/* The members that columns hold; -1: a column that is ignored. */
struct columns {
    int members[COLUMNS_MAX];
    int count;
};

static enum sm_code put(struct csv *csv, size_t *n, char byte, struct sm_err *err)
{
    if (*n == SM_DATASET_LINE_BYTES_MAX)
        return sm_err_set(err, SM_LIMIT, "line %" PRId64 ": a cell of over %d bytes, the limit",
                          csv->line, SM_DATASET_LINE_BYTES_MAX);
    csv->cell[(*n)++] = byte;
    return SM_OK;
}

static enum sm_code fail_at(const struct csv *csv, const char *what, struct sm_err *err)
{
    return sm_err_set(err, SM_CORRUPT, "line %" PRId64 ", column %td: %s", csv->line,
                      csv->at - csv->line_at + 1, what);
}

static void end_line(struct csv *csv)
{
    csv->line++;
    csv->line_at = csv->at;
}

/* Reads the text of a quoted cell from its first quote to behind its last. */
static enum sm_code read_quoted(size_t *n, struct csv *csv, struct sm_err *err)
{
    const int64_t begun = csv->line;
    enum sm_code code = SM_OK;
    bool open = true;
    csv->at++;
    while (code == SM_OK && open && csv->at < csv->end) {
        char c = *csv->at++;
        bool twice = c == '"' && csv->at < csv->end && *csv->at == '"';
        open = c != '"' || twice;
        csv->at += twice;
        if (open)
            code = put(csv, n, c, err);
        if (c == '\n')
            end_line(csv);
    }
    if (code == SM_OK && open)
        code = sm_err_set(err, SM_CORRUPT, "line %" PRId64 ": a quote is not closed", begun);
    return code;
}

/* Passes over the comma or line end behind a cell; *last: it was the line's last. */
static enum sm_code end_cell(bool *last, struct csv *csv, struct sm_err *err)
{
    const char *begun = csv->at;
    while (csv->at < csv->end && *csv->at == '\r')
        csv->at++;
    if (csv->at > begun && csv->at < csv->end && *csv->at != '\n') {
        csv->at = begun;
        return fail_at(csv, CR_ALONE, err);
    }
    *last = csv->at == csv->end || *csv->at == '\n';
    if (!*last && *csv->at != ',')
        return fail_at(csv, "text behind the closing quote of a cell; a quote in it is doubled",
                       err);
    csv->at += csv->at < csv->end;
    if (*last)
        end_line(csv);
    return SM_OK;
}

static enum sm_code read_cell(bool *last, struct csv *csv, struct sm_err *err)
{
    size_t n = 0;
    const int64_t begun = csv->line;
    enum sm_code code = SM_OK;
    if (csv->at < csv->end && *csv->at == '"')
        code = read_quoted(&n, csv, err);
    else
        while (code == SM_OK && csv->at < csv->end && !memchr(",\r\n", *csv->at, 3))
            code = put(csv, &n, *csv->at++, err);
    if (code == SM_OK && memchr(csv->cell, '\0', n))
        code = sm_err_set(err, SM_CORRUPT, "line %" PRId64 ": a cell has a zero byte", begun);
    csv->cell[n] = '\0';
    return code == SM_OK ? end_cell(last, csv, err) : code;
}

/* Takes column `at`, whose name is the cell. best: by member, the column of the lowest rank. */
static enum sm_code take_column(struct columns *columns, int best[SM_MEMBERS],
                                int ranks[SM_MEMBERS], const char *name, struct sm_err *err)
{
    enum sm_member member;
    int at = columns->count++, rank = sm_member_rank(&member, name, strlen(name));
    columns->members[at] = -1;
    if (rank < 0)
        return SM_OK;
    if (best[member] >= 0 && rank == ranks[member])
        return sm_err_set(err, SM_CORRUPT, "line 1: columns %d and %d are both named %s",
                          best[member] + 1, at + 1, name);
    if (best[member] >= 0 && rank > ranks[member])
        return SM_OK;
    if (best[member] >= 0)
        columns->members[best[member]] = -1;
    columns->members[at] = (int)member;
    best[member] = at;
    ranks[member] = rank;
    return SM_OK;
}

static enum sm_code read_head(struct columns *columns, struct csv *csv, struct sm_err *err)
{
    enum sm_code code = SM_OK;
    int best[SM_MEMBERS] = {-1, -1, -1, -1}, ranks[SM_MEMBERS] = {0};
    bool last = false;
    columns->count = 0;
    while (code == SM_OK && !last) {
        if (columns->count == COLUMNS_MAX)
            return sm_err_set(err, SM_LIMIT, "line 1: over %d columns, the limit", COLUMNS_MAX);
        code = read_cell(&last, csv, err);
        if (code == SM_OK)
            code = take_column(columns, best, ranks, csv->cell, err);
    }
    if (code == SM_OK && best[SM_MEMBER_PATH] < 0)
        code = sm_err_set(err, SM_CORRUPT,
                          "line 1 names no column path, file_name, filename, image or file");
    return code;
}

static enum sm_code read_row(struct sm_files *files, const struct columns *columns, struct csv *csv,
                             struct sm_err *err)
{
    char *texts[SM_MEMBERS] = {NULL};
    enum sm_code code = SM_OK;
    bool last = false, any = false;
    const int64_t line = csv->line;
    int cells = 0;
    for (; code == SM_OK && !last; cells++) {
        code = read_cell(&last, csv, err);
        any = any || csv->cell[0] != '\0';
        int member = cells < columns->count ? columns->members[cells] : -1;
        if (code == SM_OK && member >= 0)
            code = sm_member_copy(&texts[member], csv->cell, strlen(csv->cell), err);
    }
    if (code == SM_OK && cells != columns->count && (any || cells > 1))
        code = sm_err_set(err, SM_CORRUPT, "line %" PRId64 " has %d cells, line 1 has %d", line,
                          cells, columns->count);
    else if (code == SM_OK && (any || cells > 1))
        code = add_row(files, texts, line, err);
    release(texts);
    return code;
}

static enum sm_code read_csv(struct sm_files *files, const char *text, size_t count,
                             struct sm_err *err)
{
    struct columns columns;
    struct csv csv = {text, text + count, text, 1, malloc(SM_DATASET_LINE_BYTES_MAX + 1)};
    if (!csv.cell)
        return sm_err_set(err, SM_NOMEM, "no memory for a cell");
    enum sm_code code = read_head(&columns, &csv, err);
    while (code == SM_OK && csv.at < csv.end)
        code = read_row(files, &columns, &csv, err);
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
