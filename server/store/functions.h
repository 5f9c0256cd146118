/* SQL functions that past migrations call; defined on the connection that migrates. */
#ifndef SERVER_STORE_FUNCTIONS_H
#define SERVER_STORE_FUNCTIONS_H

#include "server/store/db.h"

enum sm_code sm_functions_define(struct sm_db *db, struct sm_err *err);

#endif
