/* States of jobs and of their items: one machine for both, as a table.
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

const char *sm_state_name(enum sm_state state); /* "queued", … as stored and as clients see it */
enum sm_state sm_state_parse(const char *name); /* SM_STATES_COUNT when it is none */
bool sm_state_may(enum sm_state from, enum sm_state to);

/* State of a job from the number of its items in each state. It stays as it is with items
 * unfinished, while it is open, and once it has come to an end; else failed when every item failed,
 * cancelled when every item was cancelled, succeeded otherwise. */
enum sm_state sm_state_of_job(enum sm_state now, const int64_t items[SM_STATES_COUNT]);

#endif
