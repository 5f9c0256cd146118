/* States of jobs and items: one state machine for both.
 *
 *     queued -> running -> succeeded | failed | cancelled
 *     running -> queued     (an item whose worker was lost)
 *     queued -> cancelled
 *     queued -> failed      (erased)
 *
 * Audits only:
 *     open -> running <-> paused -> succeeded | failed | cancelled
 *     open -> cancelled */
#ifndef SERVER_STORE_STATE_H
#define SERVER_STORE_STATE_H

#include <stdbool.h>
#include <stdint.h>

enum sm_state {
    SM_STATE_QUEUED,
    SM_STATE_RUNNING,
    SM_STATE_SUCCEEDED,
    SM_STATE_FAILED,
    SM_STATE_CANCELLED,
    SM_STATE_OPEN,
    SM_STATE_PAUSED,
    SM_STATES_COUNT
};

const char *sm_state_name(enum sm_state state); /* "queued", … in the database and in answers */
enum sm_state sm_state_parse(const char *name); /* SM_STATES_COUNT for an unknown name */
bool sm_state_may(enum sm_state from, enum sm_state to); /* the machine has this transition */

/* Returns the state of a job from the number of its items in each state. A job that has unfinished
 * items, is open or has ended keeps its state `now`. Otherwise it failed if every item failed, was
 * cancelled if every item was cancelled, and else succeeded. */
enum sm_state sm_state_of_job(enum sm_state now, const int64_t items[SM_STATES_COUNT]);

#endif
