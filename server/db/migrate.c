/* Walks the files and the rows of table `migration` together, in order. A file with a row must have
 * the row's digest; a file without a row is applied; a row without a file was written by a newer
 * program. Applied migrations are checked before anything is written. */
#include "server/db/migrate.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/sha256.h"
#include "server/base/clock.h"
#include "server/db/db_file.h"
#include "server/db/functions.h"
#include "server/db/query.h"

#define FOLDER "migrations/"

static bool is_migration(const struct sm_embedded *file)
{
    return strncmp(file->name, FOLDER, strlen(FOLDER)) == 0;
}

/* State of sm_migrate_check. */
struct walk {
    const struct sm_embedded *files; /* not compared yet */
    int past;                        /* number of files that have a row */
    int64_t newest;                  /* version of the last row without a file; 0: none */
};

static enum sm_code check_row(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    struct walk *walk = arg;
    char digest[SM_SHA256_HEX];
    while (walk->files->name && !is_migration(walk->files))
        walk->files++;
    if (!walk->files->name) {
        walk->newest = sm_stmt_get_int(q, 0);
        return SM_OK;
    }
    sm_sha256_hex(digest, walk->files->bytes, walk->files->bytes_count);
    if (strcmp(digest, sm_stmt_get_text(q, 2)) != 0)
        return sm_err_set(err, SM_CONFLICT,
                          "migration %s was applied with SHA-256 %.12s, this program has %.12s",
                          sm_stmt_get_text(q, 1), sm_stmt_get_text(q, 2), digest);
    walk->files++;
    walk->past++;
    return SM_OK;
}

enum sm_code sm_migrate_check(int *past, struct sm_db *db, const struct sm_embedded *files,
                              struct sm_err *err)
{
    struct walk walk = {.files = files};
    enum sm_code code =
        sm_db_each(NULL, db, "SELECT version, name, sha256 FROM migration ORDER BY version", NULL,
                   check_row, &walk, err);
    *past = walk.past;
    if (code == SM_OK && walk.newest > 0)
        code = sm_err_set(err, SM_CONFLICT,
                          "the database has schema %lld, this program's is %d: it was made by a "
                          "newer version",
                          (long long)walk.newest, *past);
    return code;
}

enum sm_code sm_migrate_is_current(bool *current, struct sm_db *db, const struct sm_embedded *files,
                                   struct sm_err *err)
{
    int past, count = 0;
    for (const struct sm_embedded *file = files; file->name; file++)
        count += is_migration(file);
    enum sm_code code = sm_migrate_check(&past, db, files, err);
    *current = code == SM_OK && past == count;
    return code;
}

static enum sm_code record(struct sm_db *db, int version, const struct sm_embedded *file,
                           struct sm_err *err)
{
    char digest[SM_SHA256_HEX];
    sm_sha256_hex(digest, file->bytes, file->bytes_count);
    return sm_db_change(NULL, db,
                        "INSERT INTO migration (version, name, sha256, applied_ms) "
                        "VALUES ($version, $name, $sha256, $now)",
                        SM_BIND(SM_INT("$version", version),
                                SM_TEXT("$name", file->name + strlen(FOLDER)),
                                SM_TEXT("$sha256", digest), SM_INT("$now", sm_clock_unix_ms())),
                        err);
}

static enum sm_code apply(struct sm_db *db, int version, const struct sm_embedded *file,
                          struct sm_err *err)
{
    char *sql = malloc(file->bytes_count + 1);
    if (!sql)
        return sm_err_set(err, SM_NOMEM, "%s: out of memory", file->name);
    memcpy(sql, file->bytes, file->bytes_count);
    sql[file->bytes_count] = 0;

    struct sm_err why = {0};
    enum sm_code code = sm_db_begin(db, &why);
    if (code == SM_OK)
        code = sm_db_exec(db, sql, &why);
    if (code == SM_OK)
        code = sm_db_check_references(db, &why);
    if (code == SM_OK)
        code = record(db, version, file, &why);
    if (code == SM_OK)
        code = sm_db_commit(db, &why);
    if (code != SM_OK) {
        sm_db_rollback(db);
        sm_err_set(err, code, "%s: %s", file->name, why.text);
    }
    free(sql);
    return code;
}

enum sm_code sm_migrate(struct sm_db *db, const struct sm_embedded *files, int *applied,
                        struct sm_err *err)
{
    int past, version = 0, done = 0;
    enum sm_code code = sm_db_exec(db,
                                   "CREATE TABLE IF NOT EXISTS migration ("
                                   "version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, "
                                   "sha256 TEXT NOT NULL, applied_ms INTEGER NOT NULL) STRICT",
                                   err);
    if (code == SM_OK)
        code = sm_functions_define(db, err);
    if (code == SM_OK)
        code = sm_migrate_check(&past, db, files, err);
    if (code == SM_OK)
        code = sm_db_loosen(db, err);
    for (; code == SM_OK && files->name; files++) {
        if (!is_migration(files) || ++version <= past)
            continue;
        code = apply(db, version, files, err);
        done += code == SM_OK;
    }
    if (code == SM_OK)
        code = sm_db_tighten(db, err);
    if (applied)
        *applied = done;
    return code;
}
