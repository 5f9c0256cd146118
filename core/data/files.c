/* A folder is walked depth first, the names of each folder in byte order, so that the same tree
 * gives the same images in the same order on every file system. That is the order of torchvision's
 * ImageFolder if classes have no sub-folders. Links are not followed. A file is an image if its
 * first bytes are those of one; others get no index. */
#include "core/data/files.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sslmem/image.h"

#define SNIFF_BYTES 16

struct sm_files *sm_files_new(struct sm_err *err)
{
    struct sm_files *files = calloc(1, sizeof *files);
    if (!files)
        sm_err_set(err, SM_NOMEM, "dataset: out of memory");
    return files;
}

void sm_files_close(void *state)
{
    struct sm_files *files = state;
    if (!files)
        return;
    for (size_t i = 0; i < files->count; i++)
        free(files->rows[i].text);
    sm_file_release(&files->file);
    free(files->rows);
    free(files);
}

static enum sm_code grow(struct sm_files *files, struct sm_err *err)
{
    if (files->count == SM_DATASET_ENTRIES_MAX)
        return sm_err_set(err, SM_LIMIT, "more than %d images, which is the limit",
                          SM_DATASET_ENTRIES_MAX);
    if (files->count < files->room)
        return SM_OK;
    size_t room = files->room == 0 ? 256 : 2 * files->room;
    struct sm_files_row *rows = realloc(files->rows, room * sizeof *rows);
    if (!rows)
        return sm_err_set(err, SM_NOMEM, "no memory for %zu names", room);
    files->rows = rows;
    files->room = room;
    return SM_OK;
}

enum sm_code sm_files_add(struct sm_files *files, const char *name, const char *class_label,
                          const char *group, const char *cohort, struct sm_err *err)
{
    const char *texts[] = {name, class_label, group, cohort};
    uint32_t at[5] = {0};
    enum sm_code code = grow(files, err);
    if (code != SM_OK)
        return code;
    for (int i = 0; i < 4; i++)
        at[i + 1] = at[i] + (uint32_t)(texts[i] ? strlen(texts[i]) : 0) + 1;
    char *text = calloc(1, at[4]);
    if (!text)
        return sm_err_set(err, SM_NOMEM, "no memory for a name");
    for (int i = 0; i < 4; i++)
        if (texts[i])
            memcpy(text + at[i], texts[i], at[i + 1] - at[i] - 1);
    files->rows[files->count++] = (struct sm_files_row){text, at[1], at[2], at[3]};
    return SM_OK;
}

/* Maps the file of image `index`. If that fails, the item has the error and others can be read. */
static enum sm_code read_file(struct sm_dataset_item *out, void *state, int64_t index,
                              struct sm_err *err)
{
    struct sm_files *files = state;
    const struct sm_files_row *row = &files->rows[index];
    const char *folder = row->text[0] == '/' ? "" : files->folder;
    (void)err;
    sm_file_release(&files->file);
    out->name = row->text;
    out->class_label = row->text + row->class_at;
    out->group = row->text + row->group_at;
    out->cohort = row->text + row->cohort_at;
    int n = snprintf(files->path, sizeof files->path, "%s%s", folder, row->text);
    if (n < 0 || (size_t)n >= sizeof files->path) {
        sm_err_set(&out->error, SM_IO, "a path of %d bytes, the limit is %d", n, PATH_MAX - 1);
        return SM_OK;
    }
    out->path = files->path;
    if (sm_file_map(&files->file, files->path, SM_IMAGE_BYTES_MAX, &out->error) != SM_OK) {
        if (out->error.code == SM_LIMIT)
            sm_err_set(&out->error, SM_LIMIT, SM_IMAGE_TOO_LARGE, SM_IMAGE_BYTES_MAX);
        return SM_OK;
    }
    if (!sm_image_sniff(files->file.bytes, files->file.bytes_count)) {
        sm_err_set(&out->error, SM_UNSUPPORTED, "%.120s: no JPEG, PNG or raw image: %zu bytes",
                   files->path, files->file.bytes_count);
        return SM_OK;
    }
    out->bytes = files->file.bytes;
    out->bytes_count = files->file.bytes_count;
    return SM_OK;
}

void sm_files_serve(struct sm_data_reader *out, const char *format, struct sm_files *files)
{
    out->format = format;
    out->count = (int64_t)files->count;
    out->state = files;
    out->read = read_file;
    out->close = sm_files_close;
}

