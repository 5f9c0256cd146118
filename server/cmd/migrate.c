/* `sslmem migrate`: applies missing migrations to a database and prints how many. `serve` applies
 * them too when it starts. */
#include <stdio.h>

#include "core/base/escape.h"
#include "server/cmd/cmd.h"
#include "server/store/store.h"

int sm_cmd_migrate(int argc, char **argv)
{
    const char *db = NULL;
    const struct sm_option options[] = {
        {"db", "FILE", "SQLite file of a service that does not run", &db, .required = true},
        {0},
    };
    const struct sm_usage usage = {"migrate", "", "Applies missing migrations to a database.",
                                   options,   0,  0};
    char **operands;
    int result = sm_usage_read(&operands, &usage, argc, argv);
    if (result >= 0)
        return result;

    struct sm_err err = {0};
    int applied = 0;
    if (sm_check_database(db, &err) != SM_OK || sm_store_migrate(db, &applied, &err) != SM_OK)
        return sm_fail("migrate", &err);
    printf("%s: %d migration%s applied\n", sm_shown(db), applied, applied == 1 ? "" : "s");
    return SM_EXIT_OK;
}
