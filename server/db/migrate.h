/* Migrations: numbered SQL files, forward only. Each runs in its own transaction, which records the
 * SHA-256 of its text.
 *
 * Files are named "migrations/NNNN_words.sql" and numbered from 1 in the order of the table `files`
 * (sm_embedded); other names in the table are skipped.
 *
 * Threads: as the connection.
 * Errors:  SM_CONFLICT: the database has more migrations than this program, or one with another
 *          text. A migration that fails leaves the database at the migration before it. */
#ifndef SERVER_DB_MIGRATE_H
#define SERVER_DB_MIGRATE_H

#include "server/base/embed.h"
#include "server/db/db.h"

/* Applies the missing migrations; `applied` (may be NULL) counts them. */
enum sm_code sm_migrate(struct sm_db *db, const struct sm_embedded *files, int *applied,
                        struct sm_err *err);
/* Compares the applied migrations with the files and changes nothing. `version` is the number of
 * the last applied migration. */
enum sm_code sm_migrate_check(int *version, struct sm_db *db, const struct sm_embedded *files,
                              struct sm_err *err);
/* Tells whether no migration is missing. */
enum sm_code sm_migrate_is_current(bool *current, struct sm_db *db, const struct sm_embedded *files,
                                   struct sm_err *err);

#endif
