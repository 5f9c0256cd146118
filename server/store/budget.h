/* Scores, and work, that a key may ask for in a day (of UTC).
 *
 *     struct sm_charge charge = {.caller = *caller, .amount.scores = 4};
 *     job.charge = &charge;          // sm_store_admit: checked and counted with the job
 *
 * The count is a row of the database. The write that lets scores out checks the row and adds to it
 * in its own transaction, so that no two requests take the same score, and what is not committed is
 * not counted. The same step checks that the key is still good: an upload can take longer than a
 * key lives.
 *
 * Threads: any. Errors: SM_LIMIT when too few are left, the text says how many; SM_CANCELLED when
 *          the key ended while its request ran; those of the database. */
#ifndef SERVER_STORE_BUDGET_H
#define SERVER_STORE_BUDGET_H

#include "server/base/caller.h"
#include "server/store/store.h"

struct sm_db;

/* Of each quantity that a budget counts; the table in budget.c has the same. */
struct sm_amount {
    int64_t scores;
    int64_t cost_ms; /* sm_cost_ms; an answer from history costs nothing */
};

/* On whose behalf a write is made, and what it takes. A zeroed caller is the service itself. */
struct sm_charge {
    struct sm_caller caller;
    struct sm_amount amount;
};

/* Checks and counts; inside the transaction of what is charged. */
enum sm_code sm_store_charge(struct sm_db *db, const struct sm_charge *charge, struct sm_err *err);
/* Only the first half: the caller's key is still good. NULL is the service itself. */
enum sm_code sm_store_check_caller(struct sm_db *db, const struct sm_caller *caller,
                                   struct sm_err *err);
/* sm_store_charge as a write of its own, for answers that make nothing. `done` runs on the writer
 * thread after the commit, unless an error is returned here. */
enum sm_code sm_store_spend(struct sm_store *store, const struct sm_charge *charge,
                            sm_store_done *done, void *arg, struct sm_err *err);
/* SM_LIMIT when nothing is left now. A look that decides nothing: it refuses a request before its
 * body is sent. */
enum sm_code sm_store_has_budget(struct sm_store *store, const struct sm_caller *caller,
                                 struct sm_err *err);

#endif
