/* SQL functions that past migrations call; defined on the connection that migrates. */
#ifndef SERVER_DB_FUNCTIONS_H
#define SERVER_DB_FUNCTIONS_H

#include "server/db/db.h"

enum sm_code sm_functions_define(struct sm_db *db, struct sm_err *err);

#endif
