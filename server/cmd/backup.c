/* `sslmem backup` and `sslmem restore`: copy a whole database and verify the copy. */
#include <stdio.h>

#include "core/base/escape.h"
#include "server/cmd/cmd.h"
#include "server/store/backup.h"

static int report(const char *command, enum sm_code code, const char *path,
                  const struct sm_copied *made, const struct sm_err *err)
{
    if (code != SM_OK)
        return sm_fail(command, err);
    printf("%s: %lld bytes, schema %d, verified\n", sm_shown(path), (long long)made->bytes_count,
           made->schema);
    return SM_EXIT_OK;
}

int sm_cmd_backup(int argc, char **argv)
{
    const char *db = NULL, *out = NULL;
    const struct sm_option options[] = {
        {"db", "FILE", "SQLite file; a service may be using it", &db, .required = true},
        {"out", "FILE", "the copy; nothing may be there", &out, .required = true},
        {0},
    };
    const struct sm_usage usage = {
        "backup", "", "Copies a database as it is now, also that of a running service.",
        options,  0,  0};
    char **operands;
    int result = sm_usage_read(&operands, &usage, argc, argv);
    if (result >= 0)
        return result;

    struct sm_err err = {0};
    struct sm_copied made;
    enum sm_code code = sm_check_database(db, &err);
    if (code == SM_OK)
        code = sm_backup(&made, out, db, &err);
    return report("backup", code, out, &made, &err);
}

int sm_cmd_restore(int argc, char **argv)
{
    const char *from = NULL, *db = NULL;
    const struct sm_option options[] = {
        {"from", "FILE", "a copy that backup made", &from, .required = true},
        {"db", "FILE", "where the service looks; nothing may be there", &db, .required = true},
        {0},
    };
    const struct sm_usage usage = {"restore", "", "Puts a copy in the place of a database.",
                                   options,   0,  0};
    char **operands;
    int result = sm_usage_read(&operands, &usage, argc, argv);
    if (result >= 0)
        return result;

    struct sm_err err = {0};
    struct sm_copied made;
    enum sm_code code = sm_check_database(from, &err);
    if (code == SM_OK)
        code = sm_restore(&made, db, from, &err);
    return report("restore", code, db, &made, &err);
}
