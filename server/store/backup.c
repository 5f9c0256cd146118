/* Backup and restore do the same. A read-only connection copies one snapshot of the source, page by
 * page, into a temporary file in the folder of the target. The file is verified, flushed, and only
 * then renamed, by a call that fails if the target exists.
 *
 * A read-only connection neither writes nor checkpoints, so the service's writer stays the only
 * connection that does (db_sqlite.c). The copy is one step: a copy in several steps starts again
 * after each commit of the service, and under load never ends. */
#include "server/store/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/db/db_file.h"
#include "server/db/migrate.h"
#include "server/store/impl.h"

#define PATH_BYTES 4096

static enum sm_code failed(struct sm_err *err, const char *path)
{
    return sm_err_set(err, SM_IO, "%s: %s", path, strerror(errno));
}

static enum sm_code check_free(const char *path, struct sm_err *err)
{
    static const char *const ends[] = {"", "-wal", "-journal"};
    char name[PATH_BYTES];
    struct stat about;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        int length = snprintf(name, sizeof name, "%s%s", path, ends[i]);
        if (length < 0 || (size_t)length >= sizeof name - sizeof ".XXXXXX")
            return sm_err_set(err, SM_LIMIT, "path has %zu bytes, at most %zu", strlen(path),
                              sizeof name - sizeof "-journal.XXXXXX");
        if (lstat(name, &about) == 0)
            return sm_err_set(err, SM_CONFLICT, "%s is there already; nothing is overwritten",
                              name);
        if (errno != ENOENT)
            return failed(err, name);
    }
    return SM_OK;
}

/* Flushes the folder, so that the new name is on the disk. */
static enum sm_code flush_folder(const char *path, struct sm_err *err)
{
    char folder[PATH_BYTES];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + (slash == path) : 1,
             slash ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool flushed = fd >= 0 && fsync(fd) == 0;
    enum sm_code code = flushed ? SM_OK : failed(err, folder);
    if (fd >= 0)
        close(fd);
    return code;
}

/* Renames the file unless the target exists. Some file systems have no such call; link(2) does the
 * same there. */
static enum sm_code name_file(const char *from, const char *to, struct sm_err *err)
{
    int result = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    if (result != 0 && (errno == EINVAL || errno == ENOSYS) && (result = link(from, to)) == 0)
        unlink(from);
    if (result == 0)
        return flush_folder(to, err);
    return errno == EEXIST
               ? sm_err_set(err, SM_CONFLICT, "%s is there already; nothing is overwritten", to)
               : failed(err, to);
}

/* Opens and verifies the copy like any other database. */
static enum sm_code verify(int *schema, const char *path, struct sm_err *err)
{
    struct sm_db *db = NULL;
    enum sm_code code = sm_db_open(&db, path, SM_DB_READ, err);
    if (code == SM_OK)
        code = sm_db_verify(db, err);
    if (code == SM_OK)
        code = sm_migrate_check(schema, db, sm_embedded, err);
    sm_db_close(db);
    return code;
}

/* Fills the file `path`, which is empty and open as `fd`. */
static enum sm_code fill(struct sm_copied *out, const char *path, int fd, const char *from,
                         struct sm_err *err)
{
    struct sm_db *source = NULL;
    struct stat about;
    enum sm_code code = sm_db_open(&source, from, SM_DB_READ, err);
    if (code == SM_OK)
        code = sm_db_copy(source, path, err);
    sm_db_close(source);
    if (code == SM_OK)
        code = verify(&out->schema, path, err);
    if (code == SM_OK && (fsync(fd) != 0 || fstat(fd, &about) != 0))
        code = failed(err, path);
    if (code == SM_OK)
        out->bytes_count = about.st_size;
    return code;
}

static enum sm_code copy(struct sm_copied *out, const char *to, const char *from,
                         struct sm_err *err)
{
    char path[PATH_BYTES];
    struct sm_err why = {0};
    struct stat about;
    *out = (struct sm_copied){0};
    if (stat(from, &about) != 0)
        return errno == ENOENT ? sm_err_set(err, SM_NOT_FOUND, "%s: %s", from, strerror(errno))
                               : failed(err, from);
    enum sm_code code = check_free(to, err);
    if (code != SM_OK)
        return code;
    snprintf(path, sizeof path, "%s.XXXXXX", to);
    int fd = mkostemp(path, O_CLOEXEC); /* with mode 0600 */
    if (fd < 0)
        return failed(err, path);
    code = fill(out, path, fd, from, &why);
    if (code != SM_OK)
        sm_err_set(err, code, "%s: %s", from, why.text);
    close(fd);
    if (code == SM_OK)
        code = name_file(path, to, err);
    if (code != SM_OK)
        unlink(path);
    return code;
}

enum sm_code sm_backup(struct sm_copied *out, const char *to, const char *db, struct sm_err *err)
{
    return copy(out, to, db, err);
}

enum sm_code sm_restore(struct sm_copied *out, const char *db, const char *from, struct sm_err *err)
{
    int lock = -1;
    enum sm_code code = sm_store_lock(&lock, db, err);
    if (code == SM_OK)
        code = copy(out, db, from, err);
    if (lock >= 0)
        close(lock);
    return code;
}
