/* Scores that a key may ask for in a day (of UTC).
 *
 * Threads: any; nothing waits for a commit. Errors: SM_LIMIT when too few are left, the text says
 *          how many; those of a read. */
#ifndef SERVER_STORE_BUDGET_H
#define SERVER_STORE_BUDGET_H

#include "server/store/store.h"

/* Takes so many at once, or none of them. With 0 it only looks whether one is left. A caller
 * without a budget may always. */
enum sm_code sm_store_spend(struct sm_store *store, const struct sm_caller *caller, int64_t count,
                            struct sm_err *err);
/* Counts what was asked for, whatever is left; below 0: gives back what came to nothing. */
void sm_store_charge(struct sm_store *store, const struct sm_caller *caller, int64_t count);

#endif
