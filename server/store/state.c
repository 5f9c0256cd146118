/* The state machine as a table of transitions. */
#include "server/store/state.h"

#include <stddef.h>
#include <string.h>

static const char *const names[SM_STATES_COUNT] = {
    [SM_STATE_QUEUED] = "queued",       [SM_STATE_RUNNING] = "running",
    [SM_STATE_SUCCEEDED] = "succeeded", [SM_STATE_FAILED] = "failed",
    [SM_STATE_CANCELLED] = "cancelled", [SM_STATE_OPEN] = "open",
    [SM_STATE_PAUSED] = "paused",
};

static const bool moves[SM_STATES_COUNT][SM_STATES_COUNT] = {
    [SM_STATE_QUEUED] =
        {[SM_STATE_RUNNING] = true, [SM_STATE_FAILED] = true, [SM_STATE_CANCELLED] = true},
    [SM_STATE_RUNNING] = {[SM_STATE_QUEUED] = true,
                          [SM_STATE_SUCCEEDED] = true,
                          [SM_STATE_FAILED] = true,
                          [SM_STATE_CANCELLED] = true,
                          [SM_STATE_PAUSED] = true},
    [SM_STATE_OPEN] = {[SM_STATE_RUNNING] = true, [SM_STATE_CANCELLED] = true},
    [SM_STATE_PAUSED] = {[SM_STATE_RUNNING] = true,
                         [SM_STATE_SUCCEEDED] = true,
                         [SM_STATE_FAILED] = true,
                         [SM_STATE_CANCELLED] = true},
};

const char *sm_state_name(enum sm_state state)
{
    return names[state];
}

enum sm_state sm_state_parse(const char *name)
{
    int state = 0;
    while (state < SM_STATES_COUNT && strcmp(names[state], name) != 0)
        state++;
    return (enum sm_state)state;
}

bool sm_state_may(enum sm_state from, enum sm_state to)
{
    return moves[from][to];
}

enum sm_state sm_state_of_job(enum sm_state now, const int64_t items[SM_STATES_COUNT])
{
    int64_t total = 0;
    for (int i = 0; i < SM_STATES_COUNT; i++)
        total += items[i];
    if (items[SM_STATE_QUEUED] + items[SM_STATE_RUNNING] > 0)
        return now;
    if (now != SM_STATE_QUEUED && now != SM_STATE_RUNNING && now != SM_STATE_PAUSED)
        return now;
    if (items[SM_STATE_FAILED] == total)
        return SM_STATE_FAILED;
    return items[SM_STATE_CANCELLED] == total ? SM_STATE_CANCELLED : SM_STATE_SUCCEEDED;
}
