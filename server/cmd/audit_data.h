/* The datasets that an audit's cohorts name: `sslmem audit` and its shards read them here.
 *
 * Errors: those of sslmem/dataset.h and server/ingest/ingest.h. */
#ifndef SERVER_CMD_AUDIT_DATA_H
#define SERVER_CMD_AUDIT_DATA_H

#include <stdbool.h>

#include "server/ingest/ingest.h"
#include "server/ingest/pack.h"

/* Returns the argument with its paths resolved, to be freed; NULL: a path does not exist. */
typedef char *sm_cmd_audit_resolve(const char *path);
char *sm_cmd_audit_data_path(const char *argument, sm_cmd_audit_resolve *resolve);
bool sm_cmd_audit_is_folder(const char *argument); /* of image files */
/* Add the images of the dataset to an audit; pack them for one. */
enum sm_code sm_cmd_audit_take_data(struct sm_ingest *ingest, const char *argument, int cohort,
                                    struct sm_err *err);
enum sm_code sm_cmd_audit_pack_data(const struct sm_pack_params *params, const char *argument,
                                    const char *cohort, struct sm_err *err);

#endif
