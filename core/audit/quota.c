/* Controlled rounding of the table sizes[k] * classes[c] / n.
 *
 * Every cell is rounded down. Then, class by class, the images that are missing in its row go to
 * the columns with the largest remainders; what a column did not get of its remainder is carried to
 * the next class. So the sums of rows are right at once, and those of columns are hardly ever off
 * by an image at the end. settle() corrects these: it moves single images between columns, within
 * classes, along a path from a column with too many to one with too few, and never rounds a cell
 * beyond its two neighbours. Such a path exists as long as a sum is wrong, because the unrounded
 * table is a feasible flow with integral sums. O(classes) for each move. */
#include "core/audit/quota.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

struct table {
    size_t (*rows)[SM_QUOTA_PARTS];
    const size_t *sizes, *classes;
    size_t classes_count;
    uint64_t n;
};

static uint64_t product(const struct table *t, size_t class, int k)
{
    return (uint64_t)t->sizes[k] * t->classes[class];
}

/* Remainders in units of 1/n. `owed` is what each column has not got of them up to this class. */
static void fill_row(struct table *t, size_t class, int64_t owed[SM_QUOTA_PARTS])
{
    size_t missing = t->classes[class];
    for (int k = 0; k < SM_QUOTA_PARTS; k++) {
        t->rows[class][k] = product(t, class, k) / t->n;
        missing -= t->rows[class][k];
        owed[k] += (int64_t)(product(t, class, k) % t->n);
    }
    bool taken[SM_QUOTA_PARTS] = {false};
    for (; missing > 0; missing--) {
        int best = -1;
        for (int k = 0; k < SM_QUOTA_PARTS; k++)
            if (!taken[k] && product(t, class, k) % t->n > 0 && (best < 0 || owed[k] > owed[best]))
                best = k;
        assert(best >= 0); /* a row misses fewer images than it has remainders */
        taken[best] = true;
        t->rows[class][best]++;
        owed[best] -= (int64_t)t->n;
    }
}

/* Returns true if an image of the class can move from column `from` to column `to`. */
static bool can_move(const struct table *t, size_t class, int from, int to)
{
    return t->rows[class][from] > product(t, class, from) / t->n &&
           t->rows[class][to] == product(t, class, to) / t->n && product(t, class, to) % t->n > 0;
}

/* Moves one image from column `from` to a column that is owed one, by a shortest path. */
static void settle(struct table *t, int64_t owed[SM_QUOTA_PARTS], int from)
{
    int queue[SM_QUOTA_PARTS] = {from}, before[SM_QUOTA_PARTS], count = 1, last = from;
    size_t by[SM_QUOTA_PARTS] = {0}; /* class whose image moves to this column */
    for (int k = 0; k < SM_QUOTA_PARTS; k++)
        before[k] = -1;
    before[from] = from;
    for (int at = 0; at < count && owed[last] <= 0; at++) {
        for (int to = 0; to < SM_QUOTA_PARTS && owed[last] <= 0; to++) {
            size_t class = 0;
            while (before[to] < 0 && class < t->classes_count && !can_move(t, class, queue[at], to))
                class ++;
            if (before[to] >= 0 || class == t->classes_count)
                continue;
            before[to] = queue[at];
            by[to] = class;
            queue[count++] = last = to;
        }
    }
    assert(owed[last] > 0); /* such a path exists: see above */
    owed[from] += (int64_t)t->n;
    owed[last] -= (int64_t)t->n;
    for (int to = last; to != from; to = before[to]) {
        t->rows[by[to]][before[to]]--;
        t->rows[by[to]][to]++;
    }
}

void sm_quota(size_t (*rows)[SM_QUOTA_PARTS], const size_t sizes[SM_QUOTA_PARTS],
              const size_t *classes, size_t classes_count)
{
    struct table t = {rows, sizes, classes, classes_count, 0};
    int64_t owed[SM_QUOTA_PARTS] = {0};
    for (size_t c = 0; c < classes_count; c++)
        t.n += classes[c];
    for (size_t c = 0; c < classes_count && t.n > 0; c++)
        fill_row(&t, c, owed);
    for (int k = 0; k < SM_QUOTA_PARTS; k++)
        while (owed[k] < 0)
            settle(&t, owed, k);
}
