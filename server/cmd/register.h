/* Registers a reference file in pair.json.
 *
 * Owner:   nothing is kept.
 * Threads: no state; two processes that register at once may lose one of the two changes.
 * Errors:  those of sm_json_read_file, SM_INVALID (pair.json holds no object), SM_IO, SM_NOMEM. */
#ifndef SERVER_CMD_REGISTER_H
#define SERVER_CMD_REGISTER_H

#include <stdbool.h>

#include "sslmem/err.h"

/* Sets "reference" to `file` in the pair.json of `pair_folder`, by replacing the file as a whole.
 * The other fields keep their values and order, the file its mode and line ends; the text keeps its
 * layout unless "reference" named another file. *changed is false if pair.json named `file`
 * already. */
enum sm_code sm_register_reference(bool *changed, const char *pair_folder, const char *file,
                                   struct sm_err *err);

#endif
