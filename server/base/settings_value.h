/* One value of a setting from its text. Of settings.c alone.
 *
 * `source` names where the text came from, for the error. */
#ifndef SERVER_BASE_SETTINGS_VALUE_H
#define SERVER_BASE_SETTINGS_VALUE_H

#include "server/base/settings.h"

enum sm_code sm_setting_set(void *field, const struct sm_setting *row, const char *source,
                            const char *text, struct sm_err *err);

#endif
