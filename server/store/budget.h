/* Daily budgets of API keys, in scores and in work. A day is a day of UTC.
 *
 *     struct sm_charge charge = {.caller = *caller, .amount.scores = 4};
 *     job.charge = &charge;          // sm_store_admit: checked and counted with the job
 *
 * The database has a row for each key and day. The transaction that releases scores checks the row
 * and adds to it, so that two requests cannot spend the same score, and a rollback spends nothing.
 * The same step checks that the key is still valid, because a key can expire during an upload.
 *
 * Threads: any.
 * Errors:  SM_LIMIT: too little is left, the text says how much; SM_CANCELLED: the key was revoked
 *          or expired while its request ran; those of the database. */
#ifndef SERVER_STORE_BUDGET_H
#define SERVER_STORE_BUDGET_H

#include "server/base/caller.h"
#include "server/store/store.h"

struct sm_db;

/* An amount of each quantity of a budget; the table in budget.c lists the same quantities. */
struct sm_amount {
    int64_t scores;
    int64_t cost_ms; /* sm_cost_ms; 0 for an answer from history */
};

/* The caller of a write, and what the write spends. A zeroed caller is the service itself. */
struct sm_charge {
    struct sm_caller caller;
    struct sm_amount amount;
};

/* Checks the caller and its budget and counts the amount, inside the caller's transaction. */
enum sm_code sm_store_charge(struct sm_db *db, const struct sm_charge *charge, struct sm_err *err);
/* Checks only that the caller's key is still valid. NULL is the service itself. */
enum sm_code sm_store_check_caller(struct sm_db *db, const struct sm_caller *caller,
                                   struct sm_err *err);
/* Charges in a write of its own, for answers that store nothing else. `done` runs on the writer
 * thread after the commit, unless this function returns an error. */
enum sm_code sm_store_spend(struct sm_store *store, const struct sm_charge *charge,
                            sm_store_done *done, void *arg, struct sm_err *err);
/* Returns SM_LIMIT if nothing is left now. It lets the service refuse a request before its body is
 * sent, and spends nothing; sm_store_charge decides. */
enum sm_code sm_store_has_budget(struct sm_store *store, const struct sm_caller *caller,
                                 struct sm_err *err);

#endif
