/* A folder's files as tar archives of a bounded size, in the order and under the names that
 * sm_ingest_folder gives them: the server's audit has the same items.
 *
 *     sm_audit_tar_folder(folder, send, arg, &err);    // send(arg, file) for every full archive
 *
 * Owner: `send` borrows the file. Errors: SM_IO, SM_NOMEM, SM_CANCELLED, those of `send`. */
#ifndef SERVER_CMD_AUDIT_TAR_H
#define SERVER_CMD_AUDIT_TAR_H

#include "server/cmd/audit.h"

#define SM_AUDIT_TAR_BYTES (32 << 20) /* an archive ends with the file that reaches it */

typedef enum sm_code sm_audit_tar_send(void *arg, FILE *tar, struct sm_err *err);
enum sm_code sm_audit_tar_folder(const char *folder, sm_audit_tar_send *send, void *arg,
                                 struct sm_err *err);

#endif
