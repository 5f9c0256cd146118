/* Migrations: numbered SQL files, forward only, each in its own transaction, remembered with the
 * SHA-256 of its text.
 *
 * Files are named "migrations/NNNN_words.sql", numbered from 1 in the table's order; other names in
 * the table are passed over.
 *
 * Errors:  SM_CONFLICT: the database knows more migrations than we do, or a past one whose text is
 *          not ours. A failing migration leaves the database as the one before it made it. */
#ifndef SERVER_DB_MIGRATE_H
#define SERVER_DB_MIGRATE_H

#include "server/base/embed.h"
#include "server/db/db.h"

/* `applied` (may be NULL) counts the migrations that were missing. */
enum sm_code sm_migrate(struct sm_db *db, const struct sm_embedded *files, int *applied,
                        struct sm_err *err);
/* `version` is the number of the last one applied; nothing is changed. The same errors. */
enum sm_code sm_migrate_check(int *version, struct sm_db *db, const struct sm_embedded *files,
                              struct sm_err *err);
/* Whether none is missing. */
enum sm_code sm_migrate_is_current(bool *current, struct sm_db *db, const struct sm_embedded *files,
                                   struct sm_err *err);

#endif
