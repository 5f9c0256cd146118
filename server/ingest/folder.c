/* Walks folder trees depth first, the names of each folder in byte order, so that the same tree
 * gives the same items in the same order on every file system. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/ingest/root.h"

struct walk {
    struct sm_ingest *ingest;
    struct sm_root root;
    const struct sm_ingest_labels *labels;
    char path[PATH_MAX]; /* path of the current folder or file below the data root */
    size_t base;         /* bytes of `path` before the names of images begin */
    int64_t entries_count;
    int depth;
};

struct names {
    char **list;
    size_t count, capacity;
};

static void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i]);
    free(names->list);
}

static bool names_add(struct names *names, const char *name)
{
    if (names->count == names->capacity) {
        size_t capacity = names->capacity == 0 ? 64 : 2 * names->capacity;
        char **list = realloc(names->list, capacity * sizeof *list);
        if (!list)
            return false;
        names->list = list;
        names->capacity = capacity;
    }
    if (!(names->list[names->count] = strdup(name)))
        return false;
    names->count++;
    return true;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum sm_code list_names(struct names *out, struct walk *w, DIR *dir, struct sm_err *err)
{
    const struct dirent *entry;
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (++w->entries_count > SM_INGEST_ENTRIES_MAX)
            return sm_err_set(err, SM_LIMIT, "the folder has over %d entries, which is the limit",
                              SM_INGEST_ENTRIES_MAX);
        if (!names_add(out, entry->d_name))
            return sm_err_set(err, SM_NOMEM, "ingest: no memory for names");
    }
    if (out->count > 0)
        qsort(out->list, out->count, sizeof *out->list, by_bytes);
    return SM_OK;
}

static enum sm_code take_folder(struct walk *w, struct sm_err *err);

/* Adds or skips the file or folder at `w->path`, whose type is in `mode`. */
static enum sm_code take(struct walk *w, mode_t mode, struct sm_err *err)
{
    struct sm_ingest_labels labels = *w->labels;
    char folder[SM_LABEL_BYTES];
    labels.name = w->path + w->base;
    if (!labels.class_label || labels.class_label[0] == '\0') {
        sm_label_folder(folder, labels.name);
        labels.class_label = folder;
    }
    if (S_ISREG(mode))
        return sm_root_take(w->ingest, &w->root, w->path, &labels, 0, err);
    if (S_ISLNK(mode))
        sm_ingest_pass(w->ingest, 0, labels.name, SM_INGEST_LINK, "links are not followed");
    else if (!S_ISDIR(mode))
        sm_ingest_pass(w->ingest, 0, labels.name, SM_INGEST_NOT_A_FILE, "not a regular file");
    else if (w->depth == SM_INGEST_DEPTH_MAX)
        sm_ingest_pass(w->ingest, 0, labels.name, SM_INGEST_TOO_DEEP,
                       "deeper than %d folders, which is the limit", SM_INGEST_DEPTH_MAX);
    else
        return take_folder(w, err);
    return SM_OK;
}

static enum sm_code take_names(struct walk *w, const struct names *names, int dir,
                               struct sm_err *err)
{
    size_t length = strlen(w->path);
    enum sm_code code = SM_OK;
    w->depth++;
    for (size_t i = 0; i < names->count && code == SM_OK; i++) {
        struct stat status;
        int n = snprintf(w->path + length, sizeof w->path - length, "/%s", names->list[i]);
        if ((size_t)n >= sizeof w->path - length)
            sm_ingest_pass(w->ingest, 0, names->list[i], SM_INGEST_TOO_DEEP,
                           "a path of over %d bytes", PATH_MAX - 1);
        else if (fstatat(dir, names->list[i], &status, AT_SYMLINK_NOFOLLOW) != 0)
            sm_ingest_pass(w->ingest, 0, w->path + w->base, SM_INGEST_UNREADABLE, "%s",
                           strerror(errno));
        else
            code = take(w, status.st_mode, err);
        w->path[length] = '\0';
    }
    w->depth--;
    return code;
}

/* Adds the folder at `w->path`. If it cannot be read, that is an error for the top folder; a
 * sub-folder is skipped. */
static enum sm_code take_folder(struct walk *w, struct sm_err *err)
{
    struct names names = {0};
    int fd = sm_root_at(&w->root, w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        const char *text = fd < 0 && errno == EXDEV   ? "leads out of the data root"
                           : fd < 0 && errno == ELOOP ? "is a link"
                                                      : strerror(errno);
        if (fd >= 0)
            close(fd);
        if (w->depth == 0)
            return sm_err_set(err, SM_INVALID, "folder %.120s: %s", w->path, text);
        sm_ingest_pass(w->ingest, 0, w->path + w->base, SM_INGEST_UNREADABLE, "%s", text);
        return SM_OK;
    }
    enum sm_code code = list_names(&names, w, dir, err);
    if (code == SM_OK)
        code = take_names(w, &names, fd, err);
    names_free(&names);
    closedir(dir);
    return code;
}

enum sm_code sm_ingest_folder(struct sm_ingest *ingest, const char *data_root, const char *folder,
                              const struct sm_ingest_labels *labels, struct sm_err *err)
{
    struct walk w = {.ingest = ingest, .labels = labels};
    size_t length = strlen(folder);
    enum sm_code code = sm_root_open(&w.root, data_root, err);
    while (length > 1 && folder[length - 1] == '/')
        length--;
    if (code == SM_OK && length >= sizeof w.path - 1)
        code = sm_err_set(err, SM_INVALID, "a folder's path of %zu bytes, at most %d", length,
                          PATH_MAX - 2);
    if (code == SM_OK) {
        memcpy(w.path, folder, length);
        w.base = length + 1; /* names begin after the folder and a slash */
        code = take_folder(&w, err);
    }
    sm_root_close(&w.root);
    return code;
}
