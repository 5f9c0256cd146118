/* Images in files of their own: a list of paths with labels, read one by one. Private to core/data.
 *
 * Owner: sm_files_close frees the list. */
#ifndef CORE_DATA_FILES_H
#define CORE_DATA_FILES_H

#include "core/base/file.h"
#include "core/data/data.h"

struct sm_files_row {
    char *text; /* owned: name, class, group, cohort, each with its NUL */
    uint32_t class_at, group_at, cohort_at; /* offsets in `text` */
};

struct sm_files {
    char folder[PATH_MAX]; /* that relative names begin at, with a slash at its end */
    struct sm_files_row *rows;
    size_t count, room;
    struct sm_file file; /* the image read last */
    char path[PATH_MAX];
};

struct sm_files *sm_files_new(struct sm_err *err);
void sm_files_close(void *files);
/* Copies the texts; NULL: "". */
enum sm_code sm_files_add(struct sm_files *files, const char *name, const char *class_label,
                          const char *group, const char *cohort, struct sm_err *err);
/* Fills `out`, which then owns `files`. */
void sm_files_serve(struct sm_data_reader *out, const char *format, struct sm_files *files);

#endif
