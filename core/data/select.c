/* Index lists: decimal numbers between blanks, commas or line ends; '#' begins a comment. NumPy
 * writes them with savetxt(FILE, indices, fmt="%d"). The numbers are sorted with their lines, so
 * that a number that stands twice is named with both lines. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/data/data.h"

struct chosen {
    int64_t index, line;
};

struct list {
    struct chosen *rows;
    size_t count, room;
};

static int by_index(const void *a, const void *b)
{
    const struct chosen *x = a, *y = b;
    int order = (x->index > y->index) - (x->index < y->index);
    return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

static enum sm_code add(struct list *list, int64_t index, int64_t line, int64_t count,
                        struct sm_err *err)
{
    if (index >= count)
        return sm_err_set(err, SM_INVALID,
                          "line %" PRId64 ": index %" PRId64 ", the dataset has %" PRId64
                          " images, so the last is %" PRId64,
                          line, index, count, count - 1);
    if (list->count == SM_DATASET_ITEMS_MAX)
        return sm_err_set(err, SM_LIMIT,
                          "line %" PRId64 ": more than %d indices, which is the limit", line,
                          SM_DATASET_ITEMS_MAX);
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 1024 : 2 * list->room;
        struct chosen *rows = realloc(list->rows, room * sizeof *rows);
        if (!rows)
            return sm_err_set(err, SM_NOMEM, "no memory for %zu indices", room);
        list->rows = rows;
        list->room = room;
    }
    list->rows[list->count++] = (struct chosen){index, line};
    return SM_OK;
}

/* Reads the digits at *at; a number too large for int64_t becomes INT64_MAX. */
static int64_t number_at(const uint8_t **at, const uint8_t *end)
{
    int64_t value = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, **at - '0', &value))
            value = INT64_MAX;
    return value;
}

static enum sm_code read_text(struct list *list, const struct sm_file *file, int64_t count,
                              struct sm_err *err)
{
    const uint8_t *at = file->bytes ? file->bytes : (const uint8_t *)"", *first = at;
    const uint8_t *end = at + file->bytes_count;
    int64_t line = 1;
    enum sm_code code = SM_OK;
    if (file->bytes_count >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0)
        at += 3;
    while (code == SM_OK && at < end) {
        if (*at == '\n') {
            line++;
            at++;
        } else if (*at == ' ' || *at == '\t' || *at == '\r' || *at == ',') {
            at++;
        } else if (*at == '#') {
            while (at < end && *at != '\n')
                at++;
        } else if (*at >= '0' && *at <= '9') {
            int64_t index = number_at(&at, end);
            if (at < end && !memchr(" \t\r\n,#", *at, 7))
                break;
            code = add(list, index, line, count, err);
        } else {
            break;
        }
    }
    if (code == SM_OK && at < end)
        code =
            sm_err_set(err, SM_INVALID,
                       "line %" PRId64 ": byte 0x%02x at %zu is not of a list of indices: write "
                       "whole numbers from 0, one a line, as numpy.savetxt does with fmt=\"%%d\"",
                       line, *at, (size_t)(at - first));
    return code;
}

static enum sm_code sort(struct list *list, struct sm_err *err)
{
    if (list->count == 0)
        return sm_err_set(err, SM_INVALID, "has no index");
    qsort(list->rows, list->count, sizeof *list->rows, by_index);
    for (size_t i = 1; i < list->count; i++)
        if (list->rows[i].index == list->rows[i - 1].index)
            return sm_err_set(err, SM_INVALID,
                              "index %" PRId64 " stands twice, on lines %" PRId64 " and %" PRId64,
                              list->rows[i].index, list->rows[i - 1].line, list->rows[i].line);
    return SM_OK;
}

enum sm_code sm_data_read_list(int64_t **out, int64_t *out_count, const char *path, int64_t count,
                               struct sm_err *err)
{
    struct sm_file file;
    struct list list = {0};
    enum sm_code code = sm_file_map(&file, path, SM_DATASET_TABLE_BYTES_MAX, err);
    *out = NULL;
    if (code != SM_OK)
        return code;
    struct sm_err why = {0};
    code = read_text(&list, &file, count, &why);
    if (code == SM_OK)
        code = sort(&list, &why);
    sm_file_release(&file);
    if (code == SM_OK && !(*out = malloc(list.count * sizeof **out)))
        code = sm_err_set(&why, SM_NOMEM, "no memory for %zu indices", list.count);
    for (size_t i = 0; code == SM_OK && i < list.count; i++)
        (*out)[i] = list.rows[i].index;
    *out_count = (int64_t)list.count;
    free(list.rows);
    return code == SM_OK ? SM_OK : sm_err_set(err, code, "%.60s: %s", sm_data_base(path), why.text);
}
