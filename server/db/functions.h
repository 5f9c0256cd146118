/* SQL functions that applied migrations call.
 *
 * Owner, threads, errors: as db.h. */
#ifndef SERVER_DB_FUNCTIONS_H
#define SERVER_DB_FUNCTIONS_H

#include "server/db/db.h"

/* Defines the functions on the connection that migrates. */
enum sm_code sm_functions_define(struct sm_db *db, struct sm_err *err);

#endif
