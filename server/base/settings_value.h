/* Parses the text of one setting into its field. Private to settings.c.
 *
 * `source` names the text's origin in errors. */
#ifndef SERVER_BASE_SETTINGS_VALUE_H
#define SERVER_BASE_SETTINGS_VALUE_H

#include "server/base/settings.h"

enum sm_code sm_setting_set(void *field, const struct sm_setting *row, const char *source,
                            const char *text, struct sm_err *err);

#endif
