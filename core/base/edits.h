/* Edit distance between names, to suggest the nearest known name for an unknown one. */
#ifndef CORE_BASE_EDITS_H
#define CORE_BASE_EDITS_H

#include <stddef.h>

#define SM_EDITS_MAX 160 /* longest name that is compared, in bytes */

/* Returns Levenshtein's distance: the fewest bytes to insert, delete or replace to turn `a` into
 * `b`; SIZE_MAX if a name is longer than SM_EDITS_MAX. Cost: O(length of a * length of b). */
size_t sm_edits(const char *a, const char *b);

#endif
