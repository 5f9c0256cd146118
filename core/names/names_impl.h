/* The index behind names.h, shared by names.c and find.c only. */
#ifndef CORE_NAMES_NAMES_IMPL_H
#define CORE_NAMES_NAMES_IMPL_H

#include "core/names/names.h"

#define SM_NAME_BYTES 640 /* longest name of a file and of what we look for, with its NUL */

/* The entry of a key; NULL when there is none. */
struct sm_name_entry *sm_names_entry(const struct sm_names *names, const char *key);

/* The first entry whose key begins with these bytes; NULL when there is none. */
struct sm_name_entry *sm_names_below(const struct sm_names *names, const char *bytes);

/* Length of `head` when it is `name` or its leading components, else 0. */
size_t sm_name_leads(const char *name, const char *head);
/* Whether `tail` is `name` or its last components. */
bool sm_name_ends(const char *name, const char *tail);

/* The name below the prefix that differs least from `name`, among those used or not; false when
 * none is near. */
bool sm_names_nearest(char out[SM_NAME_BYTES], const struct sm_names *names, const char *name,
                      bool used);

#endif
