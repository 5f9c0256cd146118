/* Edit distance, for "did you mean": the name that is nearest to one that is not there. */
#ifndef CORE_BASE_EDITS_H
#define CORE_BASE_EDITS_H

#include <stddef.h>

#define SM_EDITS_MAX 160 /* bytes of a name that is compared */

/* Levenshtein's distance: the fewest bytes put in, left out or replaced. Names over SM_EDITS_MAX
 * bytes are far from all others. O(length of a times length of b). */
size_t sm_edits(const char *a, const char *b);

#endif