enum sm_code sm_data_open_image(struct sm_data_reader *out, const struct sm_dataset_place *place,
                                struct sm_err *err)
{
    struct sm_files *files = sm_files_new(err);
    if (!files)
        return SM_NOMEM;
    sm_files_serve(out, "image", files);
    if (place->part[0] != '\0')
        return sm_err_set(err, SM_INVALID, "an image has no part \"%.60s\"", place->part);
    enum sm_code code = sm_files_add(files, place->path, NULL, NULL, NULL, err);
    out->count = 1;
    return code;
}

static bool is_image(const char *path)
{
    uint8_t head[SNIFF_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : sm_file_read(fd, head, sizeof head);
    if (fd >= 0)
        close(fd);
    /* A file that cannot be opened keeps its place; reading it fails its item. */
    return n < 0 || (n > 0 && sm_image_sniff(head, (size_t)n));
}

static int by_bytes(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* Adds or passes what the walk has come to. */
static enum sm_code take(struct sm_files *files, int64_t *passed, int64_t *entries, FTS *walk,
                         FTSENT *at, struct sm_err *err)
{
    char label[SM_DATASET_LABEL_BYTES_MAX + 1];
    const char *name = at->fts_path + strlen(files->folder);
    if (at->fts_info == FTS_DP || at->fts_level <= 0) {
        bool top = at->fts_level == 0 && (at->fts_info == FTS_DNR || at->fts_info == FTS_ERR);
        return top ? sm_err_set(err, SM_IO, "%s", strerror(at->fts_errno)) : SM_OK;
    }
    if (++*entries > SM_DATASET_ENTRIES_MAX)
        return sm_err_set(err, SM_LIMIT, "more than %d entries, which is the limit",
                          SM_DATASET_ENTRIES_MAX);
    if (at->fts_info == FTS_D && at->fts_level > SM_DATASET_DEPTH_MAX) {
        fts_set(walk, at, FTS_SKIP);
        ++*passed;
    }
    if (at->fts_info == FTS_D)
        return SM_OK;
    if (at->fts_info != FTS_F || !S_ISREG(at->fts_statp->st_mode) || !is_image(at->fts_path)) {
        ++*passed;
        return SM_OK;
    }
    sm_data_folder_class(label, name);
    return sm_files_add(files, name, label, NULL, NULL, err);
}

static enum sm_code walk_folder(struct sm_files *files, int64_t *passed, char *path,
                                struct sm_err *err)
{
    char *roots[] = {path, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_COMFOLLOW, by_bytes);
    FTSENT *at;
    int64_t entries = 0;
    enum sm_code code = walk ? SM_OK : sm_err_set(err, SM_IO, "%s", strerror(errno));
    errno = 0;
    while (code == SM_OK && (at = fts_read(walk)))
        code = take(files, passed, &entries, walk, at, err);
    if (code == SM_OK && errno != 0)
        code = sm_err_set(err, SM_IO, "%s", strerror(errno));
    if (walk)
        fts_close(walk);
    return code;
}

enum sm_code sm_data_open_folder(struct sm_data_reader *out, const struct sm_dataset_place *place,
                                 struct sm_err *err)
{
    char path[PATH_MAX];
    struct sm_files *files = sm_files_new(err);
    if (!files)
        return SM_NOMEM;
    snprintf(path, sizeof path, "%s", place->path);
    for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
        path[n - 1] = '\0';
    int n =
        snprintf(files->folder, sizeof files->folder, "%s/", strcmp(path, "/") == 0 ? "" : path);
    enum sm_code code = SM_OK;
    if (n < 0 || (size_t)n >= sizeof files->folder)
        code = sm_err_set(err, SM_LIMIT, "a path of %d bytes, the limit is %d", n, PATH_MAX - 2);
    else if (place->part[0] != '\0')
        code = sm_err_set(err, SM_INVALID, "a folder of images has no part \"%.60s\"", place->part);
    else
        code = walk_folder(files, &out->passed_count, path, err);
    sm_files_serve(out, "folder", files);
    if (code == SM_OK && files->count == 0)
        code = sm_err_set(err, SM_INVALID, "holds no image (JPEG, PNG), %lld other files",
                          (long long)out->passed_count);
    return code;
}
