/* Levenshtein's algorithm with one row of its table in memory. `diagonal` holds the value from the
 * row above, one column to the left. */
#include "core/base/edits.h"

#include <stdint.h>
#include <string.h>

size_t sm_edits(const char *a, const char *b)
{
    size_t row[SM_EDITS_MAX + 1], b_length = strlen(b);
    if (b_length > SM_EDITS_MAX || strlen(a) > SM_EDITS_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            size_t other = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = replaced < other ? replaced : other;
        }
    }
    return row[b_length];
}

bool sm_edits_is_nearer(size_t *best, const char *given, const char *name)
{
    size_t distance = sm_edits(given, name), length = strlen(given);
    size_t swap = distance == 2; /* two swapped letters are 2 edits: "pari" is near "pair" */
    bool nearer = distance < SM_EDITS_NEAR && 2 * distance < length + swap &&
                  (*best == 0 || distance + 1 < *best);
    if (nearer)
        *best = distance + 1; /* 0: none yet */
    return nearer;
}
