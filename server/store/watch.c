/* Checks that the path still names the files that are open.
 *
 * A file that is deleted or replaced stays open in this process: commits would go to a file without
 * a name, while new readers and other commands open another file by the name. SQLite does not check
 * this in WAL mode. So the store records device and inode of the database, its log, its index and
 * its lock when it opens them, and compares them before each group of writes, after its commit, and
 * for each reader. While they differ, nothing is read or written. A file that is moved back is
 * accepted again. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "server/base/log.h"
#include "server/store/impl.h"

static const struct {
    const char *ending, *name;
} files[SM_STORE_FILES] = {
    {"", "the database"}, {"-wal", "its log"}, {"-shm", "its index"}, {".lock", "its lock"}};

static bool look(struct stat *out, const struct sm_store *store, int i)
{
    char path[4096];
    int length = snprintf(path, sizeof path, "%s%s", store->path, files[i].ending);
    errno = ENAMETOOLONG;
    return length > 0 && (size_t)length < sizeof path && stat(path, out) == 0;
}

void sm_store_watch_files(struct sm_store *store)
{
    for (int i = 0; i < SM_STORE_FILES; i++) {
        struct stat about;
        if (look(&about, store, i))
            store->files[i] = (struct sm_store_file){about.st_dev, about.st_ino};
    }
}

/* Returns what happened to the file; NULL: nothing. A file that did not exist at the start is not
 * checked. */
static const char *compare(const struct sm_store *store, int i)
{
    const struct sm_store_file *file = &store->files[i];
    struct stat about;
    if (file->inode == 0)
        return NULL;
    if (!look(&about, store, i))
        return errno == ENOENT ? "was deleted or moved" : "cannot be looked at";
    return about.st_dev == file->device && about.st_ino == file->inode ? NULL : "was replaced";
}

/* Logs each change once. */
static void tell(struct sm_store *store, const struct sm_err *err)
{
    pthread_mutex_lock(&store->mutex);
    bool changed = strcmp(store->lost, err->text) != 0;
    bool lost = err->code != SM_OK;
    if (changed)
        snprintf(store->lost, sizeof store->lost, "%s", err->text);
    pthread_mutex_unlock(&store->mutex);
    if (changed)
        sm_log(lost ? "error" : "info", lost ? "database_file_lost" : "database_file_back",
               "{s:s, s:s*}", "path", store->path, "detail", lost ? err->text : NULL);
}

enum sm_code sm_store_check_files(struct sm_store *store, struct sm_err *err)
{
    struct sm_err why = {0};
    for (int i = 0; i < SM_STORE_FILES && why.code == SM_OK; i++) {
        const char *what = compare(store, i);
        if (what)
            sm_err_set(&why, SM_IO,
                       "the file of %s %s while it was open: put it back, or restart the service",
                       files[i].name, what);
    }
    tell(store, &why);
    return why.code == SM_OK ? SM_OK : sm_err_set(err, why.code, "%s", why.text);
}
