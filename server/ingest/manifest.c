/* Reads manifests line by line into a buffer of fixed size, so that neither long lines nor many
 * lines need memory. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/json.h"
#include "server/ingest/root.h"

#define LINE_DEPTH_MAX 2

struct row {
    char cohort[32];
    char path[PATH_MAX];
    char class_label[SM_LABEL_BYTES], group[SM_LABEL_BYTES];
};

static const struct sm_field fields[] = {
    {"cohort", SM_FIELD_TEXT, offsetof(struct row, cohort), .max = 31, .required = true},
    {"path", SM_FIELD_TEXT, offsetof(struct row, path), .max = PATH_MAX - 1, .required = true},
    {"class", SM_FIELD_TEXT, offsetof(struct row, class_label), .max = SM_INGEST_LABEL_BYTES_MAX},
    {"group", SM_FIELD_TEXT, offsetof(struct row, group), .max = SM_INGEST_LABEL_BYTES_MAX},
    {0}};

/* Reads a line without its end; returns false at the end of the file. If the line is longer than
 * the buffer, drops the rest and sets *whole to false. */
static bool read_line(FILE *file, char line[SM_INGEST_LINE_BYTES_MAX], size_t *count, bool *whole)
{
    int c;
    *count = 0;
    *whole = true;
    while ((c = getc_unlocked(file)) != EOF && c != '\n') {
        if (*count < SM_INGEST_LINE_BYTES_MAX)
            line[(*count)++] = (char)c;
        else
            *whole = false;
    }
    return c != EOF || *count > 0;
}

static bool is_blank(const char *line, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!strchr(" \t\r", line[i]) || line[i] == '\0')
            return false;
    return true;
}

static enum sm_code take_line(struct sm_ingest *ingest, const struct sm_root *root, int64_t number,
                              const char *line, size_t count, struct sm_err *err)
{
    struct row row = {0};
    struct sm_err why = {0};
    json_t *node = NULL;
    enum sm_cohort cohort;
    enum sm_code code =
        sm_json_parse(&node, line, count, SM_INGEST_LINE_BYTES_MAX, LINE_DEPTH_MAX, &why);
    if (code == SM_OK)
        code = sm_fields_read(&row, node, fields, "", &why);
    json_decref(node);
    if (code == SM_NOMEM)
        return sm_err_set(err, code, "%s", why.text);
    if (code != SM_OK) {
        sm_ingest_pass(ingest, number, row.path, SM_INGEST_LINE_INVALID, "%s", why.text);
        return SM_OK;
    }
    if (sm_cohort_parse(&cohort, row.cohort, &why) != SM_OK) {
        sm_ingest_pass(ingest, number, row.path, SM_INGEST_COHORT_INVALID, "%s", why.text);
        return SM_OK;
    }
    struct sm_ingest_labels labels = {.cohort = (int)cohort,
                                      .name = row.path,
                                      .class_label = row.class_label,
                                      .group = row.group};
    return sm_root_take(ingest, root, row.path, &labels, number, err);
}

static enum sm_code read_lines(struct sm_ingest *ingest, const struct sm_root *root, FILE *file,
                               struct sm_err *err)
{
    char line[SM_INGEST_LINE_BYTES_MAX];
    size_t count;
    bool whole;
    enum sm_code code = SM_OK;
    for (int64_t number = 1; code == SM_OK && read_line(file, line, &count, &whole); number++) {
        code = sm_ingest_check(ingest, err);
        if (code == SM_OK && number > SM_INGEST_ENTRIES_MAX)
            code = sm_err_set(err, SM_LIMIT, "the manifest has over %d lines, which is the limit",
                              SM_INGEST_ENTRIES_MAX);
        if (code != SM_OK || (whole && is_blank(line, count)))
            continue;
        if (whole)
            code = take_line(ingest, root, number, line, count, err);
        else
            sm_ingest_pass(ingest, number, "", SM_INGEST_LINE_TOO_LONG,
                           "the line has over %d bytes, which is the limit",
                           SM_INGEST_LINE_BYTES_MAX);
    }
    if (code == SM_OK && ferror(file))
        code = sm_err_set(err, SM_IO, "the manifest cannot be read");
    return code;
}

enum sm_code sm_ingest_manifest(struct sm_ingest *ingest, const char *data_root, int fd,
                                struct sm_err *err)
{
    struct sm_root root;
    FILE *file = NULL;
    enum sm_code code = sm_root_open(&root, data_root, err);
    if (code != SM_OK)
        return code;
    int copy = lseek(fd, 0, SEEK_SET) == 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (copy >= 0 && !(file = fdopen(copy, "r")))
        close(copy);
    if (!file) {
        code = sm_err_set(err, SM_IO, "the manifest cannot be read from its start");
    } else {
        code = read_lines(ingest, &root, file, err);
        fclose(file);
    }
    sm_root_close(&root);
    return code;
}
