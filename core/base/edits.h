/* Edit distance between names, to suggest the nearest known name for an unknown one. */
#ifndef CORE_BASE_EDITS_H
#define CORE_BASE_EDITS_H

#include <stdbool.h>
#include <stddef.h>

#define SM_EDITS_MAX 160 /* longest name that is compared, in bytes */

/* Returns Levenshtein's distance: the fewest bytes to insert, delete or replace to turn `a` into
 * `b`; SIZE_MAX if a name is longer than SM_EDITS_MAX. Cost: O(length of a * length of b). */
size_t sm_edits(const char *a, const char *b);

/* Finds the name that a mistyped one stands for. Start with *best = 0. Returns true, and sets
 * *best, for a `name` that is nearer to `given` than the names before it, and near enough to
 * suggest: under SM_EDITS_NEAR, and under half of the given name; of four letters two may differ,
 * because swapped letters do. */
#define SM_EDITS_NEAR 4
bool sm_edits_is_nearer(size_t *best, const char *given, const char *name);

#endif
